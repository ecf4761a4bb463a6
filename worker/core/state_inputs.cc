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
  for (Slot& slot : task.slots) fill_from_store(task, slot);
}

bool WorkerState::fill_from_store(Task& task, Slot& slot) {
  const Chunk* chunk = find(slot.result);
  if (chunk == nullptr) return false;
  fill(task, slot, slot.box.empty() ? *chunk : chunk->view(slot.box));
  return true;
}

void WorkerState::fill(Task& task, Slot& slot, Chunk chunk) {
  ledger_.hold(chunk.buffer());
  slot.chunk = std::move(chunk);
  slot.filled = true;
  --task.missing;
}

std::span<const msg::Assign::Holder> WorkerState::holders_of(const Task& task, const ResultId& result) const {
  const auto [first, last] = std::equal_range(task.holders.begin(), task.holders.end(), msg::Assign::Holder{result, {}},
                                              [](const auto& a, const auto& b) { return a.result < b.result; });
  return {first, last};
}

bool WorkerState::wait_for_producers(Task& task) {
  // By result, once: a task may have thousands of inputs.
  std::sort(task.holders.begin(), task.holders.end(), [](const auto& a, const auto& b) { return a.result < b.result; });
  for (const Slot& slot : task.slots) {
    if (slot.filled || !holders_of(task, slot.result).empty()) continue;
    const TaskId producer = slot.result.task;
    const auto made = attempt_of_.find(producer);
    if (made == attempt_of_.end() || tasks_.at(made->second).state == TaskState::kAbandoned) continue;
    if (std::find(task.producers.begin(), task.producers.end(), producer) != task.producers.end()) continue;
    task.producers.push_back(producer);
    ahead_of_[producer].push_back(task.attempt);
  }
  return !task.producers.empty();
}

void WorkerState::settle_ahead(TaskId producer) {
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
        if (!slot.filled && slot.result.task == producer) filled = fill_from_store(task, slot) && filled;
      }
    } catch (const Error& error) {  // its box does not fit what was made
      answer_failed(found, error.code(), error.what());
      continue;
    }
    if (!filled) {
      answer_returned(found);
    } else if (task.missing == 0) {
      become_ready(found);
    } else if (task.producers.empty()) {
      leave_state(task);
      task.state = TaskState::kWaiting;
      waiting_.insert(order_of(task));
    }
  }
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
    task.holders.clear();
    task.holders.shrink_to_fit();
    if (too_large(task)) answer_too_large(found);
  }
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

std::uint64_t WorkerState::bytes_to_fetch(const Task& task) const {
  std::uint64_t bytes = 0;
  for (const Slot& slot : task.slots) {
    if (!slot.filled) bytes += fetches_.extra_bytes(slot.result, slot.box, estimate(slot.result, slot.box));
  }
  return bytes;
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
  std::vector<WorkerId> holders;
  std::vector<std::pair<Slot*, std::vector<WorkerId>>> wanted;
  for (Slot& slot : task.slots) {
    try {
      if (slot.filled || fill_from_store(task, slot)) continue;
    } catch (const Error& error) {  // it came here meanwhile, and the box does not fit it
      answer_failed(found, error.code(), error.what());
      return;
    }
    const auto named = holders_of(task, slot.result);
    holders.clear();
    for (const msg::Assign::Holder& holder : named) {
      if (holder.worker != self_ && fetches_.knows(holder.worker)) holders.push_back(holder.worker);
    }
    if (!holders.empty()) {
      wanted.emplace_back(&slot, holders);
    } else if (!named.empty()) {
      for (const msg::Assign::Holder& holder : named) unobtainable.push_back({slot.result, holder.worker});
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
  ++fetching_;
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
      if (found == tasks_.end() || found->second.state != TaskState::kFetching) continue;
      fill(found->second, found->second.slots[user.slot], arrived.chunk);
      if (found->second.missing == 0) become_ready(found);
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

}  // namespace tegula::worker
