// What may happen in a world next, and what does when it is chosen.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "tests/model/parts.h"

namespace tegula::model {
namespace {

using Kind = Choice::Kind;

}  // namespace

std::vector<Choice> World::choices() const {
  std::vector<Choice> found;
  // A turn of the scheduler takes in what comes meanwhile. What the others do meanwhile could as well have been done
  // before.
  if (unsettled_) {
    found.push_back({Kind::kSettle});
    for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
      if (!nodes_[worker].lost && !nodes_[worker].to_scheduler.empty()) {
        found.push_back({Kind::kSpeak, true, worker, 0, {}});
      }
    }
    add_client_choices(found);
    return found;
  }
  if (scheduler_->busy()) found.push_back({Kind::kExpand});
  if (ticks_ < scenario_->ticks) found.push_back({Kind::kTick, true, 0, 0, {}});
  if (scheduler_->recovering()) found.push_back({Kind::kWindow});
  if (detached_) found.push_back({Kind::kReattach});
  if (restarts_ < scenario_->restarts) found.push_back({Kind::kRestart, true});
  for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) add_worker_choices(worker, found);
  add_client_choices(found);
  return found;
}

void World::add_worker_choices(std::uint32_t worker, std::vector<Choice>& found) const {
  const Node& node = nodes_[worker];
  if (!node.joined) {
    found.push_back({Kind::kJoin, true, worker, 0, {}});
    return;
  }
  if (!node.lost && !node.to_scheduler.empty()) found.push_back({Kind::kSpeak, false, worker, 0, {}});
  if (node.cut) {
    found.push_back({Kind::kRejoin, false, worker, 0, {}});
  } else if (node.dead != node.lost)
    found.push_back({node.dead ? Kind::kLost : Kind::kDie, false, worker, 0, {}});
  if (node.live() && losses_ < scenario_->losses) {
    found.push_back({Kind::kDie, true, worker, 0, {}});
    if (scenario_->slow_news) found.push_back({Kind::kLost, true, worker, 0, {}});
  }
  if (node.live() && !node.retires && drains_ < scenario_->drains) {
    found.push_back({Kind::kDrain, true, worker, 0, {}});
  }
  if (node.dead && scenario_->nannies && !node.reported && !node.retires) {
    for (const std::uint32_t blame : {0u, 1u}) found.push_back({Kind::kReport, true, worker, blame, {}});
  }
  if (node.live() && cuts_ < scenario_->cuts && !node.retires) found.push_back({Kind::kCut, true, worker, 0, {}});
  if (node.dead) return;
  // The executor says at once whether it can give an attempt back.
  const auto recalled =
      std::find_if(node.jobs.begin(), node.jobs.end(), [](const auto& job) { return job.second.recalled; });
  if (recalled != node.jobs.end()) {
    found.push_back({Kind::kRecalled, false, worker, 0, recalled->first});
    found.push_back({Kind::kTooLate, false, worker, 0, recalled->first});
    return;
  }
  // Once it is registered it tells what it holds.
  const bool tells = node.core->inventory_parts() != 0;
  const auto news = [&](const Frame& frame) {
    return std::any_of(frame.begin(), frame.end(), [&](const msg::Message& message) {
      return !passive(message) || (tells && std::holds_alternative<msg::WorkerRegistered>(message));
    });
  };
  if (std::any_of(node.to_worker.begin(), node.to_worker.end(), news)) {
    found.push_back({Kind::kHear, false, worker, 0, {}});
  }
  if (!node.orphans.empty()) {
    const auto& [life, attempt] = node.orphans.begin()->first;
    found.push_back({Kind::kOrphanEnds, false, worker, static_cast<std::uint32_t>(life), attempt});
  }
  for (const auto& [attempt, job] : node.jobs) {
    found.push_back({Kind::kKernelEnds, false, worker, 0, attempt});
    if (kernel_failures_ < scenario_->kernel_failures) {
      found.push_back({Kind::kKernelFails, true, worker, 0, attempt});
    }
  }
  for (const auto& [peer, line] : node.lines) {
    if (line.requests.empty() && line.waiting.empty() && line.replies.empty()) continue;
    if (!line.replies.empty()) found.push_back({Kind::kTake, false, worker, peer, {}});
    // One that has joined another life of the scheduler refuses those that have not.
    if (nodes_[peer].dead || nodes_[peer].joined_in != node.joined_in) {
      found.push_back({Kind::kFetchFails, false, worker, peer, {}});
    } else if (!line.requests.empty() && !unsure(peer, line.requests.front()) && may_serve(node, peer)) {
      found.push_back({Kind::kServe, false, worker, peer, {}});
      if (busy_answers_ < scenario_->busy_answers) found.push_back({Kind::kServeBusy, true, worker, peer, {}});
    }
  }
  for (const auto& [number, file] : node.files) {
    Choice choice{Kind::kSpilled, false, worker, 0, {}, number};
    if (file.written && !file.being_read) continue;
    choice.kind = file.written ? Kind::kReadBack : Kind::kSpilled;
    found.push_back(choice);
    if (disk_failures_ >= scenario_->disk_failures) continue;
    choice.kind = file.written ? Kind::kFileLost : Kind::kNoSpace;
    choice.optional = true;
    found.push_back(choice);
  }
  if (node.core->next_wakeup(node.now)) found.push_back({Kind::kWake, false, worker, 0, {}});
}

