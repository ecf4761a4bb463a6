// "tegula.program": elementwise work, stored or reduced on the way (src/program.h).
#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "worker/kernels/cpu/guard.h"
#include "worker/kernels/cpu/kernels.h"
#include "worker/kernels/cpu/program/reduce_block.h"
#include "worker/kernels/cpu/program/stream.h"
#include "worker/kernels/cpu/task.h"

namespace tegula::cpu {
namespace {

constexpr std::int64_t kCancelInterval = 1 << 20;  // elements between two questions
// Results from this size on are written past the caches: they would not stay there anyway.
constexpr std::int64_t kStreamBytes = 8 << 20;
constexpr std::int64_t kStrip = 16;  // columns: a tile of them is about as high, so that it uses up the lines it reads

int prepare(const void* params, std::size_t size, void** prepared, tegula_context* context) {
  return prepare_as<CompiledProgram>(prepared, context,
                                     [&] { return CompiledProgram(decode_program(bytes_of(params, size))); });
}

// The layer declares what the program yields; anything else is a layer that doesn't fit its program.
void check_declared(const tegula_task& task, DType dtype, const Shape& shape) {
  const tegula_block& declared = declared_block(task, 0);
  if (task.n_outputs != 1)
    throw ValueError("a program has one output, the layer declares " + std::to_string(task.n_outputs));
  if (checked_dtype(declared.dtype) != dtype) {
    throw DTypeError("the program yields " + std::string(name_of(dtype)) + ", the layer declares " +
                     std::string(name_of(checked_dtype(declared.dtype))));
  }
  if (!std::ranges::equal(shape_of(declared), shape)) {
    throw ShapeError("the program yields a block of shape " + to_string(shape) + ", the layer declares " +
                     to_string(shape_of(declared)));
  }
}

std::size_t evaluator_bytes(const CompiledProgram& program) {
  return (Evaluator::scratch_bytes(program) + 63) / 64 * 64;
}

int plan(const tegula_task* task, tegula_output_plan* outputs, std::size_t* scratch_bytes, tegula_context* context) {
  return guarded(context, [&] {
    const auto& program = *static_cast<const CompiledProgram*>(task->prepared);
    const BlockPlace place = place_block(program, *task);
    *scratch_bytes = evaluator_bytes(program);
    Shape shape = place.shape;
    if (program.program().reduction) {
      const BlockReduction reduction(program, place);
      shape = reduction.output_shape();
      *scratch_bytes += reduction.scratch_bytes();
    }
    check_declared(*task, program.result_dtype(), shape);
    write_plan(program.result_dtype(), shape, &outputs[0]);
  });
}

// Rows of the block, one after the other.
bool store_rows(const CompiledProgram& program, std::span<const BoxAxis> box, std::int64_t total, Evaluator& evaluator,
                std::byte* out, tegula_context* context) {
  evaluator.set_box(box);
  const std::size_t size = item_size(program.result_dtype());
  const bool stream = total >= kStreamBytes / static_cast<std::int64_t>(size);
  bool finished = true;
  std::int64_t next_question = kCancelInterval;
  for (std::int64_t at = 0; at < total && finished; at += program.tile()) {
    const std::int64_t count = std::min(program.tile(), total - at);
    std::byte* const to = out + static_cast<std::size_t>(at) * size;
    evaluator.prefetch(at + count, std::min(program.tile(), total - at - count));
    const void* tile = evaluator.evaluate(at, count, stream ? nullptr : to);
    if (stream) stream_copy(to, static_cast<const std::byte*>(tile), static_cast<std::size_t>(count) * size);
    if (at < next_question) continue;
    finished = !is_cancelled(context);
    next_question = at + kCancelInterval;
  }
  if (stream) stream_fence();
  return finished;
}

// The block in strips of its last axis.
bool store_strips(const CompiledProgram& program, std::span<BoxAxis> box, std::int64_t total, Evaluator& evaluator,
                  std::byte* out, tegula_context* context) {
  const std::size_t size = item_size(program.result_dtype());
  BoxAxis& last = box.back();
  const std::int64_t row_length = last.size, rows = total / row_length;
  for (last.low = 0; last.low < row_length; last.low += kStrip) {
    last.size = std::min(kStrip, row_length - last.low);
    evaluator.set_box(box);
    const std::int64_t rows_at_once = program.tile() / last.size;
    for (std::int64_t row = 0; row < rows; row += rows_at_once) {
      const std::int64_t count = std::min(rows_at_once, rows - row);
      const auto* tile = static_cast<const std::byte*>(evaluator.evaluate(row * last.size, count * last.size, nullptr));
      const std::size_t bytes = static_cast<std::size_t>(last.size) * size;
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t at = (row + i) * row_length + last.low;
        std::memcpy(out + static_cast<std::size_t>(at) * size, tile + static_cast<std::size_t>(i) * bytes, bytes);
      }
    }
    if (is_cancelled(context)) return false;
  }
  return true;
}

// Computes the block into `out`. Returns false when the task was cancelled.
bool store_block(const CompiledProgram& program, const BlockPlace& place, Evaluator& evaluator, std::byte* out,
                 tegula_context* context) {
  const std::int64_t total = element_count(place.shape);
  if (total == 0) return true;
  std::vector<BoxAxis> box;
  for (std::size_t d = 0; d < place.shape.size(); ++d) {
    if (place.shape[d] > 1) box.push_back({static_cast<int>(d), 0, place.shape[d]});
  }
  if (box.size() > 1 && evaluator.reads_across(box.back().axis))
    return store_strips(program, box, total, evaluator, out, context);
  return store_rows(program, box, total, evaluator, out, context);
}

int run(const tegula_task* task, tegula_array* outputs, void* scratch, tegula_context* context) {
  bool finished = false;
  const int code = guarded(context, [&] {
    const auto& program = *static_cast<const CompiledProgram*>(task->prepared);
    const BlockPlace place = place_block(program, *task);
    auto* memory = static_cast<std::byte*>(scratch);
    Evaluator evaluator(program, place, *task, memory);
    if (program.program().reduction) {
      const BlockReduction reduction(program, place);
      finished = reduction.run(evaluator, memory + evaluator_bytes(program), outputs[0].data, context);
    } else {
      finished = store_block(program, place, evaluator, static_cast<std::byte*>(outputs[0].data), context);
    }
  });
  return code != TEGULA_OK ? code : finished ? TEGULA_OK : TEGULA_ECANCELLED;
}

}  // namespace

const tegula_kernel kProgramKernel = {"tegula.program", prepare, release_as<CompiledProgram>, plan, run};

}  // namespace tegula::cpu
