#include "bench/chaos/small_disk.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tegula::chaos {
namespace {

constexpr off_t kLeast = 4096;

[[noreturn]] void cannot(const char* what) {
  throw Unavailable(fmt::format("cannot {} a small file system: {} (it takes root)", what, std::strerror(errno)));
}

// A file system in memory, whose pages this machine's kernel counts as it counts blocks: ENOSPC is real.
int make_tmpfs(const std::string& size) {
  const int settings = fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (settings < 0) cannot("make");
  const bool made = fsconfig(settings, FSCONFIG_SET_STRING, "size", size.c_str(), 0) == 0 &&
                    fsconfig(settings, FSCONFIG_SET_STRING, "mode", "0700", 0) == 0 &&
                    fsconfig(settings, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  const int mount = made ? fsmount(settings, FSMOUNT_CLOEXEC, 0) : -1;
  const int error = errno;
  close(settings);
  errno = error;
  if (mount < 0) cannot("mount");
  return mount;
}

}  // namespace

SmallDisk::SmallDisk(std::uint64_t bytes) : bytes_(bytes), mount_(make_tmpfs(std::to_string(bytes))) {}
SmallDisk::~SmallDisk() { close(mount_); }

std::string SmallDisk::path() const { return fmt::format("/proc/{}/fd/{}", getpid(), mount_); }

void SmallDisk::fill() {
  const int file = openat(mount_, "ballast", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) throw FileError(fmt::format("cannot make {}: {}", ballast(), std::strerror(errno)));
  // Others write and remove meanwhile: what is said to be free may be gone when it is asked for.
  off_t end = lseek(file, 0, SEEK_END);
  struct statvfs room {};
  for (int tries = 0; tries < 100 && fstatvfs(mount_, &room) == 0 && room.f_bavail > 0; ++tries) {
    auto wanted = static_cast<off_t>(room.f_bavail * room.f_bsize);
    while (wanted >= kLeast && fallocate(file, 0, end, wanted) != 0) wanted /= 2;
    if (wanted < kLeast) break;
    end += wanted;
  }
  close(file);
}

void SmallDisk::clear() { unlinkat(mount_, "ballast", 0); }

}  // namespace tegula::chaos
