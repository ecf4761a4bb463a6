// "tegula.program": elementwise work, stored or reduced on the way (src/program.h).
#include <algorithm>
#include <memory>

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

int prepare(const void* params, std::size_t size, void** prepared, tegula_context* context) {
  return prepare_as<CompiledProgram>(prepared, context, [&] { return CompiledProgram(decode_program(bytes_of(params, size))); });
}

// The layer declares what the program yields; anything else is a layer that doesn't fit its program.
void check_declared(const tegula_task& task, DType dtype, const Shape& shape) {
  const tegula_block& declared = declared_block(task, 0);
  if (task.n_outputs != 1) throw ValueError("a program has one output, the layer declares " + std::to_string(task.n_outputs));
  if (checked_dtype(declared.dtype) != dtype) {
    throw DTypeError("the program yields " + std::string(name_of(dtype)) + ", the layer declares " +
                     std::string(name_of(checked_dtype(declared.dtype))));
  }
  if (!std::ranges::equal(shape_of(declared), shape)) {
    throw ShapeError("the program yields a block of shape " + to_string(shape) + ", the layer declares " + to_string(shape_of(declared)));
  }
}

std::size_t evaluator_bytes(const CompiledProgram& program) { return (Evaluator::scratch_bytes(program) + 63) / 64 * 64; }

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

// Computes the block into `out`. Returns false when the task was cancelled.
bool store_block(const CompiledProgram& program, const BlockPlace& place, Evaluator& evaluator, std::byte* out, tegula_context* context) {
  const std::int64_t total = element_count(place.shape);
  if (total == 0) return true;
  std::vector<BoxAxis> box;
  for (std::size_t d = 0; d < place.shape.size(); ++d) box.push_back({static_cast<int>(d), 0, place.shape[d]});
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
