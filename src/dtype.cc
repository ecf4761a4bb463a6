#include "tegula/dtype.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "tegula/error.h"

namespace tegula {
namespace {

struct Facts {
  std::string_view name;
  std::string_view typestring;  // NumPy's, without byte order
  std::size_t size;
  DTypeKind kind;
};
constexpr std::array<Facts, kDTypeCount> kFacts{{
    {"bool", "b1", 1, DTypeKind::kBool},
    {"int8", "i1", 1, DTypeKind::kSigned},
    {"int16", "i2", 2, DTypeKind::kSigned},
    {"int32", "i4", 4, DTypeKind::kSigned},
    {"int64", "i8", 8, DTypeKind::kSigned},
    {"uint8", "u1", 1, DTypeKind::kUnsigned},
    {"uint16", "u2", 2, DTypeKind::kUnsigned},
    {"uint32", "u4", 4, DTypeKind::kUnsigned},
    {"uint64", "u8", 8, DTypeKind::kUnsigned},
    {"float32", "f4", 4, DTypeKind::kFloat},
    {"float64", "f8", 8, DTypeKind::kFloat},
    {"complex64", "c8", 8, DTypeKind::kComplex},
    {"complex128", "c16", 16, DTypeKind::kComplex},
}};

const Facts& facts(DType dtype) {
  const auto index = static_cast<std::size_t>(dtype);
  if (index >= kFacts.size()) throw DTypeError("there is no dtype number " + std::to_string(index));
  return kFacts[index];
}

DType signed_of_size(std::size_t size) {
  return size == 1 ? DType::kInt8 : size == 2 ? DType::kInt16 : size == 4 ? DType::kInt32 : DType::kInt64;
}

// The smallest inexact dtype, real or complex, whose significand holds an integer dtype of this size (NumPy counts the
// 64-bit integers as held by float64).
bool needs_double(const Facts& f) {
  if (f.kind == DTypeKind::kFloat) return f.size == 8;
  if (f.kind == DTypeKind::kComplex) return f.size == 16;
  return f.size >= 4;
}

DType promote_integers(const Facts& a, DType da, const Facts& b, DType db) {
  if (a.kind == b.kind) return a.size >= b.size ? da : db;
  const bool a_signed = a.kind == DTypeKind::kSigned;
  const Facts& with_sign = a_signed ? a : b;
  const Facts& without = a_signed ? b : a;
  if (with_sign.size > without.size) return a_signed ? da : db;
  if (without.size == 8) return DType::kFloat64;
  return signed_of_size(without.size * 2);
}

// 0 bool, 1 integer, 2 float, 3 complex: the kinds that decide whether a weak scalar raises an array's dtype.
int weak_level(DTypeKind kind) {
  switch (kind) {
    case DTypeKind::kBool:
      return 0;
    case DTypeKind::kUnsigned:
    case DTypeKind::kSigned:
      return 1;
    case DTypeKind::kFloat:
      return 2;
    case DTypeKind::kComplex:
      return 3;
  }
  return 3;
}

// Out of range saturates and NaN becomes 0 (DESIGN D14).
template <typename T>
T saturate(double value) {
  if (std::isnan(value)) return 0;
  // Exact in double: powers of two. max() itself need not be.
  const double low = static_cast<double>(std::numeric_limits<T>::min());
  const double beyond = std::ldexp(1.0, std::numeric_limits<T>::digits);
  if (value <= low) return std::numeric_limits<T>::min();
  if (value >= beyond) return std::numeric_limits<T>::max();
  return static_cast<T>(value);
}

template <typename T>
void put(void* out, T value) {
  std::memcpy(out, &value, sizeof(T));
}

std::string text_of(std::complex<double> value) {
  char text[80];
  std::snprintf(text, sizeof(text), "(%.17g%+.17gj)", value.real(), value.imag());
  return text;
}

}  // namespace

std::size_t item_size(DType dtype) { return facts(dtype).size; }
DTypeKind kind_of(DType dtype) { return facts(dtype).kind; }
std::string_view name_of(DType dtype) { return facts(dtype).name; }

DType dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kFacts.size(); ++i) {
    if (name == kFacts[i].name || name == kFacts[i].typestring) return static_cast<DType>(i);
  }
  if (name == "?") return DType::kBool;
  throw DTypeError("there is no dtype '" + std::string(name) + "'");
}

