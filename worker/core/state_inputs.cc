// How a task comes by its inputs.
#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "worker/core/state.h"

namespace tegula::worker {

namespace {

// What a piece is taken to have until it is here, when its layer is not known on this worker.
constexpr std::uint64_t kUnknownPieceBytes = 1u << 20;
constexpr std::uint64_t kUnknownItemBytes = 8;
// Attempts that peers name and that were not assigned yet. Beyond that a peer is told that there is none: it makes up
// numbers.
constexpr std::size_t kMostAwaited = 1u << 16;

template <typename Named>
bool before(const Named& a, const Named& b) {
  return a.result < b.result;
}

// Those that name `result`, of a sorted list.
template <typename Named>
std::span<const Named> named(const std::vector<Named>& list, const ResultId& result) {
  Named wanted;
  wanted.result = result;
  const auto [first, last] = std::equal_range(list.begin(), list.end(), wanted, &before<Named>);
  return {first, last};
}

// What the pieces take together, each byte of a buffer counted once.
std::uint64_t distinct_bytes(const std::vector<Chunk>& pieces) {
  std::unordered_map<const void*, std::uint64_t> of_buffer;
  std::uint64_t bytes = 0;
  for (const Chunk& piece : pieces) {
    std::uint64_t& counted = of_buffer[piece.buffer().identity()];
    const std::uint64_t more = std::min<std::uint64_t>(piece.nbytes(), piece.buffer().size() - counted);
    counted += more;
    bytes += more;
  }
  return bytes;
}

}  // namespace

void WorkerState::list_inputs(Task& task, const Layer& layer) {
  name_inputs(task, layer);
  for (Slot& slot : task.slots) fill_from_store(task, slot);
}

void WorkerState::name_inputs(Task& task, const Layer& layer) {
  task.inputs = std::make_shared<TaskInputs>();
  std::vector<std::int64_t> grid;
  for (std::size_t rule = 0; rule < layer.inputs.size(); ++rule) {
    const auto producer = static_cast<LayerId>(layer.inputs[rule].layer);
    const std::uint16_t output = layer.inputs[rule].output;
    for_each_input(
        layer, rule, index_of(task.id),
        [&](const InputPiece& piece) {
          Slot slot;
          slot.result = {make_task_id(producer, piece.index), output};
          slot.box = piece.box;
          task.slots.push_back(std::move(slot));
        },
        &grid);
    task.inputs->ndim.push_back(static_cast<std::uint32_t>(grid.size()));
    task.inputs->grids.insert(task.inputs->grids.end(), grid.begin(), grid.end());
  }
  task.missing = static_cast<std::uint32_t>(task.slots.size());
}

bool WorkerState::fill_from_store(Task& task, Slot& slot) {
  const Chunk* chunk = store_.find(slot.result);
  if (chunk == nullptr) return false;
  fill(task, slot, slot.box.empty() ? *chunk : chunk->view(slot.box));
  return true;
}

void WorkerState::fill(Task& task, Slot& slot, Chunk chunk) {
  store_.hold(chunk.buffer());
  slot.chunk = std::move(chunk);
  slot.filled = true;
  --task.missing;
}

void WorkerState::go_ahead(TaskMap::iterator found, std::vector<msg::Assign::Awaited> awaited) {
  Task& task = found->second;
  // By result, once: a task may have thousands of inputs.
  std::sort(task.holders.begin(), task.holders.end(), &before<msg::Assign::Holder>);
  std::sort(awaited.begin(), awaited.end(), &before<msg::Assign::Awaited>);
  wait_for_producers(task, awaited);
  if (task.producers.empty() && awaited.empty()) return claim(task);
  leave_state(task);
  task.state = TaskState::kAhead;
  ++ahead_;
  ask_ahead(found, awaited);
}

void WorkerState::wait_for_producers(Task& task, const std::vector<msg::Assign::Awaited>& awaited) {
  for (const Slot& slot : task.slots) {
    if (slot.filled || store_.contains(slot.result)) continue;
    if (!named(task.holders, slot.result).empty() || !named(awaited, slot.result).empty()) continue;
    const TaskId producer = slot.result.task;
    const auto made = attempt_of_.find(producer);
    if (made == attempt_of_.end() || tasks_.at(made->second).state == TaskState::kAbandoned) continue;
    if (std::find(task.producers.begin(), task.producers.end(), producer) != task.producers.end()) continue;
    task.producers.push_back(producer);
    ahead_of_[producer].push_back(task.attempt);
  }
}

void WorkerState::ask_ahead(TaskMap::iterator found, const std::vector<msg::Assign::Awaited>& awaited) {
  Task& task = found->second;
  std::vector<Fetches::Source> sources;
  std::vector<msg::TaskReturned::Missing> unreachable;
  for (Slot& slot : task.slots) {
    if (slot.filled || store_.contains(slot.result)) continue;
    sources.clear();
    const auto to_come = named(awaited, slot.result);
    for (const auto& source : to_come) {
      if (fetches_.knows(source.worker)) sources.push_back({source.worker, source.attempt});
    }
    if (sources.empty() && !to_come.empty()) unreachable.push_back({slot.result, to_come.front().worker});
    const std::uint64_t bytes = estimate(slot.result, slot.box);
    bool ahead = true;
    if (to_come.empty()) {
      ahead = bytes <= fetches_.ahead_bytes();
      if (ahead || spare(fetches_.extra_bytes(slot.result, slot.box, bytes))) add_holders(task, slot.result, sources);
    }
    if (sources.empty()) continue;
    const Fetches::User user{task.attempt, static_cast<std::uint32_t>(&slot - task.slots.data())};
    const auto wish = fetches_.want(slot.result, slot.box, bytes, sources, user, ahead);
    task.pieces.push_back(wish.piece);
    if (wish.chunk != nullptr) {
      fill(task, slot, *wish.chunk);
    } else {
      ++task.awaited;
    }
  }
  if (unreachable.empty()) {
    end_waiting(found);
  } else {
    answer_returned(found, std::move(unreachable));
  }
}

// What was fetched early for tasks that are ahead goes. They fetch it again in their time, from where it was.
void WorkerState::give_up_ahead() {
  std::vector<TaskMap::iterator> done;
  for (auto found = tasks_.begin(); ahead_ > 0 && found != tasks_.end(); ++found) {
    Task& task = found->second;
    if (task.state != TaskState::kAhead) continue;
    for (Slot& slot : task.slots) {
      if (named(task.holders, slot.result).empty()) continue;
      const Fetches::User user{task.attempt, static_cast<std::uint32_t>(&slot - task.slots.data())};
      switch (fetches_.give_up(slot.result, slot.box, user)) {
        case Fetches::Given::kNothing:
          break;
        case Fetches::Given::kOutstanding:
          --task.awaited;
          break;
        case Fetches::Given::kArrived:
          store_.drop(slot.chunk.buffer());
          slot.chunk = {};
          slot.filled = false;
          ++task.missing;
          break;
      }
    }
    done.push_back(found);
  }
  for (const auto found : done) end_waiting(found);
}

// Half of the memory is for what runs.
bool WorkerState::spare(std::uint64_t bytes) const {
  if (options_.memory_limit == 0) return true;
  const std::uint64_t used = managed_bytes() + reserved_bytes(), half = options_.memory_limit / 2;
  return used <= half && bytes <= half - used;
}

void WorkerState::add_holders(const Task& task, const ResultId& result, std::vector<Fetches::Source>& sources) const {
  for (const msg::Assign::Holder& holder : named(task.holders, result)) {
    if (holder.worker != self_ && fetches_.knows(holder.worker)) sources.push_back({holder.worker, {}});
  }
}

void WorkerState::end_waiting(TaskMap::iterator found) {
  Task& task = found->second;
  if (!task.producers.empty() || task.awaited != 0) return;
  if (task.missing == 0) return become_ready(found);
  leave_state(task);
  task.state = TaskState::kWaiting;
  waiting_.insert(order_of(task));
  claim(task);
}

void WorkerState::settle_ahead(TaskId producer, AttemptId ended) {
  if (awaited_.erase(ended) != 0) actions_->emplace_back(AttemptEnded{ended});
  const auto ahead = ahead_of_.extract(producer);
  if (ahead.empty()) return;
  for (const AttemptId attempt : ahead.mapped()) std::erase(tasks_.at(attempt).producers, producer);
  for (const AttemptId attempt : ahead.mapped()) {
    const auto found = tasks_.find(attempt);
    if (found == tasks_.end()) continue;
    Task& task = found->second;
    bool filled = true;
    try {
      for (Slot& slot : task.slots) {
        if (slot.filled || slot.result.task != producer || fill_from_store(task, slot)) continue;
        filled = filled && store_.contains(slot.result);  // on disk: it is read back when there is room for the task
      }
    } catch (const Error& error) {  // its box does not fit what was made
      answer_failed(found, error.code(), error.what());
      continue;
    }
    if (filled) {
      end_waiting(found);
    } else {
      answer_returned(found);
    }
  }
}

// Attempts come in order, so one that is greater than all that came is still to come.
void WorkerState::apply(Await& event) {
  const auto found = tasks_.find(event.attempt);
  const bool to_come = found == tasks_.end() ? event.attempt > last_assigned_ && awaited_.size() < kMostAwaited
                                             : found->second.state != TaskState::kAbandoned;
  if (to_come) {
    awaited_.insert(event.attempt);
  } else {
    actions_->emplace_back(AttemptEnded{event.attempt});
  }
}

// Peers may have asked for attempts that the former connection did not bring any more.
void WorkerState::end_awaited(AttemptId before) {
  std::erase_if(awaited_, [&](AttemptId attempt) {
    if (attempt >= before) return false;
    actions_->emplace_back(AttemptEnded{attempt});
    return true;
  });
}

void WorkerState::become_ready(TaskMap::iterator found) {
  Task& task = found->second;
  leave_state(task);
  task.state = TaskState::kReady;
  ready_.insert(order_of(task));
  if (task.inputs != nullptr) {
    // A copy of this state may still be waiting for them.
    if (task.inputs.use_count() > 1) task.inputs = std::make_shared<TaskInputs>(*task.inputs);
    task.inputs->pieces.reserve(task.slots.size());
    for (Slot& slot : task.slots) {
      task.input_bytes += slot.chunk.nbytes();
      task.inputs->pieces.push_back(std::move(slot.chunk));
    }
    task.slots.clear();
    task.slots.shrink_to_fit();
    if (too_large(task)) return answer_too_large(found);
  }
  claim(task);
}

std::uint64_t WorkerState::estimate(const ResultId& result, const Box& box) const {
  const auto found = layers_.find(layer_of(result.task));
  const bool known = found != layers_.end() && found->second.invalid.empty() &&
                     result.output < found->second.description->outputs.size() &&
                     index_of(result.task) < found->second.description->tasks();
  if (box.empty()) {
    const std::uint64_t bytes =
        known ? declared_nbytes(*found->second.description, result.output, index_of(result.task)) : 0;
    return bytes > 0 ? bytes : kUnknownPieceBytes;
  }
  if (!known && std::any_of(box.begin(), box.end(), [](const BoxDim& dim) { return dim.whole(); })) {
    return kUnknownPieceBytes;
  }
  const OutputSpec* spec = known ? &found->second.description->outputs[result.output] : nullptr;
  std::uint64_t bytes = spec ? item_size(spec->dtype) : kUnknownItemBytes;
  for (std::size_t d = 0; d < box.size(); ++d) {
    // The largest chunk stands for a whole dimension.
    const bool of_spec = box[d].whole() && d < static_cast<std::size_t>(spec->chunks.ndim());
    const std::int64_t count = of_spec ? spec->chunks.dim(static_cast<int>(d)).chunk() : box[d].count;
    bytes *= static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0));
  }
  return bytes;
}

