#include "worker/kernels/cpu/elementwise/pairs.h"

#include "worker/kernels/cpu/elementwise/float_functions.h"

namespace tegula::cpu {
namespace {

template <typename From, typename F, bool kSwapped, bool kScalar>
void cast_pair_loop(void* out, const void* a, const void* b, const void*, std::int64_t n) {
  auto* __restrict to = static_cast<double*>(out);
  const auto* __restrict x = static_cast<const From*>(a);
  const auto* __restrict y = static_cast<const double*>(b);
  const double y0 = *y;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto first = static_cast<double>(x[i]);
    const double second = kScalar ? y0 : y[i];
    to[i] = kSwapped ? F::apply(second, first) : F::apply(first, second);
  }
}

template <typename From, typename F>
Loop cast_pair_for(bool swapped, unsigned scalars) {
  const bool scalar = scalars == kScalarB;
  if (swapped) return scalar ? &cast_pair_loop<From, F, true, true> : &cast_pair_loop<From, F, true, false>;
  return scalar ? &cast_pair_loop<From, F, false, true> : &cast_pair_loop<From, F, false, false>;
}

template <typename From>
Loop cast_pair_from(Op op, bool swapped, unsigned scalars) {
  switch (op) {
    case Op::kAdd:
      return cast_pair_for<From, real::Add>(swapped, scalars);
    case Op::kSubtract:
      return cast_pair_for<From, real::Subtract>(swapped, scalars);
    case Op::kMultiply:
      return cast_pair_for<From, real::Multiply>(swapped, scalars);
    case Op::kDivide:
      return cast_pair_for<From, real::Divide>(swapped, scalars);
    default:
      return nullptr;
  }
}

template <typename F>
Loop narrowing_for(unsigned scalars) {
  return binary<F, double, float>(scalars);
}

}  // namespace

bool is_pairable(Op op, DType type) {
  const bool arithmetic = op == Op::kAdd || op == Op::kSubtract || op == Op::kMultiply || op == Op::kDivide;
  return arithmetic && kind_of(type) == DTypeKind::kFloat;
}

Loop find_pair(Op first, Op second, bool swapped, DType type, unsigned scalars) {
  return type == DType::kFloat32 ? find_float32_pair(first, second, swapped, scalars)
                                 : find_float64_pair(first, second, swapped, scalars);
}

Loop find_cast_pair(DType from, Op second, bool swapped, unsigned scalars) {
  switch (from) {
    case DType::kFloat32:
      return cast_pair_from<float>(second, swapped, scalars);
    case DType::kInt64:
      return cast_pair_from<std::int64_t>(second, swapped, scalars);
    case DType::kInt32:
      return cast_pair_from<std::int32_t>(second, swapped, scalars);
    case DType::kInt16:
      return cast_pair_from<std::int16_t>(second, swapped, scalars);
    case DType::kUInt8:
      return cast_pair_from<std::uint8_t>(second, swapped, scalars);
    default:
      return nullptr;
  }
}

Loop find_narrowing(Op first, unsigned scalars) {
  switch (first) {
    case Op::kAdd:
      return narrowing_for<real::Add>(scalars);
    case Op::kSubtract:
      return narrowing_for<real::Subtract>(scalars);
    case Op::kMultiply:
      return narrowing_for<real::Multiply>(scalars);
    case Op::kDivide:
      return narrowing_for<real::Divide>(scalars);
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu
