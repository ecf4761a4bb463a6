#include "worker/kernels/cpu/elementwise/integer_functions.h"

namespace tegula::cpu {

Loop find_uint16_loop(Op op, unsigned scalars) { return integer::find<std::uint16_t>(op, scalars); }

}  // namespace tegula::cpu
