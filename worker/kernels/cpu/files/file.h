// A file opened for reading or writing at positions; errors name the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "src/npy.h"

namespace tegula::cpu {

class File {
 public:
  enum class Mode { kRead, kWrite };
  File(std::string path, Mode mode);  // an existing file. Throws FileError.
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Throw FileError: the system's reason, or the file's end before the last byte.
  void read(std::uint64_t offset, void* to, std::size_t bytes) const;
  void write(std::uint64_t offset, const void* from, std::size_t bytes) const;
  // Throws FileChangedError when the file is not the one that `stamp` was taken of.
  void check(const FileStamp& stamp) const;
  // The system may report some failed writes only here. Throws FileError.
  void close();

 private:
  [[noreturn]] void fail(const char* doing, int error) const;

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace tegula::cpu