std::uint64_t WorkerState::declared_need(const Task& task) const {
  const Layer& layer = *layers_.at(layer_of(task.id)).description;
  std::uint64_t bytes = 0;
  for (std::size_t output = 0; output < layer.outputs.size(); ++output) {
    bytes += declared_nbytes(layer, static_cast<std::uint16_t>(output), index_of(task.id));
  }
  return bytes;
}

WorkerState::ToBring WorkerState::bytes_to_bring(const Task& task) const {
  ToBring to_bring;
  for (const Slot& slot : task.slots) {
    if (slot.filled) continue;
    if (store_.contains(slot.result)) {
      to_bring.exact += store_.bytes_to_read(slot.result);
    } else {
      to_bring.bytes += fetches_.extra_bytes(slot.result, slot.box, estimate(slot.result, slot.box));
    }
  }
  to_bring.bytes += to_bring.exact;
  return to_bring;
}

// Pieces are summed up one by one, which is quick. Where that is too much, what they share is counted once.
bool WorkerState::too_large(Task& task) const {
  const std::uint64_t limit = options_.memory_limit;
  const auto exceeds = [&] { return limit != 0 && (task.need > limit || task.input_bytes > limit - task.need); };
  if (!exceeds() || task.input_bytes == 0) return exceeds();
  task.input_bytes = distinct_bytes(task.inputs->pieces);
  return exceeds();
}

