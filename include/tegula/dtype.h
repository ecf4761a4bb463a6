// Element types and NumPy 2's promotion rules (NEP 50).
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace tegula {

// The numbers are part of the wire format and of the kernel interface.
enum class DType : std::uint8_t {
  kBool = 0,
  kInt8 = 1,
  kInt16 = 2,
  kInt32 = 3,
  kInt64 = 4,
  kUInt8 = 5,
  kUInt16 = 6,
  kUInt32 = 7,
  kUInt64 = 8,
  kFloat32 = 9,
  kFloat64 = 10,
  kComplex64 = 11,
  kComplex128 = 12,
};
inline constexpr int kDTypeCount = 13;

// NumPy's kinds, in the order in which promotion goes up.
enum class DTypeKind : std::uint8_t { kBool, kUnsigned, kSigned, kFloat, kComplex };

std::size_t item_size(DType dtype);  // bytes of one element
DTypeKind kind_of(DType dtype);
std::string_view name_of(DType dtype);  // NumPy's name: "float64"
// From a NumPy name ("float64") or typestring without byte order ("f8"). Throws DTypeError naming the text.
DType dtype_from_name(std::string_view name);
// The dtype that holds both, as numpy.promote_types.
DType promote(DType a, DType b);

template <typename T>
struct DTypeOf;  // only for the element types below
#define TEGULA_DTYPE(T, k)                   \
  template <>                                \
  struct DTypeOf<T> {                        \
    static constexpr DType value = DType::k; \
  }
TEGULA_DTYPE(bool, kBool);
TEGULA_DTYPE(std::int8_t, kInt8);
TEGULA_DTYPE(std::int16_t, kInt16);
TEGULA_DTYPE(std::int32_t, kInt32);
TEGULA_DTYPE(std::int64_t, kInt64);
TEGULA_DTYPE(std::uint8_t, kUInt8);
TEGULA_DTYPE(std::uint16_t, kUInt16);
TEGULA_DTYPE(std::uint32_t, kUInt32);
TEGULA_DTYPE(std::uint64_t, kUInt64);
TEGULA_DTYPE(float, kFloat32);
TEGULA_DTYPE(double, kFloat64);
TEGULA_DTYPE(std::complex<float>, kComplex64);
TEGULA_DTYPE(std::complex<double>, kComplex128);
#undef TEGULA_DTYPE

template <typename T>
concept Element = requires { DTypeOf<T>::value; };
template <Element T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

// A number written beside an array. C++ literals are weak (NEP 50): they take the array's dtype when their kind is not
// higher, so int8 + 1 is int8 and float32 * 2.0 is float32. strong() makes a scalar that promotes like an array of that
// dtype.
class Scalar {
 public:
  template <typename T>
    requires std::is_arithmetic_v<T>
  Scalar(T value);                     // NOLINT: implicit on purpose, so that `x + 1` reads as written
  Scalar(std::complex<double> value);  // NOLINT
  Scalar(std::complex<float> value) : Scalar(std::complex<double>(value)) {}  // NOLINT

  template <Element T>
  static Scalar strong(T value) {
    Scalar scalar(value);
    scalar.weak_ = false;
    scalar.dtype_ = dtype_of<T>;
    return scalar;
  }

  bool weak() const { return weak_; }
  // For a strong scalar its dtype; for a weak one the default of its kind (bool, int64 or uint64, float64, complex128).
  DType dtype() const { return dtype_; }
  DTypeKind kind() const { return kind_of(dtype_); }
  // Writes the value as one element of `dtype` to `out` (item_size(dtype) bytes). Throws ValueError when a weak integer
  // doesn't fit
  // ("300 is out of bounds for uint8", NumPy's OverflowError) or an imaginary part would be lost.
  void store(DType dtype, void* out) const;

  bool is_integer() const { return kind() <= DTypeKind::kSigned; }
  std::complex<double> as_complex() const;
  double as_double() const;     // the real part
  std::int64_t as_int() const;  // integers: value modulo 2^64 as int64

 private:
  enum class Holds : std::uint8_t { kSigned, kUnsigned, kFloat, kComplex };
  Scalar() = default;
  void set_signed(std::int64_t value, bool is_bool);
  void set_unsigned(std::uint64_t value);
  void set_float(double value);

  bool weak_ = true;
  DType dtype_ = DType::kFloat64;
  Holds holds_ = Holds::kFloat;
  std::int64_t signed_ = 0;
  std::uint64_t unsigned_ = 0;
  std::complex<double> complex_;
};

template <typename T>
  requires std::is_arithmetic_v<T>
Scalar::Scalar(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    set_signed(value ? 1 : 0, true);
  } else if constexpr (std::is_floating_point_v<T>) {
    set_float(static_cast<double>(value));
  } else if constexpr (std::is_signed_v<T>) {
    set_signed(static_cast<std::int64_t>(value), false);
  } else {
    set_unsigned(static_cast<std::uint64_t>(value));
  }
}

// The dtype in which an array of `dtype` and a scalar meet (numpy.result_type under NEP 50).
DType promote(DType dtype, const Scalar& scalar);

}  // namespace tegula
