// What operators order.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

void Core::on_command(Session& session, const msg::Command& message) {
  Job job;
  job.connection = session.connection;
  job.request = message.request;
  const ConnectionId from = session.connection;  // cancelling may end the session that asks
  try {
    switch (message.kind) {
      case msg::CommandKind::kCancelTask:
        return answer(from, message.request, cancel_task(find_key(message.subject).task));
      case msg::CommandKind::kCancelClient:
        return answer(from, message.request, cancel_client(session_named(message.subject)));
      case msg::CommandKind::kRetire:
        return retire(std::move(job), worker_named(message.subject));
      case msg::CommandKind::kReplicate:
        if (!message.ranges.empty()) {
          job.subject = fmt::format("client '{}'", session.name);
          return replicate(std::move(job), results_in(session, message.ranges), message.count);
        }
        job.subject = key_of(find_key(message.subject).task);
        return replicate(std::move(job), {find_key(message.subject)}, message.count);
      case msg::CommandKind::kRebalance:
        return rebalance(std::move(job));
    }
    throw ValueError("an order of unknown kind");
  } catch (const Error& error) {
    refuse(from, message.request, error.code(), error.what());
  }
}

std::vector<ResultId> Core::results_in(const Session& session, const std::vector<msg::WantRange>& ranges) const {
  std::vector<ResultId> results;
  for (const msg::WantRange& range : ranges) {
    const auto named = session.layers.find(range.layer);
    if (named == session.layers.end()) throw ValueError(fmt::format("layer {} is not known", range.layer));
    const LayerRecord& layer = layers_.at(named->second);
    if (range.output >= layer.outputs || range.end > layer.tasks || range.begin > range.end) {
      throw ValueError(
          fmt::format("there is no output {} of tasks {} to {} of layer '{}', which has {} tasks with {} outputs",
                      range.output, range.begin, range.end, layer.description->name, layer.tasks, layer.outputs));
    }
    // Only what has a record can be copied, so more than there are records cannot be meant.
    if (range.end - range.begin > tasks_.size() - std::min(tasks_.size(), results.size())) {
      throw ValueError(fmt::format("{} results are named; there are {} at most",
                                   results.size() + (range.end - range.begin), tasks_.size()));
    }
    for (std::uint32_t index = range.begin; index < range.end; ++index) {
      results.push_back({make_task_id(layer.id, index), range.output});
    }
  }
  return results;
}

void Core::answer(ConnectionId to, std::uint64_t request, const std::string& done) {
  if (to == ConnectionId{}) return;
  msg::QueryReply reply;
  reply.request = request;
  reply.text = nlohmann::json{{"done", done}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  out_->push_back(SendToClient{to, std::move(reply)});
}

void Core::refuse(ConnectionId to, std::uint64_t request, ErrorCode code, const std::string& why) {
  if (to == ConnectionId{}) return;
  msg::QueryReply reply;
  reply.request = request;
  reply.failed = true;
  reply.error.code = code;
  reply.error.message = why;
  out_->push_back(SendToClient{to, std::move(reply)});
}

// Its wants end as cancelled, what needs it fails with that as the cause, and a worker that has it gives it back.
std::string Core::cancel_task(TaskId id) {
  LayerRecord& layer = layers_.at(layer_of(id));
  const std::uint32_t index = index_of(id);
  if (!layer.is_active(index)) throw ValueError("there is nothing to cancel: " + why(id));
  const std::string key = key_of(id);
  const ErrorInfo error = cancelled_error(layer, index, "the operator");
  std::uint64_t wants = 0;
  for (Namer& namer : layer.namers) {
    for (std::uint16_t o = 0; o < layer.outputs; ++o) {
      const std::uint32_t count = namer.wants[o].count(index);
      if (count == 0) continue;
      const Slot slot = layer.slot(index);
      if (slot != kNoSlot && tasks_[slot].output(o).available()) continue;  // it has what it wants
      wants += count;
      namer.wants[o].add(index, index + 1, -static_cast<std::int32_t>(count));
      namer.cancelled[o].add(index, index + 1, static_cast<std::int32_t>(count));
      change_wants(layer, o, index, index + 1, -static_cast<std::int32_t>(count));
      persist(*sessions_[namer.session], msg::CancelWants{0, {{namer.number, o, index, index + 1}}});
      send(*sessions_[namer.session], msg::ResultErred{namer.number, o, index, error});
    }
  }
  fail(id, error);
  if (const Slot slot = find_slot(id); slot != kNoSlot && tasks_[slot].state == TaskState::kProcessing) retract(slot);
  return fmt::format("cancelled {}, which was wanted {} times, and what needs it", key, wants);
}

std::string Core::cancel_client(Session& session) {
  const std::uint64_t before = session.active;
  const std::string name = session.name;
  msg::CancelWants all;
  for (const auto& [number, id] : session.layers) {
    const LayerRecord& layer = layers_.at(id);
    for (std::uint16_t o = 0; o < layer.outputs; ++o) all.wants.push_back({number, o, 0, layer.tasks});
  }
  persist(session, all);
  on_cancel(session, all, "the operator");
  resolve_doubts();
  return fmt::format("cancelled all that client '{}' waits for: {} of its {} unfinished tasks are dropped", name,
                     before - session.active, before);
}

}  // namespace tegula::scheduler
