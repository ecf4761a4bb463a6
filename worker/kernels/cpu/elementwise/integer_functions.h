// Arithmetic on integers, total: it wraps, and what has no value is 0 (DESIGN D14).
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "worker/kernels/cpu/elementwise/loop_templates.h"

namespace tegula::cpu::integer {

// Unsigned, and at least as wide as int, so that nothing is promoted to a signed type that could overflow.
template <typename T>
using Wide = std::common_type_t<std::make_unsigned_t<T>, unsigned>;
template <typename T>
constexpr Wide<T> wide(T value) {
  return static_cast<Wide<T>>(value);
}
template <typename T>
inline constexpr int kBits = std::numeric_limits<std::make_unsigned_t<T>>::digits;

struct Add {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(wide(a) + wide(b));
  }
};
struct Subtract {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(wide(a) - wide(b));
  }
};
struct Multiply {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(wide(a) * wide(b));
  }
};
struct FloorDivide {
  template <typename T>
  static T apply(T a, T b) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return static_cast<T>(-wide(a));
      const T quotient = static_cast<T>(a / b);
      return static_cast<T>(quotient - static_cast<T>((a % b != 0) && ((a < 0) != (b < 0))));
    } else {
      return static_cast<T>(a / b);
    }
  }
};
struct Remainder {  // of floor division: takes the divisor's sign
  template <typename T>
  static T apply(T a, T b) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
      const T rest = static_cast<T>(a % b);
      return static_cast<T>(rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest);
    } else {
      return static_cast<T>(a % b);
    }
  }
};
struct Fmod {  // of truncating division: takes the dividend's sign
  template <typename T>
  static T apply(T a, T b) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
};
struct Power {  // a negative exponent gives 0 (NumPy refuses it)
  template <typename T>
  static T apply(T base, T exponent) {
    if constexpr (std::is_signed_v<T>) {
      if (exponent < 0) return 0;
    }
    Wide<T> result = 1, factor = wide(base);
    for (auto rest = wide(exponent); rest != 0; rest >>= 1) {
      if (rest & 1) result *= factor;
      factor *= factor;
    }
    return static_cast<T>(result);
  }
};
struct Maximum {
  template <typename T>
  static T apply(T a, T b) {
    return a > b ? a : b;
  }
};
struct Minimum {
  template <typename T>
  static T apply(T a, T b) {
    return a < b ? a : b;
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
    return static_cast<T>(-wide(a));
  }
};
struct Absolute {
  template <typename T>
  static T apply(T a) {
    if constexpr (std::is_signed_v<T>) return a < 0 ? static_cast<T>(-wide(a)) : a;
    return a;
  }
};
struct Sign {
  template <typename T>
  static T apply(T a) {
    return static_cast<T>((a > 0) - (a < T{0}));
  }
};
struct Square {
  template <typename T>
  static T apply(T a) {
    return static_cast<T>(wide(a) * wide(a));
  }
};
struct Reciprocal {  // 1 / a, towards zero
  template <typename T>
  static T apply(T a) {
    if constexpr (std::is_signed_v<T>) {
      if (a == -1) return -1;
    }
    return static_cast<T>(a == 1);
  }
};
struct Zero {
  template <typename T>
  static T apply(T) {
    return 0;
  }
};
struct False {
  template <typename T>
  static BoolByte apply(T) {
    return 0;
  }
};
struct True {
  template <typename T>
  static BoolByte apply(T) {
    return 1;
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
struct LogicalAnd {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return static_cast<BoolByte>((a != T{0}) & (b != T{0}));
  }
};
struct LogicalOr {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return static_cast<BoolByte>((a != T{0}) | (b != T{0}));
  }
};
struct LogicalXor {
  template <typename T>
  static BoolByte apply(T a, T b) {
    return static_cast<BoolByte>((a != T{0}) ^ (b != T{0}));
  }
};
struct LogicalNot {
  template <typename T>
  static BoolByte apply(T a) {
    return a == T{0};
  }
};
struct BitwiseAnd {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(a & b);
  }
};
struct BitwiseOr {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct BitwiseXor {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(a ^ b);
  }
};
struct Invert {
  template <typename T>
  static T apply(T a) {
    return static_cast<T>(~a);
  }
};
struct LeftShift {  // by the width or more, or by a negative count: 0
  template <typename T>
  static T apply(T a, T b) {
    const bool inside = wide(b) < Wide<T>{kBits<T>};
    return inside ? static_cast<T>(wide(a) << (wide(b) & (sizeof(Wide<T>) * 8 - 1))) : T{0};
  }
};
struct RightShift {  // likewise: 0, or -1 for a negative number
  template <typename T>
  static T apply(T a, T b) {
    const bool inside = wide(b) < Wide<T>{kBits<T>};
    const T rest = std::is_signed_v<T> && a < T{0} ? static_cast<T>(-1) : T{0};
    return inside ? static_cast<T>(a >> (wide(b) & (sizeof(Wide<T>) * 8 - 1))) : rest;
  }
};

