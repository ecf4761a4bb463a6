// What the command line of `tegula-bench scheduler` says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/sim/patterns.h"
#include "bench/sim/scenario.h"

namespace tegula::sim {

struct Options {
  std::string pattern = "map";
  PatternOptions graph;
  Scenario scenario;
  bool core = true;          // measure what the core costs
  bool virtual_time = true;  // simulate what its decisions are worth
  bool baselines = false;    // and those of others
  bool codec = false;
  unsigned repeat = 3;
  bool json = false;
};

}  // namespace tegula::sim
