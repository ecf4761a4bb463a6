// The measurement itself throws when a result does not come or is left behind, so running it is a test of the core.
#include "bench/sim/core_speed.h"

#include <gtest/gtest.h>

#include <string>

namespace tegula::sim {
namespace {

TEST(CoreSpeed, EveryPatternRunsToItsEnd) {
  for (const PatternInfo& pattern : patterns()) {
    for (const bool keep : {false, true}) {
      SCOPED_TRACE(std::string(pattern.name) + (keep ? ", kept" : ""));
      PatternOptions graph;
      graph.tasks = 2000;
      graph.width = 50;
      graph.keep = keep;
      CoreSpeedOptions options;
      options.workers = 7;
      options.threads = 3;
      options.release = !keep;
      options.codec = pattern.name.size() % 2 == 0;
      const Pattern made = make_pattern(pattern.name, graph);
      const CoreSpeed speed = measure_core(made, options);
      EXPECT_EQ(speed.tasks, made.tasks);
      EXPECT_GT(speed.tasks_per_s(), 0);
      EXPECT_GT(speed.record_bytes, 0u);
      EXPECT_EQ(speed.wire_bytes > 0, options.codec);
    }
  }
}

TEST(CoreSpeed, ManyWorkersOfWhichMostHaveNothingToDo) {
  PatternOptions graph;
  graph.tasks = 10;
  CoreSpeedOptions options;
  options.workers = 500;
  EXPECT_EQ(measure_core(make_pattern("tree", graph), options).tasks, 7u);
}

}  // namespace
}  // namespace tegula::sim
