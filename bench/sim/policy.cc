#include "bench/sim/policy.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <utility>

#include "bench/sim/baselines.h"
#include "scheduler/core/state.h"
#include "tegula/error.h"

namespace tegula::sim {
namespace {

class Tegula : public Policy {
 public:
  explicit Tegula(const Scenario& scenario) : state_(config(scenario)) {}
  void apply(Time now, scheduler::Event event, std::vector<scheduler::Action>& actions) override {
    state_.apply(now, std::move(event), actions);
  }
  void settle(Time now, std::vector<scheduler::Action>& actions) override { state_.settle(now, actions); }
  bool busy() const override { return state_.busy(); }
  bool empty() const override { return state_.empty(); }
  Counts counts() const override {
    const scheduler::Counters& counters = state_.counters();
    return {counters.assignments, counters.retractions + counters.tasks_asked_back, counters.tasks_returned,
            counters.tasks_recomputed,
            counters.heartbeat_mismatches + counters.stale_answers + counters.client_anomalies};
  }

 private:
  static scheduler::SchedulerConfig config(const Scenario& scenario) {
    scheduler::SchedulerConfig config;
    config.seed = scenario.seed;
    // Where workers keep dying, that says nothing of the tasks that they had.
    if (scenario.churn > Time{}) config.allowed_deaths = 1u << 20;
    return config;
  }
  scheduler::SchedulerState state_;
};

}  // namespace

const std::vector<std::string_view>& policy_names() {
  static const std::vector<std::string_view> names{"tegula", "greedy", "random", "eager", "clairvoyant"};
  return names;
}

std::unique_ptr<Policy> make_policy(std::string_view name, const Scenario& scenario) {
  if (name == "tegula") return std::make_unique<Tegula>(scenario);
  if (name == "greedy") return std::make_unique<GreedyList>(scenario);
  if (name == "random") return std::make_unique<RandomPlacement>(scenario);
  if (name == "eager") return std::make_unique<EagerAssignment>(scenario);
  if (name == "clairvoyant") return std::make_unique<ClairvoyantCriticalPath>(scenario);
  throw ValueError(fmt::format("there is no policy '{}'; there are {}", name, fmt::join(policy_names(), ", ")));
}

}  // namespace tegula::sim
