// A worker with an idle thread gets what has not started elsewhere, when it would start there noticeably earlier. The
// other worker is asked to give the task back; only its answer moves the task, so no task is ever in two places. It
// can't go to and fro: it moves to a thread that has nothing to run, and then that worker is not one to take from.
// (What is bound ahead of it does not count: it can't run, and follows it.)
#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr std::size_t kMostLookedAt = 16;  // of a worker's tasks, the last ones first
constexpr double kUnknown = 1e-3;          // seconds that a task of unknown cost is taken to need

}  // namespace

void Core::workload_changed(Worker& worker) {
  WorkerGroup& group = groups_[worker.group];
  const std::size_t threads = worker.registration.threads;
  const std::size_t taken = worker.runnable() + worker.awaits;
  group.idle.update(worker.slot, taken < threads ? std::min<std::uint64_t>(threads - taken, worker.open_credit()) : 0);
  std::uint64_t delay = 0;
  if (worker.runnable() - worker.asked_back > threads) {
    // Nothing was answered for a while: what runs takes longer than expected, and what waits behind it too.
    const auto silent = std::chrono::duration_cast<std::chrono::microseconds>(now_ - worker.last_answer).count();
    delay =
        worker.expected_us / std::max<std::size_t>(threads, 1) + static_cast<std::uint64_t>(std::max<long>(silent, 0));
  }
  group.delay.update(worker.slot, delay);
}

void Core::ask_back() {
  const auto worthwhile = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(config_.worthwhile_gain).count());
  for (WorkerGroup& thieves : groups_) {
    for (WorkerGroup& group : groups_) {
      while (!thieves.idle.empty() && !group.delay.empty() && group.delay.top_key() >= worthwhile) {
        Worker& to = worker_at(thieves.idle.top());
        Worker& from = worker_at(group.delay.top());
        if (to.open_credit() <= to.awaits) {
          thieves.idle.update(to.slot, 0);  // here and below: until something changes there
          continue;
        }
        const Slot slot = movable_task(from, to);
        if (slot == kNoSlot) {
          group.delay.update(from.slot, 0);
          continue;
        }
        Task& task = tasks_[slot];
        task.phase = TaskPhase::kRetracting;
        asked_back_[task.id] = to.id;
        ++from.asked_back;
        ++to.awaits;
        ++counters_.tasks_asked_back;
        drop_ahead(slot);
        send(from, msg::Retract{task.attempt, task.id, false});
        workload_changed(from);
        workload_changed(to);
      }
    }
  }
}

// Of the tasks bound last the one that is least urgent and would start earlier on the other worker.
Slot Core::movable_task(const Worker& from, const Worker& to) const {
  const std::vector<bool>& has = groups_[to.group].has;
  const double delay = static_cast<double>(groups_[from.group].delay.top_key()) * 1e-6;
  const double least = std::chrono::duration<double>(config_.worthwhile_gain).count();
  Slot best = kNoSlot;
  const std::size_t end = from.bound.size() - std::min(from.bound.size(), kMostLookedAt);
  for (std::size_t i = from.bound.size(); i > end; --i) {
    const Task& task = tasks_[from.bound[i - 1]];
    const LayerRecord& layer = layers_.at(layer_of(task.id));
    if (task.phase != TaskPhase::kBound || task.missing != 0 || !has[layer.requirement]) continue;
    if (requirements_[layer.requirement].metered()) continue;
    if (!layer.is_active(index_of(task.id))) continue;
    if (best != kNoSlot && goes_before(task, tasks_[best])) continue;
    const double waits = delay - static_cast<double>(task.expected_us) * 1e-6;
    if (waits - seconds_to_fetch(task, to) - assumed_latency() >= least) best = from.bound[i - 1];
  }
  return best;
}

double Core::seconds_to_start(const Worker& worker, bool queued) const {
  const std::size_t threads = std::max<std::size_t>(worker.registration.threads, 1);
  const std::size_t runnable = worker.runnable();
  double seconds = 0;
  if (runnable >= threads) {
    // What runs is half done, on the average; or it takes longer than expected.
    const double all = static_cast<double>(worker.expected_us) * 1e-6;
    const double each = all == 0 ? kUnknown : all / static_cast<double>(runnable);
    const double silent = std::chrono::duration<double>(now_ - worker.last_answer).count();
    seconds = each * (static_cast<double>(runnable - threads) + 0.5) / static_cast<double>(threads) + silent;
  }
  if (queued && !worker.ready.empty()) {
    const double known = expected_ns(layer_of_task(tasks_[worker.ready.top().slot])) * 1e-9;
    const double each = known == 0 ? kUnknown : known;
    seconds += each * static_cast<double>(worker.ready.size() - 1) / static_cast<double>(threads);
  }
  return seconds;
}

void Core::end_asking(Task& task) {
  const auto asked = asked_back_.find(task.id);
  if (asked == asked_back_.end()) return;
  if (asked->second == WorkerId{}) {  // it lost what it followed
    asked_back_.erase(asked);
    return;
  }
  if (Worker* to = find_worker(asked->second)) {
    --to->awaits;
    workload_changed(*to);
  }
  asked_back_.erase(asked);
  if (task.worker != kNoSlot) --worker_at(task.worker).asked_back;
}

void Core::on_running(Worker& worker, const msg::TaskRunning& message) {
  const Slot slot = answered_attempt(worker, message.task, message.attempt);
  if (slot == kNoSlot) return;
  Task& task = tasks_[slot];
  if (task.phase != TaskPhase::kRetracting || !asked_back_.contains(task.id)) return;  // it is to be abandoned by now
  end_asking(task);
  task.phase = TaskPhase::kRunning;
  workload_changed(worker);
  consider_consumers_ahead(slot);
}

void Core::hand_over() {
  for (const auto& [id, to] : handed_over_) {
    Worker* worker = find_worker(to);
    const Slot slot = find_slot(id);
    if (worker == nullptr || worker->credit() == 0 || slot == kNoSlot) continue;
    const Task& task = tasks_[slot];
    if (task.queued_in != QueueKind::kAny && task.queued_in != QueueKind::kWorker) continue;
    if (!groups_[worker->group].has[layer_of_task(task).requirement]) continue;
    ++counters_.tasks_moved;
    bind(slot, *worker);
  }
  handed_over_.clear();
}

}  // namespace tegula::scheduler
