// Dtypes of results, as NumPy 2 has them.
#include <gmock/gmock.h>

#include "tegula/tegula.h"
#include "tests/support/graph_runner.h"

namespace tegula {
namespace {

using testing::HasSubstr;

constexpr DType kAll[] = {DType::kBool,    DType::kInt8,      DType::kInt16,     DType::kInt32,  DType::kInt64,
                          DType::kUInt8,   DType::kUInt16,    DType::kUInt32,    DType::kUInt64, DType::kFloat32,
                          DType::kFloat64, DType::kComplex64, DType::kComplex128};

Array of(DType dtype) { return ones({2}, {2}, dtype); }

TEST(Promotion, LiteralsAreWeak) {
  EXPECT_EQ((of(DType::kInt8) + 1).dtype(), DType::kInt8);
  EXPECT_EQ((1 - of(DType::kUInt16)).dtype(), DType::kUInt16);
  EXPECT_EQ((of(DType::kFloat32) * 2.0).dtype(), DType::kFloat32);
  EXPECT_EQ((of(DType::kInt8) * 2.0).dtype(), DType::kFloat64);
  EXPECT_EQ((of(DType::kFloat32) + Scalar::strong(2.0)).dtype(), DType::kFloat64);
  EXPECT_EQ((of(DType::kInt8) + Scalar::strong(std::int64_t{1})).dtype(), DType::kInt64);
  EXPECT_EQ((of(DType::kBool) + 1).dtype(), DType::kInt64);
  EXPECT_EQ((of(DType::kFloat32) + std::complex<double>(0, 1)).dtype(), DType::kComplex64);
}

TEST(Promotion, ArraysPromoteAsNumPy) {
  EXPECT_EQ((of(DType::kInt8) + of(DType::kUInt8)).dtype(), DType::kInt16);
  EXPECT_EQ((of(DType::kInt64) + of(DType::kUInt64)).dtype(), DType::kFloat64);
  EXPECT_EQ((of(DType::kInt32) / of(DType::kInt32)).dtype(), DType::kFloat64);
  EXPECT_EQ((of(DType::kInt8) / of(DType::kInt8)).dtype(), DType::kFloat64);
  EXPECT_EQ((of(DType::kFloat32) / of(DType::kInt16)).dtype(), DType::kFloat32);
  EXPECT_EQ((of(DType::kBool) + of(DType::kBool)).dtype(), DType::kBool);
  EXPECT_EQ(floor_divide(of(DType::kBool), of(DType::kBool)).dtype(), DType::kInt8);
  EXPECT_EQ(sqrt(of(DType::kInt32)).dtype(), DType::kFloat64);
  EXPECT_EQ(sqrt(of(DType::kInt16)).dtype(), DType::kFloat32);
  EXPECT_EQ(abs(of(DType::kComplex64)).dtype(), DType::kFloat32);
  EXPECT_EQ(isnan(of(DType::kInt64)).dtype(), DType::kBool);
  EXPECT_EQ(where(of(DType::kFloat64), of(DType::kInt8), 2).dtype(), DType::kInt8);
  for (DType dtype : kAll) {
    EXPECT_EQ((of(dtype) == of(dtype)).dtype(), DType::kBool);
    EXPECT_EQ(logical_and(of(dtype), of(DType::kFloat64)).dtype(), DType::kBool);
  }
}

TEST(Promotion, ReductionsFollowNumPy) {
  EXPECT_EQ(of(DType::kInt8).sum().dtype(), DType::kInt64);
  EXPECT_EQ(of(DType::kUInt8).prod().dtype(), DType::kUInt64);
  EXPECT_EQ(of(DType::kBool).sum().dtype(), DType::kInt64);
  EXPECT_EQ(of(DType::kFloat32).sum().dtype(), DType::kFloat32);
  EXPECT_EQ(of(DType::kFloat32).mean().dtype(), DType::kFloat32);
  EXPECT_EQ(of(DType::kInt8).mean().dtype(), DType::kFloat64);
  EXPECT_EQ(of(DType::kComplex64).var().dtype(), DType::kFloat32);
  EXPECT_EQ(of(DType::kComplex128).std().dtype(), DType::kFloat64);
  EXPECT_EQ(of(DType::kInt8).min().dtype(), DType::kInt8);
  EXPECT_EQ(of(DType::kComplex64).max().dtype(), DType::kComplex64);
  EXPECT_EQ(of(DType::kFloat64).any().dtype(), DType::kBool);
  EXPECT_EQ(of(DType::kFloat64).sum({}, false, DType::kInt16).dtype(), DType::kInt16);
}

template <typename F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Promotion, RefusalsNameOperationAndDtype) {
  EXPECT_THAT(message_of([] { floor(of(DType::kComplex128)); }), HasSubstr("floor of complex128"));
  EXPECT_THAT(message_of([] { of(DType::kFloat64) & of(DType::kInt8); }), HasSubstr("bitwise_and of float64"));
  EXPECT_THAT(message_of([] { of(DType::kBool) - of(DType::kBool); }), HasSubstr("subtract of bool"));
  EXPECT_THAT(message_of([] { -of(DType::kBool); }), HasSubstr("negative of bool"));
  EXPECT_THAT(message_of([] { of(DType::kUInt8) + 300; }), HasSubstr("300 is out of bounds for uint8"));
  EXPECT_THAT(message_of([] { ones({3, 4}) + ones({5}); }), HasSubstr("cannot broadcast (3, 4) with (5,)"));
  EXPECT_THROW(of(DType::kFloat32) << 2, DTypeError);
  EXPECT_THROW(random::normal(0, 1, {3}, {}, {.dtype = DType::kInt32}), DTypeError);
}

TEST(Promotion, IntegersAreComparedExactly) {
  test::GraphRunner runner;
  const auto truth = [&](const Array& x) { return x.all().compute(runner.client()).item<bool>(); };
  const Array bytes = full({3}, 255, {2}, DType::kUInt8);
  EXPECT_TRUE(truth(bytes < 300));
  EXPECT_TRUE(truth(-1 < bytes));
  EXPECT_TRUE(truth(bytes != 1000));
  EXPECT_FALSE(truth(bytes == -1));
  EXPECT_FALSE(truth(bytes >= 256));
  EXPECT_TRUE(truth(300 > bytes));
  // 2^63 and 2^63 - 1 are one number in float64.
  const Array big = full({2}, std::uint64_t{1} << 63, {2}, DType::kUInt64);
  const Array below = full({2}, INT64_MAX, {1}, DType::kInt64);
  EXPECT_TRUE(truth(below < big));
  EXPECT_FALSE(truth(below == big));
  EXPECT_TRUE(truth(big > below));
  EXPECT_TRUE(truth(full({2}, -1, {2}, DType::kInt64) < big));
  EXPECT_FALSE(truth(full({2}, -1, {2}, DType::kInt64) == full({2}, UINT64_MAX, {2}, DType::kUInt64)));
}

}  // namespace
}  // namespace tegula
