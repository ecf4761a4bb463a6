// Waiting tasks that can follow their inputs on one worker. While a task waits, its missing inputs may all be bound to
// one worker; then it can be bound there as well, ahead of them: the worker starts it when the last of them is done,
// without asking anybody. Such a task holds a slot there and no bytes. Those with fewest attempts before them go first,
// so that every thread has something that follows.
#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

// A task that lacks more inputs is not looked at: each look costs as much as it has inputs.
constexpr std::uint32_t kMostMissing = 4;
constexpr std::uint8_t kMostDepth = 64;
// A task that takes less than this may follow another one's attempt beside others. Of longer ones only the first may:
// the rest would wait for its thread while others have nothing to do.
constexpr double kShortNs = 200e3;

// Depth first, then the task's own tag.
std::int64_t order_of(const Task& task) {
  constexpr int kDepthShift = 56;
  constexpr std::int64_t kMask = (std::int64_t{1} << kDepthShift) - 1;
  return (static_cast<std::int64_t>(task.ahead_depth) << kDepthShift) | (std::max<std::int64_t>(task.tag, 0) & kMask);
}

}  // namespace

WorkerSlot Core::producing_worker(const Task& task, std::uint8_t& depth) const {
  if (task.missing == 0 || task.missing > kMostMissing) return kNoSlot;
  const LayerRecord& layer = layers_.at(layer_of(task.id));
  WorkerSlot at = kNoSlot;
  bool one = true;
  depth = 0;
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
      const Slot slot = producers.slot(producer);
      if (slot == kNoSlot) {
        one = false;
        return;
      }
      const Task& made = tasks_[slot];
      if (made.output(input.output).available()) return;
      // While a worker's loss is seen to, its attempts have a phase but no worker.
      one = one && (made.phase == TaskPhase::kBound || made.phase == TaskPhase::kRunning) && made.worker != kNoSlot &&
            (at == kNoSlot || at == made.worker);
      at = made.worker;
      depth = std::max(depth, made.ahead_depth);
    });
    if (!one) return kNoSlot;
  }
  if (at == kNoSlot || depth >= kMostDepth || !groups_[workers_[at]->group].has[layer.requirement]) return kNoSlot;
  ++depth;
  return at;
}

void Core::consider_ahead(Slot slot) {
  Task& task = tasks_[slot];
  if (task.state != TaskState::kWaiting || task.queued_in != QueueKind::kNone) return;
  if (requirements_[layer_of_task(task).requirement].metered()) return;  // when what it occupies is free
  std::uint8_t depth = 0;
  const WorkerSlot at = producing_worker(task, depth);
  if (at == kNoSlot) return;
  const double expected = expected_ns(layer_of_task(task));
  if ((expected == 0 || expected > kShortNs) && follows_with_others(task)) return;
  if (belongs_elsewhere(task, at)) return;
  count_follower(task, 1);
  Worker& worker = worker_at(at);
  task.ahead_depth = depth;
  task.queued_in = QueueKind::kAhead;
  task.queue = at;
  worker.ahead.push(slot, order_of(task), tasks_);
  offer(worker);
}

// Whether so much more of the task's inputs lies on another worker that fetching it takes longer than asking the
// scheduler once more would.
bool Core::belongs_elsewhere(const Task& task, WorkerSlot at) {
  const LayerRecord& layer = layers_.at(layer_of(task.id));
  holder_bytes_.resize(workers_.size());
  std::uint64_t here = 0;
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
      const Output& output = tasks_[producers.slot(producer)].output(input.output);
      if (!output.available()) here += declared_nbytes(*producers.description, input.output, producer);
      for (WorkerSlot worker : output.replicas.span()) {
        if (holder_bytes_[worker] == 0) holder_touched_.push_back(worker);
        holder_bytes_[worker] += output.nbytes + 1;
      }
    });
  }
  std::uint64_t most = 0;
  for (WorkerSlot slot : holder_touched_) {
    if (slot != at) most = std::max(most, holder_bytes_[slot]);
  }
  here += holder_bytes_[at];
  for (WorkerSlot slot : holder_touched_) holder_bytes_[slot] = 0;
  holder_touched_.clear();
  return most > here + bytes_of_latency();
}

// Whether somebody else follows the attempts that this task waits for.
bool Core::follows_with_others(const Task& task) const {
  bool others = false;
  for_each_pending_producer(task, [&](const Task& made) { others = others || made.followers != 0; });
  return others;
}

void Core::count_follower(const Task& task, int by) {
  for_each_pending_producer(task, [by](Task& made) {
    if (by > 0 ? made.followers < 255 : made.followers > 0)
      made.followers = static_cast<std::uint8_t>(made.followers + by);
  });
}

void Core::consider_consumers_ahead(Slot producer) {
  for_each_known_consumer(tasks_[producer], [this](Slot consumer) { consider_ahead(consumer); });
}

void Core::drop_ahead(Slot producer) {
  for_each_known_consumer(tasks_[producer], [this](Slot consumer) {
    if (tasks_[consumer].queued_in == QueueKind::kAhead) leave_queue(consumer);
  });
}

}  // namespace tegula::scheduler
