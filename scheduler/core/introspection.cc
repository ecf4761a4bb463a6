// For people: what is where, and how it came there.
#include <fmt/core.h>

#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

std::string_view name_of(TaskState state) {
  switch (state) {
    case TaskState::kReleased:
      return "released";
    case TaskState::kWaiting:
      return "waiting";
    case TaskState::kNoWorker:
      return "no-worker";
    case TaskState::kQueued:
      return "queued";
    case TaskState::kProcessing:
      return "processing";
    case TaskState::kMemory:
      return "memory";
    case TaskState::kErred:
      return "erred";
    case TaskState::kForgotten:
      return "forgotten";
  }
  return "unknown";
}

std::string to_string(const Transition& transition) {
  std::string text = fmt::format("{:.6f} {}/{} {} -> {}", std::chrono::duration<double>(transition.time).count(),
                                 static_cast<std::uint32_t>(layer_of(transition.task)), index_of(transition.task),
                                 name_of(transition.from), name_of(transition.to));
  if (transition.worker != WorkerId{}) {
    text += fmt::format(" (worker {}, attempt {})", static_cast<std::uint32_t>(transition.worker),
                        static_cast<std::uint64_t>(transition.attempt));
  }
  return text;
}

TaskInfo Core::describe(TaskId id) const {
  TaskInfo info;
  const LayerRecord* layer = layers_.find(layer_of(id));
  if (layer == nullptr || index_of(id) >= layer->tasks) return info;
  info.key = key_of(id);
  info.kernel = layer->description->kernel;
  info.outputs.resize(layer->outputs);
  const Slot slot = layer->slot(index_of(id));
  if (slot == kNoSlot) {
    if (layer->is_active(index_of(id))) info.state = TaskState::kReleased;
    for (std::uint16_t o = 0; o < layer->outputs; ++o) info.outputs[o].wants = wants_of(*layer, o, index_of(id));
    return info;
  }
  const Task& task = tasks_[slot];
  info.state = task.state;
  info.phase = task.phase;
  info.priority = task.priority;
  if (task.worker != kNoSlot) {
    info.worker = workers_[task.worker]->id;
    info.attempt = task.attempt;
  }
  for (std::uint16_t o = 0; o < layer->outputs; ++o) {
    const Output& output = task.output(o);
    info.outputs[o] = {output.nbytes, output.wants, output.consumers, {}};
    for (WorkerSlot worker : output.replicas.span()) info.outputs[o].holders.push_back(workers_[worker]->id);
  }
  return info;
}

std::vector<Transition> Core::log() const {
  std::vector<Transition> entries;
  const std::size_t first = log_.size() < config_.log_size ? 0 : log_next_;
  for (std::size_t i = 0; i < log_.size(); ++i) entries.push_back(log_[(first + i) % log_.size()]);
  return entries;
}

std::vector<Transition> Core::story(TaskId task) const {
  std::vector<Transition> entries = log();
  std::erase_if(entries, [task](const Transition& entry) { return entry.task != task; });
  return entries;
}

const Counters& SchedulerState::counters() const { return core_->counters_; }

std::vector<WorkerInfo> SchedulerState::workers() const {
  std::vector<WorkerInfo> result;
  for (const auto& worker : core_->workers_) {
    if (!worker) continue;
    result.push_back({worker->id, worker->registration, worker->heartbeat, worker->last_heard, worker->granted,
                      worker->spent, static_cast<std::uint32_t>(worker->bound.size())});
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.worker < b.worker; });
  return result;
}

TaskInfo SchedulerState::task(TaskId task) const { return core_->describe(task); }

std::optional<LayerId> SchedulerState::find_layer(const LayerHash& hash) const {
  const LayerRecord* layer = core_->layers_.find(hash);
  return layer == nullptr ? std::nullopt : std::optional(layer->id);
}

std::vector<Transition> SchedulerState::story(TaskId task) const { return core_->story(task); }
std::vector<Transition> SchedulerState::log() const { return core_->log(); }

std::size_t SchedulerState::task_record_bytes() const {
  std::size_t bytes = core_->tasks_.bytes();
  core_->layers_.for_each([&](const LayerRecord& layer) { bytes += layer.flags.bytes() + layer.slots.bytes(); });
  return bytes;
}

}  // namespace tegula::scheduler
