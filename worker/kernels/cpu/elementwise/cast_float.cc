#include "worker/kernels/cpu/elementwise/cast_functions.h"

namespace tegula::cpu {

Loop find_cast_from_float(DType from, DType to) {
  switch (from) {
    case DType::kFloat32:
      return find_cast_to<float>(to);
    case DType::kFloat64:
      return find_cast_to<double>(to);
    case DType::kComplex64:
      return find_cast_to<std::complex<float>>(to);
    case DType::kComplex128:
      return find_cast_to<std::complex<double>>(to);
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu
