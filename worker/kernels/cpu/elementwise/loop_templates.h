// Turns a function of elements, F::apply, into loops. Included only by the files that make the tables.
#pragma once

#include <cstdint>
#include <type_traits>

#include "worker/kernels/cpu/elementwise/loops.h"

namespace tegula::cpu {

template <typename F, typename T, typename R>
void unary_loop(void* out, const void* a, const void*, const void*, std::int64_t n) {
  auto* __restrict to = static_cast<R*>(out);
  const auto* __restrict x = static_cast<const T*>(a);
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<R>(F::apply(x[i]));
}

template <typename F, typename T, typename R, unsigned kScalars>
void binary_loop(void* out, const void* a, const void* b, const void*, std::int64_t n) {
  auto* __restrict to = static_cast<R*>(out);
  const auto* __restrict x = static_cast<const T*>(a);
  const auto* __restrict y = static_cast<const T*>(b);
  if constexpr (kScalars == kScalarA) {
    const T first = *x;
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<R>(F::apply(first, y[i]));
  } else if constexpr (kScalars == kScalarB) {
    const T second = *y;
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<R>(F::apply(x[i], second));
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<R>(F::apply(x[i], y[i]));
  }
}

template <typename F, typename T, typename R = T>
Loop unary() {
  return &unary_loop<F, T, R>;
}

template <typename F, typename T, typename R = T>
Loop binary(unsigned scalars) {
  switch (scalars) {
    case kNoScalar:
      return &binary_loop<F, T, R, kNoScalar>;
    case kScalarA:
      return &binary_loop<F, T, R, kScalarA>;
    case kScalarB:
      return &binary_loop<F, T, R, kScalarB>;
    default:
      return nullptr;
  }
}

// How a bool is held in memory: one byte, 0 or 1 when written; anything but 0 is true when read.
using BoolByte = std::uint8_t;

}  // namespace tegula::cpu
