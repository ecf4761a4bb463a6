// Transcendental functions of real numbers, by SLEEF: within 1 unit in the last place (hypot: 0.5 and a bit), the same
// bits on every x86 level. Outside the ranges for which SLEEF promises that, elements are done again by the C library,
// within 2 units.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "worker/kernels/cpu/elementwise/loop_templates.h"
#include "worker/kernels/cpu/elementwise/sleef_vectors.h"

namespace tegula::cpu {
namespace {

template <typename T>
struct VectorFor {
  using Type = VectorF64;
};
template <>
struct VectorFor<float> {
  using Type = VectorF32;
};
template <typename T>
using VectorOf = typename VectorFor<T>::Type;

// The next elements as a vector; `count` of them are there, the other lanes get a 1.
template <typename T>
VectorOf<T> load_some(const T* from, std::int64_t count) {
  constexpr auto kLanes = static_cast<std::int64_t>(sizeof(VectorOf<T>) / sizeof(T));
  T lanes[kLanes];
  for (std::int64_t i = 0; i < kLanes; ++i) lanes[i] = i < count ? from[i] : T{1};
  VectorOf<T> v;
  std::memcpy(&v, lanes, sizeof v);
  return v;
}

template <typename T>
VectorOf<T> repeat(T value) {
  constexpr auto kLanes = sizeof(VectorOf<T>) / sizeof(T);
  T lanes[kLanes];
  for (T& lane : lanes) lane = value;
  VectorOf<T> v;
  std::memcpy(&v, lanes, sizeof v);
  return v;
}

// Calls body(first element, elements, ...) a vector at a time.
template <typename T, typename Body>
void by_vectors(std::int64_t n, T* out, Body&& body) {
  constexpr auto kLanes = static_cast<std::int64_t>(sizeof(VectorOf<T>) / sizeof(T));
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const std::int64_t count = n - i < kLanes ? n - i : kLanes;
    const VectorOf<T> result = body(i, count);
    std::memcpy(out + i, &result, static_cast<std::size_t>(count) * sizeof(T));
  }
}

template <typename T>
VectorOf<T> load_at(const T* from, std::int64_t i, std::int64_t count) {
  constexpr auto kLanes = static_cast<std::int64_t>(sizeof(VectorOf<T>) / sizeof(T));
  if (count < kLanes) return load_some(from + i, count);
  VectorOf<T> v;
  std::memcpy(&v, from + i, sizeof v);
  return v;
}

template <typename T, typename F>
void math_unary(void* out, const void* a, const void*, const void*, std::int64_t n) {
  const auto* x = static_cast<const T*>(a);
  auto* to = static_cast<T*>(out);
  by_vectors(n, to, [x](std::int64_t i, std::int64_t count) { return F::vector(load_at(x, i, count)); });
  if constexpr (requires { F::trusted(T{}); }) {
    for (std::int64_t i = 0; i < n; ++i) {
      if (!F::trusted(x[i])) to[i] = F::scalar(x[i]);
    }
  }
}

template <typename T, typename F, unsigned kScalars>
void math_binary(void* out, const void* a, const void* b, const void*, std::int64_t n) {
  const auto* x = static_cast<const T*>(a);
  const auto* y = static_cast<const T*>(b);
  auto* to = static_cast<T*>(out);
  by_vectors(n, to, [x, y](std::int64_t i, std::int64_t count) {
    return F::vector(kScalars == kScalarA ? repeat(*x) : load_at(x, i, count),
                     kScalars == kScalarB ? repeat(*y) : load_at(y, i, count));
  });
  if constexpr (requires { F::trusted(T{}, T{}, T{}); }) {
    for (std::int64_t i = 0; i < n; ++i) {
      const T first = kScalars == kScalarA ? *x : x[i], second = kScalars == kScalarB ? *y : y[i];
      if (!F::trusted(first, second, to[i])) to[i] = F::scalar(first, second);
    }
  }
}

template <typename T, typename F>
Loop math_binary(unsigned scalars) {
  switch (scalars) {
    case kNoScalar:
      return &math_binary<T, F, kNoScalar>;
    case kScalarA:
      return &math_binary<T, F, kScalarA>;
    case kScalarB:
      return &math_binary<T, F, kScalarB>;
    default:
      return nullptr;
  }
}

// Overloads on the vector type choose between float and double.
#if defined(__SSE2__)
#define TEGULA_UNARY_MATH(Name, sleef, ulp, std_name)                                \
  struct Name {                                                                      \
    static VectorF64 vector(VectorF64 x) { return TEGULA_SLEEF_F64(sleef, ulp)(x); } \
    static VectorF32 vector(VectorF32 x) { return TEGULA_SLEEF_F32(sleef, ulp)(x); } \
    template <typename T>                                                            \
    static T scalar(T x) {                                                           \
      return std::std_name(x);                                                       \
    }                                                                                \
  }
#define TEGULA_BINARY_MATH(Name, sleef, ulp, std_name)                                               \
  struct Name {                                                                                      \
    static VectorF64 vector(VectorF64 x, VectorF64 y) { return TEGULA_SLEEF_F64(sleef, ulp)(x, y); } \
    static VectorF32 vector(VectorF32 x, VectorF32 y) { return TEGULA_SLEEF_F32(sleef, ulp)(x, y); } \
    template <typename T>                                                                            \
    static T scalar(T x, T y) {                                                                      \
      return std::std_name(x, y);                                                                    \
    }                                                                                                \
  }
#else
#define TEGULA_UNARY_MATH(Name, sleef, ulp, std_name) \
  struct Name {                                       \
    template <typename T>                             \
    static T vector(T x) {                            \
      return std::std_name(x);                        \
    }                                                 \
    template <typename T>                             \
    static T scalar(T x) {                            \
      return std::std_name(x);                        \
    }                                                 \
  }
#define TEGULA_BINARY_MATH(Name, sleef, ulp, std_name) \
  struct Name {                                        \
    template <typename T>                              \
    static T vector(T x, T y) {                        \
      return std::std_name(x, y);                      \
    }                                                  \
    template <typename T>                              \
    static T scalar(T x, T y) {                        \
      return std::std_name(x, y);                      \
    }                                                  \
  }
#endif

TEGULA_UNARY_MATH(Cbrt, cbrt, u10, cbrt);
TEGULA_UNARY_MATH(Exp, exp, u10, exp);
TEGULA_UNARY_MATH(Exp2, exp2, u10, exp2);
TEGULA_UNARY_MATH(Expm1, expm1, u10, expm1);
TEGULA_UNARY_MATH(Log, log, u10, log);
TEGULA_UNARY_MATH(Log2, log2, u10, log2);
TEGULA_UNARY_MATH(Log10, log10, u10, log10);
TEGULA_UNARY_MATH(Log1pInside, log1p, u10, log1p);
TEGULA_UNARY_MATH(Sin, sin, u10, sin);
TEGULA_UNARY_MATH(Cos, cos, u10, cos);
TEGULA_UNARY_MATH(Tan, tan, u10, tan);
TEGULA_UNARY_MATH(Arcsin, asin, u10, asin);
TEGULA_UNARY_MATH(Arccos, acos, u10, acos);
TEGULA_UNARY_MATH(Arctan, atan, u10, atan);
TEGULA_UNARY_MATH(SinhInside, sinh, u10, sinh);
TEGULA_UNARY_MATH(CoshInside, cosh, u10, cosh);
TEGULA_UNARY_MATH(Tanh, tanh, u10, tanh);
TEGULA_UNARY_MATH(ArcsinhInside, asinh, u10, asinh);
TEGULA_UNARY_MATH(ArccoshInside, acosh, u10, acosh);
TEGULA_UNARY_MATH(Arctanh, atanh, u10, atanh);
TEGULA_BINARY_MATH(PowerInside, pow, u10, pow);
TEGULA_BINARY_MATH(Arctan2, atan2, u10, atan2);
TEGULA_BINARY_MATH(Hypot, hypot, u05, hypot);

// Infinities and NaNs are trusted: SLEEF treats them as it should.
template <typename F, int kDoubleLimit, int kFloatLimit>
struct InsideLimit : F {
  template <typename T>
  static bool trusted(T x) {
    const T size = std::fabs(x);
    return !(size > (std::is_same_v<T, double> ? T{kDoubleLimit} : T{kFloatLimit})) || size == T{INFINITY};
  }
};
template <typename F>
struct InsideSquareRange : F {  // where the square does not overflow
  template <typename T>
  static bool trusted(T x) {
    const T size = std::fabs(x);
    return !(size > (std::is_same_v<T, double> ? static_cast<T>(1e150) : static_cast<T>(1e18))) || size == T{INFINITY};
  }
};
using Sinh = InsideLimit<SinhInside, 700, 85>;
using Cosh = InsideLimit<CoshInside, 700, 85>;
// Not trusted near the ends of the range of numbers. Exponents of 2 are squares, as where a program says so by a
// constant: that a constant was stored in between must not show.
struct Power : PowerInside {
  template <typename T>
  static bool trusted(T, T exponent, T result) {
    const T size = std::fabs(result);
    return size > std::numeric_limits<T>::min() * 4 && size < std::numeric_limits<T>::max() / 4 && exponent != 2;
  }
  template <typename T>
  static T scalar(T base, T exponent) {
    return exponent == 2 ? base * base : PowerInside::scalar(base, exponent);
  }
};
using Log1p = InsideSquareRange<Log1pInside>;
using Arcsinh = InsideSquareRange<ArcsinhInside>;
using Arccosh = InsideSquareRange<ArccoshInside>;

template <typename T>
Loop find(Op op, unsigned scalars) {
  switch (op) {
    case Op::kCbrt:
      return &math_unary<T, Cbrt>;
    case Op::kExp:
      return &math_unary<T, Exp>;
    case Op::kExp2:
      return &math_unary<T, Exp2>;
    case Op::kExpm1:
      return &math_unary<T, Expm1>;
    case Op::kLog:
      return &math_unary<T, Log>;
    case Op::kLog2:
      return &math_unary<T, Log2>;
    case Op::kLog10:
      return &math_unary<T, Log10>;
    case Op::kLog1p:
      return &math_unary<T, Log1p>;
    case Op::kSin:
      return &math_unary<T, Sin>;
    case Op::kCos:
      return &math_unary<T, Cos>;
    case Op::kTan:
      return &math_unary<T, Tan>;
    case Op::kArcsin:
      return &math_unary<T, Arcsin>;
    case Op::kArccos:
      return &math_unary<T, Arccos>;
    case Op::kArctan:
      return &math_unary<T, Arctan>;
    case Op::kSinh:
      return &math_unary<T, Sinh>;
    case Op::kCosh:
      return &math_unary<T, Cosh>;
    case Op::kTanh:
      return &math_unary<T, Tanh>;
    case Op::kArcsinh:
      return &math_unary<T, Arcsinh>;
    case Op::kArccosh:
      return &math_unary<T, Arccosh>;
    case Op::kArctanh:
      return &math_unary<T, Arctanh>;
    case Op::kPower:
      return math_binary<T, Power>(scalars);
    case Op::kArctan2:
      return math_binary<T, Arctan2>(scalars);
    case Op::kHypot:
      return math_binary<T, Hypot>(scalars);
    default:
      return nullptr;
  }
}

}  // namespace

Loop find_float_math(Op op, DType type, unsigned scalars) {
  return type == DType::kFloat32 ? find<float>(op, scalars) : find<double>(op, scalars);
}

}  // namespace tegula::cpu
