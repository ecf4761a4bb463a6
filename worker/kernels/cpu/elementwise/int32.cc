#include "worker/kernels/cpu/elementwise/integer_functions.h"

namespace tegula::cpu {

Loop find_int32_loop(Op op, unsigned scalars) { return integer::find<std::int32_t>(op, scalars); }

}  // namespace tegula::cpu
