// From ready to processing, against credit that workers granted. In rounds, so that a task goes where its inputs are if
// there is room, and nobody prefetches while a thread elsewhere has nothing to do: first threads without a task get
// one, from their worker's own queue, then of what anybody may take, then of others' queues where that is worth the
// transfer. Then credit beyond the threads is spent in the same order. Waiting tasks are bound ahead of their inputs
// (ahead.cc), in order with the worker's own, when its threads have something to run already; else with the credit that
// is left over.
#include <algorithm>
#include <cmath>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

// Named per input: enough to find another when one is gone. A task with very many inputs gets one for each.
constexpr std::size_t kMostHolders = 3;
constexpr std::uint64_t kManyInputs = 1000;

std::uint64_t bytes_of_outputs(const Layer& layer, std::uint32_t index) {
  std::uint64_t bytes = 0;
  for (std::uint16_t output = 0; output < layer.outputs.size(); ++output)
    bytes += declared_nbytes(layer, output, index);
  return bytes;
}

std::uint32_t in_kib(std::uint64_t bytes) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>((bytes >> 10) + ((bytes & 1023) != 0 ? 1 : 0), 0xFFFFFFFF));
}

}  // namespace

bool Core::bind_ready() {
  const std::uint64_t before = counters_.assignments;
  hand_over();
  bind_metered();
  std::vector<WorkerSlot> offers;
  offers.swap(offers_);
  for (WorkerSlot slot : offers) {
    if (!workers_[slot]) continue;
    worker_at(slot).offered = false;
    bind_own(worker_at(slot), Round::kThreads);
  }
  for (WorkerGroup& group : groups_) bind_any(group, group.idle);
  for (WorkerGroup& group : groups_) bind_others(group, group.idle);
  for (WorkerSlot slot : offers) {
    if (workers_[slot]) bind_own(worker_at(slot), Round::kCredit);
  }
  for (WorkerGroup& group : groups_) bind_any(group, group.credit);
  for (WorkerGroup& group : groups_) bind_others(group, group.credit);
  // Whoever has credit now finds nothing ready. Binding ahead only lets more tasks follow, here and elsewhere.
  for (;;) {
    for (WorkerSlot slot : offers) {
      if (workers_[slot]) bind_ahead(worker_at(slot));
    }
    // What was bound since may have made it worth while to take from a longer queue.
    for (WorkerGroup& group : groups_) bind_others(group, group.idle);
    if (offers_.empty()) break;
    offers.swap(offers_);
    offers_.clear();
    for (WorkerSlot slot : offers) worker_at(slot).offered = false;
  }
  return counters_.assignments != before;
}

void Core::bind_own(Worker& worker, Round round) {
  const std::size_t threads = worker.registration.threads;
  while (worker.credit() > 0 && (round == Round::kCredit || worker.runnable() < threads)) {
    const bool ahead_allowed = !worker.ahead.empty() && worker.runnable() >= threads;
    if (worker.ready.empty() && !ahead_allowed) return;
    const std::uint32_t requirement = worker.open_credit() == 0 ? kNoSlot : best_requirement(groups_[worker.group]);
    if (worker.ready.empty()) {
      if (requirement != kNoSlot) return;  // goes to the worker with most credit first
      bind_ahead(worker);
      return;
    }
    Slot next = worker.ready.top().slot;
    if (requirement != kNoSlot && ReadyQueue::before(requirements_[requirement].ready.top(), worker.ready.top())) {
      next = requirements_[requirement].ready.top().slot;
    }
    if (ahead_allowed && goes_before(tasks_[worker.ahead.top().slot], tasks_[next])) {
      next = worker.ahead.top().slot;
    }
    bind(next, worker);
  }
}

void Core::bind_any(WorkerGroup& group, const SlotHeap& takers) {
  while (!takers.empty()) {
    const std::uint32_t requirement = best_requirement(group);
    if (requirement == kNoSlot) return;
    bind(requirements_[requirement].ready.top().slot, worker_at(takers.top()));
  }
}

