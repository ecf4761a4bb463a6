// The loops behind pairs.h. Included only by the files that make the tables.
#pragma once

#include "worker/kernels/cpu/elementwise/float_functions.h"
#include "worker/kernels/cpu/elementwise/pairs.h"

namespace tegula::cpu {

template <typename Second, bool kSwapped, typename T>
T second_of(T between, T c) {
  return kSwapped ? Second::apply(c, between) : Second::apply(between, c);
}

template <typename First, typename Second, bool kSwapped, typename T, unsigned kScalars>
void pair_loop(void* out, const void* a, const void* b, const void* c, std::int64_t n) {
  auto* __restrict to = static_cast<T*>(out);
  const auto* __restrict x = static_cast<const T*>(a);
  const auto* __restrict y = static_cast<const T*>(b);
  const auto* __restrict z = static_cast<const T*>(c);
  const T x0 = *x, y0 = *y, z0 = *z;
  for (std::int64_t i = 0; i < n; ++i) {
    const T between = First::apply((kScalars & kScalarA) ? x0 : x[i], (kScalars & kScalarB) ? y0 : y[i]);
    to[i] = second_of<Second, kSwapped>(between, (kScalars & kScalarC) ? z0 : z[i]);
  }
}

template <typename First, typename Second, bool kSwapped, typename T>
Loop pair_for(unsigned scalars) {
  switch (scalars) {
    case kNoScalar:
      return &pair_loop<First, Second, kSwapped, T, 0>;
    case kScalarA:
      return &pair_loop<First, Second, kSwapped, T, 1>;
    case kScalarB:
      return &pair_loop<First, Second, kSwapped, T, 2>;
    case kScalarC:
      return &pair_loop<First, Second, kSwapped, T, 4>;
    case kScalarA | kScalarC:
      return &pair_loop<First, Second, kSwapped, T, 5>;
    case kScalarB | kScalarC:
      return &pair_loop<First, Second, kSwapped, T, 6>;
    default:
      return nullptr;
  }
}

template <typename First, typename T>
Loop pair_with_first(Op second, bool swapped, unsigned scalars) {
  using namespace real;
  switch (second) {
    case Op::kAdd:
      return pair_for<First, Add, false, T>(scalars);
    case Op::kMultiply:
      return pair_for<First, Multiply, false, T>(scalars);
    case Op::kSubtract:
      return swapped ? pair_for<First, Subtract, true, T>(scalars) : pair_for<First, Subtract, false, T>(scalars);
    case Op::kDivide:
      return swapped ? pair_for<First, Divide, true, T>(scalars) : pair_for<First, Divide, false, T>(scalars);
    default:
      return nullptr;
  }
}

template <typename T>
Loop find_pair_of(Op first, Op second, bool swapped, unsigned scalars) {
  switch (first) {
    case Op::kAdd:
      return pair_with_first<real::Add, T>(second, swapped, scalars);
    case Op::kSubtract:
      return pair_with_first<real::Subtract, T>(second, swapped, scalars);
    case Op::kMultiply:
      return pair_with_first<real::Multiply, T>(second, swapped, scalars);
    case Op::kDivide:
      return pair_with_first<real::Divide, T>(second, swapped, scalars);
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu
