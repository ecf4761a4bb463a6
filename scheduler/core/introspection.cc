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
  if (task.state == TaskState::kErred) info.error = error_of(*task.failure);
  info.state = task.state;
  info.phase = task.phase;
  info.urgency = task.urgency;
  info.tag = task.tag;
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

TaskState Core::state_of(TaskId id) const {
  if (const Task* task = find_task(id)) return task->state;
  const LayerRecord* layer = layers_.find(layer_of(id));
  const bool active = layer != nullptr && index_of(id) < layer->tasks && layer->is_active(index_of(id));
  return active ? TaskState::kReleased : TaskState::kForgotten;
}

std::vector<InputInfo> Core::inputs(TaskId id, std::size_t most) const {
  std::vector<InputInfo> result;
  const LayerRecord* layer = layers_.find(layer_of(id));
  if (layer == nullptr || index_of(id) >= layer->tasks) return result;
  for (const LayerInput& input : layer->inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    for_each_distinct(input, index_of(id), [&](std::uint32_t producer) {
      if (result.size() == most) return;
      const TaskId made_by = make_task_id(producers.id, producer);
      const Slot of = producers.slot(producer);
      const bool available = of != kNoSlot && tasks_[of].output(input.output).available();
      result.push_back({{made_by, input.output}, state_of(made_by), available});
    });
  }
  return result;
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
    std::optional<std::int64_t> memory;
    if (worker->limited()) {
      constexpr std::int64_t kMost = std::int64_t{1} << 50;  // whatever the worker says
      const auto kib = static_cast<std::int64_t>(worker->kib_granted - worker->kib_spent);
      memory = std::clamp(kib, -kMost, kMost) * 1024;
    }
    result.push_back({worker->id, worker->registration, worker->heartbeat, worker->last_heard, worker->granted,
                      worker->spent, memory, static_cast<std::uint32_t>(worker->bound.size()), worker->retiring != 0,
                      worker->ends_at});
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.worker < b.worker; });
  return result;
}

TaskInfo SchedulerState::task(TaskId task) const { return core_->describe(task); }
TaskState SchedulerState::state_of(TaskId task) const { return core_->state_of(task); }
std::vector<InputInfo> SchedulerState::inputs(TaskId task, std::size_t most) const { return core_->inputs(task, most); }

std::optional<LayerId> SchedulerState::find_layer(const LayerHash& hash) const {
  const LayerRecord* layer = core_->layers_.find(hash);
  return layer == nullptr ? std::nullopt : std::optional(layer->id);
}

std::vector<ClientInfo> SchedulerState::clients() const {
  std::vector<ClientInfo> result;
  for (std::size_t slot = 1; slot < core_->sessions_.size(); ++slot) {
    if (!core_->sessions_[slot]) continue;
    const Session& session = *core_->sessions_[slot];
    if (!session.open) continue;
    ClientInfo info{session.id,
                    session.name,
                    session.connection != ConnectionId{},
                    session.active,
                    session.processing,
                    session.layers.size(),
                    0};
    for (const auto& [number, id] : session.layers) {
      for (const Namer& namer : core_->layers_.at(id).namers) {
        if (namer.session != slot || namer.number != number) continue;
        for (const WantMap& wants : namer.wants) {
          wants.for_each([&](std::uint32_t begin, std::uint32_t end, std::uint32_t) { info.wants += end - begin; });
        }
      }
    }
    result.push_back(std::move(info));
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.client < b.client; });
  return result;
}

std::vector<LayerInfo> SchedulerState::layers() const {
  std::vector<LayerInfo> result;
  core_->layers_.for_each([&](const LayerRecord& layer) {
    result.push_back({layer.id, layer.hash, layer.description, layer.active, layer.known, layer.namers.size()});
  });
  return result;  // the table is in the order of their numbers
}

std::vector<TaskId> SchedulerState::tasks() const {
  std::vector<TaskId> result;
  core_->tasks_.for_each([&](Slot, const Task& task) { result.push_back(task.id); });
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<ResultId> SchedulerState::held_by(WorkerId id) const {
  std::vector<ResultId> result;
  const Worker* worker = core_->find_worker(id);
  if (worker == nullptr) return result;
  core_->tasks_.for_each([&](Slot, const Task& task) {
    for (std::uint16_t o = 0; o < task.output_count; ++o) {
      if (task.output(o).replicas.contains(worker->slot)) result.push_back({task.id, o});
    }
  });
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<std::pair<TaskId, AttemptId>> SchedulerState::bound_to(WorkerId id) const {
  std::vector<std::pair<TaskId, AttemptId>> result;
  const Worker* worker = core_->find_worker(id);
  if (worker == nullptr) return result;
  for (Slot slot : worker->bound) result.emplace_back(core_->tasks_[slot].id, core_->tasks_[slot].attempt);
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return result;
}

std::string SchedulerState::key(TaskId task) const { return core_->key_of(task); }
Time SchedulerState::time() const { return core_->now_; }
Time SchedulerState::standstill() const {
  return core_->active_ == 0 || core_->progress_at_ == Time{} ? Time{} : core_->now_ - core_->progress_at_;
}
ResultId SchedulerState::find_key(std::string_view text) const { return core_->find_key(text); }
std::string SchedulerState::why(TaskId task) const { return core_->why(task); }

std::vector<Transition> SchedulerState::story(TaskId task) const { return core_->story(task); }
std::vector<Transition> SchedulerState::log() const { return core_->log(); }
std::uint64_t SchedulerState::transitions() const { return core_->transitions_; }

std::size_t SchedulerState::task_record_bytes() const {
  std::size_t bytes = core_->tasks_.bytes();
  core_->layers_.for_each([&](const LayerRecord& layer) { bytes += layer.flags.bytes() + layer.slots.bytes(); });
  return bytes;
}

}  // namespace tegula::scheduler
