// Records come and go, states change, and each change is counted and logged.
#include <fmt/core.h>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

std::uint64_t* counter_of(Counters& counters, TaskState state) {
  switch (state) {
    case TaskState::kReleased:
      return &counters.released;
    case TaskState::kWaiting:
      return &counters.waiting;
    case TaskState::kNoWorker:
      return &counters.no_worker;
    case TaskState::kQueued:
      return &counters.queued;
    case TaskState::kProcessing:
      return &counters.processing;
    case TaskState::kMemory:
      return &counters.memory;
    case TaskState::kErred:
      return &counters.erred;
    case TaskState::kForgotten:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

Slot Core::find_slot(TaskId id) const {
  const LayerRecord* layer = layers_.find(layer_of(id));
  return layer != nullptr && index_of(id) < layer->tasks ? layer->slot(index_of(id)) : kNoSlot;
}

Task* Core::find_task(TaskId id) {
  const Slot slot = find_slot(id);
  return slot == kNoSlot ? nullptr : &tasks_[slot];
}

std::uint64_t Core::wants_of(const LayerRecord& layer, std::uint16_t output, std::uint32_t index) const {
  std::uint64_t wants = 0;
  for (const Namer& namer : layer.namers) wants += namer.wants[output].count(index);
  return wants;
}

bool Core::has_active_consumer(const LayerRecord& layer, std::uint16_t output, std::uint32_t index) const {
  for (const LayerReader& reader : layer.readers) {
    if (reader.output != output) continue;
    const LayerRecord& consumers = layers_.at(reader.layer);
    if (consumers.active == 0) continue;
    if (reader.consumers->until(index, [&](std::uint32_t consumer) { return consumers.is_active(consumer); })) {
      return true;
    }
  }
  return false;
}

Slot Core::create_record(LayerRecord& layer, std::uint32_t index) {
  const Slot slot = tasks_.create();
  Task& task = tasks_[slot];
  task.id = make_task_id(layer.id, index);
  task.account = layer.account(index);
  task.output_count = layer.outputs;
  if (layer.outputs > 1) task.more.resize(layer.outputs - 1u);
  task.state = layer.is_active(index) ? TaskState::kReleased : TaskState::kForgotten;
  for (std::uint16_t o = 0; o < layer.outputs; ++o) {
    task.output(o).wants = static_cast<std::uint32_t>(wants_of(layer, o, index));
  }
  for (const LayerReader& reader : layer.readers) {
    const LayerRecord& consumers = layers_.at(reader.layer);
    if (consumers.active == 0) continue;
    std::uint32_t& count = task.output(reader.output).consumers;
    if (consumers.active == consumers.tasks) {
      count += static_cast<std::uint32_t>(reader.consumers->count(index));
    } else {
      reader.consumers->for_each(index,
                                 [&](std::uint32_t consumer) { count += consumers.is_active(consumer) ? 1 : 0; });
    }
  }
  layer.slots.set(index, slot + 1);
  ++layer.known;
  return slot;
}

void Core::set_state(Task& task, TaskState to) {
  const TaskState from = task.state;
  if (from == to) return;
  if (auto* counter = counter_of(counters_, from)) --*counter;
  if (auto* counter = counter_of(counters_, to)) ++*counter;
  task.state = to;
  ++transitions_;
  if (config_.log_size == 0) return;
  const WorkerId worker = task.worker == kNoSlot ? WorkerId{} : workers_[task.worker]->id;
  const Transition entry{now_, task.id, from, to, worker, worker == WorkerId{} ? AttemptId{} : task.attempt};
  if (log_.size() < config_.log_size) {
    log_.push_back(entry);
  } else {
    log_[log_next_] = entry;
  }
  if (++log_next_ == config_.log_size) log_next_ = 0;
}

void Core::forget(Slot slot) {
  Task& task = tasks_[slot];
  set_state(task, TaskState::kForgotten);
  if (task.deaths != 0 || task.near_deaths != 0) deaths_.erase(task.id);
  for (std::uint16_t o = 0; o < task.output_count; ++o) forget_copies({task.id, o});
  LayerRecord& layer = layer_of_task(task);
  layer.slots.set(index_of(task.id), 0);
  if (--layer.known == 0 && layer.unused()) maybe_unused_.push_back(layer.id);
  tasks_.destroy(slot);
}

void Core::drop_unused_layers() {
  while (!maybe_unused_.empty()) {
    const LayerId id = maybe_unused_.back();
    maybe_unused_.pop_back();
    LayerRecord* layer = layers_.find(id);
    if (layer == nullptr || !layer->unused()) continue;
    for (std::size_t word = 0; word < layer->defined.size(); ++word) {
      for (std::uint64_t bits = layer->defined[word]; bits != 0; bits &= bits - 1) {
        const auto slot = static_cast<WorkerSlot>(word * 64 + static_cast<unsigned>(__builtin_ctzll(bits)));
        send(worker_at(slot), msg::ForgetLayer{id});
      }
    }
    for (const LayerInput& input : layer->inputs) maybe_unused_.push_back(input.layer);
    release_requirement(layer->requirement);
    layers_.remove(id);
    --counters_.layers;
  }
}

std::string Core::key_of(TaskId id) const {
  const LayerRecord* layer = layers_.find(layer_of(id));
  if (layer == nullptr || index_of(id) >= layer->tasks) return {};
  return key_text(*layer->description, layer->hash, index_of(id));
}

}  // namespace tegula::scheduler
