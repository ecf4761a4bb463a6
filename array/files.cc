#include "array/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

// A file system that is full for a moment hurts everybody on it, so what is bound to fail isn't tried. Some network
// file systems don't tell their size.
bool has_room(int descriptor, std::uint64_t size) {
  struct statvfs status {};
  if (::fstatvfs(descriptor, &status) != 0 || status.f_blocks == 0 || status.f_frsize == 0) return true;
  return size / status.f_frsize <= status.f_bavail;
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
  const std::filesystem::file_status there = std::filesystem::status(path_, ignored);
  if (std::filesystem::is_directory(there)) fail("write", path_, EISDIR);
  // The rename would put a file in the place of a device or a pipe.
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
    throw FileError("cannot write " + path_ + ": not a regular file");
  }
  std::random_device entropy;
  temporary_ = fmt::format("{}.{:08x}{:08x}.tmp", path_, entropy(), entropy());
  // Workers open it by name, perhaps as another user of the same group.
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("create", temporary_, errno);
  if (size == 0) return;
  const int error = has_room(descriptor_, size) ? ::posix_fallocate(descriptor_, 0, static_cast<off_t>(size)) : ENOSPC;
  if (error != 0) {
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
