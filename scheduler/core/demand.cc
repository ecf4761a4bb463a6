// What is to be computed: a set of flags, kept exact. It grows from wants towards sources when something is submitted
// or lost, and shrinks the same way when it is released.
#include <algorithm>
#include <utility>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

void Core::activate(LayerRecord& layer, std::uint32_t index, Pending& pending, std::uint16_t account) {
  layer.flags.set(index, static_cast<std::uint16_t>(LayerRecord::kActive | account));
  ++layer.active;
  ++active_;
  Session& session = *sessions_[account];
  if (session.active++ == 0) session.done = 0;
  if (!pending.all) pending.indices.push_back(index);
  const Slot slot = layer.slot(index);
  if (slot == kNoSlot) {
    ++counters_.released;
    return;
  }
  Task& task = tasks_[slot];
  const std::uint16_t before = std::exchange(task.account, account);
  if (task.state == TaskState::kProcessing) {
    ++session.processing;
    --sessions_[before]->processing;
    retire_session(before);  // this may have been the last task on the account of a session that was closed
  }
  task.expanded = false;
  task.failure.reset();
  task.failures = 0;
}

void Core::activate_all(LayerRecord& layer, Pending& pending, std::uint16_t account) {
  for (std::uint32_t index = 0; index < layer.tasks; ++index) {
    layer.flags.set(index, static_cast<std::uint16_t>(LayerRecord::kActive | account));
  }
  layer.active = layer.tasks;
  active_ += layer.tasks;
  Session& session = *sessions_[account];
  if (session.active == 0) session.done = 0;
  session.active += layer.tasks;
  counters_.released += layer.tasks;
  pending.all = true;
  pending.indices.clear();
}

void Core::demand_inputs(const LayerRecord& layer, std::uint32_t index, PendingLayers& pending, std::uint16_t account) {
  for (const LayerInput& input : layer.inputs) {
    LayerRecord& producers = layers_.at(input.layer);
    Pending& found = pending[input.layer];
    for_each_distinct(input, index, [&](std::uint32_t producer) {
      const Slot slot = producers.slot(producer);
      if (slot != kNoSlot) {
        Output& output = tasks_[slot].output(input.output);
        ++output.consumers;
        if (output.available()) return;
      }
      if (!producers.is_active(producer)) activate(producers, producer, found, account);
    });
  }
}

// As demand_inputs for each task of the layer, without looking at each edge where the producers are demanded as a whole
// and none of them has a record whose consumers would have to be counted.
void Core::demand_inputs_of_all(LayerRecord& layer, PendingLayers& pending, std::uint16_t account) {
  for (const LayerInput& input : layer.inputs) {
    LayerRecord& producers = layers_.at(input.layer);
    if (producers.known == 0 && producers.active == producers.tasks) continue;
    Pending& found = pending[input.layer];
    if (producers.known == 0 && producers.active == 0 && input.consumers->covers_all_producers()) {
      activate_all(producers, found, account);
      continue;
    }
    for (std::uint32_t index = 0; index < layer.tasks; ++index) {
      for_each_distinct(input, index, [&](std::uint32_t producer) {
        const Slot slot = producers.slot(producer);
        if (slot != kNoSlot) {
          Output& output = tasks_[slot].output(input.output);
          ++output.consumers;
          if (output.available()) return;
        }
        if (!producers.is_active(producer)) activate(producers, producer, found, account);
      });
    }
  }
}

void Core::demand(PendingLayers& pending, std::uint16_t account) {
  std::vector<Slot> with_record;
  while (!pending.empty()) {
    const auto node = pending.extract(pending.begin());
    LayerRecord& layer = layers_.at(node.key());
    if (node.mapped().all) {
      demand_inputs_of_all(layer, pending, account);
      continue;
    }
    for (std::uint32_t index : node.mapped().indices) {
      demand_inputs(layer, index, pending, account);
      const Slot slot = layer.slot(index);
      if (slot != kNoSlot) with_record.push_back(slot);
    }
  }
  // Inputs were flagged after their consumers, so only now does each find its inputs available or active.
  for (Slot slot : with_record) {
    if (tasks_[slot].state == TaskState::kProcessing) continue;
    const TaskId id = tasks_[slot].id;
    const bool failed = tasks_[slot].state == TaskState::kErred;
    enter(slot);
    // Others wanted it when it failed: they need it now whatever becomes of who asked again, so its inputs are looked
    // at whether that one's walk comes here or not.
    if (failed) recover(id);
  }
}

