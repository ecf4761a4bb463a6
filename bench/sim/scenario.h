// A simulated cluster and what happens to it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bench/sim/durations.h"
#include "bench/sim/network.h"
#include "bench/sim/patterns.h"

namespace tegula::sim {

struct Scenario {
  std::uint32_t workers = 2;       // at the start
  unsigned threads = 1;            // of each
  std::uint64_t memory_limit = 0;  // of each; 0: none
  NetworkOptions network;
  Durations durations;
  // Workers that come or go in mid-run. Those that go are the ones that have been there longest.
  struct Change {
    Time at{};
    std::uint32_t workers = 0;
  };
  std::vector<Change> joins, losses;  // by time
  // With a churn, one worker comes and one leaves in each such time: every other one in order, the others die.
  Time churn{};
  // How long to go on: client after client submits the graph and leaves. 0: one does, and its makespan counts.
  Time span{};
  bool release = true;  // the client gives each result back as soon as it hears of it
  std::uint64_t seed = 0;
};

// "2s:5": after two seconds, five workers. Throws ValueError.
Scenario::Change parse_change(std::string_view text);

// No schedule ends earlier: neither before the longest path of durations (each on the fastest worker) nor before the
// threads that are there could have done all work.
struct LowerBound {
  Time critical_path{};
  Time work_over_threads{};
  Time bound() const { return critical_path > work_over_threads ? critical_path : work_over_threads; }
};
LowerBound lower_bound(const Pattern& pattern, const Scenario& scenario);

}  // namespace tegula::sim