template <typename T>
Loop find(Op op, unsigned scalars) {
  switch (op) {
    case Op::kPositive:
    case Op::kConjugate:
    case Op::kReal:
      return unary<Positive, T>();
    case Op::kImag:
      return unary<Zero, T>();
    case Op::kNegative:
      return unary<Negative, T>();
    case Op::kAbsolute:
      return unary<Absolute, T>();
    case Op::kSign:
      return unary<Sign, T>();
    case Op::kSquare:
      return unary<Square, T>();
    case Op::kReciprocal:
      return unary<Reciprocal, T>();
    case Op::kInvert:
      return unary<Invert, T>();
    case Op::kLogicalNot:
      return unary<LogicalNot, T, BoolByte>();
    case Op::kIsnan:
    case Op::kIsinf:
      return unary<False, T, BoolByte>();
    case Op::kIsfinite:
      return unary<True, T, BoolByte>();
    case Op::kAdd:
      return binary<Add, T>(scalars);
    case Op::kSubtract:
      return binary<Subtract, T>(scalars);
    case Op::kMultiply:
      return binary<Multiply, T>(scalars);
    case Op::kFloorDivide:
      return binary<FloorDivide, T>(scalars);
    case Op::kRemainder:
      return binary<Remainder, T>(scalars);
    case Op::kFmod:
      return binary<Fmod, T>(scalars);
    case Op::kPower:
      return binary<Power, T>(scalars);
    case Op::kMaximum:
    case Op::kFmax:
      return binary<Maximum, T>(scalars);
    case Op::kMinimum:
    case Op::kFmin:
      return binary<Minimum, T>(scalars);
    case Op::kEqual:
      return binary<Equal, T, BoolByte>(scalars);
    case Op::kNotEqual:
      return binary<NotEqual, T, BoolByte>(scalars);
    case Op::kLess:
      return binary<Less, T, BoolByte>(scalars);
    case Op::kLessEqual:
      return binary<LessEqual, T, BoolByte>(scalars);
    case Op::kGreater:
      return binary<Greater, T, BoolByte>(scalars);
    case Op::kGreaterEqual:
      return binary<GreaterEqual, T, BoolByte>(scalars);
    case Op::kLogicalAnd:
      return binary<LogicalAnd, T, BoolByte>(scalars);
    case Op::kLogicalOr:
      return binary<LogicalOr, T, BoolByte>(scalars);
    case Op::kLogicalXor:
      return binary<LogicalXor, T, BoolByte>(scalars);
    case Op::kBitwiseAnd:
      return binary<BitwiseAnd, T>(scalars);
    case Op::kBitwiseOr:
      return binary<BitwiseOr, T>(scalars);
    case Op::kBitwiseXor:
      return binary<BitwiseXor, T>(scalars);
    case Op::kLeftShift:
      return binary<LeftShift, T>(scalars);
    case Op::kRightShift:
      return binary<RightShift, T>(scalars);
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu::integer
