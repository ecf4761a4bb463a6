#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "src/codec.h"
#include "src/npy.h"
#include "tegula/error.h"

namespace tegula {
namespace {

constexpr std::uint8_t kReadFormat = 0xC1;
constexpr std::uint8_t kWriteFormat = 0xD1;

std::string get_path(ByteReader& in) {
  std::string path = in.get_string();
  if (path.empty() || path.front() != '/') throw ValueError("the path '" + path + "' is not absolute");
  if (path.find('\0') != std::string::npos) throw ValueError("a path has a zero byte");
  return path;
}

// That byte positions in the file, up to the last element's end, can be computed in int64. Returns that end.
std::int64_t end_of_data(std::uint64_t data_offset, DType dtype, const Shape& shape) {
  std::int64_t end = 0;
  if (data_offset > static_cast<std::uint64_t>(INT64_MAX) ||
      __builtin_mul_overflow(element_count(shape), static_cast<std::int64_t>(item_size(dtype)), &end) ||
      __builtin_add_overflow(end, static_cast<std::int64_t>(data_offset), &end)) {
    throw ValueError("an array of shape " + to_string(shape) + " at byte " + std::to_string(data_offset) +
                     " fits no file");
  }
  return end;
}

void check_map(const ReadNpyParams& params) {
  const std::size_t ndim = params.header.shape.size();
  if (params.axis.size() != ndim || params.start.size() != ndim || params.step.size() != ndim) {
    throw ValueError("the position map of a file does not have " + std::to_string(ndim) + " dimensions");
  }
  std::array<bool, kMaxNdim> used{};
  for (std::size_t d = 0; d < ndim; ++d) {
    const std::int32_t axis = params.axis[d];
    if (axis < -1 || axis >= kMaxNdim) throw ValueError("there is no axis " + std::to_string(axis));
    if (axis >= 0 && std::exchange(used[static_cast<std::size_t>(axis)], true)) {
      throw ValueError("two dimensions of a file run along axis " + std::to_string(axis));
    }
    // One outside either end is what an empty slice may start at.
    if (params.start[d] < -1 || params.start[d] > params.header.shape[d]) {
      throw ValueError("position " + std::to_string(params.start[d]) + " lies outside a dimension of " +
                       std::to_string(params.header.shape[d]) + " elements");
    }
  }
}

}  // namespace

Bytes encode(const ReadNpyParams& params) {
  ByteWriter out;
  out.put(kReadFormat);
  out.put_string(params.path);
  out.put(params.header.dtype);
  out.put(static_cast<std::uint8_t>(params.header.byte_swapped));
  out.put(static_cast<std::uint8_t>(params.header.fortran_order));
  out.put_list(params.header.shape);
  out.put(params.header.data_offset);
  out.put(params.stamp.size);
  out.put(params.stamp.mtime_ns);
  out.put_list(params.axis);
  out.put_list(params.start);
  out.put_list(params.step);
  return out.take();
}

ReadNpyParams decode_read_npy(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  if (in.get<std::uint8_t>() != kReadFormat) throw ValueError("these bytes are no parameters of tegula.read_npy");
  ReadNpyParams params;
  params.path = get_path(in);
  params.header.dtype = get_dtype(in);
  params.header.byte_swapped = get_bool(in);
  params.header.fortran_order = get_bool(in);
  params.header.shape = get_shape(in);
  params.header.data_offset = in.get<std::uint64_t>();
  params.stamp.size = in.get<std::uint64_t>();
  params.stamp.mtime_ns = in.get<std::int64_t>();
  params.axis = in.get_list<std::int32_t>();
  params.start = in.get_list<std::int64_t>();
  params.step = in.get_list<std::int64_t>();
  in.expect_end();
  const std::int64_t end = end_of_data(params.header.data_offset, params.header.dtype, params.header.shape);
  if (static_cast<std::uint64_t>(end) > params.stamp.size) {
    throw ValueError("an array that ends at byte " + std::to_string(end) + " is not in a file of " +
                     std::to_string(params.stamp.size) + " bytes");
  }
  check_map(params);
  return params;
}

Bytes encode(const WriteNpyParams& params) {
  ByteWriter out;
  out.put(kWriteFormat);
  out.put_string(params.path);
  out.put(params.dtype);
  out.put_list(params.shape);
  out.put(params.data_offset);
  put_chunk_grid(out, params.chunks);
  return out.take();
}

WriteNpyParams decode_write_npy(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  if (in.get<std::uint8_t>() != kWriteFormat) throw ValueError("these bytes are no parameters of tegula.write_npy");
  WriteNpyParams params;
  params.path = get_path(in);
  params.dtype = get_dtype(in);
  params.shape = get_shape(in);
  params.data_offset = in.get<std::uint64_t>();
  params.chunks = get_chunk_grid(in);
  in.expect_end();
  end_of_data(params.data_offset, params.dtype, params.shape);
  if (params.chunks.shape() != params.shape) {
    throw ValueError("the chunks " + params.chunks.to_string() + " do not add up to " + to_string(params.shape));
  }
  expect_canonical(encode(params), bytes, "the parameters of tegula.write_npy");
  return params;
}

}  // namespace tegula
