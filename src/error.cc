#include "tegula/error.h"

#include <utility>

namespace tegula {
namespace {

// One line: daemons and programs print it as it is.
std::string story(const ErrorInfo& info) {
  std::string text = info.message.empty() ? "the task failed without a message" : info.message;
  std::string where;
  const auto add = [&where](const char* what, const std::string& value) {
    if (value.empty()) return;
    if (!where.empty()) where += ", ";
    where += what;
    where += value;
  };
  add("task ", info.key);
  add("kernel ", info.kernel);
  add("worker ", info.worker);
  std::string chain;
  for (const std::string& key : info.chain) {
    if (key == info.key) continue;
    if (!chain.empty()) chain += " <- ";
    chain += key;
  }
  add("needed by ", chain);
  if (!where.empty()) text += " [" + where + "]";
  return text;
}

}  // namespace

TaskError::TaskError(ErrorInfo info) : Error(info.code, story(info)), info_(std::move(info)) {}

void throw_error(const ErrorInfo& info) {
  switch (info.code) {
    case ErrorCode::kValue:
      throw ValueError(story(info));
    case ErrorCode::kShape:
      throw ShapeError(story(info));
    case ErrorCode::kIndex:
      throw IndexError(story(info));
    case ErrorCode::kDType:
      throw DTypeError(story(info));
    case ErrorCode::kConfig:
      throw ConfigError(story(info));
    case ErrorCode::kConnection:
      throw ConnectionError(story(info));
    case ErrorCode::kVersion:
      throw VersionError(story(info));
    case ErrorCode::kAuthentication:
      throw AuthenticationError(story(info));
    case ErrorCode::kProtocol:
      throw ProtocolError(story(info));
    case ErrorCode::kTimeout:
      if (!info.key.empty()) break;  // a task's time limit, not the caller's
      throw TimeoutError(story(info));
    case ErrorCode::kFile:
      throw FileError(story(info));
    case ErrorCode::kFileChanged:
      throw FileChangedError(story(info));
    case ErrorCode::kCancelled:
      throw CancelledError(story(info));
    case ErrorCode::kClosed:
      throw ClosedError(story(info));
    case ErrorCode::kKernelNotFound:
      throw KernelNotFoundError(story(info));
    case ErrorCode::kKilledWorker:
      throw KilledWorker(info);
    case ErrorCode::kTaskTooLarge:
      throw TaskTooLarge(info);
    case ErrorCode::kInternal:
    case ErrorCode::kKernelFailed:
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kDataLost:
      break;
  }
  throw TaskError(info);
}

}  // namespace tegula
