// What does the scheduler's core cost, alone? The real core between workers that answer at once: each assignment is
// finished in the same turn, with slots granted as the worker's own code grants them.
#pragma once

#include <chrono>
#include <cstdint>

#include "bench/sim/patterns.h"

namespace tegula::sim {

struct CoreSpeedOptions {
  unsigned workers = 2;
  unsigned threads = 1;
  bool codec = false;   // every message goes through frames, as over TCP
  bool release = true;  // the client gives each result back as soon as it hears of it
  std::uint64_t seed = 1;
};

// Times are the processor's, so that they mean something on a busy machine; only `wall` is the clock's.
struct CoreSpeed {
  std::uint64_t tasks = 0;
  std::chrono::nanoseconds core{};         // in apply() and settle(), submission included
  std::chrono::nanoseconds codec{};        // the scheduler's half of the wire: what it encodes and decodes
  std::chrono::nanoseconds peers_codec{};  // the other half, of workers and client
  std::chrono::nanoseconds
      first_assigned{};             // until the end of the turn in which something was assigned first, in the core
  std::chrono::nanoseconds wall{};  // with the simulated workers
  std::uint64_t turns = 0;          // of the event loop: messages applied, then settled once
  std::uint64_t wire_bytes = 0;
  std::uint64_t record_bytes = 0;  // the most in the tables of tasks
  std::uint64_t rss_growth = 0;    // the most resident memory beyond what there was before submission

  std::chrono::nanoseconds scheduler_time() const { return core + codec; }
  double tasks_per_s() const;
};

// Throws Error(kInternal) when a wanted result does not come, or when something is counted that only bugs cause.
CoreSpeed measure_core(const Pattern& pattern, const CoreSpeedOptions& options);

}  // namespace tegula::sim
