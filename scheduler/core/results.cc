// What workers report, and the life of results: announced, held by several, lost, released.
#include <fmt/core.h>

#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

namespace {

// One worker that can't reach another says nothing of what is there. When a task has come back so often for its inputs,
// those that can't be had are made again elsewhere.
constexpr std::uint32_t kUnreachablePatience = 3;

}  // namespace

bool Core::result_exists(ResultId result) const {
  const LayerRecord* layer = layers_.find(layer_of(result.task));
  return layer != nullptr && index_of(result.task) < layer->tasks && result.output < layer->outputs;
}

bool Core::held_by(ResultId result, WorkerSlot worker) const {
  const Slot slot = find_slot(result.task);
  return slot != kNoSlot && tasks_[slot].output(result.output).replicas.contains(worker);
}

Slot Core::answered_attempt(Worker& worker, TaskId id, AttemptId attempt) {
  const Slot slot = find_slot(id);
  if (slot != kNoSlot) {
    const Task& task = tasks_[slot];
    if (task.state == TaskState::kProcessing && task.worker == worker.slot && task.attempt == attempt) return slot;
  }
  ++counters_.stale_answers;
  return kNoSlot;
}

void Core::on_finished(Worker& worker, msg::TaskFinished& message) {
  const LayerRecord* described = layers_.find(layer_of(message.task));
  if (described != nullptr && message.nbytes.size() != described->outputs) {
    expel(worker, LossReason::kProtocol,
          fmt::format("reported {} outputs of {}, which has {}", message.nbytes.size(), key_of(message.task),
                      described->outputs));
    return;
  }
  ++worker.answers_heard;
  const Slot slot = answered_attempt(worker, message.task, message.attempt);
  if (slot == kNoSlot) {
    // Not what was asked for, but perhaps good all the same: a replica is a replica.
    for (std::uint16_t o = 0; o < message.nbytes.size(); ++o) adopt(worker, {message.task, o}, message.nbytes[o]);
    return;
  }
  if (tasks_[slot].freed_there) return on_finished_and_freed(worker, slot);
  Task& task = tasks_[slot];
  LayerRecord& layer = layer_of_task(task);
  const std::uint32_t index = index_of(task.id);
  set_state(task, TaskState::kMemory);
  unbind(slot);
  ++counters_.tasks_finished;
  counters_.compute_ns += message.compute_ns;
  layer.cost.observe(message.compute_ns);
  costs_.observe(layer.cost_class, message.compute_ns);
  task.failures = 0;
  const bool was_active = layer.is_active(index);
  if (was_active) {
    ++sessions_[task.account]->done;
    clear_active(layer, index);
    release_inputs(layer, index);
  }
  for (std::uint16_t o = 0; o < task.output_count; ++o) {
    Output& output = task.output(o);
    const bool fresh = !output.available();
    output.nbytes = message.nbytes[o];
    output.replicas.add(worker.slot);
    note_surplus(task, o);
    if (fresh && output.needed()) announce(slot, o);
  }
  tidy(slot);
}

// While it was bound another copy of its result was known there, brought by an inventory, and freed: whether before the
// worker made this one or afterwards cannot be told. So this one is freed as well, and the task has come back.
void Core::on_finished_and_freed(Worker& worker, Slot slot) {
  const Task& task = tasks_[slot];
  unbind(slot);
  drop_ahead(slot);
  ++counters_.tasks_returned;
  for (std::uint16_t o = 0; o < task.output_count; ++o) {
    if (!task.output(o).replicas.contains(worker.slot)) free_on(worker.slot, {task.id, o});
  }
  if (layer_of_task(task).is_active(index_of(task.id))) {
    enter(slot);
  } else {
    tidy(slot);
  }
}

void Core::announce(Slot slot, std::uint16_t o) {
  const Task& task = tasks_[slot];
  if (task.output(o).consumers != 0) {
    for (const LayerReader& reader : layer_of_task(task).readers) {
      if (reader.output != o) continue;
      const LayerRecord& consumers = layers_.at(reader.layer);
      if (consumers.active == 0 || consumers.known == 0) continue;
      reader.consumers->for_each(index_of(task.id), [&](std::uint32_t consumer) {
        if (const Slot of = consumers.slot(consumer); of != kNoSlot) input_arrived(of);
      });
    }
  }
  if (task.output(o).wants != 0) notify_ready(task, o);
}

