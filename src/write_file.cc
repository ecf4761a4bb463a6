#include "src/write_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tegula/error.h"

namespace tegula {

void write_file(const std::string& path, std::string_view text) {
  struct stat there {};
  const bool direct = stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode);
  const std::string beside = direct ? path : path + ".part";
  const auto failed = [&](const char* what) {
    const int error = errno;
    if (!direct) unlink(beside.c_str());
    throw FileError(fmt::format("cannot {} {}: {}", what, path, std::strerror(error)));
  };
  const int file = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) throw FileError(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t count = write(file, text.data() + at, text.size() - at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      close(file);
      errno = error;
      failed("write");
    }
    at += static_cast<std::size_t>(count);
  }
  if (close(file) != 0) failed("write");
  if (!direct && rename(beside.c_str(), path.c_str()) != 0) failed("write");
}

}  // namespace tegula
