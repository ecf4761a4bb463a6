#include "tests/kernels/reference.h"

#include <cmath>
#include <limits>

namespace tegula::test {
namespace {

__extension__ typedef __int128 Wide;
using Real = long double;

template <typename F>
auto with_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kBool:
      return f(bool{});
    case DType::kInt8:
      return f(std::int8_t{});
    case DType::kInt16:
      return f(std::int16_t{});
    case DType::kInt32:
      return f(std::int32_t{});
    case DType::kInt64:
      return f(std::int64_t{});
    case DType::kUInt8:
      return f(std::uint8_t{});
    case DType::kUInt16:
      return f(std::uint16_t{});
    case DType::kUInt32:
      return f(std::uint32_t{});
    case DType::kUInt64:
      return f(std::uint64_t{});
    case DType::kFloat32:
      return f(float{});
    case DType::kFloat64:
      return f(double{});
    case DType::kComplex64:
      return f(std::complex<float>{});
    case DType::kComplex128:
      return f(std::complex<double>{});
  }
  throw std::runtime_error("no such dtype");
}

template <typename T>
inline constexpr bool kComplexType = false;
template <typename T>
inline constexpr bool kComplexType<std::complex<T>> = true;

template <typename To, typename From>
To reference_cast(From x) {
  if constexpr (kComplexType<To>) {
    if constexpr (kComplexType<From>) {
      return To(static_cast<typename To::value_type>(x.real()), static_cast<typename To::value_type>(x.imag()));
    } else {
      return To(static_cast<typename To::value_type>(x));
    }
  } else if constexpr (kComplexType<From>) {
    if constexpr (std::is_same_v<To, bool>) return x != From{};
    return reference_cast<To>(x.real());
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From{};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (std::isnan(x)) return 0;
    if (static_cast<Real>(x) >= static_cast<Real>(std::numeric_limits<To>::max()))
      return std::numeric_limits<To>::max();
    if (static_cast<Real>(x) <= static_cast<Real>(std::numeric_limits<To>::min()))
      return std::numeric_limits<To>::min();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

Wide floor_quotient(Wide a, Wide b) {
  const Wide q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

template <typename T>
T integer_binary(Op op, T x, T y) {
  const Wide a = x, b = y;
  constexpr int bits = static_cast<int>(sizeof(T) * 8);
  switch (op) {
    case Op::kAdd:
      return static_cast<T>(a + b);
    case Op::kSubtract:
      return static_cast<T>(a - b);
    case Op::kMultiply:
      return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    case Op::kFloorDivide:
      return b == 0 ? T{0} : static_cast<T>(floor_quotient(a, b));
    case Op::kRemainder:
      return b == 0 ? T{0} : static_cast<T>(a - floor_quotient(a, b) * b);
    case Op::kFmod:
      return b == 0 ? T{0} : static_cast<T>(a % b);
    case Op::kPower: {
      if (b < 0) return 0;
      std::uint64_t result = 1;
      // Powers modulo 2^64 repeat long before the exponent is counted down; cut it by squaring.
      std::uint64_t factor = static_cast<std::uint64_t>(a);
      for (Wide e = b; e > 0; e /= 2) {
        if (e % 2 == 1) result *= factor;
        factor *= factor;
      }
      return static_cast<T>(result);
    }
    case Op::kMaximum:
    case Op::kFmax:
      return a > b ? x : y;
    case Op::kMinimum:
    case Op::kFmin:
      return a < b ? x : y;
    case Op::kBitwiseAnd:
      return static_cast<T>(x & y);
    case Op::kBitwiseOr:
      return static_cast<T>(x | y);
    case Op::kBitwiseXor:
      return static_cast<T>(x ^ y);
    case Op::kLeftShift:
      return b < 0 || b >= bits ? T{0} : static_cast<T>(a * (Wide{1} << static_cast<int>(b)));
    case Op::kRightShift:
      return b < 0 || b >= bits ? static_cast<T>(a < 0 ? -1 : 0) : static_cast<T>(a >> static_cast<int>(b));
    default:
      throw std::runtime_error("no integer " + std::string(name_of(op)));
  }
}

template <typename T>
T python_remainder(T a, T b) {
  const T rest = std::fmod(a, b);
  if (b == 0 || std::isnan(rest)) return rest;
  if (rest == 0) return std::copysign(T{0}, b);
  return std::signbit(rest) == std::signbit(b) ? rest : rest + b;
}

template <typename T>
T float_binary(Op op, T a, T b) {
  switch (op) {
    case Op::kAdd:
      return a + b;
    case Op::kSubtract:
      return a - b;
    case Op::kMultiply:
      return a * b;
    case Op::kDivide:
      return a / b;
    case Op::kFloorDivide: {
      if (b == 0) return a / b;
      const T rest = python_remainder(a, b);
      const T whole = (a - rest) / b;
      if (std::isnan(whole)) return whole;
      const T nearest = std::round(whole);
      // Of a - rest rounded, the quotient may be off a whole number by a rounding.
      return nearest == 0 ? std::copysign(T{0}, a / b) : nearest;
    }
    case Op::kRemainder:
      return python_remainder(a, b);
    case Op::kFmod:
      return std::fmod(a, b);
    case Op::kPower:
      return static_cast<T>(std::pow(static_cast<Real>(a), static_cast<Real>(b)));
    case Op::kMaximum:
      return std::isnan(a) ? a : std::isnan(b) ? b : std::max(a, b);
    case Op::kMinimum:
      return std::isnan(a) ? a : std::isnan(b) ? b : std::min(a, b);
    case Op::kFmax:
      return std::fmax(a, b);
    case Op::kFmin:
      return std::fmin(a, b);
    case Op::kArctan2:
      return static_cast<T>(std::atan2(static_cast<Real>(a), static_cast<Real>(b)));
    case Op::kHypot:
      return static_cast<T>(std::hypot(static_cast<Real>(a), static_cast<Real>(b)));
    case Op::kCopysign:
      return std::copysign(a, b);
    default:
      throw std::runtime_error("no float " + std::string(name_of(op)));
  }
}

template <typename T>
bool lexicographically_less(std::complex<T> a, std::complex<T> b) {
  if (a.real() < b.real()) return !std::isnan(a.imag()) && !std::isnan(b.imag());
  return a.real() == b.real() && a.imag() < b.imag();
}
template <typename T>
bool lexicographically_not_greater(std::complex<T> a, std::complex<T> b) {
  return lexicographically_less(a, b) || a == b;
}
template <typename T>
bool has_nan(std::complex<T> a) {
  return std::isnan(a.real()) || std::isnan(a.imag());
}

template <typename T>
std::complex<T> complex_binary(Op op, std::complex<T> a, std::complex<T> b) {
  using C = std::complex<T>;
  switch (op) {
    case Op::kAdd:
      return a + b;
    case Op::kSubtract:
      return a - b;
    case Op::kMultiply:
      return C(a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real());
    case Op::kDivide:
      return C(std::complex<Real>(a) / std::complex<Real>(b));
    case Op::kPower:
      return C(std::pow(std::complex<Real>(a), std::complex<Real>(b)));
    case Op::kMaximum:
      return has_nan(a) ? a : has_nan(b) ? b : lexicographically_less(a, b) ? b : a;
    case Op::kMinimum:
      return has_nan(a) ? a : has_nan(b) ? b : lexicographically_less(b, a) ? b : a;
    case Op::kFmax:
      return has_nan(b) ? a : has_nan(a) ? b : lexicographically_less(a, b) ? b : a;
    case Op::kFmin:
      return has_nan(b) ? a : has_nan(a) ? b : lexicographically_less(b, a) ? b : a;
    default:
      throw std::runtime_error("no complex " + std::string(name_of(op)));
  }
}

template <typename C, typename R>
R transcendental(Op op, C x) {
  using std::acos, std::acosh, std::asin, std::asinh, std::atan, std::atanh, std::cos, std::cosh, std::exp, std::log,
      std::log10, std::sin, std::sinh, std::sqrt, std::tan, std::tanh, std::pow;
  switch (op) {
    case Op::kSqrt:
      return R(sqrt(x));
    case Op::kExp:
      return R(exp(x));
    case Op::kLog:
      return R(log(x));
    case Op::kLog10:
      return R(log10(x));
    case Op::kSin:
      return R(sin(x));
    case Op::kCos:
      return R(cos(x));
    case Op::kTan:
      return R(tan(x));
    case Op::kArcsin:
      return R(asin(x));
    case Op::kArccos:
      return R(acos(x));
    case Op::kArctan:
      return R(atan(x));
    case Op::kSinh:
      return R(sinh(x));
    case Op::kCosh:
      return R(cosh(x));
    case Op::kTanh:
      return R(tanh(x));
    case Op::kArcsinh:
      return R(asinh(x));
    case Op::kArccosh:
      return R(acosh(x));
    case Op::kArctanh:
      return R(atanh(x));
    default:
      break;
  }
  if constexpr (kComplexType<C>) {
    switch (op) {
      case Op::kExp2:
        return R(pow(C(2), x));
      case Op::kExpm1:
        return R(exp(x) - C(1));
      case Op::kLog2:
        return R(log(x) / C(std::log(Real{2})));
      case Op::kLog1p:
        return R(log(C(1) + x));
      default:
        break;
    }
  } else {
    switch (op) {
      case Op::kCbrt:
        return R(std::cbrt(x));
      case Op::kExp2:
        return R(std::exp2(x));
      case Op::kExpm1:
        return R(std::expm1(x));
      case Op::kLog2:
        return R(std::log2(x));
      case Op::kLog1p:
        return R(std::log1p(x));
      default:
        break;
    }
  }
  throw std::runtime_error("no " + std::string(name_of(op)));
}

template <typename T>
Value apply_as(const Instruction& i, T a, T b) {
  constexpr bool is_integer = std::is_integral_v<T>;
  switch (i.op) {
    case Op::kPositive:
      return Value::of(a);
    case Op::kEqual:
      return Value::of(a == b);
    case Op::kNotEqual:
      return Value::of(a != b);
    case Op::kLogicalAnd:
      return Value::of(a != T{} && b != T{});
    case Op::kLogicalOr:
      return Value::of(a != T{} || b != T{});
    case Op::kLogicalXor:
      return Value::of((a != T{}) != (b != T{}));
    case Op::kLogicalNot:
      return Value::of(a == T{});
    default:
      break;
  }
  if constexpr (kComplexType<T>) {
    using P = typename T::value_type;
    switch (i.op) {
      case Op::kNegative:
        return Value::of(-a);
      case Op::kAbsolute:
        return Value::of(static_cast<P>(std::hypot(static_cast<Real>(a.real()), static_cast<Real>(a.imag()))));
      case Op::kSign: {
        if (a == T{}) return Value::of(T{});
        const std::complex<Real> x(a);
        return Value::of(T(x / std::abs(x)));
      }
      case Op::kConjugate:
        return Value::of(std::conj(a));
      case Op::kReal:
        return Value::of(a.real());
      case Op::kImag:
        return Value::of(a.imag());
      case Op::kSquare:
        return Value::of(T(a.real() * a.real() - a.imag() * a.imag(), a.real() * a.imag() + a.imag() * a.real()));
      case Op::kReciprocal:
        return Value::of(T(std::complex<Real>(1) / std::complex<Real>(a)));
      case Op::kRint:
        return Value::of(T(std::nearbyint(a.real()), std::nearbyint(a.imag())));
      case Op::kLess:
        return Value::of(lexicographically_less(a, b));
      case Op::kLessEqual:
        return Value::of(lexicographically_not_greater(a, b));
      case Op::kGreater:
        return Value::of(lexicographically_less(b, a));
      case Op::kGreaterEqual:
        return Value::of(lexicographically_not_greater(b, a));
      case Op::kIsnan:
        return Value::of(has_nan(a));
      case Op::kIsinf:
        return Value::of(std::isinf(a.real()) || std::isinf(a.imag()));
      case Op::kIsfinite:
        return Value::of(std::isfinite(a.real()) && std::isfinite(a.imag()));
      default:
        break;
    }
    if (arity(i.op) == 2) return Value::of(complex_binary(i.op, a, b));
    return Value::of(transcendental<std::complex<Real>, T>(i.op, std::complex<Real>(a)));
  } else {
    switch (i.op) {
      case Op::kConjugate:
      case Op::kReal:
        return Value::of(a);
      case Op::kImag:
        return Value::of(T{});
      case Op::kLess:
        return Value::of(a < b);
      case Op::kLessEqual:
        return Value::of(a <= b);
      case Op::kGreater:
        return Value::of(a > b);
      case Op::kGreaterEqual:
        return Value::of(a >= b);
      default:
        break;
    }
    if constexpr (std::is_same_v<T, bool>) {
      switch (i.op) {
        case Op::kAbsolute:
          return Value::of(a);
        case Op::kInvert:
          return Value::of(!a);
        case Op::kIsnan:
        case Op::kIsinf:
          return Value::of(false);
        case Op::kIsfinite:
          return Value::of(true);
        case Op::kAdd:
        case Op::kMaximum:
        case Op::kFmax:
        case Op::kBitwiseOr:
          return Value::of(a || b);
        case Op::kMultiply:
        case Op::kMinimum:
        case Op::kFmin:
        case Op::kBitwiseAnd:
          return Value::of(a && b);
        case Op::kBitwiseXor:
          return Value::of(a != b);
        default:
          throw std::runtime_error("no bool " + std::string(name_of(i.op)));
      }
    } else if constexpr (is_integer) {
      const Wide x = a;
      switch (i.op) {
        case Op::kNegative:
          return Value::of(static_cast<T>(-x));
        case Op::kAbsolute:
          return Value::of(static_cast<T>(x < 0 ? -x : x));
        case Op::kSign:
          return Value::of(static_cast<T>(x > 0 ? 1 : x < 0 ? -1 : 0));
        case Op::kSquare:
          return Value::of(static_cast<T>(static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(x)));
        case Op::kReciprocal:
          return Value::of(static_cast<T>(x == 0 ? 0 : 1 / x));
        case Op::kInvert:
          return Value::of(static_cast<T>(~a));
        case Op::kIsnan:
        case Op::kIsinf:
          return Value::of(false);
        case Op::kIsfinite:
          return Value::of(true);
        default:
          return Value::of(integer_binary(i.op, a, b));
      }
    } else {
      switch (i.op) {
        case Op::kNegative:
          return Value::of(-a);
        case Op::kAbsolute:
          return Value::of(std::abs(a));
        case Op::kSign:
          return Value::of(std::isnan(a) ? a : static_cast<T>((a > 0) - (a < 0)));
        case Op::kSqrt:
          return Value::of(std::sqrt(a));
        case Op::kSquare:
          return Value::of(a * a);
        case Op::kReciprocal:
          return Value::of(1 / a);
        case Op::kFloor:
          return Value::of(std::floor(a));
        case Op::kCeil:
          return Value::of(std::ceil(a));
        case Op::kTrunc:
          return Value::of(std::trunc(a));
        case Op::kRint:
          return Value::of(std::nearbyint(a));
        case Op::kIsnan:
          return Value::of(static_cast<bool>(std::isnan(a)));
        case Op::kIsinf:
          return Value::of(static_cast<bool>(std::isinf(a)));
        case Op::kIsfinite:
          return Value::of(static_cast<bool>(std::isfinite(a)));
        case Op::kSignbit:
          return Value::of(static_cast<bool>(std::signbit(a)));
        default:
          break;
      }
      if (arity(i.op) == 2) return Value::of(float_binary(i.op, a, b));
      return Value::of(transcendental<Real, T>(i.op, static_cast<Real>(a)));
    }
  }
}

template <typename T>
std::string float_difference(T got, T expected, double ulps) {
  if (std::isnan(got) && std::isnan(expected)) return {};
  if (got == expected && (std::signbit(got) == std::signbit(expected) || ulps > 0)) return {};
  if (ulps > 0 && std::isfinite(got) && std::isfinite(expected)) {
    const T unit =
        std::max(std::abs(std::nextafter(expected, T{INFINITY}) - expected), std::numeric_limits<T>::denorm_min());
    if (std::abs(static_cast<Real>(got) - static_cast<Real>(expected)) <= ulps * static_cast<Real>(unit)) return {};
  }
  char text[128];
  std::snprintf(text, sizeof text, "%.17g (%a) instead of %.17g (%a)", static_cast<double>(got),
                static_cast<double>(got), static_cast<double>(expected), static_cast<double>(expected));
  return text;
}

}  // namespace

Value reference_apply(const Instruction& i, const std::array<Value, 3>& args) {
  if (i.op == Op::kSelect) return args[0].as<bool>() ? args[1] : args[2];
  if (i.op == Op::kCast) {
    return with_type(i.type, [&]<typename From>(From) {
      return with_type(i.to, [&]<typename To>(To) { return Value::of(reference_cast<To>(args[0].as<From>())); });
    });
  }
  return with_type(i.type, [&]<typename T>(T) { return apply_as(i, args[0].as<T>(), args[1].as<T>()); });
}

double promised_ulps(Op op, DType type) {
  if (kind_of(type) <= DTypeKind::kSigned) return 0;
  const bool complex = kind_of(type) == DTypeKind::kComplex;
  switch (op) {
    case Op::kCbrt:
    case Op::kExp:
    case Op::kExp2:
    case Op::kExpm1:
    case Op::kLog:
    case Op::kLog2:
    case Op::kLog10:
    case Op::kLog1p:
    case Op::kSin:
    case Op::kCos:
    case Op::kTan:
    case Op::kArcsin:
    case Op::kArccos:
    case Op::kArctan:
    case Op::kSinh:
    case Op::kCosh:
    case Op::kTanh:
    case Op::kArcsinh:
    case Op::kArccosh:
    case Op::kArctanh:
      return complex ? 16 : 2;
    case Op::kPower:
      return complex ? 1024 : 2;  // |y log x| times as much
    case Op::kArctan2:
    case Op::kHypot:
      return 2;
    case Op::kSqrt:
    case Op::kDivide:
    case Op::kReciprocal:
    case Op::kSign:
      return complex ? 8 : 0;
    case Op::kAbsolute:
      return complex ? 2 : 0;
    case Op::kMaximum:
    case Op::kMinimum:
    case Op::kFmax:
    case Op::kFmin:
      return 1;  // which of two zeros is free
    default:
      return 0;
  }
}

std::string difference(const Value& got, const Value& expected, double ulps) {
  if (got.dtype != expected.dtype)
    return std::string(name_of(got.dtype)) + " instead of " + std::string(name_of(expected.dtype));
  return with_type(got.dtype, [&]<typename T>(T) -> std::string {
    const T g = got.as<T>(), e = expected.as<T>();
    if constexpr (std::is_floating_point_v<T>) {
      return float_difference(g, e, ulps);
    } else if constexpr (kComplexType<T>) {
      if (ulps == 0) {
        const std::string re = float_difference(g.real(), e.real(), 0);
        return re.empty() ? float_difference(g.imag(), e.imag(), 0) : re;
      }
      if (has_nan(g) && has_nan(e)) return {};
      if (g == e) return {};
      // Of the larger part.
      const auto size = std::max(std::abs(e.real()), std::abs(e.imag()));
      const auto unit = std::nextafter(size, INFINITY) - size;
      const auto error = std::max(std::abs(g.real() - e.real()), std::abs(g.imag() - e.imag()));
      if (std::isfinite(error) && error <= ulps * unit) return {};
      return "(" + std::to_string(g.real()) + ", " + std::to_string(g.imag()) + ") instead of (" +
             std::to_string(e.real()) + ", " + std::to_string(e.imag()) + ")";
    } else {
      return g == e ? std::string() : std::to_string(g) + " instead of " + std::to_string(e);
    }
  });
}

}  // namespace tegula::test
