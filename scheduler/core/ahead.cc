// Waiting tasks that are bound before their inputs exist. When each input that a task lacks is bound to some worker,
// the task can be bound too, ahead of them: its worker waits for what is made there and asks the others, who answer
// when theirs exist, so the task starts without another word of the scheduler. Such a task holds a slot and no bytes.
// Those with fewest attempts before them go first, so that every thread has something that follows.
//
// Short tasks, to which asking the scheduler is what costs, go where most of their input bytes are or will be. Of
// longer ones it matters more that each thread has its share, which is known when they are ready: they only follow
// attempts of one worker that nobody else follows, as these leave a thread free.
//
// It comes back (returned, not failed) when an attempt that it counts on ends without a result: its worker finds that
// out by itself, or by the answer of the other one. When the other one is lost the scheduler asks for it. What came
// back may have heard of that end before the scheduler did, so it is bound ahead again only after news of an input.
#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

// A task that lacks more inputs is not looked at: each look costs as much as it has inputs.
constexpr std::uint32_t kMostMissing = 4;
constexpr std::uint8_t kMostDepth = 64;
// Short tasks that are ahead of several workers' attempts keep each of a worker's threads busy for about this long.
constexpr double kCoveredNs = 2e6;
// What a task of unknown cost is taken to need.
constexpr double kUnknownNs = 2e6;

// Depth first, then the task's own tag.
std::int64_t order_of(const Task& task) {
  constexpr int kDepthShift = 56;
  constexpr std::int64_t kMask = (std::int64_t{1} << kDepthShift) - 1;
  return (static_cast<std::int64_t>(task.ahead_depth) << kDepthShift) | (std::max<std::int64_t>(task.tag, 0) & kMask);
}

}  // namespace

Core::Producers Core::producers_of(const Task& task) const {
  Producers found;
  if (task.missing == 0 || task.missing > kMostMissing) return found;
  const LayerRecord& layer = layers_.at(layer_of(task.id));
  std::uint8_t depth = 0;
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    bool bound = true;
    input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
      const Slot slot = producers.slot(producer);
      if (slot == kNoSlot) {
        bound = false;
        return;
      }
      const Task& made = tasks_[slot];
      if (made.output(input.output).available()) {
        found.all = false;
        return;
      }
      // While a worker's loss is seen to, its attempts have a phase but no worker.
      bound = bound && (made.phase == TaskPhase::kBound || made.phase == TaskPhase::kRunning) && made.worker != kNoSlot;
      found.one = found.one && (found.at == kNoSlot || found.at == made.worker);
      found.at = made.worker;
      depth = std::max(depth, made.ahead_depth);
    });
    if (!bound) return {};
  }
  found.bound = found.at != kNoSlot && depth < kMostDepth;
  found.depth = static_cast<std::uint8_t>(depth + 1);
  return found;
}

void Core::consider_ahead(Slot slot) {
  Task& task = tasks_[slot];
  if (task.state != TaskState::kWaiting || task.queued_in != QueueKind::kNone || task.came_back) return;
  const LayerRecord& layer = layer_of_task(task);
  if (requirements_[layer.requirement].metered()) return;  // when what it occupies is free
  const Producers producers = producers_of(task);
  if (!producers.bound) return;
  const double known = expected_ns(layer), expected = known == 0 ? kUnknownNs : known;
  WorkerSlot at = producers.at;
  if (expected > static_cast<double>(config_.short_task.count())) {
    if (!producers.one || follows_with_others(task) || (!producers.all && place_ahead(task, at) != at)) return;
  } else if (task.fetch_failures != 0) {
    // A worker may not reach another: it goes where nothing need be waited for elsewhere.
    if (!producers.one) return;
  } else if (!producers.one || !producers.all) {
    at = place_ahead(task, kNoSlot);
    if (at == kNoSlot) return;
    const auto before = static_cast<double>(worker_at(at).bound_ahead + worker_at(at).ahead.size());
    if (expected * before > kCoveredNs * worker_at(at).registration.threads) return;
  }
  Worker& worker = worker_at(at);
  if (!groups_[worker.group].has[layer.requirement]) return;
  count_follower(task, 1);
  task.ahead_depth = producers.depth;
  task.queued_in = QueueKind::kAhead;
  task.queue = at;
  worker.ahead.push(slot, order_of(task), tasks_);
  offer(worker);
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

// Of the workers that hold or make inputs of the task and may run it, the one with most of their bytes. (`usual` unless
// another has so many more that fetching them takes longer than asking the scheduler once more would.)
WorkerSlot Core::place_ahead(const Task& task, WorkerSlot usual) {
  const LayerRecord& layer = layers_.at(layer_of(task.id));
  holder_bytes_.resize(workers_.size());
  const auto count = [this](WorkerSlot worker, std::uint64_t bytes) {
    if (holder_bytes_[worker] == 0) holder_touched_.push_back(worker);
    holder_bytes_[worker] += bytes;
  };
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
      const Task& made = tasks_[producers.slot(producer)];
      const Output& output = made.output(input.output);
      if (!output.available()) {
        count(made.worker, declared_nbytes(*producers.description, input.output, producer) + bytes_of_latency());
      }
      for (WorkerSlot worker : output.replicas.span()) count(worker, output.nbytes + bytes_of_latency());
    });
  }
  if (usual != kNoSlot) count(usual, bytes_of_latency());
  WorkerSlot best = kNoSlot;
  const auto better = [&](WorkerSlot slot) {
    if (best == kNoSlot || holder_bytes_[slot] != holder_bytes_[best]) {
      return best == kNoSlot || holder_bytes_[slot] > holder_bytes_[best];
    }
    const Worker &a = worker_at(slot), &b = worker_at(best);
    const std::size_t here = a.bound_ahead + a.ahead.size(), there = b.bound_ahead + b.ahead.size();
    return here != there ? here < there : slot < best;
  };
  for (WorkerSlot slot : holder_touched_) {
    const Worker& worker = worker_at(slot);
    if (groups_[worker.group].has[layer.requirement] && worker.retiring == 0 && better(slot)) best = slot;
  }
  for (WorkerSlot slot : holder_touched_) holder_bytes_[slot] = 0;
  holder_touched_.clear();
  return best;
}

void Core::consider_consumers_ahead(Slot producer) {
  for_each_known_consumer(tasks_[producer], [this](Slot consumer) {
    tasks_[consumer].came_back = false;
    consider_ahead(consumer);
  });
}

void Core::drop_ahead(Slot producer) {
  for_each_known_consumer(tasks_[producer], [this](Slot consumer) {
    if (tasks_[consumer].queued_in == QueueKind::kAhead) leave_queue(consumer);
  });
}

void Core::recall_followers(Slot producer) {
  for_each_known_consumer(tasks_[producer], [this](Slot consumer) {
    Task& task = tasks_[consumer];
    if (task.queued_in == QueueKind::kAhead) leave_queue(consumer);
    if (task.phase != TaskPhase::kBound || task.missing == 0 || task.worker == kNoSlot || !workers_[task.worker])
      return;
    task.phase = TaskPhase::kRetracting;
    asked_back_[task.id] = WorkerId{};
    drop_ahead(consumer);
    send(worker_at(task.worker), msg::Retract{task.attempt, task.id, false});
  });
}

}  // namespace tegula::scheduler
