// Functions of complex numbers, by the C library: a few units in the last place of the larger part (powers: times |y
// log x|).
#include <cmath>
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
TEGULA_COMPLEX_MATH(Log, std::log(x));
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

// What follows is put together from several functions, in double also for complex64.
using Double = std::complex<double>;

Double exp2(Double x) { return std::exp(x * 0.693147180559945309417); }
Double log2(Double x) { return std::log(x) * 1.44269504088896340736; }
// Its real part is expm1(x) cos y - 2 sin(y/2)^2: no cancellation near 0.
Double expm1(Double x) {
  const double half = std::sin(x.imag() / 2);
  return {std::expm1(x.real()) * std::cos(x.imag()) - 2 * half * half, std::exp(x.real()) * std::sin(x.imag())};
}
Double log1p(Double x) {
  const double re = x.real(), im = x.imag();
  const bool small = std::fabs(re) < 0.5 && std::fabs(im) < 0.5;
  return {small ? std::log1p(re * (2 + re) + im * im) / 2 : std::log(std::hypot(re + 1, im)), std::atan2(im, re + 1)};
}
// Small whole exponents by repeated multiplication, as NumPy does: exact where the products are.
Double power(Double base, Double exponent) {
  if (exponent == Double{}) return 1;
  if (base == Double{}) return exponent.real() > 0 && exponent.imag() == 0 ? Double{} : Double{NAN, NAN};
  const double n = exponent.real();
  if (exponent.imag() != 0 || n != std::trunc(n) || std::fabs(n) >= 100) return std::pow(base, exponent);
  Double result = 1, factor = base;
  for (auto rest = static_cast<unsigned>(std::fabs(n)); rest != 0; rest >>= 1) {
    if (rest & 1) result *= factor;
    factor *= factor;
  }
  return n < 0 ? 1.0 / result : result;
}

#define TEGULA_IN_DOUBLE(Name, function)       \
  struct Name {                                \
    template <typename... C>                   \
    static auto apply(C... x) {                \
      using Result = std::common_type_t<C...>; \
      return Result(function(Double(x)...));   \
    }                                          \
  }
TEGULA_IN_DOUBLE(Exp2, exp2);
TEGULA_IN_DOUBLE(Log2, log2);
TEGULA_IN_DOUBLE(Expm1, expm1);
TEGULA_IN_DOUBLE(Log1p, log1p);
TEGULA_IN_DOUBLE(PowerInDouble, power);
#undef TEGULA_IN_DOUBLE

struct Power {  // exponents of 2 are squares, as where a program says so by a constant
  template <typename C>
  static C apply(C base, C exponent) {
    if (exponent != C(2)) return PowerInDouble::apply(base, exponent);
    const auto re = base.real(), im = base.imag();
    return {re * re - im * im, re * im + im * re};
  }
};

template <typename C>
Loop find(Op op, unsigned scalars) {
  switch (op) {
    case Op::kSqrt:
      return unary<Sqrt, C>();
    case Op::kExp:
      return unary<Exp, C>();
    case Op::kExp2:
      return unary<Exp2, C>();
    case Op::kExpm1:
      return unary<Expm1, C>();
    case Op::kLog:
      return unary<Log, C>();
    case Op::kLog2:
      return unary<Log2, C>();
    case Op::kLog10:
      return unary<Log10, C>();
    case Op::kLog1p:
      return unary<Log1p, C>();
    case Op::kSin:
      return unary<Sin, C>();
    case Op::kCos:
      return unary<Cos, C>();
    case Op::kTan:
      return unary<Tan, C>();
    case Op::kArcsin:
      return unary<Arcsin, C>();
    case Op::kArccos:
      return unary<Arccos, C>();
    case Op::kArctan:
      return unary<Arctan, C>();
    case Op::kSinh:
      return unary<Sinh, C>();
    case Op::kCosh:
      return unary<Cosh, C>();
    case Op::kTanh:
      return unary<Tanh, C>();
    case Op::kArcsinh:
      return unary<Arcsinh, C>();
    case Op::kArccosh:
      return unary<Arccosh, C>();
    case Op::kArctanh:
      return unary<Arctanh, C>();
    case Op::kPower:
      return binary<Power, C>(scalars);
    default:
      return nullptr;
  }
}

}  // namespace

Loop find_complex_math(Op op, DType type, unsigned scalars) {
  return type == DType::kComplex64 ? find<std::complex<float>>(op, scalars) : find<std::complex<double>>(op, scalars);
}

}  // namespace tegula::cpu
