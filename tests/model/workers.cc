// The world around the cores of workers: what they send, threads, disks, and the lines between them.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/overloaded.h"
#include "tests/model/parts.h"

namespace tegula::model {
namespace {

using Kind = Choice::Kind;

}  // namespace

void World::send(std::deque<Frame>& channel, Frame frame) {
  if (scenario_->tamper) scenario_->tamper(frame);
  if (!scenario_->single_messages) {
    if (!frame.empty()) channel.push_back(std::move(frame));
    return;
  }
  for (msg::Message& message : frame) {
    const bool with_last = std::holds_alternative<msg::WorkerHeartbeat>(message) && !channel.empty();
    if (!with_last) channel.emplace_back();
    channel.back().push_back(std::move(message));
  }
}

void World::hear(Node& node, std::uint32_t worker) {
  std::vector<worker::Event> events;
  for (bool heard = false; !heard && !node.to_worker.empty(); node.to_worker.pop_front()) {
    for (msg::Message& message : node.to_worker.front()) {
      heard = heard || !passive(message);
      if (std::holds_alternative<msg::DefineLayer>(message)) ++node.layers;
      std::visit(
          [&]<typename M>(M& m) {
            if constexpr (std::is_constructible_v<worker::Event, M>) {
              events.emplace_back(std::move(m));
            } else {
              violated("the scheduler sends a worker what none takes: " + std::string(msg::name_of(message)));
            }
          },
          message);
    }
  }
  to_worker(worker, std::move(events));
}

void World::to_worker(std::uint32_t worker, std::vector<worker::Event> events) {
  Node& node = nodes_[worker];
  std::vector<worker::Action> actions;
  node.core.change().handle(events, node.now, actions);
  carry_out(worker, actions);
  node.core->check_invariants();
}

void World::carry_out(std::uint32_t worker, std::vector<worker::Action>& actions) {
  Node& node = nodes_[worker];
  Frame frame;
  for (worker::Action& action : actions) {
    std::visit(Overloaded{
                   [&](worker::SendToScheduler& sent) { frame.push_back(std::move(sent.message)); },
                   [&](worker::Execute& execute) { start(worker, execute); },
                   [&](worker::StartFetch& fetch) {
                     node_of(fetch.peer);
                     node.lines[number_of(fetch.peer)].requests.push_back(std::move(fetch));
                   },
                   [&](worker::Recall& recall) {
                     const auto job = node.jobs.find(recall.attempt);
                     if (job != node.jobs.end()) job->second.recalled = true;
                   },
                   [&](worker::ReleaseLayer&) { --node.layers; },
                   [&](worker::AttemptEnded& ended) { attempt_ended(worker, ended.attempt); },
                   [&](const worker::ClosePeer& close) { node.lines[number_of(close.peer)] = {}; },
                   [&](worker::Spill& spill) {
                     if (!node.files.emplace(spill.file, File{spill.chunk}).second) {
                       violated("a file is written twice");
                     }
                   },
                   [&](worker::Unspill& unspill) {
                     const auto file = node.files.find(unspill.file);
                     if (file == node.files.end() || !file->second.written || file->second.being_read) {
                       violated("a file is read that is not there, or is being read already");
                     }
                     file->second.being_read = true;
                   },
                   [&](worker::DropSpilled& drop) { drop_file(node, drop.file); },
                   [](worker::TrimMemory&) {},
               },
               action);
  }
  if (frame.empty() || node.lost) return;
  msg::WorkerHeartbeat beat = node.core->heartbeat();
  for (const auto& [attempt, job] : node.jobs) beat.running.push_back(attempt);
  frame.emplace_back(std::move(beat));
  send(node.to_scheduler, std::move(frame));
}

// The inputs are those of the task, and memory is kept to.
void World::start(std::uint32_t worker, const worker::Execute& execute) {
  Node& node = nodes_[worker];
  const Layer* layer = layer_at(layer_of(execute.task));
  if (layer == nullptr) violated("a task of no layer is executed");
  std::size_t piece = 0;
  for (std::size_t rule = 0; rule < layer->inputs.size(); ++rule) {
    for_each_producer(*layer, rule, index_of(execute.task), [&](std::uint32_t producer) {
      TaskId there{};
      if (execute.inputs != nullptr && piece < execute.inputs->pieces.size()) {
        std::memcpy(&there, execute.inputs->pieces[piece].data(), sizeof there);
      }
      const TaskId wanted = make_task_id(static_cast<LayerId>(layer->inputs[rule].layer + 1), producer);
      if (there != wanted) violated("a kernel is given " + text(there) + " for its input " + text(wanted));
      ++piece;
    });
  }
  if (!node.jobs.emplace(execute.attempt, Job{execute.task, execute.granted, false}).second) {
    violated("an attempt is handed to the executor twice");
  }
  const std::uint64_t used = node.core->managed_bytes() + node.core->reserved_bytes();
  if (scenario_->memory_limit != 0 && used > scenario_->memory_limit && node.jobs.size() > 1) {
    violated(fmt::format("{} bytes are taken of {}, by more than one task", used, scenario_->memory_limit));
  }
}

void World::end_kernel(std::uint32_t worker, AttemptId attempt) {
  Node& node = nodes_[worker];
  const Job job = node.jobs.at(attempt);
  node.jobs.erase(attempt);
  if (scenario_->need > job.granted) return to_worker(worker, {worker::KernelNeeds{attempt, scenario_->need}});
  std::vector<worker::Event> events;
  events.emplace_back(worker::KernelFinished{attempt, {result_of(job.task)}, scenario_->need, kComputeNs});
  to_worker(worker, std::move(events));
}

void World::disk_step(const Choice& choice) {
  Node& node = nodes_[choice.worker];
  const auto file = node.files.find(choice.file);
  if (choice.kind == Kind::kNoSpace || choice.kind == Kind::kFileLost) ++disk_failures_;
  switch (choice.kind) {
    case Kind::kSpilled:
      file->second.written = true;
      if (file->second.dropped) node.files.erase(file);
      return to_worker(choice.worker, {worker::SpillDone{choice.file}});
    case Kind::kNoSpace:
      node.files.erase(file);
      return to_worker(choice.worker, {worker::SpillFailed{choice.file, worker::SpillFailure::kNoSpace}});
    case Kind::kReadBack: {
      file->second.being_read = false;
      Chunk chunk = Chunk::allocate(DType::kFloat64, {1});
      std::memcpy(chunk.mutable_data(), file->second.chunk.data(), chunk.nbytes());
      return to_worker(choice.worker, {worker::Unspilled{choice.file, std::move(chunk)}});
    }
    default:
      file->second.being_read = false;
      return to_worker(choice.worker, {worker::UnspillFailed{choice.file}});
  }
}

void World::drop_file(Node& node, worker::FileId number) {
  const auto file = node.files.find(number);
  if (file == node.files.end() || file->second.being_read) {
    violated("a file is dropped that is not there, or is being read");
  }
  if (file->second.written) {
    node.files.erase(file);
  } else {
    file->second.dropped = true;
  }
}

// It has not heard yet what its results are called: it says that it is busy, as good as being asked later.
bool World::unsure(std::uint32_t peer, const worker::StartFetch& fetch) const {
  const worker::WorkerState& core = *nodes_[peer].core;
  return core.inventory_parts() != 0 && !std::all_of(fetch.items.begin(), fetch.items.end(),
                                                     [&](const auto& item) { return core.keeps(item.result); });
}

void World::break_line(std::uint32_t asker, std::uint32_t peer) {
  const auto found = nodes_[asker].lines.find(peer);
  if (found == nodes_[asker].lines.end()) return;
  const Line line = std::exchange(found->second, {});
  std::vector<worker::Event> events;
  for (const auto& fetch : line.answered) events.emplace_back(worker::FetchFailed{fetch.request});
  for (const auto& fetch : line.waiting) events.emplace_back(worker::FetchFailed{fetch.request});
  for (const auto& fetch : line.requests) events.emplace_back(worker::FetchFailed{fetch.request});
  if (!events.empty()) to_worker(asker, std::move(events));
}

bool World::may_serve(const Node& node, std::uint32_t peer) const {
  if (!scenario_->serving_needs_room) return true;
  const worker::WorkerState& core = *nodes_[peer].core;
  std::uint64_t bytes = core.managed_bytes() + core.reserved_bytes();
  for (const auto& item : node.lines.at(peer).requests.front().items) {
    const bool on_disk = core.find(item.result) == nullptr && core.file_of(item.result) != 0;
    bytes += on_disk ? kItem : 0;
  }
  return bytes <= scenario_->memory_limit;
}

void World::serve(std::uint32_t asker, std::uint32_t peer, bool busy) {
  if (busy) ++busy_answers_;
  Line& line = nodes_[asker].lines[peer];
  worker::StartFetch fetch = std::move(line.requests.front());
  line.requests.pop_front();
  const AttemptId attempt = fetch.attempt;
  const auto here = [&](const auto& item) { return nodes_[peer].core->keeps(item.result); };
  if (busy || attempt == AttemptId{} || std::all_of(fetch.items.begin(), fetch.items.end(), here)) {
    return answer(asker, peer, std::move(fetch), busy);
  }
  line.waiting.push_back(std::move(fetch));
  to_worker(peer, {worker::Await{attempt}});
}

void World::answer(std::uint32_t asker, std::uint32_t peer, worker::StartFetch fetch, bool busy) {
  Line& line = nodes_[asker].lines[peer];
  msg::FetchReply reply{fetch.request, {}};
  for (const auto& item : fetch.items) {
    const worker::WorkerState& core = *nodes_[peer].core;
    if (busy) {
      reply.items.push_back({msg::FetchStatus::kBusy, {}});
    } else if (core.find(item.result) == nullptr && core.file_of(item.result) == 0) {
      const bool sure = core.inventory_parts() == 0;
      reply.items.push_back({sure ? msg::FetchStatus::kMissing : msg::FetchStatus::kBusy, {}});
    } else if (fetch.at_most != 0 && kItem > fetch.at_most) {
      reply.items.push_back({msg::FetchStatus::kLarge, {}});
    } else {
      reply.items.push_back({msg::FetchStatus::kOk, result_of(item.result.task)});
    }
  }
  line.replies.push_back(std::move(reply));
  line.answered.push_back(std::move(fetch));
}

void World::attempt_ended(std::uint32_t worker, AttemptId attempt) {
  for (std::uint32_t asker = 0; asker < nodes_.size(); ++asker) {
    const auto line = nodes_[asker].lines.find(worker);
    if (line == nodes_[asker].lines.end()) continue;
    auto waiting = std::exchange(line->second.waiting, {});
    for (worker::StartFetch& fetch : waiting) {
      if (fetch.attempt == attempt) {
        answer(asker, worker, std::move(fetch), false);
      } else {
        line->second.waiting.push_back(std::move(fetch));
      }
    }
  }
}

}  // namespace tegula::model
