#include "src/want_map.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace tegula {
namespace {

TEST(WantMap, CountsAsAnArrayWould) {
  std::mt19937 random(3);
  const auto pick = [&](std::uint32_t most) { return std::uniform_int_distribution<std::uint32_t>(0, most)(random); };
  for (int round = 0; round < 100; ++round) {
    WantMap map;
    std::array<std::uint32_t, 40> counts{};
    for (int change = 0; change < 60; ++change) {
      const std::uint32_t begin = pick(40), end = begin + pick(40 - begin);
      bool can_take = true;
      for (std::uint32_t i = begin; i < end; ++i) can_take = can_take && counts[i] > 0;
      const std::int32_t by = can_take && pick(1) == 0 ? -1 : 1 + static_cast<std::int32_t>(pick(1));
      map.add(begin, end, by);
      for (std::uint32_t i = begin; i < end; ++i) counts[i] += static_cast<std::uint32_t>(by);
      for (std::uint32_t i = 0; i < 40; ++i) ASSERT_EQ(map.count(i), counts[i]) << i;
    }
    std::uint32_t covered = 0;
    map.for_each_in(7, 31, [&](std::uint32_t begin, std::uint32_t end, std::uint32_t count) {
      ASSERT_GE(begin, 7u);
      ASSERT_LE(end, 31u);
      for (std::uint32_t i = begin; i < end; ++i) ASSERT_EQ(counts[i], count);
      covered += end - begin;
    });
    std::uint32_t expected = 0;
    for (std::uint32_t i = 7; i < 31; ++i) expected += counts[i] > 0 ? 1 : 0;
    EXPECT_EQ(covered, expected);
  }
}

TEST(WantMap, AMillionWantedAndReleasedOneByOneLeaveNothing) {
  WantMap map;
  map.add(0, 1000000, 1);
  for (std::uint32_t i = 0; i < 1000000; ++i) map.add(i, i + 1, -1);
  EXPECT_TRUE(map.empty());
}

TEST(WantMap, NeighboursThatBecomeEqualAreOneInterval) {
  WantMap map;
  for (std::uint32_t i = 0; i < 100; ++i) map.add(i, i + 1, 1);
  int intervals = 0;
  map.for_each([&](std::uint32_t, std::uint32_t, std::uint32_t) { ++intervals; });
  EXPECT_EQ(intervals, 1);
}

}  // namespace
}  // namespace tegula
