// A kernel library of kernels that misbehave, for tests with real worker processes. Outputs are left as they are.
//   test.segfault       writes to address 0
//   test.segfault_once  the same, unless the file that the parameters name exists; makes it before
//   test.abort          calls abort()
//   test.exit           calls _exit(0), as user code that means to end "the program" does
//   test.forever        never returns, whoever asks
//   test.until_asked    returns when it is asked to stop
//   test.eat            takes 400 MB and keeps them until it is asked to stop
//   test.throw          throws std::runtime_error("thrown by a kernel")
//   test.badalloc       finds no memory
//   test.nop            nothing
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "tegula/kernel.h"

namespace {

int prepare(const void* params, size_t size, void** prepared, tegula_context*) {
  *prepared = new std::string(static_cast<const char*>(params), size);
  return TEGULA_OK;
}
void release(void* prepared) { delete static_cast<std::string*>(prepared); }

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

void pause_briefly() { usleep(1000); }

int segfault(const tegula_task*, tegula_array*, void*, tegula_context*) {
  signal(SIGSEGV, SIG_DFL);  // sanitizers have handlers of their own
  volatile int* volatile nowhere = nullptr;
  *nowhere = 1;  // by force: compute threads have signals blocked
  return TEGULA_OK;
}
int segfault_once(const tegula_task* task, tegula_array* outputs, void* scratch, tegula_context* context) {
  const auto& file = *static_cast<const std::string*>(task->prepared);
  const int made = open(file.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  return made < 0 ? TEGULA_OK : segfault(task, outputs, scratch, context);
}
int aborts(const tegula_task*, tegula_array*, void*, tegula_context*) {
  signal(SIGABRT, SIG_DFL);
  abort();
}
int exits(const tegula_task*, tegula_array*, void*, tegula_context*) { _exit(0); }
int forever(const tegula_task*, tegula_array*, void*, tegula_context*) {
  for (;;) pause_briefly();
}
int until_asked(const tegula_task*, tegula_array*, void*, tegula_context* context) {
  while (context->cancelled(context) == 0) pause_briefly();
  return TEGULA_ECANCELLED;
}
int eat(const tegula_task* task, tegula_array* outputs, void* scratch, tegula_context* context) {
  std::vector<std::vector<char>> eaten;
  for (int i = 0; i < 40; ++i) eaten.emplace_back(10'000'000, '\1');
  return until_asked(task, outputs, scratch, context);
}
int throws(const tegula_task*, tegula_array*, void*, tegula_context*) {
  throw std::runtime_error("thrown by a kernel");
}
int badalloc(const tegula_task*, tegula_array*, void*, tegula_context*) { throw std::bad_alloc(); }
int nop(const tegula_task*, tegula_array*, void*, tegula_context*) { return TEGULA_OK; }

const tegula_kernel kKernels[] = {
    {"test.segfault", prepare, release, plan, segfault}, {"test.segfault_once", prepare, release, plan, segfault_once},
    {"test.abort", prepare, release, plan, aborts},      {"test.exit", prepare, release, plan, exits},
    {"test.forever", prepare, release, plan, forever},   {"test.until_asked", prepare, release, plan, until_asked},
    {"test.eat", prepare, release, plan, eat},           {"test.throw", prepare, release, plan, throws},
    {"test.badalloc", prepare, release, plan, badalloc}, {"test.nop", prepare, release, plan, nop},
};
const tegula_library kLibrary = {TEGULA_KERNEL_ABI, "faults", "portable", std::size(kKernels), kKernels};

}  // namespace

extern "C" __attribute__((visibility("default"))) const tegula_library* tegula_kernel_library(void) {
  return &kLibrary;
}
