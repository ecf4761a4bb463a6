// The errors that Tegula throws. Every exception derives from tegula::Error; the type answers the question "what do I
// do next?", the message names the values involved ("cannot broadcast (3, 4) with (5,)").
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace tegula {

// What kind of failure this is. Travels in messages, so the numbers are part of the protocol: append only.
enum class ErrorCode : std::uint8_t {
  kInternal = 0,         // a bug in Tegula
  kValue = 1,            // ValueError
  kShape = 2,            // ShapeError
  kIndex = 3,            // IndexError
  kDType = 4,            // DTypeError
  kConfig = 5,           // ConfigError
  kConnection = 6,       // ConnectionError
  kVersion = 7,          // VersionError
  kAuthentication = 8,   // AuthenticationError
  kProtocol = 9,         // ProtocolError
  kTimeout = 10,         // TimeoutError; TaskError: a task took longer than its time limit
  kFile = 11,            // FileError
  kFileChanged = 12,     // FileChangedError
  kCancelled = 13,       // CancelledError
  kKernelNotFound = 14,  // KernelNotFoundError
  kKernelFailed = 15,    // TaskError: the kernel reported a failure
  kKilledWorker = 16,    // KilledWorker
  kTaskTooLarge = 17,    // TaskTooLarge
  kOutOfMemory = 18,     // TaskError: a task could not get its memory
  kClosed = 19,          // ClosedError
  kDataLost = 20,        // TaskError: a result is gone and cannot be recomputed
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

// Defines an error class that carries one code.
#define TEGULA_DEFINE_ERROR(Name, Base, kCode)                                     \
  class Name : public Base {                                                       \
   public:                                                                         \
    explicit Name(const std::string& message) : Base(ErrorCode::kCode, message) {} \
                                                                                   \
   protected:                                                                      \
    Name(ErrorCode code, const std::string& message) : Base(code, message) {}      \
  }

TEGULA_DEFINE_ERROR(ValueError, Error, kValue);                // An argument is wrong: mend the call.
TEGULA_DEFINE_ERROR(ShapeError, ValueError, kShape);           // Shapes or chunks that don't fit together.
TEGULA_DEFINE_ERROR(IndexError, ValueError, kIndex);           // An axis or index out of range.
TEGULA_DEFINE_ERROR(DTypeError, ValueError, kDType);           // A dtype that the operation does not take.
TEGULA_DEFINE_ERROR(ConfigError, Error, kConfig);              // Unknown key or unusable value in the configuration.
TEGULA_DEFINE_ERROR(ConnectionError, Error, kConnection);      // Nobody answered, or the peer went away.
TEGULA_DEFINE_ERROR(VersionError, ConnectionError, kVersion);  // The peer speaks another protocol version.
TEGULA_DEFINE_ERROR(AuthenticationError, ConnectionError, kAuthentication);  // Missing or wrong cluster token.
TEGULA_DEFINE_ERROR(ProtocolError, ConnectionError, kProtocol);  // The peer sent something that is no valid message.
TEGULA_DEFINE_ERROR(TimeoutError, Error, kTimeout);              // A deadline passed; the work itself goes on.
TEGULA_DEFINE_ERROR(FileError, Error, kFile);  // Reading or writing a file failed (missing, truncated, disk full).
TEGULA_DEFINE_ERROR(FileChangedError, FileError,
                    kFileChanged);                       // A file was changed while an array still read from it.
TEGULA_DEFINE_ERROR(CancelledError, Error, kCancelled);  // The future was cancelled, or its client closed.
TEGULA_DEFINE_ERROR(ClosedError, Error, kClosed);        // The client or cluster is closed.
TEGULA_DEFINE_ERROR(KernelNotFoundError, Error, kKernelNotFound);  // No loaded kernel library has this kernel.

#undef TEGULA_DEFINE_ERROR

// What is known about a task that failed on a worker.
struct ErrorInfo {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string key;                 // of the task that failed first, as "name-1a2b3c4d(0,7)"
  std::string kernel;              // its kernel
  std::string worker;              // the worker it ran on: name and address
  std::vector<std::string> chain;  // keys from the failed task to the one asked for, in that order
};

// A task failed on a worker; what() has message, key, kernel, worker and chain in readable form.
class TaskError : public Error {
 public:
  explicit TaskError(ErrorInfo info);
  const ErrorInfo& info() const noexcept { return info_; }

 private:
  ErrorInfo info_;
};

// A task was stopped after the workers that executed it died, several times over.
class KilledWorker : public TaskError {
 public:
  using TaskError::TaskError;
};

// A task needs more memory than any worker's limit.
class TaskTooLarge : public TaskError {
 public:
  using TaskError::TaskError;
};

// Throws the class that belongs to info.code: the local class for codes that need no task (kFileChanged,
// kKernelNotFound, kCancelled, ..., with the task's story in the message), TaskError or one of its subclasses for the
// rest.
[[noreturn]] void throw_error(const ErrorInfo& info);

}  // namespace tegula
