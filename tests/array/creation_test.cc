#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "array/expression.h"
#include "src/shape.h"
#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/graph_runner.h"

namespace tegula {
namespace {

using testing::ElementsAre;

class Creation : public testing::Test {
 protected:
  HostArray computed(const Array& x) { return x.compute(runner_.client()); }
  std::vector<double> values(const Array& x) {
    const HostArray host = computed(x.astype(DType::kFloat64));
    return {host.span<double>().begin(), host.span<double>().end()};
  }

  test::GraphRunner runner_;
};

TEST_F(Creation, Constants) {
  EXPECT_THAT(values(zeros({3}, {2})), ElementsAre(0, 0, 0));
  EXPECT_THAT(values(ones({3}, {2}, DType::kInt8)), ElementsAre(1, 1, 1));
  EXPECT_THAT(values(full({2}, -2.5)), ElementsAre(-2.5, -2.5));
  EXPECT_EQ(full({2}, 3).dtype(), DType::kInt64);
  EXPECT_EQ(full({2}, true).dtype(), DType::kBool);
  EXPECT_THROW(full({2}, 300, {}, DType::kUInt8), ValueError);
}

TEST_F(Creation, Arange) {
  EXPECT_THAT(values(arange(5)), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(values(arange(7, 1, -2, {2})), ElementsAre(7, 5, 3));
  EXPECT_THAT(values(arange(0, 1, 0.25)), ElementsAre(0, 0.25, 0.5, 0.75));
  EXPECT_EQ(arange(5).dtype(), DType::kInt64);
  EXPECT_EQ(arange(5.0).dtype(), DType::kFloat64);
  EXPECT_EQ(arange(3, 3).size(), 0);
  EXPECT_EQ(arange(3, 1).size(), 0);
  EXPECT_EQ(arange(INT64_MIN, INT64_MAX, INT64_MAX).size(), 3);
  EXPECT_EQ(arange(0, 4, 1, {}, DType::kFloat32).dtype(), DType::kFloat32);
  EXPECT_THROW(arange(0, 4, 0), ValueError);
  EXPECT_THROW(arange(0.0, std::nan(""), 1.0), ValueError);
  EXPECT_THROW(arange(std::complex<double>(0, 1)), DTypeError);
}

TEST_F(Creation, ArangeUpToTheLastInteger) {
  // As NumPy: int64 and uint64 meet in float64 unless the dtype is said.
  const std::uint64_t top = std::uint64_t{1} << 63;
  EXPECT_EQ(arange(top, top + 3).dtype(), DType::kFloat64);
  const HostArray last = computed(arange(UINT64_MAX - 3, UINT64_MAX, 2, {1}, DType::kUInt64));
  EXPECT_THAT(last.span<std::uint64_t>(), ElementsAre(UINT64_MAX - 3, UINT64_MAX - 1));
  const HostArray wide = computed(arange(0, top + top / 2, top / 2, {2}, DType::kUInt64));
  EXPECT_THAT(wide.span<std::uint64_t>(), ElementsAre(0, top / 2, top));
  EXPECT_EQ(arange(INT64_MIN, top, INT64_MAX, {}, DType::kFloat64).size(), 3);
}

TEST_F(Creation, ArangeRefusesFirstValuesThatDoNotFit) {
  EXPECT_THROW(arange(-1, 2, 1, {}, DType::kUInt8), ValueError);
  EXPECT_THROW(arange(0, 300, 200, {}, DType::kInt8), ValueError);
  EXPECT_THROW(arange(300, 301, 1, {}, DType::kUInt8), ValueError);
  // As NumPy: only the first two are looked at, the rest wraps.
  EXPECT_THAT(values(arange(0, 300, 100, {}, DType::kInt8)), ElementsAre(0, 100, -56));
  EXPECT_THAT(values(arange(0, 1, 200, {}, DType::kInt8)), ElementsAre(0));
  EXPECT_EQ(arange(300, 0, 1, {}, DType::kInt8).size(), 0);
}

TEST_F(Creation, LinspaceHitsItsEnds) {
  const std::vector<double> x = values(linspace(0.1, 0.7, 7, {2}));
  EXPECT_EQ(x.front(), 0.1);
  EXPECT_EQ(x.back(), 0.7);
  EXPECT_NEAR(x[3], 0.4, 1e-15);
  EXPECT_THAT(values(linspace(0, 1, 4, {}, false)), ElementsAre(0, 0.25, 0.5, 0.75));
  EXPECT_THAT(values(linspace(0, 10, 4, {}, true, DType::kInt32)), ElementsAre(0, 3, 6, 10));
  EXPECT_THAT(values(linspace(0, 1, 3, {}, true, DType::kBool)), ElementsAre(0, 1, 1));
  EXPECT_THAT(values(linspace(5, 9, 1)), ElementsAre(5));
  EXPECT_EQ(linspace(0, 1, 0).size(), 0);
  EXPECT_THROW(linspace(0, 1, -1), ValueError);
}

TEST_F(Creation, Eye) {
  EXPECT_THAT(values(eye(2)), ElementsAre(1, 0, 0, 1));
  EXPECT_THAT(values(eye(2, 3, 1, {1, 2})), ElementsAre(0, 1, 0, 0, 0, 1));
  EXPECT_THAT(values(eye(3, 2, -1)), ElementsAre(0, 0, 1, 0, 0, 1));
}

TEST_F(Creation, HostArraysAreCopied) {
  HostArray host(DType::kInt32, {4});
  host.span<std::int32_t>()[2] = 5;
  const Array x = from_host(host, {3});
  host.span<std::int32_t>()[2] = 9;
  EXPECT_THAT(values(x), ElementsAre(0, 0, 5, 0));
  EXPECT_THROW(from_host(HostArray(DType::kUInt8, {(64 << 20) + 1})), ValueError);
  EXPECT_EQ(values(from_host(HostArray(DType::kFloat64, {}))).size(), 1u);
}

TEST_F(Creation, RandomIsTheSameWhateverTheChunks) {
  const random::Options seeded = {.seed = 5};
  const std::string whole = test::bits_of(computed(random::normal(0, 1, {50, 70}, {-1, -1}, seeded)));
  EXPECT_EQ(whole, test::bits_of(computed(random::normal(0, 1, {50, 70}, {7, 9}, seeded))));
  EXPECT_EQ(whole, test::bits_of(computed(random::normal(0, 1, {50, 70}, {50, 1}, seeded).rechunk({10, 10}))));
  const Array x = random::normal(0, 1, {50, 70}, {7, 9}, seeded);
  const HostArray all = computed(x), part = computed(x(slice(_, _, -3), slice(1, _, 2)));
  for (int i = 0; i < 17; ++i) {
    for (int j = 0; j < 35; ++j) {
      ASSERT_EQ(part.view<double>()(i, j), all.view<double>()(49 - 3 * i, 1 + 2 * j));
    }
  }
  EXPECT_NE(whole, test::bits_of(computed(random::normal(0, 1, {50, 70}, {7, 9}, {.seed = 6}))));
}

TEST_F(Creation, TheGeneratorTakesAStreamForEachArray) {
  random::seed(17);
  const HostArray a = computed(random::uniform(0, 1, {100})), b = computed(random::uniform(0, 1, {100}));
  EXPECT_NE(test::bits_of(a), test::bits_of(b));
  random::seed(17);
  EXPECT_EQ(test::bits_of(a), test::bits_of(computed(random::uniform(0, 1, {100}))));
  EXPECT_EQ(test::bits_of(b), test::bits_of(computed(random::uniform(0, 1, {100}))));
  // A seed of its own takes none of the generator's streams.
  random::seed(17);
  random::uniform(0, 1, {100}, {}, {.seed = 1});
  EXPECT_EQ(test::bits_of(a), test::bits_of(computed(random::uniform(0, 1, {100}))));
}

TEST_F(Creation, DistributionsAreWhatTheySay) {
  const Array u = random::uniform(-2, 6, {400, 500}, {100, 77}, {.seed = 2});
  EXPECT_NEAR(computed(u.mean()).item<double>(), 2, 0.02);
  EXPECT_GE(computed(u.min()).item<double>(), -2);
  EXPECT_LT(computed(u.max()).item<double>(), 6);
  const Array n = random::normal(3, 2, {400, 500}, {100, 77}, {.dtype = DType::kFloat32, .seed = 2});
  EXPECT_EQ(n.dtype(), DType::kFloat32);
  EXPECT_NEAR(computed(n.mean()).item<double>(), 3, 0.02);
  EXPECT_NEAR(computed(n.std()).item<double>(), 2, 0.02);
  const HostArray i = computed(random::integers(-3, 4, {5000}, {333}, {.seed = 2}));
  const std::set<std::int64_t> seen(i.span<std::int64_t>().begin(), i.span<std::int64_t>().end());
  EXPECT_THAT(seen, ElementsAre(-3, -2, -1, 0, 1, 2, 3));
  EXPECT_EQ(computed(random::integers(0, 256, {10}, {}, {.dtype = DType::kUInt8})).size(), 10);
  EXPECT_EQ(computed(random::normal(0, 1, {}, {}, {.seed = 1})).ndim(), 0);
}

TEST_F(Creation, BadDistributionsAreRefused) {
  EXPECT_THROW(random::normal(0, -1, {3}), ValueError);
  EXPECT_THROW(random::uniform(0, INFINITY, {3}), ValueError);
  EXPECT_THROW(random::integers(5, 5, {3}), ValueError);
  EXPECT_THROW(random::integers(0, 257, {3}, {}, {.dtype = DType::kUInt8}), ValueError);
  EXPECT_THROW(random::integers(-1, 2, {3}, {}, {.dtype = DType::kUInt64}), ValueError);
  EXPECT_THROW(random::integers(0, 2, {3}, {}, {.dtype = DType::kFloat64}), DTypeError);
}

}  // namespace
}  // namespace tegula
