// Shapes, strides and index arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tegula {

inline constexpr int kMaxNdim = 16;           // as TEGULA_MAX_NDIM
inline constexpr std::int64_t kUnknown = -1;  // a size that is known only when computed

using Shape = std::vector<std::int64_t>;    // sizes in elements
using Strides = std::vector<std::int64_t>;  // distances in bytes; may be 0 or negative

// Product of the sizes. Throws ShapeError naming the shape when it is negative or overflows int64.
std::int64_t element_count(std::span<const std::int64_t> shape);
Strides contiguous_strides(std::span<const std::int64_t> shape, std::size_t item_size);  // C order
bool is_contiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides, std::size_t item_size);
// NumPy's broadcasting. Throws ShapeError "cannot broadcast (3, 4) with (5,)".
Shape broadcast_shapes(std::span<const std::int64_t> a, std::span<const std::int64_t> b);
// "(3, 4)", "(5,)", "()".
std::string to_string(std::span<const std::int64_t> shape);
// 0 <= result < ndim. Throws IndexError "axis 3 is out of range for an array of 2 dimensions".
int normalize_axis(int axis, int ndim);

// Row-major: the linear index of a position in a grid, and back.
std::int64_t ravel(std::span<const std::int64_t> position, std::span<const std::int64_t> grid);
void unravel(std::int64_t index, std::span<const std::int64_t> grid, std::span<std::int64_t> position);

}  // namespace tegula
