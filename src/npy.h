// The .npy format (versions 1.0, 2.0, 3.0): headers, and the parameters of the kernels that read and write such files
// by chunk.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "src/bytes.h"
#include "src/chunk_grid.h"
#include "src/shape.h"
#include "tegula/dtype.h"

namespace tegula {

struct NpyHeader {
  DType dtype = DType::kFloat64;
  bool byte_swapped = false;  // stored in the other byte order
  bool fortran_order = false;
  Shape shape;
  std::uint64_t data_offset = 0;  // bytes before the first element
};

// Identifies the content of a file as far as can be told without reading it.
struct FileStamp {
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

// Reads and checks a header. Throws FileError naming the path: missing, no .npy file, truncated (fewer bytes than the
// shape needs); DTypeError for object, string, datetime and structured dtypes, by name.
NpyHeader read_npy_header(const std::string& path, FileStamp* stamp = nullptr);
FileStamp stamp_of(const std::string& path);  // throws FileError
// A version 1.0 header (C order, little-endian), padded to a multiple of 64 bytes.
Bytes npy_header(DType dtype, const Shape& shape);

// Kernel "tegula.read_npy": a task reads its declared block of the (sliced) array. Along file dimension d the element
// of output position g is start[d] + step[d] * g[axis[d]], as PositionMap; FileChangedError when the stamp differs
// before or after the read.
struct ReadNpyParams {
  std::string path;  // absolute
  NpyHeader header;
  FileStamp stamp;
  std::vector<std::int32_t> axis;  // per file dimension; -1: fixed at start
  std::vector<std::int64_t> start;
  std::vector<std::int64_t> step;
};
// Kernel "tegula.write_npy": writes its one input piece at the declared offset of a file that exists already with its
// full size (the client preallocates it under a temporary name); its output is an empty array.
struct WriteNpyParams {
  std::string path;  // of the temporary file
  DType dtype = DType::kFloat64;
  Shape shape;
  std::uint64_t data_offset = 0;
  ChunkGrid chunks;  // of the array being written
};
Bytes encode(const ReadNpyParams& params);
ReadNpyParams decode_read_npy(std::span<const std::byte> bytes);
Bytes encode(const WriteNpyParams& params);
WriteNpyParams decode_write_npy(std::span<const std::byte> bytes);

}  // namespace tegula
