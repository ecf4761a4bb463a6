// Who decides: the real scheduler, or one of those that it is compared with. All speak the scheduler's protocol, so
// that workers, network and memory limits are the same.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "bench/sim/scenario.h"
#include "scheduler/core/actions.h"
#include "scheduler/core/events.h"

namespace tegula::sim {

class Policy {
 public:
  virtual ~Policy() = default;
  virtual void apply(Time now, scheduler::Event event, std::vector<scheduler::Action>& actions) = 0;
  virtual void settle(Time now, std::vector<scheduler::Action>& actions) = 0;
  virtual bool busy() const { return false; }  // wants to be settled again at once
  struct Counts {
    std::uint64_t assignments = 0, retractions = 0, returned = 0, recomputed = 0;
    std::uint64_t anomalies = 0;  // what only bugs cause
  };
  virtual Counts counts() const = 0;
  virtual bool empty() const { return true; }  // it knows of no task, layer or client any more
};

// "tegula", or a baseline: "random" puts each ready task on any worker; "eager" gives each ready task away at once, and
// workers run what they have in the order in which it came; "greedy" gives the first ready task, in the
// order in which the scheduler would expand it, to the worker that could start it first as far as a scheduler can know;
// "clairvoyant" knows every duration, takes what has most work after it first, and puts it where it ends first.
const std::vector<std::string_view>& policy_names();
// Throws ValueError for another name.
std::unique_ptr<Policy> make_policy(std::string_view name, const Scenario& scenario);

}  // namespace tegula::sim
