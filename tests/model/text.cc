// Choices and messages in words.
#include <fmt/core.h>

#include <algorithm>

#include "tests/model/parts.h"

namespace tegula::model {
namespace {

using Kind = Choice::Kind;

}  // namespace

std::string text(TaskId task) {
  return fmt::format("{}/{}", static_cast<std::uint32_t>(layer_of(task)), index_of(task));
}

std::string text(const msg::Message& message) {
  std::string words(msg::name_of(message));
  std::visit(
      [&]<typename M>(const M& m) {
        if constexpr (requires { m.attempt; }) words += fmt::format(" #{}", static_cast<std::uint64_t>(m.attempt));
        if constexpr (requires { layer_of(m.task); }) words += " of " + text(m.task);
        if constexpr (requires { m.slots; }) words += fmt::format(" {} {}", m.slots, m.kib);
        if constexpr (std::is_same_v<M, msg::Assign>) {
          for (const auto& holder : m.holders) {
            words += fmt::format(", {} from w{}", text(holder.result.task), static_cast<std::uint32_t>(holder.worker));
          }
          for (const auto& item : m.awaited) {
            words += fmt::format(", {} from w{}'s #{}", text(item.result.task), static_cast<std::uint32_t>(item.worker),
                                 static_cast<std::uint64_t>(item.attempt));
          }
        }
        if constexpr (std::is_same_v<M, msg::FreeResults>) {
          for (const auto& result : m.results) words += " " + text(result.task);
        }
        if constexpr (std::is_same_v<M, msg::TaskReturned>) {
          for (const auto& item : m.missing) {
            words += fmt::format(", lacks {} of w{}", text(item.result.task), static_cast<std::uint32_t>(item.holder));
          }
        }
        if constexpr (std::is_same_v<M, msg::TaskFailed>) words += ": " + m.error.message;
      },
      message);
  return words;
}

std::string text(const Frame& frame) {
  std::string words;
  for (const msg::Message& message : frame) {
    if (std::holds_alternative<msg::WorkerHeartbeat>(message)) continue;
    words += (words.empty() ? "" : "; ") + text(message);
  }
  return words;
}

std::string World::describe(const Choice& choice) const {
  const Node& node = nodes_[choice.worker];
  const std::string self = fmt::format("w{}", choice.worker + 1);
  const std::string peer = fmt::format("w{}", choice.other + 1);
  const auto attempt = static_cast<std::uint64_t>(choice.attempt);
  switch (choice.kind) {
    case Kind::kHear: {
      std::string what;
      for (const Frame& frame : node.to_worker) {
        what += (what.empty() ? "" : " | ") + text(frame);
        if (!std::all_of(frame.begin(), frame.end(), &passive)) break;
      }
      return fmt::format("{} hears: {}", self, what);
    }
    case Kind::kSpeak:
      return fmt::format("scheduler hears {}: {}", self, text(node.to_scheduler.front()));
    case Kind::kSettle:
      return "scheduler settles";
    case Kind::kTick:
      return "time passes for the scheduler";
    case Kind::kExpand:
      return "scheduler goes on expanding";
    case Kind::kServe:
    case Kind::kServeBusy: {
      std::string what;
      for (const auto& item : node.lines.at(choice.other).requests.front().items) what += " " + text(item.result.task);
      const char* how = choice.kind == Kind::kServeBusy ? " and has no time" : "";
      return fmt::format("{} is asked by {} for{}{}", peer, self, what, how);
    }
    case Kind::kTake:
      return fmt::format("{} hears the answer of {}", self, peer);
    case Kind::kFetchFails:
      return fmt::format("{} finds {} gone", self, peer);
    case Kind::kKernelEnds:
      return fmt::format("{}'s kernel ends, of #{}, {}", self, attempt, text(node.jobs.at(choice.attempt).task));
    case Kind::kKernelFails:
      return fmt::format("{}'s kernel fails, of #{}, {}", self, attempt, text(node.jobs.at(choice.attempt).task));
    case Kind::kRecalled:
      return fmt::format("{}'s executor gives back #{}", self, attempt);
    case Kind::kTooLate:
      return fmt::format("{}'s executor has begun #{}", self, attempt);
    case Kind::kSpilled:
      return fmt::format("{} has written file {}", self, choice.file);
    case Kind::kNoSpace:
      return fmt::format("{} has no room for file {}", self, choice.file);
    case Kind::kReadBack:
      return fmt::format("{} has read file {}", self, choice.file);
    case Kind::kFileLost:
      return fmt::format("{} cannot read file {}", self, choice.file);
    case Kind::kWake:
      return fmt::format("{} wakes up", self);
    case Kind::kJoin:
      return fmt::format("{} joins", self);
    case Kind::kDie:
      return fmt::format("{} dies", self);
    case Kind::kLost:
      return fmt::format("scheduler finds {} gone", self);
    case Kind::kRelease:
      return fmt::format("client releases task {}", choice.other);
    case Kind::kCancel:
      return fmt::format("client cancels task {}", choice.other);
    case Kind::kWant:
      return fmt::format("client wants task {} again", choice.other);
    case Kind::kLeave:
      return "client leaves";
    case Kind::kReplicate:
      return fmt::format("operator wants task {} on two workers", choice.other);
    case Kind::kRetire:
      return fmt::format("operator retires {}", self);
    case Kind::kRebalance:
      return "operator rebalances";
    case Kind::kDrain:
      return fmt::format("{} wishes to end", self);
    case Kind::kReport:
      return fmt::format("the nanny of {} reports its death, {}", self,
                         choice.other != 0 ? "by its kernel" : "by nobody's fault");
    case Kind::kCut:
      return fmt::format("{}'s connection breaks", self);
    case Kind::kRejoin:
      return fmt::format("{} joins anew", self);
    case Kind::kOrphanEnds:
      return fmt::format("{}'s kernel of life {} ends, of #{}", self, choice.other, attempt);
    case Kind::kRestart:
      return "scheduler is started again";
    case Kind::kReattach:
      return "client finds the scheduler";
    case Kind::kWindow:
      return "scheduler's window closes";
  }
  return "?";
}

std::string World::describe() const {
  std::string words;
  for (std::uint32_t task = 0; task < graph_->places.size(); ++task) {
    const Place place = graph_->places[task];
    const TaskId id = make_task_id(static_cast<LayerId>(place.layer + 1), place.index);
    const scheduler::TaskInfo info = scheduler_->task(id);
    words += fmt::format("  task {} is {}: {}", task, text(id), scheduler::name_of(info.state));
    if (info.worker != WorkerId{}) {
      words += fmt::format(" on w{} (#{}{})", static_cast<std::uint32_t>(info.worker),
                           static_cast<std::uint64_t>(info.attempt),
                           info.phase == scheduler::TaskPhase::kRetracting ? ", retracting" : "");
    }
    for (const auto& output : info.outputs) {
      words += fmt::format(", {} wants, {} readers, held by {}", output.wants, output.consumers, output.holders.size());
    }
    words += "\n";
  }
  for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
    const Node& node = nodes_[worker];
    if (!node.live()) continue;
    words += fmt::format("  w{}: {} attempts, {} results, {} executing", worker + 1, node.core->attempts(),
                         node.core->results(), node.jobs.size());
    for (const Frame& frame : node.to_worker) words += "\n    to it: " + text(frame);
    for (const Frame& frame : node.to_scheduler) words += "\n    from it: " + text(frame);
    words += "\n";
  }
  return words;
}

}  // namespace tegula::model
