// Visits every state that a world can reach. The search goes depth first and remembers hashes; when something is wrong
// it is repeated breadth first, so that the story it tells is a shortest one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/model/world.h"

namespace tegula::model {

struct Counterexample {
  std::string what;
  std::vector<std::string> story;  // the events, in order
  std::string state;               // where everything stood before the last one
};
std::string to_string(const Counterexample& found);

struct Exploration {
  std::uint64_t states = 0;       // different ones
  std::uint64_t transitions = 0;  // choices tried
  std::uint64_t ends = 0;         // states in which nothing more need happen
  std::size_t depth = 0;          // of the longest run
  std::optional<Counterexample> wrong;
};

// A run that can go round in circles is wrong too: then there are runs that never end.
//
// With `doubt_hashes` each state that is taken for one seen before is compared with that by what may happen next and
// where it leads. If that never differs, states of one hash have the same futures, and nothing was missed.
Exploration explore(const Scenario& scenario, bool doubt_hashes = false);

// One run that takes each choice by what `pick(n)` gives, a number below n. Optional ones are taken now and then.
// Returns what went wrong.
std::optional<Counterexample> walk(const Scenario& scenario, const std::function<std::size_t(std::size_t)>& pick);

}  // namespace tegula::model
