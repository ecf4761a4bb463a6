// Functions of complex numbers, by the C library: a few units in the last place of the larger part.
#include <complex>

#include "worker/kernels/cpu/elementwise/loop_templates.h"

namespace tegula::cpu {
namespace {

#define TEGULA_COMPLEX_MATH(Name, expression) \
  struct Name {                               \
    template <typename C>                     \
    static C apply(C x) {                     \
      return expression;                      \
    }                                         \
  }
TEGULA_COMPLEX_MATH(Sqrt, std::sqrt(x));
TEGULA_COMPLEX_MATH(Exp, std::exp(x));
TEGULA_COMPLEX_MATH(Exp2, std::exp(x * static_cast<typename C::value_type>(0.693147180559945309417)));
TEGULA_COMPLEX_MATH(Log, std::log(x));
TEGULA_COMPLEX_MATH(Log2, std::log(x) * static_cast<typename C::value_type>(1.44269504088896340736));
TEGULA_COMPLEX_MATH(Log10, std::log10(x));
TEGULA_COMPLEX_MATH(Sin, std::sin(x));
TEGULA_COMPLEX_MATH(Cos, std::cos(x));
TEGULA_COMPLEX_MATH(Tan, std::tan(x));
TEGULA_COMPLEX_MATH(Arcsin, std::asin(x));
TEGULA_COMPLEX_MATH(Arccos, std::acos(x));
TEGULA_COMPLEX_MATH(Arctan, std::atan(x));
TEGULA_COMPLEX_MATH(Sinh, std::sinh(x));
TEGULA_COMPLEX_MATH(Cosh, std::cosh(x));
TEGULA_COMPLEX_MATH(Tanh, std::tanh(x));
TEGULA_COMPLEX_MATH(Arcsinh, std::asinh(x));
TEGULA_COMPLEX_MATH(Arccosh, std::acosh(x));
TEGULA_COMPLEX_MATH(Arctanh, std::atanh(x));
#undef TEGULA_COMPLEX_MATH

// exp(x + iy) - 1 without cancellation near 0: its real part is expm1(x) cos y - 2 sin(y/2)^2.
struct Expm1 {
  template <typename C>
  static C apply(C x) {
    using T = typename C::value_type;
    const T half = std::sin(x.imag() / 2);
    return {std::expm1(x.real()) * std::cos(x.imag()) - 2 * half * half, std::exp(x.real()) * std::sin(x.imag())};
  }
};
struct Log1p {
  template <typename C>
  static C apply(C x) {
    const auto size = std::hypot(x.real() + 1, x.imag());
    return {std::log(size), std::atan2(x.imag(), x.real() + 1)};
  }
};
// Small whole exponents by repeated multiplication, as NumPy does: exact where the products are.
struct Power {
  template <typename C>
  static C apply(C base, C exponent) {
    using T = typename C::value_type;
    if (exponent == C{}) return C{1};
    if (base == C{}) return exponent.real() > 0 && exponent.imag() == 0 ? C{} : C{T{NAN}, T{NAN}};
    const T n = exponent.real();
    if (exponent.imag() == 0 && n == std::trunc(n) && std::fabs(n) < 100) {
      C result{1}, factor = base;
      for (auto rest = static_cast<unsigned>(std::fabs(n)); rest != 0; rest >>= 1) {
        if (rest & 1) result *= factor;
        factor *= factor;
      }
      return n < 0 ? C{1} / result : result;
    }
    return std::pow(base, exponent);
  }
};

template <typename C>
Loop find(Op op, unsigned scalars) {
  switch (op) {
    case Op::kSqrt: return unary<Sqrt, C>();
    case Op::kExp: return unary<Exp, C>();
    case Op::kExp2: return unary<Exp2, C>();
    case Op::kExpm1: return unary<Expm1, C>();
    case Op::kLog: return unary<Log, C>();
    case Op::kLog2: return unary<Log2, C>();
    case Op::kLog10: return unary<Log10, C>();
    case Op::kLog1p: return unary<Log1p, C>();
    case Op::kSin: return unary<Sin, C>();
    case Op::kCos: return unary<Cos, C>();
    case Op::kTan: return unary<Tan, C>();
    case Op::kArcsin: return unary<Arcsin, C>();
    case Op::kArccos: return unary<Arccos, C>();
    case Op::kArctan: return unary<Arctan, C>();
    case Op::kSinh: return unary<Sinh, C>();
    case Op::kCosh: return unary<Cosh, C>();
    case Op::kTanh: return unary<Tanh, C>();
    case Op::kArcsinh: return unary<Arcsinh, C>();
    case Op::kArccosh: return unary<Arccosh, C>();
    case Op::kArctanh: return unary<Arctanh, C>();
    case Op::kPower: return binary<Power, C>(scalars);
    default: return nullptr;
  }
}

}  // namespace

Loop find_complex_math(Op op, DType type, unsigned scalars) {
  return type == DType::kComplex64 ? find<std::complex<float>>(op, scalars) : find<std::complex<double>>(op, scalars);
}

}  // namespace tegula::cpu
