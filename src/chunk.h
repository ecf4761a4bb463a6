// A Chunk is a typed, strided view of a buffer: one piece of an array, or a view of one. Value type; copying shares the
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "src/buffer.h"
#include "src/shape.h"
#include "tegula/dtype.h"

namespace tegula {

// A hyper-rectangle with steps: along each dimension `count` positions from `start`, `step` apart (step may be
// negative, never 0). start 0, count kUnknown, step 1: all of the dimension, for those who don't know the chunk's
// shape.
struct BoxDim {
  std::int64_t start = 0;
  std::int64_t count = 0;
  std::int64_t step = 1;
  bool whole() const { return count == kUnknown && start == 0 && step == 1; }
  friend bool operator==(const BoxDim&, const BoxDim&) = default;
};
using Box = std::vector<BoxDim>;  // empty: the whole chunk

class Chunk {
 public:
  Chunk() = default;
  // C-contiguous, uninitialised.
  static Chunk allocate(DType dtype, Shape shape, const BufferAllocator& allocator = &Buffer::allocate);
  // A view; `data_offset` is the byte position of element (0, 0, ...). Throws ShapeError when it would reach outside
  // the buffer.
  Chunk(DType dtype, Shape shape, Strides strides, Buffer buffer, std::size_t data_offset);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const Strides& strides() const { return strides_; }
  const Buffer& buffer() const { return buffer_; }
  int ndim() const { return static_cast<int>(shape_.size()); }
  std::int64_t size() const;   // elements
  std::size_t nbytes() const;  // of the elements (not of the buffer)
  const std::byte* data() const { return buffer_.data() + offset_; }
  std::byte* mutable_data() { return buffer_.mutable_data() + offset_; }  // only before publication
  bool contiguous() const;                                                // C order
  // The elements in `box`, as a view. Throws IndexError when it reaches outside.
  Chunk view(const Box& box) const;
  // A C-contiguous chunk with the same elements: itself when it is one already (and spans at least half of its buffer),
  // else a copy.
  Chunk compact(const BufferAllocator& allocator = &Buffer::allocate) const;

 private:
  DType dtype_ = DType::kFloat64;
  Shape shape_;
  Strides strides_;
  Buffer buffer_;
  std::size_t offset_ = 0;
};

// Copies elements between strided arrays of one shape and item size (bytes; no conversion).
void copy_strided(std::span<const std::int64_t> shape, std::size_t item_size, const std::byte* from,
                  std::span<const std::int64_t> from_strides, std::byte* to, std::span<const std::int64_t> to_strides);

}  // namespace tegula
