#include "worker/kernels/cpu/task.h"

#include <algorithm>
#include <string>

#include "tegula/error.h"

namespace tegula::cpu {

DType checked_dtype(std::int32_t number) {
  if (number < 0 || number >= kDTypeCount) throw DTypeError("there is no dtype number " + std::to_string(number));
  return static_cast<DType>(number);
}

namespace {

void check_shape(std::int32_t ndim, const std::int64_t* shape) {
  if (ndim < 0 || ndim > TEGULA_MAX_NDIM) {
    throw ShapeError("an array of " + std::to_string(ndim) + " dimensions; at most " + std::to_string(TEGULA_MAX_NDIM) +
                     " are possible");
  }
  element_count({shape, static_cast<std::size_t>(ndim)});
}

}  // namespace

void check_array(const tegula_array& array) {
  checked_dtype(array.dtype);
  check_shape(array.ndim, array.shape);
}

std::int64_t piece_count(const tegula_input& input) {
  std::int64_t count = 1;
  for (std::int32_t d = 0; d < input.ndim; ++d) count *= input.piece_grid[d];
  return count;
}

const tegula_array& single_piece(const tegula_task& task, std::uint32_t index) {
  if (index >= task.n_inputs) {
    throw ValueError("the task has " + std::to_string(task.n_inputs) + " inputs; its parameters name input " +
                     std::to_string(index));
  }
  if (const auto count = piece_count(task.inputs[index]); count != 1) {
    throw ValueError("input " + std::to_string(index) + " has " + std::to_string(count) +
                     " pieces; the kernel takes one");
  }
  check_array(task.inputs[index].pieces[0]);
  return task.inputs[index].pieces[0];
}

const tegula_block& declared_block(const tegula_task& task, std::uint32_t index) {
  if (index >= task.n_outputs) {
    throw ValueError("the task declares " + std::to_string(task.n_outputs) + " outputs; the kernel needs " +
                     std::to_string(index + 1));
  }
  const tegula_block& block = task.declared[index];
  checked_dtype(block.dtype);
  check_shape(block.ndim, block.shape);
  return block;
}

std::span<const std::int64_t> task_block(const tegula_task& task, const Shape& grid, const char* whose) {
  std::span<const std::int64_t> task_grid(task.grid, static_cast<std::size_t>(task.grid_ndim));
  if (grid.empty() && task_grid.size() == 1 && task_grid[0] == 1) task_grid = {};
  if (!std::ranges::equal(grid, task_grid)) {
    throw ShapeError("the layer's grid is " + to_string(task_grid) + ", " + whose + " " + to_string(grid));
  }
  const std::span<const std::int64_t> block(task.block, task_grid.size());
  for (std::size_t d = 0; d < grid.size(); ++d) {
    if (block[d] < 0 || block[d] >= grid[d]) {
      throw IndexError("block " + to_string(block) + " is outside the grid " + to_string(grid));
    }
  }
  return block;
}

void write_plan(DType dtype, std::span<const std::int64_t> shape, tegula_output_plan* plan) {
  plan->dtype = static_cast<std::int32_t>(dtype);
  plan->ndim = static_cast<std::int32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), plan->shape);
}

void plan_as_declared(const tegula_task& task, tegula_output_plan* outputs) {
  if (task.n_outputs != 1)
    throw ValueError("the kernel has one output, the layer declares " + std::to_string(task.n_outputs));
  const tegula_block& block = declared_block(task, 0);
  write_plan(checked_dtype(block.dtype), shape_of(block), &outputs[0]);
}

}  // namespace tegula::cpu
