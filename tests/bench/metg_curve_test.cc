// Where a curve of efficiency over granularity crosses one half.
#include "bench/metg_curve.h"

#include <gtest/gtest.h>

#include <vector>

namespace tegula::bench {
namespace {

TEST(Metg, IsInterpolatedBetweenTheSmallestGoodPointAndTheNext) {
  const std::vector<MetgPoint> points{{1024, 400, 0.9}, {512, 200, 0.7}, {256, 120, 0.4}, {128, 90, 0.2}};
  EXPECT_NEAR(*metg_us(points), 120 + 80 / 3.0, 1e-9);
  EXPECT_NEAR(*metg_us(std::vector<MetgPoint>{{2, 50, 0.5}, {1, 40, 0.1}}), 50, 1e-9);
}

TEST(Metg, ADipAboveTheLastGoodPointDoesNotCount) {
  const std::vector<MetgPoint> points{{1024, 400, 0.9}, {512, 200, 0.45}, {256, 100, 0.6}, {128, 80, 0.4}};
  EXPECT_NEAR(*metg_us(points), 90, 1e-9);
}

TEST(Metg, IsUnknownUnlessThereArePointsOnBothSides) {
  EXPECT_EQ(metg_us({}), std::nullopt);
  EXPECT_EQ(metg_us(std::vector<MetgPoint>{{2, 50, 0.9}, {1, 40, 0.6}}), std::nullopt);
  EXPECT_EQ(metg_us(std::vector<MetgPoint>{{2, 50, 0.4}, {1, 40, 0.2}}), std::nullopt);
  EXPECT_EQ(metg_us(std::vector<MetgPoint>{{2, 50, 0.9}}), std::nullopt);
}

}  // namespace
}  // namespace tegula::bench