void Core::input_arrived(Slot slot) {
  Task& task = tasks_[slot];
  task.came_back = false;
  if (task.state == TaskState::kWaiting) {
    if (--task.missing != 0) {
      consider_ahead(slot);
      return;
    }
    leave_queue(slot);
    make_ready(slot);
  } else if (task.state == TaskState::kProcessing && task.missing != 0 && --task.missing == 0) {
    task.ahead_depth = 0;
    Worker& worker = worker_at(task.worker);
    --worker.bound_ahead;
    worker.expected_us += task.expected_us;
    workload_changed(worker);
  }
}

void Core::on_failed(Worker& worker, msg::TaskFailed& message) {
  ++worker.answers_heard;
  const Slot slot = answered_attempt(worker, message.task, message.attempt);
  if (slot == kNoSlot) return;
  const Task& task = tasks_[slot];
  LayerRecord& layer = layer_of_task(task);
  unbind(slot);
  ++counters_.tasks_failed;
  if (!layer.is_active(index_of(task.id))) {
    tidy(slot);
    return;
  }
  ErrorInfo error = std::move(message.error);
  if (error.code == ErrorCode::kTaskTooLarge && require_more_memory(layer, worker)) {
    drop_ahead(slot);
    enter(slot);
    return;
  }
  if (retry(slot, error)) return;
  if (error.message.empty()) error.message = "failed without saying why";
  if (task.failures != 0) error.message += fmt::format(" (the last of {} attempts)", task.failures + 1);
  error.worker = fmt::format("{} ({})", worker.registration.name, worker.registration.address);
  fail(task.id, std::move(error));
}

void Core::on_returned(Worker& worker, msg::TaskReturned& message) {
  ++worker.answers_heard;
  const Slot slot = answered_attempt(worker, message.task, message.attempt);
  if (slot == kNoSlot) return;
  Task& task = tasks_[slot];
  if (const auto asked = asked_back_.find(task.id); asked != asked_back_.end()) {
    handed_over_.emplace_back(task.id, asked->second);
  }
  task.came_back = task.missing != 0;
  unbind(slot);
  drop_ahead(slot);
  ++counters_.tasks_returned;
  std::string missing;
  for (const auto& item : message.missing) {
    if (!result_exists(item.result)) continue;
    Worker* holder = find_worker(item.holder);
    if (holder == nullptr) continue;  // what it held is seen to already
    // Bound ahead of an attempt that had come back already: that is news, not a failure.
    if (holder == &worker && !held_by(item.result, worker.slot)) continue;
    if (missing.empty()) {
      missing = fmt::format("{} from {}", key_of(item.result.task), holder->registration.name);
      ++task.fetch_failures;
    }
    if (!held_by(item.result, holder->slot)) continue;
    if (item.unreachable) note_unreachable(worker, *holder);
    if (item.unreachable && task.fetch_failures < kUnreachablePatience) continue;
    free_on(holder->slot, item.result);  // if it is there after all, nobody knows it any more
    remove_replica(find_slot(item.result.task), item.result.output, holder->slot);
  }
  if (!layer_of_task(task).is_active(index_of(task.id))) {
    tidy(slot);
  } else if (!missing.empty() && task.fetch_failures >= config_.allowed_fetch_failures) {
    ErrorInfo error;
    error.code = ErrorCode::kDataLost;
    error.message =
        fmt::format("gave up after {} attempts to fetch its inputs, the last one of {}", task.fetch_failures, missing);
    error.worker = fmt::format("{} ({})", worker.registration.name, worker.registration.address);
    fail(task.id, std::move(error));
  } else {
    enter(slot);
  }
}

void Core::on_replicas_added(Worker& worker, const msg::ReplicasAdded& message) {
  for (ResultId result : message.results) {
    LayerRecord* layer = layers_.find(layer_of(result.task));
    if (layer != nullptr && !result_exists(result)) {
      expel(worker, LossReason::kProtocol,
            fmt::format("has output {} of task {} of a layer of {} tasks", result.output, index_of(result.task),
                        layer->tasks));
      return;
    }
    if (!moves_.empty()) move_ended(result, worker, true);
    const Slot slot = find_slot(result.task);
    if (slot != kNoSlot && tasks_[slot].output(result.output).available()) {
      define(worker, *layer);  // so that it can say what it holds, should it have to join anew
      tasks_[slot].output(result.output).replicas.add(worker.slot);
      note_surplus(tasks_[slot], result.output);
    } else {
      adopt(worker, result,
            layer == nullptr ? 0 : declared_nbytes(*layer->description, result.output, index_of(result.task)));
    }
  }
}

