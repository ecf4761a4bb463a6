// The order in which a reduction combines its elements. It is part of what a result means: the same sequence gives the
// same bits whatever the address, strides, tiling, instruction set level, and whether the elements are computed on the
// way or read from a stored chunk.
//
// An output element reduces the sequence x[0], x[1], ... x[n - 1] of its inputs in C order of the reduced axes (for
// "tegula.reduce": of the pieces in row-major order). The sequence is cut into tiles of kTile elements, the last one
// shorter.
//   Within a tile, element i joins lane i mod kLanes; lanes start with the operation's identity. Lanes l and l + 8 are
//   combined for l < 8, then l and l + 4, l + 2, l + 1. Tiles are combined like the bits of a binary counter: two
//   neighbours of the same level, where tile t ends, as often as t + 1 is divisible by two. What is left at the end is
//   combined from the smallest to the largest: larger with (older) on the left.
// The identity of a floating-point sum is -0.0, which leaves every number as it is; an empty sum is +0.0.
//
// Moments (count, mean, M2) have tiles of kMomentTile elements: a tile's mean is its lane sum divided by its size, its
// M2 the lane sum of the squared deviations from that mean; tiles are combined in the same counter order by the
// formulas of Chan et al.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace tegula::cpu {

inline constexpr int kLanes = 16;
inline constexpr std::int64_t kTile = 1024;
inline constexpr std::int64_t kMomentTile = 128;
inline constexpr int kMaxLevels = 64;

// Levels that the counter can reach for a sequence of n elements.
constexpr int levels_for(std::int64_t n, std::int64_t tile) {
  int levels = 1;
  for (std::int64_t tiles = n / tile + (n % tile != 0); tiles > 1; tiles = (tiles + 1) / 2) ++levels;
  return levels;
}

template <typename T>
struct ComplexNumber {
  using Part = T;
  T re, im;
};
template <typename T>
inline constexpr bool kIsComplexNumber = false;
template <typename T>
inline constexpr bool kIsComplexNumber<ComplexNumber<T>> = true;
struct Truth {  // a bool in memory: 0 or 1 when written, anything but 0 is true when read
  std::uint8_t byte;
};

template <typename T>
bool is_nan(T a) {
  if constexpr (kIsComplexNumber<T>) {
    return a.re != a.re || a.im != a.im;
  } else {
    return a != a;
  }
}
template <typename T>
bool not_greater(T a, T b) {
  if constexpr (kIsComplexNumber<T>) {
    return (a.re < b.re && a.im == a.im && b.im == b.im) || (a.re == b.re && a.im <= b.im);
  } else {
    return a <= b;
  }
}

// An operation: identity and combination. Integers wrap; a NaN wins in min and max.
struct SumOp {
  template <typename T>
  static constexpr T identity() {
    if constexpr (std::is_same_v<T, Truth>) {
      return {0};
    } else if constexpr (kIsComplexNumber<T>) {
      return {-typename T::Part{0}, -typename T::Part{0}};
    } else {
      return static_cast<T>(-T{0});
    }
  }
  template <typename T>
  static T combine(T a, T b) {
    if constexpr (std::is_same_v<T, Truth>) {
      return {static_cast<std::uint8_t>((a.byte | b.byte) != 0)};
    } else if constexpr (kIsComplexNumber<T>) {
      return {a.re + b.re, a.im + b.im};
    } else if constexpr (std::is_floating_point_v<T>) {
      return a + b;
    } else {
      return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    }
  }
};
struct ProdOp {
  template <typename T>
  static constexpr T identity() {
    if constexpr (std::is_same_v<T, Truth>) {
      return {1};
    } else if constexpr (kIsComplexNumber<T>) {
      return {1, 0};
    } else {
      return T{1};
    }
  }
  template <typename T>
  static T combine(T a, T b) {
    if constexpr (std::is_same_v<T, Truth>) {
      return {static_cast<std::uint8_t>((a.byte != 0) & (b.byte != 0))};
    } else if constexpr (kIsComplexNumber<T>) {
      return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    } else if constexpr (std::is_floating_point_v<T>) {
      return a * b;
    } else {
      return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    }
  }
};
struct MinOp {
  template <typename T>
  static constexpr T identity() {
    if constexpr (std::is_same_v<T, Truth>) {
      return {1};
    } else if constexpr (kIsComplexNumber<T>) {
      using P = typename T::Part;
      return {std::numeric_limits<P>::infinity(), std::numeric_limits<P>::infinity()};
    } else if constexpr (std::is_floating_point_v<T>) {
      return std::numeric_limits<T>::infinity();
    } else {
      return std::numeric_limits<T>::max();
    }
  }
  template <typename T>
  static T combine(T a, T b) {
    if constexpr (std::is_same_v<T, Truth>) {
      return ProdOp::combine(a, b);
    } else if constexpr (std::is_integral_v<T>) {
      return b < a ? b : a;
    } else {
      return not_greater(a, b) || is_nan(a) ? a : b;
    }
  }
};
struct MaxOp {
  template <typename T>
  static constexpr T identity() {
    if constexpr (std::is_same_v<T, Truth>) {
      return {0};
    } else if constexpr (kIsComplexNumber<T>) {
      using P = typename T::Part;
      return {-std::numeric_limits<P>::infinity(), -std::numeric_limits<P>::infinity()};
    } else if constexpr (std::is_floating_point_v<T>) {
      return -std::numeric_limits<T>::infinity();
    } else {
      return std::numeric_limits<T>::min();
    }
  }
  template <typename T>
  static T combine(T a, T b) {
    if constexpr (std::is_same_v<T, Truth>) {
      return SumOp::combine(a, b);
    } else if constexpr (std::is_integral_v<T>) {
      return b > a ? b : a;
    } else {
      return not_greater(b, a) || is_nan(a) ? a : b;
    }
  }
};

// Lanes of W neighbouring outputs, lane l of output c at lanes[l * W + c], into lanes[0 .. W).
template <typename Op, typename T>
void fold_lanes(T* lanes, std::int64_t width) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
    T* __restrict left = lanes;
    const T* __restrict right = lanes + half * width;
    for (std::int64_t i = 0; i < half * width; ++i) left[i] = Op::combine(left[i], right[i]);
  }
}

template <typename T>
struct Moments {
  T count, mean, m2;
};
template <typename T>
Moments<T> combine_moments(Moments<T> a, Moments<T> b) {
  if (a.count == 0) return b;
  if (b.count == 0) return a;
  const T count = a.count + b.count, share = b.count / count, delta = b.mean - a.mean;
  return {count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * (a.count * share)};
}

}  // namespace tegula::cpu