void World::add_client_choices(std::vector<Choice>& found) const {
  if (detached_) return;
  if (!left_ && orders_ < scenario_->orders) {
    for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
      if (nodes_[worker].live() && !nodes_[worker].retires) found.push_back({Kind::kRetire, true, worker, 0, {}});
    }
    for (const std::uint32_t task : scenario_->shape.wanted) found.push_back({Kind::kReplicate, true, 0, task, {}});
    found.push_back({Kind::kRebalance, true, 0, 0, {}});
  }
  if (left_ || client_steps_ >= scenario_->client_steps) return;
  for (const std::uint32_t task : scenario_->shape.wanted) {
    const Want& want = wants_[task];
    if (want.live == 0) {
      found.push_back({Kind::kWant, true, 0, task, {}});
      continue;
    }
    found.push_back({Kind::kRelease, true, 0, task, {}});
    if (want.status == Status::kPending) found.push_back({Kind::kCancel, true, 0, task, {}});
  }
  found.push_back({Kind::kLeave, true, 0, 0, {}});
}

void World::apply(const Choice& choice) {
  Node& node = nodes_[choice.worker];
  switch (choice.kind) {
    case Kind::kHear:
      hear(node, choice.worker);
      break;
    case Kind::kSpeak: {
      const Frame frame = std::move(node.to_scheduler.front());
      node.to_scheduler.pop_front();
      std::vector<scheduler::Action> actions;
      for (const msg::Message& message : frame) {
        scheduler_.change().apply(now_, scheduler::FromWorker{id_of(choice.worker), message}, actions);
      }
      unsettled_ = true;
      carry_out(actions);
      if (!scenario_->gather) settle();
      break;
    }
    case Kind::kSettle:
      settle();
      break;
    case Kind::kTick:
      ++ticks_;
      to_scheduler(scheduler::Tick{});
      break;
    case Kind::kExpand:
      to_scheduler(scheduler::Tick{});
      break;
    case Kind::kServe:
    case Kind::kServeBusy:
      serve(choice.worker, choice.other, choice.kind == Kind::kServeBusy);
      break;
    case Kind::kTake: {
      Line& line = node.lines[choice.other];
      msg::FetchReply reply = std::move(line.replies.front());
      line.replies.pop_front();
      line.answered.pop_front();
      to_worker(choice.worker, {std::move(reply)});
      break;
    }
    case Kind::kFetchFails: {
      break_line(choice.worker, choice.other);
      break;
    }
    case Kind::kKernelEnds:
      end_kernel(choice.worker, choice.attempt);
      break;
    case Kind::kKernelFails: {
      ++kernel_failures_;
      node.jobs.erase(choice.attempt);
      ErrorInfo error;
      error.code = ErrorCode::kKernelFailed;
      error.message = "bad luck";
      to_worker(choice.worker, {worker::KernelFailed{choice.attempt, std::move(error), kComputeNs}});
      break;
    }
    case Kind::kOrphanEnds: {
      const auto ended = node.orphans.extract({choice.other, choice.attempt});
      to_worker(choice.worker, {worker::OrphanEnded{choice.other, choice.attempt, {result_of(ended.mapped())}}});
      break;
    }
    case Kind::kCut:
      ++cuts_;
      cut(choice.worker);
      break;
    case Kind::kRejoin:
      rejoin(choice.worker);
      break;
    case Kind::kRestart:
      ++restarts_;
      restart();
      break;
    case Kind::kReattach:
      reattach();
      break;
    case Kind::kWindow:
      now_ += std::chrono::seconds(4);
      blamed_ = blamed_ || scenario_->nannies;  // longer than reports are waited for: then it is guessed
      to_scheduler(scheduler::Tick{});
      break;
    case Kind::kRecalled:
      node.jobs.erase(choice.attempt);
      to_worker(choice.worker, {worker::Recalled{choice.attempt}});
      break;
    case Kind::kTooLate:
      node.jobs.at(choice.attempt).recalled = false;
      to_worker(choice.worker, {worker::TooLate{choice.attempt}});
      break;
    case Kind::kSpilled:
    case Kind::kNoSpace:
    case Kind::kReadBack:
    case Kind::kFileLost:
      disk_step(choice);
      break;
    case Kind::kWake:
      node.now = std::max(node.now, *node.core->next_wakeup(node.now));
      to_worker(choice.worker, {worker::Tick{}});
      break;
    case Kind::kJoin:
      join(choice.worker);
      break;
    case Kind::kDie:
      if (!node.lost) ++losses_;
      die(choice.worker);
      if (!scenario_->slow_news) lose(choice.worker);
      break;
    case Kind::kLost:
      if (!node.dead) ++losses_;
      lose(choice.worker);
      break;
    case Kind::kRelease:
    case Kind::kCancel:
    case Kind::kWant:
    case Kind::kLeave:
      ++client_steps_;
      client_step(choice);
      break;
    case Kind::kReplicate:
    case Kind::kRetire:
    case Kind::kRebalance:
      ++orders_;
      order(choice);
      break;
    case Kind::kDrain:
      ++drains_;
      node.retires = true;
      send(node.to_scheduler, {msg::WorkerDraining{"tired"}});
      break;
    case Kind::kReport:
      report(choice);
      break;
  }
  if (!unsettled_) check_counters();
}

