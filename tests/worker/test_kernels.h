// Tiny kernels for tests of the worker, and the registry that has them.
//   test.nop      leaves its outputs as they are
//   test.index    writes the task's index into every element of every output (float64)
//   test.sum      element-wise sum of all pieces of all inputs, which have the output's shape (float64, any strides)
//   test.concat   all pieces one after the other into a 1-d output (float64)
//   test.fail     fails with the message "it is task N that fails"
//   test.throw    throws std::runtime_error("thrown by a kernel")
//   test.badalloc throws std::bad_alloc
//   test.badplan  plans 3 dimensions
//   test.scratch  wants params[0..8) bytes of scratch and writes to all of it
//   test.refuse   its prepare refuses the parameters
//   test.gate     runs until open_gate() or cancellation (then fails with TEGULA_ECANCELLED)
//   test.deaf     runs until open_gate()
#pragma once

#include <memory>

#include "worker/kernel_registry.h"

namespace tegula::worker {

std::shared_ptr<const KernelRegistry> test_kernels();

void close_gate();
void open_gate();
void wait_until_at_gate(int kernels);  // until so many test.gate kernels run
int prepared_now();                    // prepared layers that were not released

}  // namespace tegula::worker
