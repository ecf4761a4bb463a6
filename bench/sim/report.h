// The figures of `tegula-bench scheduler`, for people or as one line of JSON.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string_view>
#include <vector>

#include "bench/sim/core_speed.h"
#include "bench/sim/options.h"
#include "bench/sim/virtual_time.h"

namespace tegula::sim {

struct Report {
  Options options;
  std::uint64_t tasks = 0;
  // One entry per repetition; empty where that part was not asked for.
  std::vector<CoreSpeed> core;
  std::vector<LowerBound> bounds;
  std::map<std::string_view, std::vector<VirtualRun>> runs;  // by policy
};

void print_text(std::ostream& out, const Report& report);
void print_json(std::ostream& out, const Report& report);

}  // namespace tegula::sim
