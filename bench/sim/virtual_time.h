// How good are the scheduler's decisions? Its core, workers (their real state machines too) and a client in one process
// and virtual time: messages take the network's latency, transfers its bandwidth, tasks their durations, and deciding
// takes no time.
#pragma once

#include <cstdint>
#include <string_view>

#include "bench/sim/policy.h"
#include "bench/sim/scenario.h"

namespace tegula::sim {

struct VirtualRun {
  Time makespan{};                       // until the client has heard of every result
  std::uint64_t peak_memory = 0;         // of all workers together: results, inputs, and what running tasks reserve
  std::uint64_t peak_memory_worker = 0;  // of one
  std::uint64_t bytes_moved = 0;         // between workers
  std::uint64_t events = 0;              // of the simulation
  double busy = 0;                       // the part of the threads' time that tasks took, until the makespan
  Policy::Counts counts;
  // Where the scenario has a span:
  std::uint64_t clients = 0, workers = 0;  // that were there in all
  std::uint64_t left_behind = 0;           // workers that still held something in the end, and the scheduler if it did
};

// Throws Error(kInternal) when the scheduler stands still, or when something is counted that only bugs cause;
// ValueError when it refuses the graph.
VirtualRun simulate(std::string_view policy, const Pattern& pattern, const Scenario& scenario);

}  // namespace tegula::sim
