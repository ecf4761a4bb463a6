#include "tests/worker/test_kernels.h"

#include <atomic>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

namespace tegula::worker {

namespace {

std::atomic<int> prepared_count{0};
std::atomic<bool> gate_open{true};
std::atomic<int> at_gate{0};

struct Prepared {
  std::uint64_t number = 0;
};

int prepare(const void* params, size_t size, void** prepared, tegula_context*) {
  auto* made = new Prepared;
  if (size >= sizeof(made->number)) std::memcpy(&made->number, params, sizeof(made->number));
  *prepared = made;
  ++prepared_count;
  return TEGULA_OK;
}

int refuse(const void*, size_t, void**, tegula_context* context) {
  context->fail(context, "these parameters are no good");
  return TEGULA_EVALUE;
}

void release(void* prepared) {
  delete static_cast<Prepared*>(prepared);
  --prepared_count;
}

int plan(const tegula_task* task, tegula_output_plan* outputs, size_t* scratch, tegula_context*) {
  for (std::uint32_t i = 0; i < task->n_outputs; ++i) {
    const tegula_block& declared = task->declared[i];
    outputs[i].dtype = declared.dtype;
    outputs[i].ndim = declared.ndim;
    for (int d = 0; d < declared.ndim; ++d) outputs[i].shape[d] = declared.shape[d];
  }
  *scratch = 0;
  return TEGULA_OK;
}

int plan_badly(const tegula_task* task, tegula_output_plan* outputs, size_t* scratch, tegula_context* context) {
  plan(task, outputs, scratch, context);
  outputs[0].ndim = 3;
  outputs[0].shape[0] = outputs[0].shape[1] = outputs[0].shape[2] = 2;
  return TEGULA_OK;
}

int plan_scratch(const tegula_task* task, tegula_output_plan* outputs, size_t* scratch, tegula_context* context) {
  plan(task, outputs, scratch, context);
  *scratch = static_cast<const Prepared*>(task->prepared)->number;
  return TEGULA_OK;
}

std::int64_t count_of(const tegula_array& array) {
  std::int64_t count = 1;
  for (int d = 0; d < array.ndim; ++d) count *= array.shape[d];
  return count;
}

// Element `position` (row-major) of a float64 array with any strides.
double element(const tegula_array& array, std::int64_t position) {
  const char* at = static_cast<const char*>(array.data);
  for (int d = array.ndim; d-- > 0;) {
    at += (position % array.shape[d]) * array.strides[d];
    position /= array.shape[d];
  }
  double value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

int nop(const tegula_task*, tegula_array*, void*, tegula_context*) { return TEGULA_OK; }

int index(const tegula_task* task, tegula_array* outputs, void*, tegula_context*) {
  for (std::uint32_t i = 0; i < task->n_outputs; ++i) {
    auto* values = static_cast<double*>(outputs[i].data);
    for (std::int64_t k = 0; k < count_of(outputs[i]); ++k) values[k] = static_cast<double>(task->index);
  }
  return TEGULA_OK;
}

std::int64_t piece_count(const tegula_input& input) {
  std::int64_t count = 1;
  for (int d = 0; d < input.ndim; ++d) count *= input.piece_grid[d];
  return count;
}

int sum(const tegula_task* task, tegula_array* outputs, void*, tegula_context*) {
  auto* values = static_cast<double*>(outputs[0].data);
  for (std::int64_t k = 0; k < count_of(outputs[0]); ++k) {
    values[k] = 0;
    for (std::uint32_t i = 0; i < task->n_inputs; ++i) {
      for (std::int64_t p = 0; p < piece_count(task->inputs[i]); ++p)
        values[k] += element(task->inputs[i].pieces[p], k);
    }
  }
  return TEGULA_OK;
}

int concat(const tegula_task* task, tegula_array* outputs, void*, tegula_context*) {
  auto* next = static_cast<double*>(outputs[0].data);
  for (std::uint32_t i = 0; i < task->n_inputs; ++i) {
    for (std::int64_t p = 0; p < piece_count(task->inputs[i]); ++p) {
      const tegula_array& piece = task->inputs[i].pieces[p];
      for (std::int64_t k = 0; k < count_of(piece); ++k) *next++ = element(piece, k);
    }
  }
  return TEGULA_OK;
}

int fail(const tegula_task* task, tegula_array*, void*, tegula_context* context) {
  context->fail(context, ("it is task " + std::to_string(task->index) + " that fails").c_str());
  return TEGULA_EFAILED;
}

int throws(const tegula_task*, tegula_array*, void*, tegula_context*) {
  throw std::runtime_error("thrown by a kernel");
}

int throws_bad_alloc(const tegula_task*, tegula_array*, void*, tegula_context*) { throw std::bad_alloc(); }

int use_scratch(const tegula_task* task, tegula_array*, void* scratch, tegula_context*) {
  std::memset(scratch, 7, static_cast<const Prepared*>(task->prepared)->number);
  return TEGULA_OK;
}

int gate(const tegula_task*, tegula_array*, void*, tegula_context* context) {
  ++at_gate;
  int result = TEGULA_OK;
  while (!gate_open) {
    if (context->cancelled(context) != 0) {
      result = TEGULA_ECANCELLED;
      break;
    }
    std::this_thread::yield();
  }
  --at_gate;
  return result;
}

int deaf(const tegula_task*, tegula_array*, void*, tegula_context*) {
  ++at_gate;
  while (!gate_open) std::this_thread::yield();
  --at_gate;
  return TEGULA_OK;
}

const tegula_kernel kKernels[] = {
    {"test.nop", prepare, release, plan, nop},
    {"test.index", prepare, release, plan, index},
    {"test.sum", prepare, release, plan, sum},
    {"test.concat", prepare, release, plan, concat},
    {"test.fail", prepare, release, plan, fail},
    {"test.throw", prepare, release, plan, throws},
    {"test.badalloc", prepare, release, plan, throws_bad_alloc},
    {"test.badplan", prepare, release, plan_badly, nop},
    {"test.scratch", prepare, release, plan_scratch, use_scratch},
    {"test.refuse", refuse, release, plan, nop},
    {"test.gate", prepare, release, plan, gate},
    {"test.deaf", prepare, release, plan, deaf},
};
const tegula_library kLibrary = {TEGULA_KERNEL_ABI, "test", "", std::size(kKernels), kKernels};

}  // namespace

std::shared_ptr<const KernelRegistry> test_kernels() {
  auto registry = std::make_shared<KernelRegistry>();
  registry->add(kLibrary, "the test program");
  return registry;
}

void close_gate() { gate_open = false; }
void open_gate() { gate_open = true; }
void wait_until_at_gate(int kernels) {
  while (at_gate < kernels) std::this_thread::yield();
}
int prepared_now() { return prepared_count; }

}  // namespace tegula::worker
