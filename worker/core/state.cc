#include "worker/core/state.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <variant>

namespace tegula::worker {

namespace {

// How often a kernel that did not get its memory is run again.
constexpr std::uint8_t kMemoryRetries = 2;

}  // namespace

std::string_view name_of(TaskState state) {
  switch (state) {
    case TaskState::kAhead:
      return "ahead";
    case TaskState::kWaiting:
      return "waiting";
    case TaskState::kFetching:
      return "fetching";
    case TaskState::kReady:
      return "ready";
    case TaskState::kExecuting:
      return "executing";
    case TaskState::kAbandoned:
      return "abandoned";
  }
  return "?";
}

WorkerState::WorkerState(const CoreOptions& options)
    : options_(options),
      credit_(options.threads),
      memory_credit_(options.memory_limit, options.memory_limit),
      store_(options.store),
      fetches_(options.fetch) {}

void WorkerState::handle(std::span<Event> events, Time now, std::vector<Action>& actions) {
  now_ = now;
  actions_ = &actions;
  for (Event& event : events) {
    std::visit([this](auto& e) { apply(e); }, event);
  }
  settle();
  actions_ = nullptr;
}

std::optional<TaskState> WorkerState::state_of(AttemptId attempt) const {
  const auto found = tasks_.find(attempt);
  if (found == tasks_.end()) return std::nullopt;
  return found->second.state;
}

msg::WorkerHeartbeat WorkerState::heartbeat() const {
  msg::WorkerHeartbeat beat;
  beat.attempts_hash = attempts_hash_;
  beat.sent = answered_;
  beat.received = received_;
  beat.managed_bytes = managed_bytes();
  beat.reserved_bytes = reserved_bytes();
  beat.spilled_bytes = spilled_bytes();
  beat.disk_full = disk_full();
  beat.tasks_done = done_;
  beat.executing = static_cast<std::uint32_t>(handed_);
  beat.ready = static_cast<std::uint32_t>(ready_.size());
  beat.waiting = static_cast<std::uint32_t>(ahead_ + waiting_.size() + fetching_);
  return beat;
}

// ---- what the scheduler says ----------------------------------------------------------------------------------------

void WorkerState::apply(Tick&) {}

void WorkerState::apply(msg::WorkerRegistered& event) {
  self_ = event.worker;
  for (const auto& [part, results] : inventory_) send_inventory(part);
}

void WorkerState::apply(msg::WorkerAddress& event) { fetches_.set_address(event.worker, std::move(event.address)); }

void WorkerState::apply(msg::WorkerGone& event) {
  if (!fetches_.knows(event.worker)) return;
  settle_fetches(fetches_.forget(event.worker));
  actions_->emplace_back(ClosePeer{event.worker});
}

void WorkerState::apply(msg::DefineLayer& event) {
  const auto [found, is_new] = layers_.try_emplace(event.layer);
  LayerInfo& layer = found->second;
  if (!is_new) {
    layer.forgotten = false;  // wanted again before its last task was gone
    return;
  }
  layer.description = std::move(event.description);
  layer.hash = event.hash;
  layer.memory = event.memory;
  layer.extra_bytes = options_.first_extra_bytes;
  if (layer.description == nullptr) {
    layer.invalid = "the layer came without a description";
    return;
  }
  // The layers that this one reads may be unknown here; their grids are taken as the rules state them. What the
  // scheduler has checked is thus checked again as far as this process would be hurt by it.
  const auto stated = [&layer](LayerNumber number, std::uint16_t output) -> std::optional<std::vector<std::int64_t>> {
    for (const InputRule& rule : layer.description->inputs) {
      if (rule.layer == number && rule.output == output) return rule.grid;
    }
    return std::nullopt;
  };
  try {
    validate_layer(*layer.description, stated);
  } catch (const Error& error) {
    layer.invalid = error.what();
  }
}

void WorkerState::apply(msg::ForgetLayer& event) {
  const auto found = layers_.find(event.layer);
  if (found == layers_.end()) return;
  found->second.forgotten = true;
  release_layer_if_done(event.layer);
}

void WorkerState::release_layer_if_done(LayerId id) {
  const auto found = layers_.find(id);
  if (found == layers_.end() || !found->second.forgotten || found->second.tasks > 0) return;
  layers_.erase(found);
  actions_->emplace_back(ReleaseLayer{id});
}

void WorkerState::apply(msg::Assign& event) {
  const auto [place, is_new] = tasks_.try_emplace(event.attempt);
  if (!is_new) return;  // attempt numbers are never reused: this is the same message again
  if (std::exchange(anew_, false)) end_awaited(event.attempt);
  ++received_;
  last_assigned_ = std::max(last_assigned_, event.attempt);
  attempts_hash_ ^= msg::mix(event.attempt);
  Task& task = place->second;
  task.attempt = event.attempt;
  task.id = event.task;
  task.priority = event.priority;
  memory_credit_.receive(event.kib);
  task.holders = std::move(event.holders);
  waiting_.insert(order_of(task));
  attempt_of_[task.id] = task.attempt;

  const auto found = layers_.find(layer_of(task.id));
  if (found == layers_.end()) {
    answer_failed(place, ErrorCode::kInternal, "the scheduler assigned a task of a layer that it has not defined here");
    return;
  }
  LayerInfo& layer = found->second;
  ++layer.tasks;
  if (!layer.invalid.empty()) {
    answer_failed(place, ErrorCode::kInternal, layer.invalid);
    return;
  }
  if (index_of(task.id) >= layer.description->tasks()) {
    answer_failed(place, ErrorCode::kInternal, "the layer has no task " + std::to_string(index_of(task.id)));
    return;
  }
  task.need = declared_need(task);
  if (too_large(task)) {
    answer_too_large(place);
    return;
  }
  try {
    if (!layer.description->inputs.empty()) list_inputs(task, *layer.description);
  } catch (const Error& error) {
    answer_failed(place, error.code(), error.what());
    return;
  }
  if (task.missing == 0) {
    become_ready(place);
  } else {
    go_ahead(place, std::move(event.awaited));
  }
}

void WorkerState::apply(msg::Retract& event) {
  const auto found = tasks_.find(event.attempt);
  if (found == tasks_.end()) return;  // answered already; the answer is on its way
  Task& task = found->second;
  if (task.state == TaskState::kExecuting && event.cancel) {
    task.state = TaskState::kAbandoned;
    actions_->emplace_back(Recall{task.attempt, true});
    settle_ahead(task.id, task.attempt);  // there will be no result
  } else if (task.state == TaskState::kExecuting) {
    task.wanted_back = true;
    actions_->emplace_back(Recall{task.attempt, false});
  } else if (task.state != TaskState::kAbandoned) {
    answer_returned(found);
  }
}

void WorkerState::apply(msg::FreeResults& event) {
  msg::ReplicasDropped given_up;
  for (const ResultId& result : event.results) {
    if (const auto piece = acquiring_.find(result); piece != acquiring_.end()) {
      fetches_.release(piece->second, kAcquisition);
      acquiring_.erase(piece);
      given_up.results.push_back(result);
    }
    if (std::erase_if(acquisitions_, [&](const Acquisition& one) { return one.result == result; }) > 0) {
      given_up.results.push_back(result);
    }
    store_.free(result, *actions_);
  }
  tell_dropped(std::move(given_up));
}

void WorkerState::apply(LoanEnded& event) {
  --loans_;
  store_.drop(event.buffer);
}

void WorkerState::apply(msg::NextUse& event) {
  for (const msg::NextUse::Item& item : event.results) store_.set_rank(item.result, item.rank);
}

// ---- what the executor says -----------------------------------------------------------------------------------------

// What it will take is not offered to others meanwhile.
void WorkerState::claim(Task& task) {
  end_claim(task);
  if (options_.memory_limit == 0 || task.granted != 0) return;
  const std::uint64_t to_bring = task.state == TaskState::kWaiting ? bytes_to_bring(task).bytes : 0;
  task.claims = (to_bring + start_bytes(task, task.input_bytes) + 1023) >> 10;
  claimed_kib_ += task.claims;
}

void WorkerState::end_claim(Task& task) { claimed_kib_ -= std::exchange(task.claims, 0); }

// From the executor to the ready ones.
void WorkerState::put_back(Task& task) {
  stop_executing(task);
  task.state = TaskState::kReady;
  ready_.insert(order_of(task));
  claim(task);
}

void WorkerState::reserve(Task& task, std::uint64_t bytes) {
  end_claim(task);
  granted_bytes_ += bytes - task.granted;
  task.granted = bytes;
}

void WorkerState::unreserve(Task& task) {
  granted_bytes_ -= task.granted;
  task.granted = 0;
}

void WorkerState::stop_executing(Task& task) {
  --handed_;
  unreserve(task);
}

void WorkerState::apply(KernelFinished& event) {
  const auto found = tasks_.find(event.attempt);
  if (found == tasks_.end()) return;
  Task& task = found->second;
  if (task.state != TaskState::kExecuting && task.state != TaskState::kAbandoned) return;
  ++done_;
  last_end_ = now_;
  credit_.observe(std::chrono::nanoseconds(event.compute_ns));
  if (task.state == TaskState::kAbandoned) {
    answer_returned(found);
    return;
  }
  LayerInfo& layer = layers_.at(layer_of(task.id));
  const std::uint64_t declared = declared_need(task);
  if (event.need > declared) layer.extra_bytes = std::max(layer.extra_bytes, event.need - declared);
  msg::TaskFinished answer{task.attempt, task.id, {}, event.compute_ns};
  answer.nbytes.reserve(event.outputs.size());
  for (std::size_t i = 0; i < event.outputs.size(); ++i) {
    answer.nbytes.push_back(event.outputs[i].nbytes());
    store_.keep({task.id, static_cast<std::uint16_t>(i)}, std::move(event.outputs[i]), *actions_);
  }
  actions_->emplace_back(SendToScheduler{std::move(answer)});
  forget(found);
}

void WorkerState::apply(KernelFailed& event) {
  const auto found = tasks_.find(event.attempt);
  if (found == tasks_.end()) return;
  Task& task = found->second;
  if (task.state != TaskState::kExecuting && task.state != TaskState::kAbandoned) return;
  ++done_;
  last_end_ = now_;
  credit_.observe(std::chrono::nanoseconds(event.compute_ns));
  if (task.state == TaskState::kAbandoned) {
    answer_returned(found);
  } else if (event.error.code == ErrorCode::kOutOfMemory && task.memory_failures < kMemoryRetries) {
    // Once more, alone, when as much as it needs has left memory.
    ++task.memory_failures;
    put_back(task);
    actions_->emplace_back(TrimMemory{});
  } else {
    answer_failed(found, std::move(event.error));
  }
}

void WorkerState::apply(KernelNeeds& event) {
  const auto found = tasks_.find(event.attempt);
  if (found == tasks_.end()) return;
  Task& task = found->second;
  if (task.state == TaskState::kAbandoned || task.wanted_back) {
    answer_returned(found);
    return;
  }
  if (task.state != TaskState::kExecuting) return;
  LayerInfo& layer = layers_.at(layer_of(task.id));
  const std::uint64_t declared = declared_need(task);
  if (event.need > declared) layer.extra_bytes = std::max(layer.extra_bytes, event.need - declared);
  task.need = event.need;
  if (too_large(task)) {
    answer_too_large(found);
    return;
  }
  put_back(task);
}

void WorkerState::apply(Recalled& event) {
  const auto found = tasks_.find(event.attempt);
  if (found == tasks_.end()) return;
  Task& task = found->second;
  if (task.state == TaskState::kAbandoned || task.wanted_back) {
    answer_returned(found);
  } else if (task.state == TaskState::kExecuting) {
    put_back(task);
  }
}

void WorkerState::apply(TooLate& event) {
  const auto found = tasks_.find(event.attempt);
  if (found == tasks_.end()) return;
  Task& task = found->second;
  if (task.state == TaskState::kExecuting && task.wanted_back) {
    task.wanted_back = false;
    actions_->emplace_back(SendToScheduler{msg::TaskRunning{task.attempt, task.id}});
  }
}

// ---- answers --------------------------------------------------------------------------------------------------------

void WorkerState::answer_failed(TaskMap::iterator task, ErrorCode code, std::string message) {
  ErrorInfo error;
  error.code = code;
  error.message = std::move(message);
  answer_failed(task, std::move(error));
}

void WorkerState::answer_failed(TaskMap::iterator found, ErrorInfo error) {
  const Task& task = found->second;
  const auto layer = layers_.find(layer_of(task.id));
  if (layer != layers_.end() && layer->second.description != nullptr) {
    const Layer& description = *layer->second.description;
    error.kernel = description.kernel;
    if (index_of(task.id) < description.tasks())
      error.key = key_text(description, layer->second.hash, index_of(task.id));
  }
  error.worker = options_.worker;
  actions_->emplace_back(SendToScheduler{msg::TaskFailed{task.attempt, task.id, std::move(error)}});
  forget(found);
}

void WorkerState::answer_too_large(TaskMap::iterator found) {
  const Task& task = found->second;
  std::string message = "the task needs " + std::to_string(task.need) + " bytes for its outputs and scratch";
  if (task.input_bytes > 0) message += " beside " + std::to_string(task.input_bytes) + " bytes of inputs";
  message += "; this worker's memory limit is " + std::to_string(options_.memory_limit) + " bytes";
  answer_failed(found, ErrorCode::kTaskTooLarge, std::move(message));
}

void WorkerState::answer_returned(TaskMap::iterator found, std::vector<msg::TaskReturned::Missing> missing) {
  const Task& task = found->second;
  actions_->emplace_back(SendToScheduler{msg::TaskReturned{task.attempt, task.id, std::move(missing)}});
  forget(found);
}

void WorkerState::leave_state(const Task& task) {
  switch (task.state) {
    case TaskState::kAhead:
      --ahead_;
      break;
    case TaskState::kWaiting:
      waiting_.erase(order_of(task));
      break;
    case TaskState::kFetching:
      --fetching_;
      break;
    case TaskState::kReady:
      ready_.erase(order_of(task));
      break;
    case TaskState::kExecuting:
    case TaskState::kAbandoned:
      break;
  }
}

void WorkerState::let_go_of_inputs(const Task& task) {
  for (const Slot& slot : task.slots) {
    if (slot.filled) store_.drop(slot.chunk.buffer());
  }
  if (task.slots.empty() && task.inputs != nullptr) {
    for (const Chunk& chunk : task.inputs->pieces) store_.drop(chunk.buffer());
  }
}

void WorkerState::forget(TaskMap::iterator found) {
  Task& task = found->second;
  end_claim(task);
  ++answered_;
  attempts_hash_ ^= msg::mix(task.attempt);
  if (task.state == TaskState::kExecuting || task.state == TaskState::kAbandoned) {
    stop_executing(task);
  } else {
    leave_state(task);
    unreserve(task);
  }
  for (const PieceId piece : task.pieces) fetches_.release(piece, task.attempt);
  let_go_of_inputs(task);
  for (const TaskId producer : task.producers) {
    std::vector<AttemptId>& ahead = ahead_of_.at(producer);
    std::erase(ahead, task.attempt);
    if (ahead.empty()) ahead_of_.erase(producer);
  }
  const TaskId id = task.id;
  const AttemptId attempt = task.attempt;
  const LayerId layer = layer_of(id);
  const bool counted = layers_.contains(layer);
  if (const auto latest = attempt_of_.find(id); latest != attempt_of_.end() && latest->second == task.attempt) {
    attempt_of_.erase(latest);
  }
  tasks_.erase(found);
  if (counted) {
    --layers_.at(layer).tasks;
    release_layer_if_done(layer);
  }
  settle_ahead(id, attempt);
}

}  // namespace tegula::worker
