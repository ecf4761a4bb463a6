// One value in one file: a header, then its bytes, as they are or compressed.
//
//   header     4096 bytes; magic, version, the file's number, dtype, shape, sizes, how the bytes are stored, their
//              checksum, the header's own checksum
//   payload    uncompressed: the value's bytes in C order
//              lz4: blocks, each u32 raw size, u32 stored size, bytes (as they are where both are equal)
//   padding    zeros, to a multiple of 4096
//
// Numbers are the machine's own: a file never leaves the process that wrote it. Files are read and written past the
// page cache (O_DIRECT) where the file system takes it; elsewhere the pages are dropped afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "src/buffer.h"
#include "src/chunk.h"
#include "tegula/error.h"

namespace tegula::worker {

enum class SpillCompression : std::uint8_t { kNone = 0, kLz4 = 1 };

// The file system has no room for the file. There is none then.
class NoSpaceError : public FileError {
 public:
  using FileError::FileError;
};

inline constexpr std::size_t kSpillBlock = 4096;  // files and direct transfers are made of these

// Memory of one thread for what cannot go straight between a value and its file.
class Staging {
 public:
  static constexpr std::size_t kSize = std::size_t{1} << 20;
  Staging();
  std::byte* data() const { return block_.get(); }

 private:
  struct Free {
    void operator()(std::byte* block) const { std::free(block); }
  };
  std::unique_ptr<std::byte, Free> block_;
};

struct SpillFileOptions {
  SpillCompression compression = SpillCompression::kNone;
  bool direct = true;  // try to pass the page cache by
};

// Writes a C-contiguous chunk beside `path` and renames it. Returns the file's size; throws NoSpaceError or FileError.
std::uint64_t write_spill_file(const std::string& path, std::uint64_t number, const Chunk& chunk,
                               const SpillFileOptions& options, Staging& staging);

// Throws FileError when the file is missing, damaged or another one, std::bad_alloc when there is no memory for it.
Chunk read_spill_file(const std::string& path, std::uint64_t number, const BufferAllocator& allocator,
                      const SpillFileOptions& options, Staging& staging);

}  // namespace tegula::worker
