#include "worker/kernels/cpu/elementwise/integer_functions.h"

namespace tegula::cpu {

Loop find_int16_loop(Op op, unsigned scalars) { return integer::find<std::int16_t>(op, scalars); }

}  // namespace tegula::cpu
