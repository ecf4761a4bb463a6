// tegula.hog: takes memory that nobody planned, gives it back, and says so when there is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernels/harness.h"

namespace tegula::test {
namespace {

using ::testing::HasSubstr;

Bytes bytes(std::uint64_t count) {
  ByteWriter writer;
  writer.put(count);
  return writer.take();
}

TestTask one_bool() {
  TestTask task;
  task.declared = {{DType::kBool, {1}, {}}};
  return task;
}

TEST(HogKernel, PutsOutWhatNopDoes) {
  for (const std::uint64_t count : {0, 1, 40'000'000}) {
    const auto result = Library::best().run_one("tegula.hog", bytes(count), one_bool());
    EXPECT_EQ(result.shape, Shape{1}) << count;
  }
}

TEST(HogKernel, MoreThanThereIsIsOutOfMemory) {
  try {
    Library::best().run("tegula.hog", bytes(std::uint64_t{1} << 60), one_bool());
    FAIL() << "there cannot be that much";
  } catch (const KernelFailure& failure) {
    EXPECT_EQ(failure.code, TEGULA_ENOMEM);
  }
}

TEST(HogKernel, RefusesWhatItCannotRead) {
  try {
    Library::best().run("tegula.hog", Bytes(7), one_bool());
    FAIL() << "seven bytes are no number";
  } catch (const KernelFailure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("8 bytes wanted, 7 left"));
  }
}

}  // namespace
}  // namespace tegula::test
