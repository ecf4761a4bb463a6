#include "src/shape.h"

#include <algorithm>

#include "tegula/error.h"

namespace tegula {

std::int64_t element_count(std::span<const std::int64_t> shape) {
  bool zero = false;
  for (const std::int64_t size : shape) {
    if (size < 0) throw ShapeError("the shape " + to_string(shape) + " has a negative size");
    zero = zero || size == 0;
  }
  if (zero) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count)) {
      throw ShapeError("the shape " + to_string(shape) + " has more than 2^63 - 1 elements");
    }
  }
  return count;
}

Strides contiguous_strides(std::span<const std::int64_t> shape, std::size_t item_size) {
  Strides strides(shape.size());
  auto stride = static_cast<std::int64_t>(item_size);
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    if (__builtin_mul_overflow(stride, std::max<std::int64_t>(shape[i], 1), &stride)) {
      throw ShapeError("an array of shape " + to_string(shape) + " with " + std::to_string(item_size) +
                       " bytes per element has more than 2^63 - 1 bytes");
    }
  }
  return strides;
}

bool is_contiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides, std::size_t item_size) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return true;
  auto expected = static_cast<std::int64_t>(item_size);
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;  // its stride is never used
    if (strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

Shape broadcast_shapes(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  const std::size_t ndim = std::max(a.size(), b.size());
  Shape result(ndim);
  for (std::size_t i = 0; i < ndim; ++i) {  // from the last dimension on
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) throw ShapeError("cannot broadcast " + to_string(a) + " with " + to_string(b));
    result[ndim - 1 - i] = x == 1 ? y : x;
  }
  return result;
}

std::string to_string(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

int normalize_axis(int axis, int ndim) {
  const int result = axis < 0 ? axis + ndim : axis;
  if (result < 0 || result >= ndim) {
    throw IndexError("axis " + std::to_string(axis) + " is out of range for an array of " + std::to_string(ndim) +
                     (ndim == 1 ? " dimension" : " dimensions"));
  }
  return result;
}

std::int64_t ravel(std::span<const std::int64_t> position, std::span<const std::int64_t> grid) {
  std::int64_t index = 0;
  for (std::size_t i = 0; i < grid.size(); ++i) index = index * grid[i] + position[i];
  return index;
}

void unravel(std::int64_t index, std::span<const std::int64_t> grid, std::span<std::int64_t> position) {
  for (std::size_t i = grid.size(); i-- > 0;) {
    position[i] = index % grid[i];
    index /= grid[i];
  }
}

}  // namespace tegula