DType promote(DType a, DType b) {
  const Facts& x = facts(a);
  const Facts& y = facts(b);
  if (a == b || y.kind == DTypeKind::kBool) return a;
  if (x.kind == DTypeKind::kBool) return b;
  const DTypeKind kind = std::max(x.kind, y.kind);
  const bool wide = needs_double(x) || needs_double(y);
  if (kind == DTypeKind::kComplex) return wide ? DType::kComplex128 : DType::kComplex64;
  if (kind == DTypeKind::kFloat) return wide ? DType::kFloat64 : DType::kFloat32;
  return promote_integers(x, a, y, b);
}

DType promote(DType dtype, const Scalar& scalar) {
  if (!scalar.weak()) return promote(dtype, scalar.dtype());
  const int array_level = weak_level(kind_of(dtype));
  if (weak_level(scalar.kind()) <= array_level) return dtype;
  if (scalar.kind() == DTypeKind::kComplex && dtype == DType::kFloat32) return DType::kComplex64;
  return scalar.dtype();
}

Scalar::Scalar(std::complex<double> value) : dtype_(DType::kComplex128), holds_(Holds::kComplex), complex_(value) {}

void Scalar::set_signed(std::int64_t value, bool is_bool) {
  holds_ = Holds::kSigned;
  signed_ = value;
  dtype_ = is_bool ? DType::kBool : DType::kInt64;
}

void Scalar::set_unsigned(std::uint64_t value) {
  holds_ = Holds::kUnsigned;
  unsigned_ = value;
  dtype_ =
      value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ? DType::kUInt64 : DType::kInt64;
}

void Scalar::set_float(double value) {
  holds_ = Holds::kFloat;
  complex_ = value;
  dtype_ = DType::kFloat64;
}

std::complex<double> Scalar::as_complex() const {
  switch (holds_) {
    case Holds::kSigned:
      return static_cast<double>(signed_);
    case Holds::kUnsigned:
      return static_cast<double>(unsigned_);
    case Holds::kFloat:
    case Holds::kComplex:
      break;
  }
  return complex_;
}

double Scalar::as_double() const { return as_complex().real(); }

std::int64_t Scalar::as_int() const {
  switch (holds_) {
    case Holds::kSigned:
      return signed_;
    case Holds::kUnsigned:
      return static_cast<std::int64_t>(unsigned_);
    case Holds::kFloat:
    case Holds::kComplex:
      break;
  }
  return saturate<std::int64_t>(complex_.real());
}

void Scalar::store(DType dtype, void* out) const {
  const DTypeKind to = kind_of(dtype);
  if (holds_ == Holds::kComplex && to != DTypeKind::kComplex && to != DTypeKind::kBool && complex_.imag() != 0) {
    throw ValueError(text_of(complex_) + " has an imaginary part, which " + std::string(name_of(dtype)) +
                     " would lose");
  }
  const bool integer = holds_ == Holds::kSigned || holds_ == Holds::kUnsigned;
  const auto store_integer = [&]<typename T>(T) {
    if (!integer) return put(out, saturate<T>(complex_.real()));
    const bool fits = holds_ == Holds::kSigned ? std::in_range<T>(signed_) : std::in_range<T>(unsigned_);
    if (weak_ && !fits) {
      throw ValueError((holds_ == Holds::kSigned ? std::to_string(signed_) : std::to_string(unsigned_)) +
                       " is out of bounds for " + std::string(name_of(dtype)));
    }
    put(out, static_cast<T>(as_int()));
  };
  switch (dtype) {
    case DType::kBool: {
      const bool truth = integer ? as_int() != 0 : complex_ != std::complex<double>();
      return put(out, static_cast<std::uint8_t>(truth));
    }
    case DType::kInt8:
      return store_integer(std::int8_t{});
    case DType::kInt16:
      return store_integer(std::int16_t{});
    case DType::kInt32:
      return store_integer(std::int32_t{});
    case DType::kInt64:
      return store_integer(std::int64_t{});
    case DType::kUInt8:
      return store_integer(std::uint8_t{});
    case DType::kUInt16:
      return store_integer(std::uint16_t{});
    case DType::kUInt32:
      return store_integer(std::uint32_t{});
    case DType::kUInt64:
      return store_integer(std::uint64_t{});
    case DType::kFloat32:
      // Straight from the integer: a detour over double would round twice.
      if (holds_ == Holds::kSigned) return put(out, static_cast<float>(signed_));
      if (holds_ == Holds::kUnsigned) return put(out, static_cast<float>(unsigned_));
      return put(out, static_cast<float>(complex_.real()));
    case DType::kFloat64:
      return put(out, as_double());
    case DType::kComplex64:
      return put(out, std::complex<float>(as_complex()));
    case DType::kComplex128:
      return put(out, as_complex());
  }
}

}  // namespace tegula
