#include "worker/kernels/cpu/elementwise/pair_templates.h"

namespace tegula::cpu {

Loop find_float32_pair(Op first, Op second, bool swapped, unsigned scalars) {
  return find_pair_of<float>(first, second, swapped, scalars);
}

}  // namespace tegula::cpu