void Core::demand_again(LayerRecord& layer, std::uint32_t index, std::uint16_t account) {
  PendingLayers pending;
  activate(layer, index, pending[layer.id], account);
  demand(pending, account);
  recover(make_task_id(layer.id, index));
}

void Core::demand_again(Slot slot) {
  LayerRecord& layer = layer_of_task(tasks_[slot]);
  const std::uint16_t account = layer.namers.empty() ? std::uint16_t{0} : layer.namers.front().session;
  demand_again(layer, index_of(tasks_[slot].id), account);
}

bool Core::clear_active(LayerRecord& layer, std::uint32_t index) {
  const std::uint16_t flags = layer.flags.get(index);
  if ((flags & LayerRecord::kActive) == 0) return false;
  layer.flags.set(index, 0);
  --active_;
  if (layer.slot(index) == kNoSlot) --counters_.released;
  if (--layer.active == 0 && layer.unused()) maybe_unused_.push_back(layer.id);
  const std::uint16_t account = flags & LayerRecord::kAccount;
  if (--sessions_[account]->active == 0) retire_session(account);
  return true;
}

void Core::release_inputs(const LayerRecord& layer, std::uint32_t index) {
  for (const LayerInput& input : layer.inputs) {
    LayerRecord& producers = layers_.at(input.layer);
    for_each_distinct(input, index, [&](std::uint32_t producer) {
      const Slot slot = producers.slot(producer);
      if (slot == kNoSlot) {
        if (producers.is_active(producer)) doubt(make_task_id(producers.id, producer));
        return;
      }
      Output& output = tasks_[slot].output(input.output);
      --output.consumers;
      if (output.needed()) return;
      if (producers.is_active(producer)) doubt(make_task_id(producers.id, producer));
      tidy(slot);
    });
  }
}

bool Core::still_needed(LayerRecord& layer, std::uint32_t index) {
  const Slot slot = layer.slot(index);
  for (std::uint16_t o = 0; o < layer.outputs; ++o) {
    if (slot != kNoSlot) {
      const Output& output = tasks_[slot].output(o);
      if (output.needed() && !output.available()) return true;
    } else if (wants_of(layer, o, index) != 0 || has_active_consumer(layer, o, index)) {
      return true;
    }
  }
  return false;
}

// Consumers have greater layer numbers than producers, so going down by number looks at each task once, when all of its
// consumers have been decided.
void Core::resolve_doubts() {
  if (doubted_.empty()) return;
  std::vector<TaskId> heap;
  for (;;) {
    for (TaskId task : doubted_) {
      heap.push_back(task);
      std::push_heap(heap.begin(), heap.end());
    }
    doubted_.clear();
    if (heap.empty()) return;
    std::pop_heap(heap.begin(), heap.end());
    const TaskId id = heap.back();
    heap.pop_back();
    LayerRecord* layer = layers_.find(layer_of(id));
    const std::uint32_t index = index_of(id);
    if (layer != nullptr && layer->is_active(index) && !still_needed(*layer, index)) deactivate(*layer, index);
  }
}

void Core::deactivate(LayerRecord& layer, std::uint32_t index) {
  const Slot slot = layer.slot(index);
  if (slot != kNoSlot) leave_queue(slot);
  clear_active(layer, index);
  if (slot != kNoSlot) {
    if (tasks_[slot].state == TaskState::kProcessing) {
      retract(slot);
    } else {
      tidy(slot);
    }
  }
  release_inputs(layer, index);
}

}  // namespace tegula::scheduler