void Core::bind_others(WorkerGroup& group, const SlotHeap& takers) {
  while (!takers.empty()) {
    Worker& taker = worker_at(takers.top());
    const Slot slot = worth_taking(taker, group);
    if (slot == kNoSlot) return;
    bind(slot, taker);
  }
}

void Core::bind_ahead(Worker& worker) {
  while (worker.credit() > 0 && !worker.ahead.empty()) bind(worker.ahead.top().slot, worker);
}

// The requirement whose first ready task is the first that this group's workers may take.
std::uint32_t Core::best_requirement(const WorkerGroup& group) const {
  std::uint32_t best = kNoSlot;
  for (std::uint32_t requirement : ready_requirements_) {
    if (!group.has[requirement] || requirements_[requirement].metered()) continue;
    if (best == kNoSlot || ReadyQueue::before(requirements_[requirement].ready.top(), requirements_[best].ready.top()))
      best = requirement;
  }
  return best;
}

// The first task of the longest queue, if this group's workers may run it and it would start earlier on `taker`; its
// own group's queues first.
Slot Core::worth_taking(const Worker& taker, const WorkerGroup& group) const {
  const WorkerGroup* from = &group;
  if (group.load.empty()) {
    from = nullptr;
    for (const WorkerGroup& other : groups_) {
      if (other.load.empty()) continue;
      const Slot slot = worker_at(other.load.top()).ready.top().slot;
      if (group.has[layer_of_task(tasks_[slot]).requirement]) {
        from = &other;
        break;
      }
    }
    if (from == nullptr) return kNoSlot;
  }
  const Worker& holder = worker_at(from->load.top());
  const Slot slot = holder.ready.top().slot;
  const double waits = seconds_to_start(holder, true) + seconds_to_fetch(tasks_[slot], holder);
  return seconds_to_start(taker, false) + seconds_to_fetch(tasks_[slot], taker) < waits ? slot : kNoSlot;
}

void Core::bind(Slot slot, Worker& worker) {
  leave_queue(slot);
  Task& task = tasks_[slot];
  LayerRecord& layer = layer_of_task(task);
  if (task.missing != 0) {
    ++worker.bound_ahead;
    count_follower(task, 1);  // as it was in the queue
  }
  occupy(worker, requirements_[layer.requirement]);
  last_attempt_ = static_cast<AttemptId>(static_cast<std::uint64_t>(last_attempt_) + 1);
  task.attempt = last_attempt_;
  task.worker = worker.slot;
  task.phase = TaskPhase::kBound;
  task.freed_there = false;
  task.position = static_cast<std::uint32_t>(worker.bound.size());
  served(task);
  if (worker.bound.empty()) worker.last_answer = now_;
  worker.bound.push_back(slot);
  worker.attempts_hash ^= msg::mix(task.attempt);
  ++worker.spent;
  define(worker, layer);
  msg::Assign assign{task.attempt, task.id, order_on_worker(task), {}, {}};
  const std::uint64_t to_fetch = layer.is_root() ? 0 : list_holders(task, worker, assign);
  if (worker.limited() && task.missing == 0) {
    assign.kib = in_kib(to_fetch + std::max(bytes_of_outputs(*layer.description, index_of(task.id)), layer.memory));
    worker.kib_spent += assign.kib;
  }
  task.expected_us = static_cast<std::uint32_t>(std::min(std::ceil(expected_ns(layer) / 1000), 4e9));
  if (task.missing == 0) worker.expected_us += task.expected_us;
  credit_changed(worker);
  ++sessions_[task.account]->processing;
  ++counters_.assignments;
  set_state(task, TaskState::kProcessing);
  send(worker, std::move(assign));
  if (layer.active != 0 && !layer.readers.empty()) consider_consumers_ahead(slot);
}

void Core::define(Worker& worker, LayerRecord& layer) {
  const std::size_t word = worker.slot / 64;
  const std::uint64_t bit = std::uint64_t{1} << (worker.slot % 64);
  if (layer.defined.size() <= word) layer.defined.resize(word + 1);
  if ((layer.defined[word] & bit) != 0) return;
  layer.defined[word] |= bit;
  send(worker, msg::DefineLayer{layer.id, layer.description, layer.hash, layer.time_limit_ms, layer.memory});
}

