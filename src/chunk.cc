#include "src/chunk.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tegula/error.h"

namespace tegula {
namespace {

// Wide enough that no product of a size and a stride overflows.
__extension__ using Wide = __int128;

std::size_t checked_nbytes(DType dtype, const Shape& shape) {
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(element_count(shape), static_cast<std::int64_t>(item_size(dtype)), &bytes)) {
    throw ShapeError("an array of shape " + to_string(shape) + " and dtype " + std::string(name_of(dtype)) +
                     " has more than 2^63 - 1 bytes");
  }
  return static_cast<std::size_t>(bytes);
}

}  // namespace

Chunk Chunk::allocate(DType dtype, Shape shape, const BufferAllocator& allocator) {
  const std::size_t bytes = checked_nbytes(dtype, shape);
  Chunk chunk;
  chunk.dtype_ = dtype;
  chunk.strides_ = bytes > 0 ? contiguous_strides(shape, item_size(dtype)) : Strides(shape.size(), 0);
  chunk.shape_ = std::move(shape);
  chunk.buffer_ = allocator(bytes);
  return chunk;
}

Chunk::Chunk(DType dtype, Shape shape, Strides strides, Buffer buffer, std::size_t data_offset)
    : dtype_(dtype),
      shape_(std::move(shape)),
      strides_(std::move(strides)),
      buffer_(std::move(buffer)),
      offset_(data_offset) {
  if (shape_.size() != strides_.size()) {
    throw ShapeError("a view of shape " + to_string(shape_) + " cannot have " + std::to_string(strides_.size()) +
                     " strides");
  }
  if (element_count(shape_) == 0) {
    if (offset_ > buffer_.size()) offset_ = 0;
    return;
  }
  bool inside = offset_ <= buffer_.size();
  auto room_after =
      static_cast<Wide>(buffer_.size()) - static_cast<Wide>(offset_) - static_cast<Wide>(item_size(dtype_));
  auto room_before = static_cast<Wide>(offset_);
  for (std::size_t i = 0; i < shape_.size() && inside; ++i) {
    const Wide reach = static_cast<Wide>(shape_[i] - 1) * strides_[i];
    (reach >= 0 ? room_after : room_before) -= reach >= 0 ? reach : -reach;
    inside = room_after >= 0 && room_before >= 0;
  }
  if (!inside || room_after < 0) {
    throw ShapeError("a view of shape " + to_string(shape_) + ", strides " + to_string(strides_) + " and offset " +
                     std::to_string(data_offset) + " reaches outside a buffer of " + std::to_string(buffer_.size()) +
                     " bytes");
  }
}

std::int64_t Chunk::size() const { return element_count(shape_); }

std::size_t Chunk::nbytes() const { return static_cast<std::size_t>(size()) * item_size(dtype_); }

bool Chunk::contiguous() const { return is_contiguous(shape_, strides_, item_size(dtype_)); }

Chunk Chunk::view(const Box& box) const {
  if (box.empty()) return *this;
  if (box.size() != shape_.size()) {
    throw IndexError("a box of " + std::to_string(box.size()) + " dimensions does not fit a chunk of shape " +
                     to_string(shape_));
  }
  Chunk result = *this;
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < box.size(); ++i) {
    const BoxDim dim = box[i].whole() ? BoxDim{0, shape_[i], 1} : box[i];
    std::int64_t last = 0;
    const bool overflow = __builtin_mul_overflow(dim.count - (dim.count > 0), dim.step, &last) ||
                          __builtin_add_overflow(last, dim.start, &last);
    const bool inside =
        dim.count == 0 || (!overflow && dim.start >= 0 && dim.start < shape_[i] && last >= 0 && last < shape_[i]);
    if (dim.count < 0 || dim.step == 0 || !inside) {
      throw IndexError("start " + std::to_string(dim.start) + ", count " + std::to_string(dim.count) + ", step " +
                       std::to_string(dim.step) + " reaches outside a dimension of " + std::to_string(shape_[i]) +
                       " elements");
    }
    result.shape_[i] = dim.count;
    if (dim.count > 0) offset += dim.start * strides_[i];
    // A single element is never stepped from, and its step may be anything.
    result.strides_[i] = dim.count > 1 ? strides_[i] * dim.step : 0;
  }
  if (result.size() > 0) result.offset_ = static_cast<std::size_t>(static_cast<std::int64_t>(offset_) + offset);
  return result;
}

Chunk Chunk::compact(const BufferAllocator& allocator) const {
  if (contiguous() && nbytes() >= buffer_.size() / 2) return *this;
  Chunk copy = allocate(dtype_, shape_, allocator);
  if (nbytes() > 0) {
    copy_strided(shape_, item_size(dtype_), data(), strides_, copy.mutable_data(), copy.strides_);
  }
  return copy;
}

}  // namespace tegula