void WorkerState::start_fetching(TaskMap::iterator found) {
  Task& task = found->second;
  // Whoever is named although unreachable from here is reported.
  std::vector<msg::TaskReturned::Missing> unobtainable;
  std::vector<Fetches::Source> sources;
  std::vector<std::pair<Slot*, std::vector<Fetches::Source>>> wanted;
  std::vector<std::uint32_t> on_disk;
  for (Slot& slot : task.slots) {
    try {
      if (slot.filled || fill_from_store(task, slot)) continue;
      if (store_.contains(slot.result)) {
        on_disk.push_back(static_cast<std::uint32_t>(&slot - task.slots.data()));
        continue;
      }
    } catch (const Error& error) {  // it came here meanwhile, and the box does not fit it
      answer_failed(found, error.code(), error.what());
      return;
    }
    const auto holders = named(task.holders, slot.result);
    sources.clear();
    add_holders(task, slot.result, sources);
    if (!sources.empty()) {
      wanted.emplace_back(&slot, sources);
    } else if (!holders.empty()) {
      for (const msg::Assign::Holder& holder : holders) unobtainable.push_back({slot.result, holder.worker});
    } else {
      unobtainable.push_back({slot.result, self_});  // nobody was named: it was taken to be here
    }
  }
  if (!unobtainable.empty()) {
    answer_returned(found, std::move(unobtainable));
    return;
  }
  leave_state(task);
  task.state = TaskState::kFetching;
  task.fetch_began = now_;
  task.fetched_in = task.read_in = Time{0};
  ++fetching_;
  for (const std::uint32_t slot : on_disk) {
    store_.read_back(task.slots[slot].result, {task.attempt, slot}, *actions_);
  }
  for (auto& [slot, from] : wanted) {
    const Fetches::User user{task.attempt, static_cast<std::uint32_t>(slot - task.slots.data())};
    const auto wish = fetches_.want(slot->result, slot->box, estimate(slot->result, slot->box), from, user);
    task.pieces.push_back(wish.piece);
    if (wish.chunk != nullptr) fill(task, *slot, *wish.chunk);
  }
  if (task.missing == 0) become_ready(found);
}

