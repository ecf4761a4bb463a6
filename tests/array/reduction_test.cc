#include <gmock/gmock.h>

#include <cmath>

#include "src/shape.h"
#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/graph_runner.h"

namespace tegula {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Reductions : public testing::Test {
 protected:
  HostArray computed(const Array& x) { return x.compute(runner_.client()); }
  double value(const Array& x) { return computed(x).item<double>(); }
  std::vector<double> values(const Array& x) {
    const HostArray host = computed(x.astype(DType::kFloat64));
    return {host.span<double>().begin(), host.span<double>().end()};
  }

  test::GraphRunner runner_;
};

Array matrix() {  // 0 .. 11
  HostArray values(DType::kFloat64, {3, 4});
  for (std::size_t i = 0; i < 12; ++i) values.span<double>()[i] = static_cast<double>(i);
  return from_host(values, {2, 3});
}

TEST_F(Reductions, AxesAndKeepdims) {
  EXPECT_EQ(value(matrix().sum()), 66);
  EXPECT_THAT(values(matrix().sum(0)), ElementsAre(12, 15, 18, 21));
  EXPECT_THAT(values(matrix().sum(-1)), ElementsAre(6, 22, 38));
  EXPECT_EQ(matrix().sum(0, true).shape(), (Shape{1, 4}));
  EXPECT_EQ(matrix().sum({0, 1}, true).shape(), (Shape{1, 1}));
  EXPECT_EQ(matrix().sum(Axes(std::vector<int>{})).shape(), (Shape{3, 4}));
  EXPECT_THAT(values(matrix().max(1)), ElementsAre(3, 7, 11));
  EXPECT_EQ(value(matrix().min()), 0);
  EXPECT_EQ(value((matrix() + 1).prod()), 479001600);
  EXPECT_TRUE(computed(matrix().any()).item<bool>());
  EXPECT_FALSE(computed(matrix().all()).item<bool>());
}

TEST_F(Reductions, MeanVarStd) {
  EXPECT_EQ(value(matrix().mean()), 5.5);
  EXPECT_DOUBLE_EQ(value(matrix().var()), 143.0 / 12);
  EXPECT_DOUBLE_EQ(value(matrix().var({}, false, 1)), 13.0);
  EXPECT_DOUBLE_EQ(value(matrix().std({}, false, 1)), std::sqrt(13.0));
  EXPECT_THAT(values(matrix().var(0)), testing::Each(testing::DoubleEq(32.0 / 3)));
  EXPECT_EQ(matrix().var(0, true).shape(), (Shape{1, 4}));
  EXPECT_TRUE(std::isinf(value(matrix()(0).var({}, false, 4))));
  // Far from zero, where sums of squares lose everything.
  const Array far = random::normal(1e9, 1, {1000, 100}, {130, 33}, {.seed = 4});
  EXPECT_NEAR(value(far.std()), 1, 0.02);
}

TEST_F(Reductions, ComplexVarianceIsThatOfBothParts) {
  const Array z = matrix() + std::complex<double>(0, 1) * matrix();
  EXPECT_DOUBLE_EQ(value(z.var()), 2 * 143.0 / 12);
  EXPECT_EQ(computed(z.mean()).item<std::complex<double>>(), std::complex<double>(5.5, 5.5));
}

TEST_F(Reductions, NothingAndSingleValues) {
  const Array none = zeros({0, 3}, {1, 2});
  EXPECT_EQ(value(none.sum()), 0);
  EXPECT_EQ(value(none.prod()), 1);
  EXPECT_THAT(values(none.sum(0)), ElementsAre(0, 0, 0));
  EXPECT_EQ(none.sum(1).shape(), Shape{0});
  EXPECT_TRUE(std::isnan(value(none.mean())));
  EXPECT_TRUE(std::isnan(value(none.var())));
  EXPECT_FALSE(computed(none.any()).item<bool>());
  EXPECT_TRUE(computed(none.all()).item<bool>());
  EXPECT_EQ(computed(none.max(1)).size(), 0);
  try {
    none.max();
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_THAT(error.what(), HasSubstr("max of nothing: an array of shape (0, 3)"));
  }
  EXPECT_THROW(none.min(0), ValueError);

  const Array one = full({}, 7.0);
  EXPECT_EQ(value(one.sum()), 7);
  EXPECT_EQ(value(one.mean()), 7);
  EXPECT_EQ(value(one.var()), 0);
  EXPECT_EQ(value(one.max()), 7);
  // Empty chunks among others.
  EXPECT_EQ(value(ones({5}, {ChunkDim({2, 0, 3})}).max()), 1);
  EXPECT_EQ(value(ones({5}, {ChunkDim({2, 0, 3})}).var()), 0);
}

TEST_F(Reductions, SmallTypesAccumulateWide) {
  EXPECT_EQ(value(full({300}, 100, {7}, DType::kInt8).sum()), 30000);
  EXPECT_EQ(computed(full({300}, 100, {7}, DType::kInt8).sum({}, false, DType::kInt8)).item<int>(), 30000 % 256);
  // 2^24 + 1 has no float32; the sum of its parts is rounded once.
  const Array many = full({1 << 12, 1 << 13}, 1.0, {1 << 10, 1 << 11}, DType::kFloat32);
  EXPECT_EQ(computed(many.sum()).item<float>(), static_cast<float>(1 << 25));
  EXPECT_EQ(computed(full({1000}, 0.1, {10}, DType::kFloat32).mean()).item<float>(), 0.1f);
  EXPECT_EQ(value(full({4}, 1.75, {3}).sum({}, false, DType::kInt64)), 4);
}

TEST_F(Reductions, InBoolSumsAreOrAndProductsAnd) {
  EXPECT_THAT(values(matrix().sum(1, false, DType::kBool)), ElementsAre(1, 1, 1));
  EXPECT_THAT(values(matrix().prod(1, false, DType::kBool)), ElementsAre(0, 1, 1));
  EXPECT_EQ(value((matrix() * 0).sum({}, false, DType::kBool)), 0);
  EXPECT_EQ(value(zeros({0}).prod({}, false, DType::kBool)), 1);
  EXPECT_EQ(matrix().mean(0, false, DType::kBool).dtype(), DType::kBool);
  EXPECT_THAT(values(matrix().mean(0, false, DType::kBool)), ElementsAre(1, 1, 1, 1));
}

// For given chunks the same bits, whatever reads or writes in between.
TEST_F(Reductions, TheSameBitsWithAndWithoutTheOptimizer) {
  const Array x = random::normal(0, 1, {517, 331}, {100, 64}, {.seed = 9});
  for (const Array& sum : {(x * 3)(slice(_, _, 2)).sum(), x.T().mean(0), x(slice(_, _, -1)).std(), x.var(1)}) {
    EXPECT_EQ(test::bits_of(sum.compute(runner_.client())), test::bits_of(sum.compute(runner_.client(), {false})));
  }
}

}  // namespace
}  // namespace tegula