void World::die(std::uint32_t worker) {
  Node& node = nodes_[worker];
  node.dead = true;
  for (const auto& [attempt, job] : node.jobs) node.executing.push_back(attempt);
  node.core.reset();
  node.jobs.clear();
  node.files.clear();
  node.orphans.clear();
  node.lines.clear();
  node.to_worker.clear();
}

void World::lose(std::uint32_t worker) {
  Node& node = nodes_[worker];
  node.lost = true;
  node.to_worker.clear();
  node.to_scheduler.clear();
  to_scheduler(scheduler::WorkerLost{id_of(worker), scheduler::LossReason::kConnection, "it died"});
}

void World::report(const Choice& choice) {
  Node& node = nodes_[choice.worker];
  node.reported = true;
  msg::WorkerDied died;
  died.nanny = died.life = choice.worker + 1;
  died.cause = choice.other != 0 ? msg::DeathCause::kSignal : msg::DeathCause::kOrderly;
  died.executing = node.executing;
  blamed_ = blamed_ || choice.other != 0;
  to_scheduler(scheduler::DeathReported{std::move(died)});
}

void World::client_step(const Choice& choice) {
  if (choice.kind == Kind::kLeave) return leave();
  Want& want = wants_[choice.other];
  const Place place = graph_->places[choice.other];
  std::vector<msg::WantRange> range{{place.layer, 0, place.index, place.index + 1}};
  if (choice.kind == Kind::kRelease) {
    want = {};
    to_scheduler(scheduler::FromClient{connection_, msg::ReleaseWants{++sequence_, std::move(range)}});
  } else if (choice.kind == Kind::kCancel) {
    want.cancelled = true;
    to_scheduler(scheduler::FromClient{connection_, msg::CancelWants{++sequence_, std::move(range)}});
  } else {
    want.live = 1;
    const auto first = static_cast<LayerNumber>(graph_->layers.size());
    to_scheduler(scheduler::FromClient{connection_, msg::Submit{++sequence_, first, {}, std::move(range)}});
  }
}

void World::order(const Choice& choice) {
  msg::Command command;
  command.request = orders_;
  if (choice.kind == Kind::kRetire) {
    nodes_[choice.worker].retires = true;
    command.kind = msg::CommandKind::kRetire;
    command.subject = fmt::format("w{}", choice.worker + 1);
  } else if (choice.kind == Kind::kReplicate) {
    const Place place = graph_->places[choice.other];
    command.kind = msg::CommandKind::kReplicate;
    command.subject = fmt::format("{}/{}", place.layer + 1, place.index);
    command.count = 2;
  } else {
    command.kind = msg::CommandKind::kRebalance;
  }
  to_scheduler(scheduler::FromClient{connection_, std::move(command)});
}

void World::leave() {
  left_ = true;
  for (Want& want : wants_) want = {};
  to_scheduler(scheduler::FromClient{connection_, msg::CloseClient{}});
}

}  // namespace tegula::model
