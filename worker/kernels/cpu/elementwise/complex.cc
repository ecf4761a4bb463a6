// Complex arithmetic with NumPy's meanings: plain products (no repair of infinities), Smith's division, lexicographic
// order.
#include <cmath>
#include <complex>

#include "worker/kernels/cpu/elementwise/loop_templates.h"

namespace tegula::cpu {
namespace {

// std::complex's own operators call into the runtime library for infinities; this is two numbers and nothing else.
template <typename T>
struct Complex {
  T re, im;
};

template <typename T>
bool is_nan(Complex<T> a) {
  return a.re != a.re || a.im != a.im;
}
template <typename T>
bool not_zero(Complex<T> a) {
  return (a.re != 0) | (a.im != 0);
}
template <typename T>
bool less(Complex<T> a, Complex<T> b) {
  return (a.re < b.re && a.im == a.im && b.im == b.im) || (a.re == b.re && a.im < b.im);
}
template <typename T>
bool less_equal(Complex<T> a, Complex<T> b) {
  return (a.re < b.re && a.im == a.im && b.im == b.im) || (a.re == b.re && a.im <= b.im);
}

struct Add {
  template <typename T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return {a.re + b.re, a.im + b.im};
  }
};
struct Subtract {
  template <typename T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return {a.re - b.re, a.im - b.im};
  }
};
struct Multiply {
  template <typename T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
};
struct Divide {
  template <typename T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    const T re = std::fabs(b.re), im = std::fabs(b.im);
    if (re >= im) {
      if (re == 0 && im == 0) return {a.re / re, a.im / re};
      const T ratio = b.im / b.re, scale = T{1} / (b.re + b.im * ratio);
      return {(a.re + a.im * ratio) * scale, (a.im - a.re * ratio) * scale};
    }
    const T ratio = b.re / b.im, scale = T{1} / (b.im + b.re * ratio);
    return {(a.re * ratio + a.im) * scale, (a.im * ratio - a.re) * scale};
  }
};
struct Maximum {
  template <typename T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return less_equal(b, a) || is_nan(a) ? a : b;
  }
};
struct Minimum {
  template <typename T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return less_equal(a, b) || is_nan(a) ? a : b;
  }
};
struct Fmax {
  template <typename T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return less_equal(b, a) || is_nan(b) ? a : b;
  }
};
struct Fmin {
  template <typename T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return less_equal(a, b) || is_nan(b) ? a : b;
  }
};
struct Positive {
  template <typename T>
  static Complex<T> apply(Complex<T> a) {
    return a;
  }
};
struct Negative {
  template <typename T>
  static Complex<T> apply(Complex<T> a) {
    return {-a.re, -a.im};
  }
};
struct Conjugate {
  template <typename T>
  static Complex<T> apply(Complex<T> a) {
    return {a.re, -a.im};
  }
};
struct Real {
  template <typename T>
  static T apply(Complex<T> a) {
    return a.re;
  }
};
struct Imag {
  template <typename T>
  static T apply(Complex<T> a) {
    return a.im;
  }
};
struct Absolute {
  template <typename T>
  static T apply(Complex<T> a) {
    return std::hypot(a.re, a.im);
  }
};
struct Sign {  // a / |a|, 0 for 0 (NumPy 2)
  template <typename T>
  static Complex<T> apply(Complex<T> a) {
    if (!not_zero(a)) return {T{0}, T{0}};
    if (std::isinf(a.re) != std::isinf(a.im)) {
      if (is_nan(a)) return {T{NAN}, T{NAN}};
      return std::isinf(a.re) ? Complex<T>{std::copysign(T{1}, a.re), T{0}}
                              : Complex<T>{T{0}, std::copysign(T{1}, a.im)};
    }
    const T size = std::hypot(a.re, a.im);
    return {a.re / size, a.im / size};
  }
};
struct Square {
  template <typename T>
  static Complex<T> apply(Complex<T> a) {
    return {a.re * a.re - a.im * a.im, a.re * a.im + a.im * a.re};
  }
};
struct Reciprocal {
  template <typename T>
  static Complex<T> apply(Complex<T> a) {
    return Divide::apply(Complex<T>{T{1}, T{0}}, a);
  }
};
struct Rint {
  template <typename T>
  static Complex<T> apply(Complex<T> a) {
    return {std::rint(a.re), std::rint(a.im)};
  }
};
struct Equal {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return static_cast<BoolByte>((a.re == b.re) & (a.im == b.im));
  }
};
struct NotEqual {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return static_cast<BoolByte>((a.re != b.re) | (a.im != b.im));
  }
};
struct Less {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return less(a, b);
  }
};
struct LessEqual {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return less_equal(a, b);
  }
};
struct Greater {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return less(b, a);
  }
};
struct GreaterEqual {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return less_equal(b, a);
  }
};
struct Isnan {
  template <typename T>
  static BoolByte apply(Complex<T> a) {
    return is_nan(a);
  }
};
struct Isinf {
  template <typename T>
  static BoolByte apply(Complex<T> a) {
    return std::isinf(a.re) || std::isinf(a.im);
  }
};
struct Isfinite {
  template <typename T>
  static BoolByte apply(Complex<T> a) {
    return std::isfinite(a.re) && std::isfinite(a.im);
  }
};
struct LogicalAnd {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return not_zero(a) && not_zero(b);
  }
};
struct LogicalOr {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return not_zero(a) || not_zero(b);
  }
};
struct LogicalXor {
  template <typename T>
  static BoolByte apply(Complex<T> a, Complex<T> b) {
    return not_zero(a) != not_zero(b);
  }
};
struct LogicalNot {
  template <typename T>
  static BoolByte apply(Complex<T> a) {
    return !not_zero(a);
  }
};

