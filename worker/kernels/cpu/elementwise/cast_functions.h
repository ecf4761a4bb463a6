// Casts. Integers wrap; a float outside an integer's range saturates and NaN becomes 0; complex to real drops the
// imaginary part; to bool means "is not zero".
#pragma once

#include <complex>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "worker/kernels/cpu/elementwise/loop_templates.h"

namespace tegula::cpu {

template <typename F, typename I>
I saturate(F x) {
  // The bounds that F can hold: the lowest is a power of two and exact; above, the first power of two that is too
  // large.
  constexpr F low = static_cast<F>(std::numeric_limits<I>::min());
  constexpr F end = F{2} * static_cast<F>(std::uint64_t{1} << (std::numeric_limits<I>::digits - 1));
  const bool inside = x >= low && x < end;
  const I value = static_cast<I>(inside ? x : F{0});
  const I outside = x >= end ? std::numeric_limits<I>::max() : x < low ? std::numeric_limits<I>::min() : I{0};
  return inside ? value : outside;
}

template <typename T>
inline constexpr bool kIsComplex = false;
template <typename T>
inline constexpr bool kIsComplex<std::complex<T>> = true;

template <typename To, typename From>
To convert(From x) {
  if constexpr (kIsComplex<From>) {
    if constexpr (std::is_same_v<To, bool>) {
      return x.real() != 0 || x.imag() != 0;
    } else if constexpr (kIsComplex<To>) {
      using R = typename To::value_type;
      return {static_cast<R>(x.real()), static_cast<R>(x.imag())};
    } else {
      return convert<To>(x.real());
    }
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (kIsComplex<To>) {
    using R = typename To::value_type;
    return {static_cast<R>(x), R{0}};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    return saturate<From, To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
void cast_loop(void* out, const void* a, const void*, const void*, std::int64_t n) {
  using Stored = std::conditional_t<std::is_same_v<To, bool>, BoolByte, To>;
  auto* __restrict to = static_cast<Stored*>(out);
  const auto* __restrict x = static_cast<const From*>(a);
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<Stored>(convert<To>(x[i]));
}

template <typename From>
Loop find_cast_to(DType to) {
  switch (to) {
    case DType::kBool:
      return &cast_loop<From, bool>;
    case DType::kInt8:
      return &cast_loop<From, std::int8_t>;
    case DType::kInt16:
      return &cast_loop<From, std::int16_t>;
    case DType::kInt32:
      return &cast_loop<From, std::int32_t>;
    case DType::kInt64:
      return &cast_loop<From, std::int64_t>;
    case DType::kUInt8:
      return &cast_loop<From, std::uint8_t>;
    case DType::kUInt16:
      return &cast_loop<From, std::uint16_t>;
    case DType::kUInt32:
      return &cast_loop<From, std::uint32_t>;
    case DType::kUInt64:
      return &cast_loop<From, std::uint64_t>;
    case DType::kFloat32:
      return &cast_loop<From, float>;
    case DType::kFloat64:
      return &cast_loop<From, double>;
    case DType::kComplex64:
      return &cast_loop<From, std::complex<float>>;
    case DType::kComplex128:
      return &cast_loop<From, std::complex<double>>;
  }
  return nullptr;
}

}  // namespace tegula::cpu
