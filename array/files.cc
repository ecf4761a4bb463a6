#include "array/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>

namespace tegula::detail {
namespace {

[[noreturn]] void fail(const char* what, const std::string& path, int error) {
  throw FileError(fmt::format("cannot {} {}: {}", what, path, std::strerror(error)));
}

// The rename itself has to reach the disk. Some file systems offer no such thing for directories: no error then.
void sync_directory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const int descriptor = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) throw FileError("cannot find the absolute path of \"" + path + "\": " + error.message());
  return absolute.lexically_normal().string();
}

NewFile::NewFile(const std::string& path, std::uint64_t size) : path_(absolute_path(path)) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path_, ignored)) fail("write", path_, EISDIR);
  std::random_device entropy;
  temporary_ = fmt::format("{}.{:08x}{:08x}.tmp", path_, entropy(), entropy());
  // Workers open it by name, perhaps as another user of the same group.
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("create", temporary_, errno);
  if (size == 0) return;
  if (const int error = ::posix_fallocate(descriptor_, 0, static_cast<off_t>(size)); error != 0) {
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
    fail(fmt::format("reserve {} bytes for", size).c_str(), path_, error);
  }
}

NewFile::~NewFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void NewFile::write(std::uint64_t offset, const void* data, std::size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::pwrite(descriptor_, bytes, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", path_, errno);
    bytes += written;
    offset += static_cast<std::uint64_t>(written);
    size -= static_cast<std::size_t>(written);
  }
}

void NewFile::commit() {
  if (::fsync(descriptor_) != 0) fail("write", path_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename the finished file to", path_, errno);
  ::close(descriptor_);
  descriptor_ = -1;
  sync_directory(path_);
}

}  // namespace tegula::detail