void Core::introduce(Worker& worker, WorkerSlot peer) {
  const Worker& other = worker_at(peer);
  if (worker.introduced.insert(other.id).second) {
    send(worker, msg::WorkerAddress{other.id, other.registration.address});
  }
}

// Returns the bytes of the inputs that are elsewhere.
std::uint64_t Core::list_holders(const Task& task, Worker& worker, msg::Assign& assign) {
  const LayerRecord& layer = layers_.at(layer_of(task.id));
  std::uint64_t bytes = 0;
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    const std::size_t most = input.rule.view().count(index_of(task.id)) < kManyInputs ? kMostHolders : 1;
    std::unordered_set<std::uint32_t> listed;  // only for rules that repeat producers
    input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
      const Task& source = tasks_[producers.slot(producer)];
      const Output& output = source.output(input.output);
      if (output.replicas.contains(worker.slot)) return;
      if (!output.available() && source.worker == worker.slot) return;
      if (!input.rule.distinct() && !listed.insert(producer).second) return;
      if (!output.available()) {
        introduce(worker, source.worker);
        assign.awaited.push_back({{source.id, input.output}, worker_at(source.worker).id, source.attempt});
        return;
      }
      bytes += output.nbytes;
      // Readers of one result begin at different holders of it.
      const auto replicas = output.replicas.span();
      const std::size_t first = static_cast<std::size_t>(task.attempt) % replicas.size();
      for (std::size_t i = 0; i < std::min(replicas.size(), most); ++i) {
        const WorkerSlot peer = replicas[(first + i) % replicas.size()];
        introduce(worker, peer);
        assign.holders.push_back({{source.id, input.output}, worker_at(peer).id});
      }
    });
  }
  return bytes;
}

void Core::unbind(Slot slot) {
  Task& task = tasks_[slot];
  Worker& worker = worker_at(task.worker);
  const Slot last = worker.bound.back();
  worker.bound[task.position] = last;
  tasks_[last].position = task.position;
  worker.bound.pop_back();
  worker.attempts_hash ^= msg::mix(task.attempt);
  task.followers = 0;
  if (task.missing != 0) {
    count_follower(task, -1);
    --worker.bound_ahead;
    worker.expected_us += task.expected_us;  // taken back below
  }
  task.missing = 0;
  if (task.phase == TaskPhase::kRetracting) end_asking(task);
  worker.expected_us -= task.expected_us;
  worker.last_answer = now_;
  ++worker.answered;
  vacate(worker, requirements_[layer_of_task(task).requirement]);
  workload_changed(worker);
  --slots_;
  task.worker = kNoSlot;
  task.phase = TaskPhase::kNone;
  Session& session = *sessions_[task.account];
  if (--session.processing == 0 && !session.open) retire_session(task.account);
}

void Core::retract(Slot slot) {
  Task& task = tasks_[slot];
  if (task.phase == TaskPhase::kRetracting) {
    if (!asked_back_.contains(task.id)) return;
    end_asking(task);  // it was only asked for; now nobody needs it
  }
  task.phase = TaskPhase::kRetracting;
  ++counters_.retractions;
  drop_ahead(slot);
  send(worker_at(task.worker), msg::Retract{task.attempt, task.id});
}

void Core::credit_changed(Worker& worker) {
  groups_[worker.group].credit.update(worker.slot, worker.open_credit());
  resources_changed(worker);
  workload_changed(worker);
  offer(worker);
}

void Core::load_changed(Worker& worker) {
  groups_[worker.group].load.update(worker.slot, worker.ready.size());
  offer(worker);
}

void Core::offer(Worker& worker) {
  if (worker.offered || worker.credit() == 0 || (worker.ready.empty() && worker.ahead.empty())) return;
  worker.offered = true;
  offers_.push_back(worker.slot);
}

}  // namespace tegula::scheduler
