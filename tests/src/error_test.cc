#include "tegula/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tegula {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ErrorInfo info_of(ErrorCode code) {
  ErrorInfo info;
  info.code = code;
  info.message = "it broke";
  info.key = "normal-3f2a91c0(0,7)";
  info.kernel = "tegula.program";
  info.worker = "w1 at tcp://127.0.0.1:9000";
  info.chain = {"normal-3f2a91c0(0,7)", "sum-partial-11112222(0,7)", "sum-33334444()"};
  return info;
}

template <typename Wanted>
void expect_class(ErrorCode code) {
  try {
    throw_error(info_of(code));
  } catch (const Wanted& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("it broke"), HasSubstr("normal-3f2a91c0(0,7)"),
                                    HasSubstr("tegula.program"), HasSubstr("w1 at"),
                                    HasSubstr("sum-partial-11112222(0,7) <- sum-33334444()"), Not(HasSubstr("\n"))));
    return;
  } catch (const std::exception& error) {
    FAIL() << "another class for code " << static_cast<int>(code) << ": " << error.what();
  }
}

TEST(Errors, AWaitThatTookTooLongIsNoTasksError) {
  ErrorInfo info;
  info.code = ErrorCode::kTimeout;
  info.message = "no answer within 10 s";
  EXPECT_THROW(throw_error(info), TimeoutError);
}

TEST(Errors, EachCodeIsThrownAsItsClass) {
  expect_class<ValueError>(ErrorCode::kValue);
  expect_class<ShapeError>(ErrorCode::kShape);
  expect_class<IndexError>(ErrorCode::kIndex);
  expect_class<DTypeError>(ErrorCode::kDType);
  expect_class<ConfigError>(ErrorCode::kConfig);
  expect_class<ConnectionError>(ErrorCode::kConnection);
  expect_class<VersionError>(ErrorCode::kVersion);
  expect_class<AuthenticationError>(ErrorCode::kAuthentication);
  expect_class<ProtocolError>(ErrorCode::kProtocol);
  expect_class<TaskError>(ErrorCode::kTimeout);  // of a task: its time limit
  expect_class<FileError>(ErrorCode::kFile);
  expect_class<FileChangedError>(ErrorCode::kFileChanged);
  expect_class<CancelledError>(ErrorCode::kCancelled);
  expect_class<KernelNotFoundError>(ErrorCode::kKernelNotFound);
  expect_class<TaskError>(ErrorCode::kKernelFailed);
  expect_class<KilledWorker>(ErrorCode::kKilledWorker);
  expect_class<TaskTooLarge>(ErrorCode::kTaskTooLarge);
  expect_class<TaskError>(ErrorCode::kOutOfMemory);
  expect_class<ClosedError>(ErrorCode::kClosed);
  expect_class<TaskError>(ErrorCode::kDataLost);
  expect_class<TaskError>(ErrorCode::kInternal);
  expect_class<TaskError>(static_cast<ErrorCode>(200));  // of a later version
}

TEST(Errors, WhatIsNotKnownIsLeftOut) {
  ErrorInfo info;
  info.message = "it broke";
  EXPECT_STREQ(TaskError(info).what(), "it broke");
  info.worker = "w1";
  EXPECT_STREQ(TaskError(info).what(), "it broke [worker w1]");
  EXPECT_EQ(TaskError(info).info().worker, "w1");
}

}  // namespace
}  // namespace tegula
