// Reading and checking what a task brings. A task comes from another process: nothing in it is believed before it is
// checked here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "src/shape.h"
#include "tegula/dtype.h"
#include "tegula/kernel.h"

namespace tegula::cpu {

inline std::span<const std::int64_t> shape_of(const tegula_array& array) {
  return {array.shape, static_cast<std::size_t>(array.ndim)};
}
inline std::span<const std::int64_t> shape_of(const tegula_block& block) {
  return {block.shape, static_cast<std::size_t>(block.ndim)};
}
inline std::span<const std::int64_t> offset_of(const tegula_block& block) {
  return {block.offset, static_cast<std::size_t>(block.ndim)};
}
// The dtype with this number. Throws DTypeError when there is none.
DType checked_dtype(std::int32_t number);
// Throws when ndim or a size is out of range (unknown sizes are, too).
void check_array(const tegula_array& array);
std::int64_t piece_count(const tegula_input& input);
// The only piece of input `index`. Throws ValueError when there is no such input or another number of pieces.
const tegula_array& single_piece(const tegula_task& task, std::uint32_t index);
// Output `index` as declared. Throws ValueError when there is none, its shape is unusable, or a size is unknown.
const tegula_block& declared_block(const tegula_task& task, std::uint32_t index);
// The task's position in `grid`, which the kernel's parameters describe ("the program's"). The one task of a 0-d array
// may come with a grid () or (1). Throws ShapeError when the layer's grid is another one, IndexError.
std::span<const std::int64_t> task_block(const tegula_task& task, const Shape& grid, const char* whose);
void write_plan(DType dtype, std::span<const std::int64_t> shape, tegula_output_plan* plan);
// Output 0, and no other, planned exactly as declared.
void plan_as_declared(const tegula_task& task, tegula_output_plan* outputs);

}  // namespace tegula::cpu
