// What must hold in a world, at any time and in the end.
#include <fmt/core.h>

#include <algorithm>

#include "tests/model/parts.h"

namespace tegula::model {

void World::check_counters() const {
  const scheduler::Counters& counters = scheduler_->counters();
  if (counters.heartbeat_mismatches != 0 && !scenario_->repairs) violated("a heartbeat's hash is not the scheduler's");
  if (counters.stale_answers != 0 && !scenario_->repairs) violated("an answer is taken for a stale one");
  if (counters.client_anomalies != 0) violated("an honest client is taken for a confused one");
}

void World::check_end() const {
  bool anybody = false;
  for (const Node& node : nodes_) anybody = anybody || node.live();
  if (anybody && !left_) check_wants();
  if (!left_ && answered_orders_ != orders_) {
    violated(fmt::format("an operator gave {} orders and had {} answers", orders_, answered_orders_));
  }
  check_heartbeats();
  World after = *this;
  if (!after.left_) after.leave();
  if (after.unsettled_) after.settle();
  for (int steps = 0;; ++steps) {
    const std::vector<Choice> open = after.choices();
    const auto next = std::find_if(open.begin(), open.end(), [](const Choice& choice) { return !choice.optional; });
    if (next == open.end()) break;
    if (steps == 10'000) violated("after the client left, the cluster never comes to rest");
    after.apply(*next);
  }
  after.check_nothing_left();
}

void World::check_wants() const {
  const scheduler::Counters& counters = scheduler_->counters();
  if (counters.released + counters.waiting + counters.no_worker + counters.queued + counters.processing != 0) {
    violated("tasks are unfinished and nothing is under way");
  }
  for (const std::uint32_t task : scenario_->shape.wanted) {
    const Want& want = wants_[task];
    if (want.live == 0 || want.status == Status::kErred) continue;
    if (want.status == Status::kPending) violated(fmt::format("task {} is wanted and never ends", task));
    for (const WorkerId holder : want.holders) {
      const Node& node = nodes_[number_of(holder)];
      if (!node.live() || !node.core->keeps(want.result)) {
        violated(fmt::format("the client is told to find task {} on w{}, which does not have it", task,
                             static_cast<std::uint32_t>(holder)));
      }
    }
  }
}

void World::check_heartbeats() const {
  scheduler::SchedulerState copy = *scheduler_;
  const auto known = copy.workers();
  for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
    if (!nodes_[worker].live()) continue;
    const msg::WorkerHeartbeat beat = nodes_[worker].core->heartbeat();
    std::vector<scheduler::Action> actions;
    copy.handle(now_, scheduler::FromWorker{id_of(worker), beat}, actions);
    const auto about =
        std::find_if(known.begin(), known.end(), [&](const auto& w) { return w.worker == id_of(worker); });
    if (about == known.end() || about->slots_spent != beat.received || about->processing != beat.received - beat.sent) {
      violated(fmt::format("w{} and the scheduler count its attempts differently", worker + 1));
    }
  }
  if (copy.counters().heartbeat_mismatches != scheduler_->counters().heartbeat_mismatches)
    violated("at the end a heartbeat's hash is not the scheduler's");
}

void World::check_nothing_left() const {
  if (!scheduler_->empty()) violated("the client left, and something is left on the scheduler");
  for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
    const Node& node = nodes_[worker];
    if (!node.live()) continue;
    const worker::WorkerState& core = *node.core;
    if (core.results() != 0 || core.attempts() != 0 || core.managed_bytes() != 0 || core.reserved_bytes() != 0 ||
        core.acquiring() != 0 || core.orphans() != 0 || core.inventory_parts() != 0 || core.spilled_bytes() != 0 ||
        node.layers != 0 || !node.jobs.empty() || !node.files.empty()) {
      violated(fmt::format(
          "the client left, and w{} has {} results, {} attempts, {} bytes, {} reserved, {} files, {} layers",
          worker + 1, core.results(), core.attempts(), core.managed_bytes(), core.reserved_bytes(), node.files.size(),
          node.layers));
    }
    for (const auto& [peer, line] : node.lines) {
      if (!line.waiting.empty()) violated(fmt::format("w{} waits for w{} for ever", worker + 1, peer + 1));
    }
  }
}

}  // namespace tegula::model