// A worker holds a result that it was not counted on for. Kept when it spares a computation or is one copy more, else
// freed.
void Core::adopt(Worker& worker, ResultId result, std::uint64_t nbytes) {
  const Slot slot = find_slot(result.task);
  if (slot == kNoSlot || !layer_of_task(tasks_[slot]).description->pure) {
    free_on(worker.slot, result);
    return;
  }
  if (tasks_[slot].output(result.output).replicas.contains(worker.slot)) return;
  if (keep_replica(worker, result, nbytes)) {
    ++counters_.adopted_replicas;
  } else {
    free_on(worker.slot, result);
  }
}

void Core::on_replicas_dropped(Worker& worker, const msg::ReplicasDropped& message) {
  for (ResultId result : message.results) {
    if (!moves_.empty()) move_ended(result, worker, false);
    if (!result_exists(result)) continue;
    const Slot slot = find_slot(result.task);
    if (slot != kNoSlot) remove_replica(slot, result.output, worker.slot);
  }
}

void Core::remove_replica(Slot slot, std::uint16_t o, WorkerSlot worker) {
  Task& task = tasks_[slot];
  Output& output = task.output(o);
  if (!output.replicas.remove(worker)) return;
  if (output.available()) {
    if (output.wants != 0) notify_ready(task, o);  // clients must not ask the one that has it no more
    return;
  }
  output_gone(slot, o);
  recompute(slot);
}

void Core::output_gone(Slot slot, std::uint16_t o) {
  const Task& task = tasks_[slot];
  for (const LayerReader& reader : layer_of_task(task).readers) {
    if (reader.output != o) continue;
    const LayerRecord& consumers = layers_.at(reader.layer);
    if (consumers.active == 0 || consumers.known == 0) continue;
    reader.consumers->for_each(index_of(task.id), [&](std::uint32_t consumer) {
      const Slot of = consumers.slot(consumer);
      if (of == kNoSlot) return;
      Task& reading = tasks_[of];
      if (reading.state == TaskState::kWaiting) {
        leave_queue(of);
        ++reading.missing;
      } else if (reading.queued_in != QueueKind::kNone) {
        leave_queue(of);
        reading.missing = 1;
        set_state(reading, TaskState::kWaiting);
      }
    });
  }
  if (task.output(o).wants != 0) notify_lost(task, o);
}

void Core::recompute(Slot slot) {
  Task& task = tasks_[slot];
  LayerRecord& layer = layer_of_task(task);
  if (layer.is_active(index_of(task.id))) {
    // An inventory brought it before anybody had looked at the task, which is to be made after all.
    if (task.state == TaskState::kReleased && still_needed(layer, index_of(task.id))) enter(slot);
    return;
  }
  if (still_needed(layer, index_of(task.id))) {
    ++counters_.tasks_recomputed;
    demand_again(slot);
  } else {
    tidy(slot);
  }
}

void Core::release_output(Slot slot, std::uint16_t o) {
  Task& task = tasks_[slot];
  Output& output = task.output(o);
  for (WorkerSlot worker : output.replicas.span()) free_on(worker, {task.id, o});
  output.replicas.clear();
  forget_copies({task.id, o});
  ++counters_.results_freed;
}

void Core::tidy(Slot slot) {
  Task& task = tasks_[slot];
  bool kept = false;
  bool error_wanted = false;  // also by a consumer that a worker has: should it come back, it fails as well
  for (std::uint16_t o = 0; o < task.output_count; ++o) {
    Output& output = task.output(o);
    if (output.available() && !output.needed()) release_output(slot, o);
    kept = kept || output.available();
    error_wanted = error_wanted || (!output.available() && output.needed());
  }
  if (task.phase != TaskPhase::kNone || layer_of_task(task).is_active(index_of(task.id))) return;
  if (task.failure && error_wanted) {
    set_state(task, TaskState::kErred);
  } else if (kept) {
    task.failure.reset();
    set_state(task, TaskState::kMemory);
  } else {
    forget(slot);
  }
}

}  // namespace tegula::scheduler
