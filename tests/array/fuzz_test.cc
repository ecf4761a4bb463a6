// Random expressions: with the optimizer and without it the same bits, and the values that the slow way gives.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/array/random_expressions.h"
#include "tests/array/reference.h"
#include "tests/support/bits.h"
#include "tests/support/graph_runner.h"

namespace tegula {
namespace {

template <typename T>
void expect_near(const HostArray& got, const HostArray& wanted, double tolerance) {
  for (std::size_t i = 0; i < got.span<T>().size(); ++i) {
    const auto a = static_cast<double>(got.span<T>()[i]), b = static_cast<double>(wanted.span<T>()[i]);
    ASSERT_TRUE(a == b || std::abs(a - b) <= tolerance * std::abs(b) + tolerance || (std::isnan(a) && std::isnan(b)))
        << a << " instead of " << b << " at " << i;
  }
}

void expect_equal(const HostArray& got, const HostArray& wanted) {
  ASSERT_EQ(got.dtype(), wanted.dtype());
  ASSERT_EQ(got.shape(), wanted.shape());
  if (got.dtype() == DType::kFloat64) return expect_near<double>(got, wanted, 1e-12);
  if (got.dtype() == DType::kFloat32) return expect_near<float>(got, wanted, 1e-6);
  ASSERT_EQ(test::bits_of(got), test::bits_of(wanted));
}

class RandomExpressions : public testing::TestWithParam<int> {};

TEST_P(RandomExpressions, MeanTheSameHoweverComputed) {
  test::GraphRunner runner;
  const Client client = runner.client();
  constexpr int kPerTest = 40;
  for (int i = 0; i < kPerTest; ++i) {
    const auto seed = static_cast<std::uint64_t>(GetParam() * kPerTest + i);
    SCOPED_TRACE("seed " + std::to_string(seed));
    const std::vector<Array> arrays = test::ExpressionGenerator(seed).arrays();
    const std::vector<HostArray> optimized = compute(arrays, client);
    const std::vector<HostArray> plain = compute(arrays, client, {false});
    for (std::size_t k = 0; k < arrays.size(); ++k) {
      SCOPED_TRACE(arrays[k].explain().text());
      ASSERT_EQ(test::bits_of(optimized[k]), test::bits_of(plain[k]));
      expect_equal(plain[k], test::evaluate(arrays[k].expression(), client));
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomExpressions, testing::Range(0, 20));

}  // namespace
}  // namespace tegula
