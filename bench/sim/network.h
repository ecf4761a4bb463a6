// The simulated network between workers. Every worker has one link out and one link in, each of which carries one
// transfer after another; a pair's own bandwidth may be less than that of its links.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "scheduler/core/events.h"

namespace tegula::sim {

using Time = scheduler::Time;

struct NetworkOptions {
  Time latency = std::chrono::microseconds(100);  // one way, of messages and transfers
  double bandwidth = 1e9;                         // bytes per second between hosts
  double local_bandwidth = 8e9;                   // between workers of one host
  std::uint32_t workers_per_host = 1;
  double spread = 0;  // pairs of hosts have between bandwidth / (1 + spread) and bandwidth
  std::uint64_t seed = 0;
};

class Network {
 public:
  explicit Network(const NetworkOptions& options) : options_(options) {}

  Time latency() const { return options_.latency; }
  double bandwidth(std::uint32_t from, std::uint32_t to) const;  // workers count from 0
  // What a transfer takes when nothing else is under way.
  Time alone(std::uint32_t from, std::uint32_t to, std::uint64_t bytes) const;
  // Begins a transfer; returns when its last byte arrives.
  Time transfer(std::uint32_t from, std::uint32_t to, std::uint64_t bytes, Time now);

  std::uint64_t bytes_moved() const { return bytes_moved_; }

 private:
  Time& free_at(std::vector<Time>& links, std::uint32_t worker) {
    if (worker >= links.size()) links.resize(worker + 1);
    return links[worker];
  }
  NetworkOptions options_;
  std::vector<Time> out_, in_;  // by worker: when the link is free
  std::uint64_t bytes_moved_ = 0;
};

}  // namespace tegula::sim