void WorkerState::apply(msg::FetchReply& event) { settle_fetches(fetches_.replied(std::move(event), now_)); }

void WorkerState::apply(FetchFailed& event) { settle_fetches(fetches_.failed(event.request, now_)); }

void WorkerState::settle_fetches(Fetches::Outcome outcome) {
  if (!acquiring_.empty()) settle_acquisitions(outcome);
  for (const Fetches::Arrived& arrived : outcome.arrived) {
    for (const Fetches::User& user : arrived.users) {
      const auto found = tasks_.find(user.attempt);
      if (found == tasks_.end()) continue;
      Task& task = found->second;
      if (task.state == TaskState::kFetching) {
        fill(task, task.slots[user.slot], arrived.chunk);
        task.fetched_in = now_ - task.fetch_began;
        if (task.missing == 0) become_ready(found);
      } else if (task.state == TaskState::kAhead) {
        fill(task, task.slots[user.slot], arrived.chunk);
        --task.awaited;
        end_waiting(found);
      }
    }
  }
  for (const Fetches::Large& large : outcome.large) {
    for (const Fetches::User& user : large.users) {
      const auto found = tasks_.find(user.attempt);
      if (found == tasks_.end()) continue;
      Task& task = found->second;
      const Slot& slot = task.slots[user.slot];
      const msg::Assign::Holder holder{large.result, large.holder};
      task.holders.insert(
          std::upper_bound(task.holders.begin(), task.holders.end(), holder, &before<msg::Assign::Holder>), holder);
      const std::uint64_t bytes = estimate(slot.result, slot.box);
      if (spare(fetches_.extra_bytes(slot.result, slot.box, bytes))) {
        task.pieces.push_back(fetches_.want(slot.result, slot.box, bytes, {{large.holder, {}}}, user).piece);
        continue;
      }
      --task.awaited;
      end_waiting(found);
    }
  }
  for (Fetches::Refused& refused : outcome.refused) {
    for (const Fetches::User& user : refused.users) {
      const auto found = tasks_.find(user.attempt);
      if (found != tasks_.end()) answer_failed(found, ErrorCode::kIndex, refused.message);
    }
  }
  // One answer a task, with all that it lacks as far as is known now.
  std::map<AttemptId, std::vector<msg::TaskReturned::Missing>> lacking;
  for (const Fetches::Lost& lost : outcome.lost) {
    for (const Fetches::User& user : lost.users) {
      auto& missing = lacking[user.attempt];
      missing.insert(missing.end(), lost.missing.begin(), lost.missing.end());
    }
  }
  for (auto& [attempt, missing] : lacking) {
    const auto found = tasks_.find(attempt);
    if (found != tasks_.end()) answer_returned(found, std::move(missing));
  }
}

