// Active tasks that no worker has: waiting for inputs, or ready and waiting for credit or for a worker with the
// requirement.
#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr std::size_t kMostExact = 16;  // inputs whose transfers are looked at one by one

}  // namespace

void Core::enter(Slot slot) {
  Task& task = tasks_[slot];
  const LayerRecord& layer = layer_of_task(task);
  const std::uint32_t index = index_of(task.id);
  task.missing = 0;
  std::vector<TaskId> abandoned;  // inputs that are neither there nor on their way
  Slot failed = kNoSlot;          // an input that failed while a worker had the task
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    for_each_distinct(input, index, [&](std::uint32_t producer) {
      const Slot of = producers.slot(producer);
      if (of != kNoSlot && tasks_[of].output(input.output).available()) return;
      ++task.missing;
      if (producers.is_active(producer)) return;
      abandoned.push_back(make_task_id(producers.id, producer));
      if (of != kNoSlot && tasks_[of].failure) failed = of;
    });
  }
  if (task.missing == 0) {
    make_ready(slot);
    return;
  }
  if (failed != kNoSlot) {
    fail_because_of(tasks_[failed], task.id);
    return;
  }
  set_state(task, TaskState::kWaiting);
  for (TaskId producer : abandoned) {
    LayerRecord& producers = layers_.at(layer_of(producer));
    if (!producers.is_active(index_of(producer))) demand_again(producers, index_of(producer), task.account);
  }
  consider_ahead(slot);
}

void Core::make_ready(Slot slot) {
  Task& task = tasks_[slot];
  task.ahead_depth = 0;
  const LayerRecord& layer = layer_of_task(task);
  Requirement& requirement = requirements_[layer.requirement];
  const WorkerSlot holder =
      requirement.live == 0 || requirement.metered() || layer.is_root() ? kNoSlot : preferred_holder(task);
  if (holder != kNoSlot) {
    Worker& worker = worker_at(holder);
    task.queued_in = QueueKind::kWorker;
    task.queue = holder;
    worker.ready.push(slot, tasks_);
    load_changed(worker);
    set_state(task, TaskState::kQueued);
    return;
  }
  task.queued_in = QueueKind::kAny;
  task.queue = layer.requirement;
  requirement.ready.push(slot, tasks_);
  if (!requirement.listed) {
    requirement.listed = true;
    ready_requirements_.push_back(layer.requirement);
  }
  Session& session = *sessions_[task.account];
  if (requirement.live == 0) {
    ++session.roots[task.urgency].no_worker;
    set_state(task, TaskState::kNoWorker);
    if (kernel_missing(requirement)) doubtful_requirements_.push_back(layer.requirement);
  } else {
    ++session.roots[task.urgency].queued;
    set_state(task, TaskState::kQueued);
  }
}

void Core::leave_queue(Slot slot) {
  Task& task = tasks_[slot];
  if (task.queued_in == QueueKind::kNone) return;
  if (task.queued_in == QueueKind::kWorker) {
    Worker& worker = worker_at(task.queue);
    worker.ready.erase(slot, tasks_);
    load_changed(worker);
  } else if (task.queued_in == QueueKind::kAhead) {
    worker_at(task.queue).ahead.erase(slot, tasks_);
    count_follower(task, -1);
  } else if (task.queued_in == QueueKind::kDelayed) {
    std::erase_if(delayed_, [&](const auto& entry) { return entry.second == task.id; });
  } else {
    Requirement& requirement = requirements_[task.queue];
    requirement.ready.erase(slot, tasks_);
    if (requirement.ready.empty()) {
      requirement.listed = false;
      ready_requirements_.erase(std::find(ready_requirements_.begin(), ready_requirements_.end(), task.queue));
    }
    Session& session = *sessions_[task.account];
    const auto roots = session.roots.find(task.urgency);
    --(task.state == TaskState::kNoWorker ? roots->second.no_worker : roots->second.queued);
    if (roots->second.no_worker == 0 && roots->second.queued == 0) session.roots.erase(roots);
    mark_expandable(task.account);
  }
  task.queued_in = QueueKind::kNone;
}

// Of the workers that hold inputs of the task and may run it, and of the one with most threads idle, the one where it
// would start first, fetching what is missing there included; kNoSlot when there is none of them.
WorkerSlot Core::preferred_holder(const Task& task) {
  const LayerRecord& layer = layers_.at(layer_of(task.id));
  holder_bytes_.resize(workers_.size());
  std::uint64_t total = 0;
  std::size_t inputs = 0;
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
      const Output& output = tasks_[producers.slot(producer)].output(input.output);
      const std::uint64_t bytes = output.nbytes + bytes_of_latency();
      total += bytes;
      ++inputs;
      for (WorkerSlot worker : output.replicas.span()) {
        if (holder_bytes_[worker] == 0) holder_touched_.push_back(worker);
        holder_bytes_[worker] += bytes;
      }
    });
  }
  // Of very many inputs the sum is near enough.
  const bool exact = link_.knows_bandwidth() && inputs <= kMostExact;
  const double by_byte = link_.knows_bandwidth() ? link_.ns_per_byte() * 1e-9 : 1 / config_.assumed_bandwidth;
  WorkerSlot best = kNoSlot;
  double best_start = 0;
  const auto consider = [&](WorkerSlot slot) {
    const Worker& worker = worker_at(slot);
    if (!groups_[worker.group].has[layer.requirement] || worker.retiring != 0) return;
    const double fetch = exact ? seconds_to_fetch(task, worker)
                               : static_cast<double>(total - holder_bytes_[slot]) * by_byte + detour(task, worker);
    const double start = seconds_to_start(worker, true) + fetch;
    const auto better = [&] {
      if (start != best_start) return start < best_start;
      const Worker& other = worker_at(best);
      if (holder_bytes_[slot] != holder_bytes_[best]) return holder_bytes_[slot] > holder_bytes_[best];
      if (worker.credit() != other.credit()) return worker.credit() > other.credit();
      return slot < best;
    };
    if (best != kNoSlot && !better()) return;
    best = slot;
    best_start = start;
  };
  for (WorkerSlot slot : holder_touched_) consider(slot);
  if (best != kNoSlot) {
    const WorkerGroup& group = groups_[worker_at(best).group];
    if (!group.idle.empty()) consider(group.idle.top());
    if (detour(task, worker_at(best)) > 0) {  // anybody who can get at the inputs
      for (const auto& other : workers_) {
        if (other) consider(other->slot);
      }
    }
  }
  for (WorkerSlot slot : holder_touched_) holder_bytes_[slot] = 0;
  holder_touched_.clear();
  return best;
}

// The set of workers that meet the requirement went from none to some, or back.
void Core::requeue(std::uint32_t requirement) {
  std::vector<Slot> slots;
  for (const auto& entry : requirements_[requirement].ready.entries()) slots.push_back(entry.slot);
  for (Slot slot : slots) leave_queue(slot);
  for (Slot slot : slots) make_ready(slot);
}

}  // namespace tegula::scheduler
