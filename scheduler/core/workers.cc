// Workers join, grant, beat and go.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scheduler/core/core.h"
#include "src/config.h"

namespace tegula::scheduler {

namespace {
constexpr std::uint64_t kLongestLifetimeMs = 1ull << 40;  // decades
constexpr std::size_t kMostInquests = 1024;

// The worker's process did not end by what it was doing.
bool innocent(LossReason reason) {
  return reason == LossReason::kOrderly || reason == LossReason::kReplaced || reason == LossReason::kRepair;
}

}  // namespace

Worker* Core::find_worker(WorkerId id) {
  const auto found = by_worker_.find(id);
  return found == by_worker_.end() ? nullptr : workers_[found->second].get();
}

// The process that the same nanny ran before this one. Its nanny knows that it has ended, whatever its connection does.
Worker* Core::predecessor_of(const msg::RegisterWorker& registration) {
  if (registration.nanny == 0) return nullptr;
  for (const auto& worker : workers_) {
    if (worker && worker->registration.nanny == registration.nanny && worker->registration.name == registration.name &&
        worker->registration.life < registration.life) {
      return worker.get();
    }
  }
  return nullptr;
}

void Core::refuse_worker(WorkerId worker, std::string reason) {
  out_->push_back(SendToWorker{worker, msg::WorkerRefused{reason}});
  out_->push_back(CloseWorker{worker, std::move(reason)});
}

void Core::join(WorkerJoined& event) {
  msg::RegisterWorker& registration = event.registration;
  WorkerSlot slot = static_cast<WorkerSlot>(workers_.size());
  if (free_workers_.empty()) {
    workers_.emplace_back();
  } else {
    slot = free_workers_.back();
    free_workers_.pop_back();
  }
  workers_[slot] = Owned<Worker>(std::make_unique<Worker>());
  Worker& worker = worker_at(slot);
  worker.id = event.worker;
  worker.slot = slot;
  worker.last_heard = now_;
  std::sort(registration.kernels.begin(), registration.kernels.end());
  if (registration.lifetime_ms != 0) {
    worker.ends_at = now_ + std::chrono::milliseconds(std::min(registration.lifetime_ms, kLongestLifetimeMs));
  }
  worker.parts_due = registration.inventory_parts;
  if (worker.parts_due != 0) begin_recovery();
  worker.registration = std::move(registration);
  for (const msg::Resource& resource : worker.registration.resources) {
    worker.resources_free[resource.name] = to_millionths(resource.amount);
  }
  by_worker_[worker.id] = slot;
  worker_names_.insert(worker.registration.name);
  ++counters_.workers;
  ++counters_.workers_joined;
  counters_.threads += worker.registration.threads;
  kernels_seen_.insert(worker.registration.kernels.begin(), worker.registration.kernels.end());
  const auto beat = std::chrono::duration_cast<std::chrono::milliseconds>(config_.heartbeat_interval);
  send(worker, msg::WorkerRegistered{worker.id, static_cast<std::uint64_t>(beat.count())});

  arrive(worker);
  for (std::size_t s = 0; s < sessions_.size(); ++s) {
    if (sessions_[s]) mark_expandable(static_cast<std::uint16_t>(s));
  }
  on_grant(worker, {worker.registration.slots_granted, worker.registration.kib_granted});
  workload_changed(worker);
}

void Core::on_grant(Worker& worker, const msg::GrantCredit& message) {
  const std::uint64_t slots = std::max(message.slots, worker.granted);
  const std::uint64_t kib = std::max(message.kib, worker.kib_granted);
  if (slots == worker.granted && kib == worker.kib_granted) return;
  if (worker.retiring == 0) slots_ += slots - worker.granted;
  worker.granted = slots;
  worker.kib_granted = kib;
  credit_changed(worker);
}

// The hash speaks of the moment after `received` assignments and `sent` answers. As the connection keeps its order, all
// of these answers have come; if assignments are still on their way, the two hashes cannot be compared.
void Core::on_heartbeat(Worker& worker, const msg::WorkerHeartbeat& message) {
  worker.heartbeat = message;
  if (!message.running.empty() && message.running.size() <= worker.registration.threads) {
    const std::unordered_set<AttemptId> running(message.running.begin(), message.running.end());
    for (const Slot slot : worker.bound) {
      Task& task = tasks_[slot];
      if (task.phase == TaskPhase::kBound && running.contains(task.attempt)) task.phase = TaskPhase::kRunning;
    }
  }
  observe_transfers(worker, message.transfers);
  compare_attempts(worker, message);
}

// A worker whose attempts are not those that are known here is told to join anew: it drops its attempts and brings an
// inventory of its results, and so both sides agree again. Numbers that differ while nothing moves tell of a message
// that got lost.
void Core::compare_attempts(Worker& worker, const msg::WorkerHeartbeat& message) {
  constexpr int kBeats = 10;
  const bool same = message.received == worker.spent && message.sent == worker.answers_heard;
  bool differs = same && message.attempts_hash != worker.attempts_hash;
  const std::uint64_t moved = worker.spent + worker.answers_heard + message.received + message.sent;
  if (same) {
    worker.differs_since = {};
  } else if (worker.differs_since == Time{} || worker.differs_at != moved) {
    worker.differs_since = now_;
    worker.differs_at = moved;
  } else {
    differs = now_ - worker.differs_since > kBeats * config_.heartbeat_interval;
  }
  if (!differs) return;
  ++counters_.heartbeat_mismatches;
  out_->push_back(Report{fmt::format(
      "worker {} counts its attempts differently ({} received and {} answered there, {} and {} here): it joins anew",
      worker.registration.name, message.received, message.sent, worker.spent, worker.answers_heard)});
  expel(worker, LossReason::kRepair, "its attempts are not those that the scheduler knows");
}

void Core::free_on(WorkerSlot slot, ResultId result) {
  Worker& worker = worker_at(slot);
  if (worker.to_free.empty()) with_frees_.push_back(slot);
  worker.to_free.push_back(result);
  // What an attempt of the task makes there goes by the same name, and may have been made already.
  Task* task = find_task(result.task);
  if (task != nullptr && task->worker == slot) task->freed_there = true;
}

void Core::expel(Worker& worker, LossReason reason, const std::string& why) {
  out_->push_back(CloseWorker{worker.id, why});
  lose_worker(worker.slot, reason, why);
}

void Core::on(WorkerLost& event) {
  std::erase_if(contests_, [&](const Contest& contest) { return contest.event.worker == event.worker; });
  if (const Worker* worker = find_worker(event.worker)) lose_worker(worker->slot, event.reason, event.detail);
}

void Core::lose_worker(WorkerSlot gone, LossReason reason, const std::string& detail) {
  const Owned<Worker> kept = std::move(workers_[gone]);  // names it while its tasks are looked after
  Worker& worker = *kept;
  by_worker_.erase(worker.id);
  worker_names_.erase(worker.registration.name);
  --counters_.workers;
  ++counters_.workers_lost;
  counters_.threads -= worker.registration.threads;
  slots_ -= worker.credit() + worker.bound.size();
  const std::vector<bool> had = groups_[worker.group].has;
  leave_group(worker);
  for (const auto& other : workers_) {
    if (!other) continue;
    other->link_from.erase(worker.id);
    if (other->introduced.erase(worker.id) > 0) send(*other, msg::WorkerGone{worker.id});
  }
  if (!moves_.empty()) forget_moves_to(worker.id);
  if (!unreachable_.empty()) forget_unreachable(worker.id);
  layers_.for_each([&](LayerRecord& layer) {
    if (layer.defined.size() > gone / 64) layer.defined[gone / 64] &= ~(std::uint64_t{1} << (gone % 64));
  });

  // 1. What it held is gone.
  std::vector<std::pair<Slot, std::uint16_t>> lost, moved;
  tasks_.for_each([&](Slot slot, Task& task) {
    for (std::uint16_t o = 0; o < task.output_count; ++o) {
      Output& output = task.output(o);
      if (!output.replicas.remove(gone)) continue;
      (output.available() ? moved : lost).emplace_back(slot, o);
    }
  });
  // In the order of tasks and not of their records: what is done about them must not depend on what was known before.
  const auto by_task = [&](const auto& a, const auto& b) { return tasks_[a.first].id < tasks_[b.first].id; };
  std::stable_sort(lost.begin(), lost.end(), by_task);
  std::stable_sort(moved.begin(), moved.end(), by_task);
  // 2. What was ready for it is ready for others, unless it now waits (which output_gone sees to).
  std::vector<Slot> ready;
  for (const auto& entry : worker.ready.entries()) ready.push_back(entry.slot);
  for (Slot slot : ready) tasks_[slot].queued_in = QueueKind::kNone;
  for (const auto& entry : worker.ahead.entries()) tasks_[entry.slot].queued_in = QueueKind::kNone;  // they wait on
  for (Slot slot : worker.bound) recall_followers(slot);
  departed(had);
  // 3. Its attempts are over. Until they are entered again, their phase keeps anybody from forgetting them.
  std::vector<Slot> bound = worker.bound;
  std::sort(bound.begin(), bound.end(), [&](Slot a, Slot b) { return tasks_[a].attempt < tasks_[b].attempt; });
  Inquest inquest{
      worker.registration.name,         fmt::format("{} ({})", worker.registration.name, worker.registration.address),
      worker.registration.nanny,        worker.registration.life,
      worker.registration.instance,     detail,
      reason == LossReason::kHeartbeat, {},
      now_ + config_.report_patience};
  const bool blameless = innocent(reason) || (worker.ends_at && now_ >= *worker.ends_at);
  for (std::size_t i = 0; i < bound.size(); ++i) {
    Task& task = tasks_[bound[i]];
    task.worker = kNoSlot;
    task.missing = 0;
    end_asking(task);
    const bool likely = task.phase == TaskPhase::kRunning || i < worker.registration.threads;
    if (!blameless && task.phase != TaskPhase::kRetracting) inquest.suspects.push_back({task.id, task.attempt, likely});
  }
  // The tables know of the loss; now the tasks do. Those that were ready or bound have no place now: they take no part
  // in output_gone and look for themselves afterwards.
  for (const auto& [slot, o] : moved) {
    if (tasks_[slot].output(o).wants != 0) notify_ready(tasks_[slot], o);
  }
  for (const auto& [slot, o] : lost) output_gone(slot, o);
  for (const auto& [slot, o] : lost) recompute(slot);
  for (Slot slot : ready) enter(slot);
  for (Slot slot : bound) reenter(slot);
  free_workers_.push_back(gone);
  if (!blameless) note_death(worker, detail);
  if (inquest.suspects.empty()) return;
  const bool to_be_reported = inquest.nanny != 0 && (reason == LossReason::kConnection || inquest.vanished);
  if (!to_be_reported || worker.death) return judge(std::move(inquest), worker.death ? &*worker.death : nullptr);
  if (inquests_.size() == kMostInquests) {
    judge(std::move(inquests_.front()), nullptr);
    inquests_.pop_front();
  }
  inquests_.push_back(std::move(inquest));
}

// A bound task whose worker is gone.
void Core::reenter(Slot slot) {
  Task& task = tasks_[slot];
  task.phase = TaskPhase::kNone;
  const std::uint16_t account = task.account;
  --sessions_[account]->processing;
  if (layer_of_task(task).is_active(index_of(task.id))) {
    enter(slot);
  } else {
    tidy(slot);
    retire_session(account);
  }
}

}  // namespace tegula::scheduler
