#include "src/durations.h"

#include <gtest/gtest.h>

namespace tegula {
namespace {

using namespace std::chrono_literals;

TEST(Durations, QuantilesAreAnEighthTooLongAtMost) {
  Durations durations;
  EXPECT_EQ(durations.quantile(0.5), 0ns);
  for (int i = 1; i <= 100'000; ++i) durations.add(std::chrono::nanoseconds(i));
  for (const double part : {0.00001, 0.00005, 0.001, 0.1, 0.5, 0.9, 0.999, 1.0}) {
    const double exact = part * 100'000;
    EXPECT_GE(static_cast<double>(durations.quantile(part).count()), exact) << part;
    EXPECT_LE(static_cast<double>(durations.quantile(part).count()), exact * 1.125) << part;
  }
  EXPECT_EQ(durations.count(), 100'000u);
  EXPECT_EQ(durations.longest(), 100'000ns);
}

TEST(Durations, TakesWhateverThereIs) {
  Durations durations;
  durations.add(-1s);  // clocks differ
  EXPECT_EQ(durations.longest(), 0ns);
  EXPECT_EQ(durations.quantile(1), 0ns);
  durations.add(std::chrono::nanoseconds::max());
  EXPECT_EQ(durations.longest(), std::chrono::nanoseconds::max());
  EXPECT_EQ(durations.quantile(1), std::chrono::nanoseconds::max());
  EXPECT_EQ(durations.quantile(0.5), 0ns);
}

}  // namespace
}  // namespace tegula
