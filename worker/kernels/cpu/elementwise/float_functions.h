// Floating-point arithmetic that is exact or correctly rounded, hence the same on every level (DESIGN D14, tier 1).
#pragma once

#include <cmath>
#include <cstdint>

#include "worker/kernels/cpu/elementwise/loop_templates.h"

namespace tegula::cpu::real {

struct Add {
  template <typename T>
  static T apply(T a, T b) {
    return a + b;
  }
};
struct Subtract {
  template <typename T>
  static T apply(T a, T b) {
    return a - b;
  }
};
struct Multiply {
  template <typename T>
  static T apply(T a, T b) {
    return a * b;
  }
};
struct Divide {
  template <typename T>
  static T apply(T a, T b) {
    return a / b;
  }
};
struct Fmod {
  template <typename T>
  static T apply(T a, T b) {
    return std::fmod(a, b);
  }
};
// Python's divmod: the remainder has the divisor's sign, the quotient is the integer nearest to (a - remainder) / b.
template <typename T>
struct QuotientAndRemainder {
  T quotient, remainder;
};
template <typename T>
QuotientAndRemainder<T> floor_division(T a, T b) {
  T rest = std::fmod(a, b);
  if (b == 0) return {a / b, rest};
  T quotient = (a - rest) / b;
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) {
      rest += b;
      quotient -= 1;
    }
  } else {
    rest = std::copysign(T{0}, b);
  }
  if (quotient == 0) return {std::copysign(T{0}, a / b), rest};
  const T below = std::floor(quotient);
  return {quotient - below > T{0.5} ? below + 1 : below, rest};
}
struct FloorDivide {
  template <typename T>
  static T apply(T a, T b) {
    return floor_division(a, b).quotient;
  }
};
struct Remainder {
  template <typename T>
  static T apply(T a, T b) {
    return floor_division(a, b).remainder;
  }
};
struct Maximum {  // a NaN wins
  template <typename T>
  static T apply(T a, T b) {
    return a >= b || a != a ? a : b;
  }
};
struct Minimum {
  template <typename T>
  static T apply(T a, T b) {
    return a <= b || a != a ? a : b;
  }
};
struct Fmax {  // a NaN loses
  template <typename T>
  static T apply(T a, T b) {
    return a >= b || b != b ? a : b;
  }
};
struct Fmin {
  template <typename T>
  static T apply(T a, T b) {
    return a <= b || b != b ? a : b;
  }
};
struct Copysign {
  template <typename T>
  static T apply(T a, T b) {
    return std::copysign(a, b);
  }
};
struct Positive {
  template <typename T>
  static T apply(T a) {
    return a;
  }
};
struct Negative {
  template <typename T>
  static T apply(T a) {
    return -a;
  }
};
struct Absolute {
  template <typename T>
  static T apply(T a) {
    return std::fabs(a);
  }
};
struct Sign {  // of NaN: NaN
  template <typename T>
  static T apply(T a) {
    return a > 0 ? T{1} : a < 0 ? T{-1} : a == 0 ? T{0} : a;
  }
};
struct Zero {
  template <typename T>
  static T apply(T) {
    return 0;
  }
};
struct Sqrt {
  template <typename T>
  static T apply(T a) {
    return std::sqrt(a);
  }
};
struct Square {
  template <typename T>
  static T apply(T a) {
    return a * a;
  }
};
struct Reciprocal {
  template <typename T>
  static T apply(T a) {
    return T{1} / a;
  }
};
struct Floor {
  template <typename T>
  static T apply(T a) {
    return std::floor(a);
  }
};
struct Ceil {
  template <typename T>
  static T apply(T a) {
    return std::ceil(a);
  }
};
struct Trunc {
  template <typename T>
  static T apply(T a) {
    return std::trunc(a);
  }
};
struct Rint {
  template <typename T>
  static T apply(T a) {
    return std::rint(a);
  }
};
struct Equal {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return a == b;
  }
};
struct NotEqual {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return a != b;
  }
};
struct Less {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return a < b;
  }
};
struct LessEqual {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return a <= b;
  }
};
struct Greater {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return a > b;
  }
};
struct GreaterEqual {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return a >= b;
  }
};
struct Isnan {
  template <typename T>
  static BoolByte apply(T a) {
    return a != a;
  }
};
struct Isinf {
  template <typename T>
  static BoolByte apply(T a) {
    return std::fabs(a) == T{INFINITY};
  }
};
struct Isfinite {
  template <typename T>
  static BoolByte apply(T a) {
    return std::fabs(a) < T{INFINITY};
  }
};
struct Signbit {
  template <typename T>
  static BoolByte apply(T a) {
    return std::signbit(a);
  }
};
struct LogicalAnd {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return static_cast<BoolByte>((a != 0) & (b != 0));
  }
};
struct LogicalOr {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return static_cast<BoolByte>((a != 0) | (b != 0));
  }
};
struct LogicalXor {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return static_cast<BoolByte>((a != 0) ^ (b != 0));
  }
};
struct LogicalNot {
  template <typename T>
  static BoolByte apply(T a) {
    return a == 0;
  }
};

}  // namespace tegula::cpu::real
