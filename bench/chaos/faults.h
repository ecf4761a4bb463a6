// The kinds of faults that a soak chooses from. Each is one entry of a table: what it needs, what it does.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <string_view>
#include <vector>

#include "bench/chaos/cluster.h"

namespace tegula::chaos {

using Random = std::mt19937_64;

// What ends a fault before the round does, and when; empty: it lasts until the cluster is mended.
struct Injected {
  std::chrono::milliseconds lasts{0};
  std::function<void()> end;
};

struct FaultKind {
  std::string_view name;
  bool needs_network;
  Injected (*inject)(Cluster& cluster, Random& random);
};
const std::vector<FaultKind>& fault_kinds();

std::uint64_t pick(Random& random, std::uint64_t below);

}  // namespace tegula::chaos
