#include "src/npy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "src/npy_parse.h"
#include "tegula/error.h"

namespace tegula {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
// NumPy itself refuses headers above 10,000 characters unless told otherwise; a header for 16 dimensions has some 400.
constexpr std::uint32_t kMaxHeaderBytes = 1 << 20;

class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : path_(path) {
    // Without O_NONBLOCK, opening a pipe would wait for its writer before it can be refused.
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) throw FileError(path + ": cannot be opened: " + std::strerror(errno));
  }
  ~OpenFile() { ::close(fd_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  struct stat status() const {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) throw FileError(path_ + ": " + std::strerror(errno));
    if (!S_ISREG(status.st_mode)) throw FileError(path_ + ": not a regular file");
    return status;
  }

  // Exactly `size` bytes at `offset`; `what` is named when the file ends before them.
  void read(void* to, std::size_t size, std::uint64_t offset, const char* what) const {
    auto* next = static_cast<char*>(to);
    while (size > 0) {
      const ssize_t count = ::pread(fd_, next, size, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw FileError(path_ + ": " + std::strerror(errno));
      if (count == 0) throw FileError(path_ + ": no .npy file: it ends within " + what);
      next += count;
      offset += static_cast<std::uint64_t>(count);
      size -= static_cast<std::size_t>(count);
    }
  }

 private:
  std::string path_;
  int fd_;
};

FileStamp stamp_from(const struct stat& status) {
  return {static_cast<std::uint64_t>(status.st_size),
          static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

std::uint32_t little_endian(const unsigned char* bytes, int count) {
  std::uint32_t value = 0;
  for (int i = count; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

void check_size(const std::string& path, const NpyHeader& header, std::uint64_t file_size) {
  std::int64_t bytes = 0;
  try {
    if (__builtin_mul_overflow(element_count(header.shape), static_cast<std::int64_t>(item_size(header.dtype)),
                               &bytes)) {
      throw ShapeError("its shape " + to_string(header.shape) + " has more than 2^63 - 1 bytes");
    }
  } catch (const ShapeError& error) {
    throw FileError(path + ": " + error.what());
  }
  if (header.data_offset > file_size || file_size - header.data_offset < static_cast<std::uint64_t>(bytes)) {
    throw FileError(path + ": truncated: " + std::to_string(bytes) + " bytes wanted for shape " +
                    to_string(header.shape) + " and dtype " + std::string(name_of(header.dtype)) + ", " +
                    std::to_string(file_size > header.data_offset ? file_size - header.data_offset : 0) + " there");
  }
}

std::string typestring(DType dtype) {
  static constexpr std::array<const char*, kDTypeCount> kNames = {"|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2",
                                                                  "<u4", "<u8", "<f4", "<f8", "<c8", "<c16"};
  return kNames.at(static_cast<std::size_t>(dtype));
}

}  // namespace

NpyHeader read_npy_header(const std::string& path, FileStamp* stamp) {
  const OpenFile file(path);
  const struct stat status = file.status();
  std::array<unsigned char, 12> start{};
  file.read(start.data(), 8, 0, "its magic");
  if (std::memcmp(start.data(), kMagic.data(), kMagic.size()) != 0) throw FileError(path + ": no .npy file");
  const int version = start[6];
  if (version < 1 || version > 3) {
    throw FileError(path + ": .npy version " + std::to_string(version) + "." + std::to_string(start[7]) +
                    " is not known");
  }
  const int length_bytes = version == 1 ? 2 : 4;
  file.read(start.data() + 8, static_cast<std::size_t>(length_bytes), 8, "its header");
  const std::uint32_t length = little_endian(start.data() + 8, length_bytes);
  if (length > kMaxHeaderBytes) {
    throw FileError(path + ": a .npy header of " + std::to_string(length) + " bytes is too long");
  }
  std::string text(length, '\0');
  file.read(text.data(), length, 8 + static_cast<std::uint64_t>(length_bytes), "its header");
  NpyHeader header = parse_npy_header(text, path);
  header.data_offset = 8 + static_cast<std::uint64_t>(length_bytes) + length;
  check_size(path, header, static_cast<std::uint64_t>(status.st_size));
  if (stamp != nullptr) *stamp = stamp_from(status);
  return header;
}

FileStamp stamp_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw FileError(path + ": " + std::strerror(errno));
  return stamp_from(status);
}

Bytes npy_header(DType dtype, const Shape& shape) {
  std::string text =
      "{'descr': '" + typestring(dtype) + "', 'fortran_order': False, 'shape': " + to_string(shape) + ", }";
  constexpr std::size_t kFixed = 10;  // magic, version, length
  while ((kFixed + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  const std::string start =
      std::string(kMagic) + '\x01' + '\0' + static_cast<char>(text.size() & 0xFF) + static_cast<char>(text.size() >> 8);
  Bytes bytes(start.size() + text.size());
  std::memcpy(bytes.data(), start.data(), start.size());
  std::memcpy(bytes.data() + start.size(), text.data(), text.size());
  return bytes;
}

}  // namespace tegula