template <typename T>
Loop find(Op op, unsigned scalars) {
  using C = Complex<T>;
  switch (op) {
    case Op::kPositive:
      return unary<Positive, C>();
    case Op::kNegative:
      return unary<Negative, C>();
    case Op::kAbsolute:
      return unary<Absolute, C, T>();
    case Op::kSign:
      return unary<Sign, C>();
    case Op::kConjugate:
      return unary<Conjugate, C>();
    case Op::kReal:
      return unary<Real, C, T>();
    case Op::kImag:
      return unary<Imag, C, T>();
    case Op::kSquare:
      return unary<Square, C>();
    case Op::kReciprocal:
      return unary<Reciprocal, C>();
    case Op::kRint:
      return unary<Rint, C>();
    case Op::kIsnan:
      return unary<Isnan, C, BoolByte>();
    case Op::kIsinf:
      return unary<Isinf, C, BoolByte>();
    case Op::kIsfinite:
      return unary<Isfinite, C, BoolByte>();
    case Op::kLogicalNot:
      return unary<LogicalNot, C, BoolByte>();
    case Op::kAdd:
      return binary<Add, C>(scalars);
    case Op::kSubtract:
      return binary<Subtract, C>(scalars);
    case Op::kMultiply:
      return binary<Multiply, C>(scalars);
    case Op::kDivide:
      return binary<Divide, C>(scalars);
    case Op::kMaximum:
      return binary<Maximum, C>(scalars);
    case Op::kMinimum:
      return binary<Minimum, C>(scalars);
    case Op::kFmax:
      return binary<Fmax, C>(scalars);
    case Op::kFmin:
      return binary<Fmin, C>(scalars);
    case Op::kEqual:
      return binary<Equal, C, BoolByte>(scalars);
    case Op::kNotEqual:
      return binary<NotEqual, C, BoolByte>(scalars);
    case Op::kLess:
      return binary<Less, C, BoolByte>(scalars);
    case Op::kLessEqual:
      return binary<LessEqual, C, BoolByte>(scalars);
    case Op::kGreater:
      return binary<Greater, C, BoolByte>(scalars);
    case Op::kGreaterEqual:
      return binary<GreaterEqual, C, BoolByte>(scalars);
    case Op::kLogicalAnd:
      return binary<LogicalAnd, C, BoolByte>(scalars);
    case Op::kLogicalOr:
      return binary<LogicalOr, C, BoolByte>(scalars);
    case Op::kLogicalXor:
      return binary<LogicalXor, C, BoolByte>(scalars);
    default:
      return nullptr;
  }
}

}  // namespace

Loop find_complex_loop(Op op, DType type, unsigned scalars) {
  return type == DType::kComplex64 ? find<float>(op, scalars) : find<double>(op, scalars);
}

}  // namespace tegula::cpu
