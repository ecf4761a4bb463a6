// The kinds of faults that a soak chooses from. Each is one entry of a table: what it needs, what it does.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "bench/chaos/cluster.h"
#include "bench/chaos/poison.h"

namespace tegula::chaos {

using Random = std::mt19937_64;

// What ends a fault before the round does, and when; empty: it lasts until the cluster is mended.
struct Injected {
  std::chrono::milliseconds lasts{0};
  std::function<void()> end = nullptr;
  std::shared_ptr<Poison> poison = nullptr;  // what the round waits for and asks for its verdict
};

// What the cluster must have been brought into before the round begins.
enum class Stage {
  kAny,
  kJournal,    // the scheduler keeps one
  kNoJournal,  // it does not
  kSpilling,   // the job is larger than the workers' memory
};

struct FaultKind {
  std::string_view name;
  Means needs;
  Stage stage;
  // Nothing: what it was to strike is dead already.
  std::optional<Injected> (*inject)(Cluster& cluster, Random& random);
};
const std::vector<FaultKind>& fault_kinds();

std::uint64_t pick(Random& random, std::uint64_t below);

}  // namespace tegula::chaos
