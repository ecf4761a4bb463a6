#include <gtest/gtest.h>

#include "tegula/tegula.h"
#include "tests/support/graph_runner.h"

namespace tegula {
namespace {

TEST(MainJob, SumsASliceOfNormals) {
  test::GraphRunner runner;
  const Array x = random::normal(10, 1, {2000, 2000}, {500, 500}, {.seed = 1});
  const Array total = (x + 1)(slice(_, _, 2), slice(_, _, 2)).sum();
  std::cout << total.explain() << total.explain({false});
  const double fused = total.compute(runner.client()).item<double>();
  const double unfused = total.compute(runner.client(), {false}).item<double>();
  EXPECT_EQ(fused, unfused);
  EXPECT_NEAR(fused / 1e6, 11, 0.01);
}

}  // namespace
}  // namespace tegula
