// "tegula.nop": does nothing and puts out zeros in the declared shapes (unknown sizes become 0). For measuring what a
// task costs.
#include <algorithm>
#include <cstring>

#include "src/shape.h"
#include "worker/kernels/cpu/guard.h"
#include "worker/kernels/cpu/kernels.h"
#include "worker/kernels/cpu/task.h"

namespace tegula::cpu {
namespace {

int prepare(const void*, std::size_t, void** prepared, tegula_context*) {
  *prepared = nullptr;
  return TEGULA_OK;
}

void release(void*) {}

int plan(const tegula_task* task, tegula_output_plan* outputs, std::size_t* scratch_bytes, tegula_context* context) {
  return guarded(context, [&] {
    *scratch_bytes = 0;
    for (std::uint32_t i = 0; i < task->n_outputs; ++i) {
      const tegula_block& block = task->declared[i];
      if (block.ndim < 0 || block.ndim > TEGULA_MAX_NDIM) throw ShapeError("too many dimensions");
      Shape shape(block.shape, block.shape + block.ndim);
      std::replace(shape.begin(), shape.end(), kUnknown, std::int64_t{0});
      element_count(shape);
      write_plan(checked_dtype(block.dtype), shape, &outputs[i]);
    }
  });
}

int run(const tegula_task* task, tegula_array* outputs, void*, tegula_context* context) {
  return guarded(context, [&] {
    for (std::uint32_t i = 0; i < task->n_outputs; ++i) {
      const auto count = static_cast<std::size_t>(element_count(shape_of(outputs[i])));
      if (count != 0) std::memset(outputs[i].data, 0, count * item_size(checked_dtype(outputs[i].dtype)));
    }
  });
}

}  // namespace

const tegula_kernel kNopKernel = {"tegula.nop", prepare, release, plan, run};

}  // namespace tegula::cpu
