#include "worker/kernels/cpu/files/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "tegula/error.h"

namespace tegula::cpu {

File::File(std::string path, Mode mode) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), (mode == Mode::kRead ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
  if (descriptor_ < 0) fail("opening", errno);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void File::fail(const char* doing, int error) const {
  throw FileError(std::string(doing) + " " + path_ + ": " + std::strerror(error));
}

void File::read(std::uint64_t offset, void* to, std::size_t bytes) const {
  auto* next = static_cast<std::byte*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, next, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("reading", errno);
    if (got == 0)
      throw FileError(path_ + " ends at byte " + std::to_string(offset) + ", " + std::to_string(bytes) +
                      " bytes too soon");
    next += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

void File::write(std::uint64_t offset, const void* from, std::size_t bytes) const {
  const auto* next = static_cast<const std::byte*>(from);
  while (bytes > 0) {
    const ssize_t put = ::pwrite(descriptor_, next, bytes, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("writing", errno);
    if (put == 0) fail("writing", ENOSPC);
    next += put;
    offset += static_cast<std::uint64_t>(put);
    bytes -= static_cast<std::size_t>(put);
  }
}

void File::check(const FileStamp& stamp) const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail("looking at", errno);
  const FileStamp now{static_cast<std::uint64_t>(status.st_size),
                      static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
  if (now == stamp) return;
  throw FileChangedError(path_ + " was changed after the array was made from it: it had " + std::to_string(stamp.size) +
                         " bytes and has " + std::to_string(now.size) +
                         (now.size == stamp.size ? ", but was written to since" : ""));
}

void File::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0 && errno != EINTR) fail("closing", errno);
}

}  // namespace tegula::cpu