void WorkerState::apply(Unspilled& event) { settle_read(store_.read(event, *actions_)); }

void WorkerState::apply(UnspillFailed& event) { settle_read(store_.not_read(event, *actions_)); }

void WorkerState::settle_read(Store::ReadBack read) {
  // The scheduler has it made again; those that wait for it come back, with the same news.
  // One without a name there is told as lost when it gets one.
  if (read.lost && !is_own(read.result)) tell_dropped({{read.result}});
  for (const Store::User& user : read.users) {
    const auto found = tasks_.find(user.attempt);
    if (found == tasks_.end()) continue;
    Task& task = found->second;
    if (task.state != TaskState::kFetching || user.slot >= task.slots.size() || task.slots[user.slot].filled) continue;
    Slot& slot = task.slots[user.slot];
    if (read.failed) {
      answer_returned(found, {{read.result, self_}});
      continue;
    }
    try {
      fill(task, slot, slot.box.empty() ? read.chunk : read.chunk.view(slot.box));
    } catch (const Error& error) {  // the box does not fit it
      answer_failed(found, error.code(), error.what());
      continue;
    }
    task.read_in = now_ - task.fetch_began;
    if (task.missing == 0) become_ready(found);
  }
}

// What the task reads is listed anew, and nothing of it held.
void WorkerState::unready(TaskMap::iterator found) {
  Task& task = found->second;
  const auto drop = [&](const Chunk& chunk) { store_.drop_for_later(chunk.buffer(), task.priority); };
  for (const Slot& slot : task.slots) {
    if (slot.filled) drop(slot.chunk);
  }
  if (task.slots.empty()) {
    for (const Chunk& chunk : task.inputs->pieces) drop(chunk);
  }
  for (const PieceId piece : task.pieces) fetches_.release(piece, task.attempt);
  task.pieces.clear();
  std::sort(task.holders.begin(), task.holders.end(), &before<msg::Assign::Holder>);
  task.input_bytes = 0;
  task.inputs = std::make_shared<TaskInputs>();
  task.slots.clear();
  name_inputs(task, *layers_.at(layer_of(task.id)).description);
  if (task.state != TaskState::kReady) return;
  leave_state(task);
  task.state = TaskState::kWaiting;
  waiting_.insert(order_of(task));
  claim(task);
}

}  // namespace tegula::worker
