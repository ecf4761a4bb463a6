#include "worker/kernels/cpu/elementwise/integer_functions.h"

namespace tegula::cpu {

Loop find_uint64_loop(Op op, unsigned scalars) { return integer::find<std::uint64_t>(op, scalars); }

}  // namespace tegula::cpu
