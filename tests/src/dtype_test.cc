#include "tegula/dtype.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "tegula/error.h"

namespace tegula {
namespace {

using ::testing::HasSubstr;

std::vector<DType> all_dtypes() {
  std::vector<DType> result;
  for (int i = 0; i < kDTypeCount; ++i) result.push_back(static_cast<DType>(i));
  return result;
}

template <Element T>
T stored(const Scalar& scalar) {
  T value{};
  scalar.store(dtype_of<T>, &value);
  return value;
}

// Each line is one row of numpy.promote_types, in the order of the columns.
constexpr const char* kPromotion[] = {
    "b1 i1 i2 i4 i8 u1 u2 u4 u8 f4 f8 c8 c16",              // bool
    "i1 i1 i2 i4 i8 i2 i4 i8 f8 f4 f8 c8 c16",              // int8
    "i2 i2 i2 i4 i8 i2 i4 i8 f8 f4 f8 c8 c16",              // int16
    "i4 i4 i4 i4 i8 i4 i4 i8 f8 f8 f8 c16 c16",             // int32
    "i8 i8 i8 i8 i8 i8 i8 i8 f8 f8 f8 c16 c16",             // int64
    "u1 i2 i2 i4 i8 u1 u2 u4 u8 f4 f8 c8 c16",              // uint8
    "u2 i4 i4 i4 i8 u2 u2 u4 u8 f4 f8 c8 c16",              // uint16
    "u4 i8 i8 i8 i8 u4 u4 u4 u8 f8 f8 c16 c16",             // uint32
    "u8 f8 f8 f8 f8 u8 u8 u8 u8 f8 f8 c16 c16",             // uint64
    "f4 f4 f4 f8 f8 f4 f4 f8 f8 f4 f8 c8 c16",              // float32
    "f8 f8 f8 f8 f8 f8 f8 f8 f8 f8 f8 c16 c16",             // float64
    "c8 c8 c8 c16 c16 c8 c8 c16 c16 c8 c16 c8 c16",         // complex64
    "c16 c16 c16 c16 c16 c16 c16 c16 c16 c16 c16 c16 c16",  // complex128
};

TEST(DType, PromotionIsNumPys) {
  for (const DType a : all_dtypes()) {
    std::istringstream row(kPromotion[static_cast<int>(a)]);
    for (const DType b : all_dtypes()) {
      std::string expected;
      row >> expected;
      EXPECT_EQ(promote(a, b), dtype_from_name(expected)) << name_of(a) << " with " << name_of(b);
    }
  }
}

TEST(DType, NamesAndTypestringsLeadBack) {
  for (const DType dtype : all_dtypes()) EXPECT_EQ(dtype_from_name(name_of(dtype)), dtype);
  EXPECT_EQ(dtype_from_name("f4"), DType::kFloat32);
  EXPECT_EQ(dtype_from_name("c16"), DType::kComplex128);
  EXPECT_EQ(dtype_from_name("?"), DType::kBool);
  EXPECT_EQ(item_size(DType::kComplex128), 16u);
  for (const char* name : {"", "float16", "<f8", "object", "Float64"}) {
    EXPECT_THROW(dtype_from_name(name), DTypeError) << name;
  }
  EXPECT_THROW(item_size(static_cast<DType>(13)), DTypeError);
}

TEST(DType, WeakScalarsTakeTheArraysDtypeUnlessTheirKindIsHigher) {
  struct Case {
    DType array;
    Scalar scalar;
    DType result;
  };
  const Case cases[] = {
      {DType::kInt8, 1, DType::kInt8},
      {DType::kUInt8, 1, DType::kUInt8},
      {DType::kUInt64, -1, DType::kUInt64},
      {DType::kInt8, true, DType::kInt8},
      {DType::kBool, true, DType::kBool},
      {DType::kBool, 1, DType::kInt64},
      {DType::kBool, 1.0, DType::kFloat64},
      {DType::kInt8, 1.5, DType::kFloat64},
      {DType::kFloat32, 1.5, DType::kFloat32},
      {DType::kFloat32, 1.5f, DType::kFloat32},
      {DType::kFloat32, 1, DType::kFloat32},
      {DType::kFloat32, std::complex<double>(0, 1), DType::kComplex64},
      {DType::kFloat64, std::complex<double>(0, 1), DType::kComplex128},
      {DType::kInt8, std::complex<double>(0, 1), DType::kComplex128},
      {DType::kComplex64, 1.5, DType::kComplex64},
      {DType::kInt8, Scalar::strong<std::int64_t>(1), DType::kInt64},
      {DType::kFloat32, Scalar::strong<double>(1), DType::kFloat64},
      {DType::kFloat32, Scalar::strong<std::int32_t>(1), DType::kFloat64},
      {DType::kInt8, Scalar::strong<std::uint8_t>(1), DType::kInt16},
      {DType::kBool, Scalar::strong(std::complex<float>(1, 2)), DType::kComplex64},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(promote(c.array, c.scalar), c.result)
        << name_of(c.array) << " with " << (c.scalar.weak() ? "weak " : "strong ") << name_of(c.scalar.dtype());
  }
}

TEST(Scalar, WeakIntegersMustFit) {
  EXPECT_EQ(stored<std::uint8_t>(255), 255);
  EXPECT_EQ(stored<std::int8_t>(-128), -128);
  EXPECT_EQ(stored<std::uint64_t>(std::numeric_limits<std::uint64_t>::max()),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(stored<std::int64_t>(std::numeric_limits<std::int64_t>::min()), std::numeric_limits<std::int64_t>::min());
  EXPECT_THROW(stored<std::uint8_t>(256), ValueError);
  EXPECT_THROW(stored<std::uint8_t>(-1), ValueError);
  EXPECT_THROW(stored<std::uint64_t>(-1), ValueError);
  EXPECT_THROW(stored<std::int64_t>(std::numeric_limits<std::uint64_t>::max()), ValueError);
  try {
    stored<std::uint8_t>(300);
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_THAT(error.what(), HasSubstr("300 is out of bounds for uint8"));
  }
}

TEST(Scalar, StrongIntegersWrap) {
  EXPECT_EQ(stored<std::uint8_t>(Scalar::strong<std::int64_t>(300)), 44);
  EXPECT_EQ(stored<std::uint64_t>(Scalar::strong<std::int8_t>(-1)), std::numeric_limits<std::uint64_t>::max());
}

TEST(Scalar, FloatsToIntegersSaturateAndNanIsZero) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(stored<std::int32_t>(2.7), 2);
  EXPECT_EQ(stored<std::int32_t>(-2.7), -2);
  EXPECT_EQ(stored<std::int8_t>(1000.0), 127);
  EXPECT_EQ(stored<std::uint8_t>(-1.5), 0);
  EXPECT_EQ(stored<std::int64_t>(inf), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(stored<std::int64_t>(-inf), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(stored<std::uint64_t>(0x1p64), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(stored<std::int64_t>(std::nan("")), 0);
}

TEST(Scalar, OtherConversions) {
  EXPECT_EQ(stored<bool>(2), true);
  EXPECT_EQ(stored<bool>(0.0), false);
  EXPECT_EQ(stored<bool>(std::complex<double>(0, 1)), true);
  EXPECT_EQ(stored<double>(true), 1.0);
  EXPECT_EQ(stored<float>(std::numeric_limits<std::uint64_t>::max()), 0x1p64f);
  // By way of a double this would be 2^60, the even neighbour of a tie that is none.
  EXPECT_EQ(stored<float>((std::int64_t{1} << 60) + (std::int64_t{1} << 36) + 1), 0x1.000002p60f);
  EXPECT_EQ(stored<std::complex<float>>(1.5), std::complex<float>(1.5f, 0));
  EXPECT_EQ(stored<std::complex<double>>(std::complex<double>(1, -2)), std::complex<double>(1, -2));
  EXPECT_EQ(stored<double>(std::complex<double>(3, 0)), 3.0);
  EXPECT_THROW(stored<double>(std::complex<double>(1, 2)), ValueError);
  EXPECT_THROW(stored<std::int32_t>(std::complex<double>(1, 2)), ValueError);
  EXPECT_EQ(Scalar(std::numeric_limits<std::uint64_t>::max()).as_int(), -1);
  EXPECT_EQ(Scalar(1u).dtype(), DType::kInt64);
  EXPECT_EQ(Scalar(std::numeric_limits<std::uint64_t>::max()).dtype(), DType::kUInt64);
}

}  // namespace
}  // namespace tegula
