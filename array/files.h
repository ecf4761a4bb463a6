// Files on the client's side.
#pragma once

#include <cstdint>
#include <string>

#include "src/bytes.h"

namespace tegula::detail {

std::string absolute_path(const std::string& path);

// A file that appears under its final name only when complete: written as "<path>.<random>.tmp" beside it and renamed
// by commit(). Without commit() it is removed. Errors are FileErrors naming the path.
class NewFile {
 public:
  // Reserves `size` bytes of disk, so that a full disk is noticed before the work is done.
  NewFile(const std::string& path, std::uint64_t size);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  const std::string& temporary_path() const { return temporary_; }
  void write(std::uint64_t offset, const void* data, std::size_t size);
  void commit();

 private:
  std::string path_, temporary_;
  int descriptor_ = -1;
};

}  // namespace tegula::detail
