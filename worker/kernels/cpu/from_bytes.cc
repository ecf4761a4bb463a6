// "tegula.from_bytes": a block whose C-contiguous bytes are the task's own parameters: small arrays that travel with
// the graph.
#include <cstring>
#include <string>

#include "tegula/error.h"
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
    plan_as_declared(*task, outputs);
    const tegula_block& block = declared_block(*task, 0);
    const auto count = static_cast<std::uint64_t>(element_count(shape_of(block)));
    const std::uint64_t size = item_size(checked_dtype(block.dtype));
    if (task->task_params_size % size != 0 || task->task_params_size / size != count) {
      throw ValueError("tegula.from_bytes: " + std::to_string(task->task_params_size) + " bytes for a block of " +
                       std::to_string(count) + " elements of " + std::to_string(size) + " bytes");
    }
  });
}

int run(const tegula_task* task, tegula_array* outputs, void*, tegula_context*) {
  if (task->task_params_size != 0) std::memcpy(outputs[0].data, task->task_params, task->task_params_size);
  return TEGULA_OK;
}

}  // namespace

const tegula_kernel kFromBytesKernel = {"tegula.from_bytes", prepare, release, plan, run};

}  // namespace tegula::cpu
