#include "tests/model/world.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "comm/codec.h"

namespace tegula::model {
namespace {

using Kind = Choice::Kind;

constexpr std::uint64_t kItem = 8;                // bytes of a result
constexpr std::uint64_t kComputeNs = 10'000'000;  // of every kernel

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

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

// Messages that tell a worker something and ask for nothing. They are as good as read with the next one.
bool passive(const msg::Message& message) {
  return std::holds_alternative<msg::WorkerRegistered>(message) || std::holds_alternative<msg::DefineLayer>(message) ||
         std::holds_alternative<msg::WorkerAddress>(message);
}

void describe(CanonicalHash& hash, WorkerId worker, const msg::Message& message) {
  hash.add(message.index());
  std::visit(
      [&]<typename M>(const M& m) {
        if constexpr (std::is_same_v<M, msg::TaskFinished>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          for (const std::uint64_t bytes : m.nbytes) hash.add(bytes);
        } else if constexpr (std::is_same_v<M, msg::TaskFailed>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          hash.add(m.error.code);
        } else if constexpr (std::is_same_v<M, msg::TaskReturned>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          for (const auto& item : m.missing) {
            hash.add(item.result);
            hash.add(item.holder);
            hash.add(item.unreachable);
          }
        } else if constexpr (std::is_same_v<M, msg::Assign>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          hash.priority(m.priority);
          hash.add(m.kib);
          for (const auto& holder : m.holders) {
            hash.add(holder.result);
            hash.add(holder.worker);
          }
          hash.add(m.awaited.size());
          for (const auto& item : m.awaited) {
            hash.add(item.result);
            hash.add(item.worker);
            hash.attempt(item.attempt);
          }
        } else if constexpr (std::is_same_v<M, msg::AcquireReplicas>) {
          for (const auto& holder : m.results) {
            hash.add(holder.result);
            hash.add(holder.worker);
          }
        } else if constexpr (std::is_same_v<M, msg::NextUse>) {
          for (const auto& item : m.results) {
            hash.add(item.result);
            hash.priority(item.rank);
          }
        } else if constexpr (std::is_same_v<M, msg::GrantCredit>) {
          hash.spent(worker, m.slots);
          hash.spent_kib(worker, m.kib);
        } else if constexpr (std::is_same_v<M, msg::Retract>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          hash.add(m.cancel);
        } else if constexpr (std::is_same_v<M, msg::WorkerHeartbeat>) {
          for (const AttemptId attempt : m.running) hash.attempt(attempt);
          // Its hash is that of the attempts that the worker had when it had received and sent so many.
          hash.spent(worker, m.received);
          hash.answered(worker, m.sent);
          hash.add(m.managed_bytes);
          hash.add(m.reserved_bytes);
        } else if constexpr (std::is_same_v<M, msg::Inventory>) {
          hash.add(m.part);
          for (const auto& held : m.results) {
            hash.add(held.layer.low);
            hash.add(held.index);
          }
        } else if constexpr (std::is_same_v<M, msg::InventoryTaken>) {
          hash.add(m.part);
          for (const LayerId layer : m.layers) hash.add(layer);
        } else if constexpr (std::is_same_v<M, msg::DefineLayer> || std::is_same_v<M, msg::ForgetLayer>) {
          hash.add(m.layer);
        } else if constexpr (std::is_same_v<M, msg::WorkerAddress> || std::is_same_v<M, msg::WorkerGone> ||
                             std::is_same_v<M, msg::WorkerRegistered>) {
          hash.add(m.worker);
        } else if constexpr (requires { m.attempt, m.task; } && sizeof(M) == sizeof(AttemptId) + sizeof(TaskId)) {
          hash.attempt(m.attempt);
          hash.add(m.task);
        } else if constexpr (requires { m.results; } && sizeof(M) == sizeof(std::vector<ResultId>)) {
          for (const ResultId& result : m.results) hash.add(result);
        } else if (hash.hashing()) {
          // Not known here: compared byte by byte, which tells more states apart than differ.
          const auto encoded = codec::encode({&message, 1});
          for (const std::byte byte : encoded.control()) hash.add(static_cast<std::uint8_t>(byte));
        }
      },
      message);
}

void describe(CanonicalHash& hash, WorkerId worker, const std::deque<Frame>& channel) {
  hash.add(channel.size());
  for (const Frame& frame : channel) {
    hash.add(frame.size());
    for (const msg::Message& message : frame) describe(hash, worker, message);
  }
}

template <typename Requests>
void describe_requests(CanonicalHash& hash, const Requests& requests) {
  hash.add(requests.size());
  for (const worker::StartFetch& fetch : requests) {
    hash.attempt(fetch.attempt);
    hash.add(fetch.at_most);
    hash.add(fetch.items.size());
    for (const auto& item : fetch.items) hash.add(item.result);
  }
}

Chunk result_of(TaskId task) {
  Chunk chunk = Chunk::allocate(DType::kFloat64, {1});
  std::memcpy(chunk.mutable_data(), &task, sizeof task);
  return chunk;
}

[[noreturn]] void violated(const std::string& what) { throw Violation(what); }

}  // namespace

// ---- how it begins --------------------------------------------------------------------------------------------------

World::World(std::shared_ptr<const Scenario> scenario)
    : scenario_(std::move(scenario)),
      graph_(std::make_shared<const Graph>(scenario_->write(scenario_->shape))),
      nodes_(scenario_->workers),
      wants_(scenario_->shape.tasks) {
  start_scheduler();
  const std::uint32_t present = scenario_->workers - (scenario_->late ? 1u : 0u);
  for (std::uint32_t worker = 0; worker < present; ++worker) join(worker);
  to_scheduler(scheduler::ClientConnected{connection_, {0, 0, "client"}, 1, 1});
  submit();
  if (unsettled_) settle();
}

void World::start_scheduler() {
  scheduler::SchedulerConfig config;
  config.log_size = 0;
  config.worker_timeout = {};
  if (scenario_->short_tasks) config.short_task = std::chrono::hours(1);
  if (scenario_->nannies) config.allowed_deaths = 1;
  if (scenario_->step_by_step) {
    config.expansion_steps = 1;
    config.root_margin = 0;
  }
  scheduler_ = Shared(scheduler::SchedulerState(config));
}

void World::submit() {
  msg::Submit message{++sequence_, 0, graph_->layers, {}};
  for (const std::uint32_t task : scenario_->shape.wanted) {
    const Place place = graph_->places[task];
    message.wants.push_back({place.layer, 0, place.index, place.index + 1});
    wants_[task].live = 1;
  }
  to_scheduler(scheduler::FromClient{connection_, std::move(message)});
}

void World::join(std::uint32_t worker) {
  Node& node = nodes_[worker];
  worker::CoreOptions options;
  options.threads = scenario_->threads;
  options.memory_limit = scenario_->memory_limit;
  options.store.spill = scenario_->spill;
  options.store.smallest = 1;
  options.worker = fmt::format("w{}", worker + 1);
  if (scenario_->large) options.fetch.ahead_bytes = 1;
  node.joined = true;
  node.id = static_cast<WorkerId>(worker + 1);
  node.core = Shared(worker::WorkerState(options));
  introduce(worker);
}

void World::introduce(std::uint32_t worker) {
  Node& node = nodes_[worker];
  node.joined_in = restarts_;
  msg::RegisterWorker about;
  about.name = fmt::format("w{}", worker + 1);
  about.address = "inproc://" + about.name;
  about.threads = scenario_->threads;
  about.memory_limit = scenario_->memory_limit;
  about.kernels = {"test.step"};
  about.slots_granted = node.core->granted().slots;
  about.kib_granted = node.core->granted().kib;
  if (scenario_->nannies) about.nanny = about.life = worker + 1;
  about.instance = worker + 1;
  about.inventory_parts = node.core->inventory_parts();
  to_scheduler(scheduler::WorkerJoined{node.id, about});
}

// ---- connections that break -----------------------------------------------------------------------------------------

// The worker goes on with what it has. With slow news the scheduler first hears of the next connection.
void World::cut(std::uint32_t worker) {
  Node& node = nodes_[worker];
  const WorkerId before = node.id;
  node.cut = node.lost = true;
  node.to_worker.clear();
  node.to_scheduler.clear();
  if (!scenario_->slow_news) to_scheduler(scheduler::WorkerLost{before, scheduler::LossReason::kConnection, "reset"});
}

void World::rejoin(std::uint32_t worker) {
  Node& node = nodes_[worker];
  node.cut = node.lost = false;
  node.id = static_cast<WorkerId>(static_cast<std::uint32_t>(node.id) + static_cast<std::uint32_t>(nodes_.size()));
  node.lines.clear();
  node.layers = 0;
  worker::Rejoin event{node.life, {}, node.joined_in == restarts_};
  for (const auto& [attempt, job] : node.jobs) {
    event.running.push_back(attempt);
    node.orphans.emplace(std::pair(node.life, attempt), job.task);
  }
  // In another life it serves nobody of the former one.
  if (node.joined_in != restarts_) {
    for (std::uint32_t asker = 0; asker < nodes_.size(); ++asker) break_line(asker, worker);
  }
  ++node.life;
  node.jobs.clear();
  std::vector<worker::Event> events;
  events.emplace_back(std::move(event));
  std::vector<worker::Action> actions;
  node.core.change().handle(events, node.now, actions);
  for (const worker::Action& action : actions) {
    if (const auto* ended = std::get_if<worker::AttemptEnded>(&action)) {
      attempt_ended(worker, ended->attempt);
    } else if (const auto* drop = std::get_if<worker::DropSpilled>(&action)) {
      drop_file(node, drop->file);
    } else {
      violated("a worker that is not registered yet does something");
    }
  }
  node.core->check_invariants();
  introduce(worker);
}

void World::restart() {
  start_scheduler();
  unsettled_ = false;
  detached_ = !left_;
  answered_orders_ = orders_;  // what was not answered is not known any more
  for (Node& node : nodes_) {
    if (!node.joined || node.dead || node.retires) {
      node.lost = node.joined;
      continue;
    }
    node.cut = node.lost = true;
    node.to_worker.clear();
    node.to_scheduler.clear();
  }
}

// As a client does: its session is not known, so it tells all of it to a new one.
void World::reattach() {
  const std::uint64_t session = static_cast<std::uint64_t>(connection_);
  connection_ = static_cast<scheduler::ConnectionId>(session + 1);
  to_scheduler(scheduler::ClientConnected{connection_, {session, 1, "client"}, session, 1});
  connection_ = static_cast<scheduler::ConnectionId>(session + 2);
  detached_ = false;
  sequence_ = 0;
  to_scheduler(scheduler::ClientConnected{connection_, {0, 0, "client"}, session + 2, 1});
  msg::Submit message{++sequence_, 0, graph_->layers, {}};
  std::vector<msg::WantRange> cancelled;
  for (const std::uint32_t task : scenario_->shape.wanted) {
    Want& want = wants_[task];
    if (want.live == 0) continue;
    const Place place = graph_->places[task];
    message.wants.push_back({place.layer, 0, place.index, place.index + 1});
    if (want.cancelled) cancelled.push_back(message.wants.back());
    want.status = Status::kPending;
  }
  to_scheduler(scheduler::FromClient{connection_, std::move(message)});
  if (cancelled.empty()) return;
  to_scheduler(scheduler::FromClient{connection_, msg::CancelWants{++sequence_, std::move(cancelled)}});
}

// ---- what may happen ------------------------------------------------------------------------------------------------

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

// ---- the scheduler --------------------------------------------------------------------------------------------------

void World::to_scheduler(scheduler::Event event) {
  std::vector<scheduler::Action> actions;
  scheduler_.change().apply(now_, std::move(event), actions);
  unsettled_ = true;
  carry_out(actions);
  if (!scenario_->gather) settle();
}

void World::settle() {
  unsettled_ = false;
  std::vector<scheduler::Action> actions;
  scheduler_.change().settle(now_, actions);
  carry_out(actions);
  scheduler_->check_invariants();
}

void World::carry_out(std::vector<scheduler::Action>& actions) {
  std::map<WorkerId, Frame> frames;
  for (scheduler::Action& action : actions) {
    std::visit(Overloaded{
                   [&](scheduler::SendToWorker& sent) { frames[sent.worker].push_back(std::move(sent.message)); },
                   [&](scheduler::SendToClient& sent) { to_client(sent.message); },
                   [&](scheduler::Report& report) {
                     if (!scenario_->repairs) violated("the scheduler complains: " + report.text);
                   },
                   [&](scheduler::CloseWorker& closed) {
                     if (node_of(closed.worker).id != closed.worker) return;  // a connection that was lost before
                     if (scenario_->repairs) {
                       ++repairs_;
                       Node& node = node_of(closed.worker);
                       node.cut = node.lost = true;
                       node.to_worker.clear();
                       node.to_scheduler.clear();
                       return;
                     }
                     if (Node& node = node_of(closed.worker); node.retires) {
                       node.lost = true;  // and will be gone when it hears of it
                       node.to_worker.clear();
                       node.to_scheduler.clear();
                       return;
                     }
                     violated(fmt::format("the scheduler throws out w{}, which did nothing wrong: {}",
                                          static_cast<std::uint32_t>(closed.worker), closed.reason));
                   },
                   [](scheduler::Persist&) { violated("what no journal asked for"); },
                   [&](scheduler::CloseClient& closed) {
                     const bool former = closed.connection != connection_ || detached_;
                     if (!left_ && !former) violated("the scheduler throws out its client: " + closed.reason);
                   },
               },
               action);
  }
  for (auto& [id, frame] : frames) {
    Node& node = node_of(id);
    if (node.live()) send(node.to_worker, std::move(frame));
  }
}

void World::to_client(const msg::Message& message) {
  if (left_) return;
  if (const auto* ready = std::get_if<msg::ResultReady>(&message)) {
    Want& want = want_at(ready->layer, ready->index);
    if (ready->holders.empty()) violated("the client hears of a result that nobody has");
    want.status = Status::kReady;
    want.holders = ready->holders;
    want.result = ready->result;
  } else if (const auto* erred = std::get_if<msg::ResultErred>(&message)) {
    Want& want = want_at(erred->layer, erred->index);
    want.status = Status::kErred;
    want.error = erred->error.code;
    // Without nannies a connection that breaks looks like a death: of so many, some of the same tasks are thought
    // guilty.
    const bool may_be_guessed = !scenario_->nannies && losses_ + cuts_ >= scheduler::SchedulerConfig{}.allowed_deaths;
    const bool expected = (want.error == ErrorCode::kCancelled && want.cancelled) ||
                          (want.error == ErrorCode::kKernelFailed && kernel_failures_ > 0) ||
                          (want.error == ErrorCode::kKilledWorker && (blamed_ || may_be_guessed)) ||
                          (want.error == ErrorCode::kTaskTooLarge && scenario_->memory_limit != 0 &&
                           scenario_->need > scenario_->memory_limit);
    if (!expected) violated("the client hears of an error that nobody made: " + erred->error.message);
  } else if (const auto* lost = std::get_if<msg::ResultLost>(&message)) {
    want_at(lost->layer, lost->index).status = Status::kPending;
  } else if (std::holds_alternative<msg::QueryReply>(message)) {
    ++answered_orders_;
  } else if (const auto* refused = std::get_if<msg::SubmitRefused>(&message)) {
    violated("the scheduler refuses a submission: " + refused->error.message);
  }
}

// ---- workers --------------------------------------------------------------------------------------------------------

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

World::Node& World::node_of(WorkerId id) {
  if (number_of(id) >= nodes_.size() || !nodes_[number_of(id)].joined) violated("there is no such worker");
  return nodes_[number_of(id)];
}

World::Want& World::want_at(LayerNumber layer, std::uint32_t index) {
  for (std::uint32_t task = 0; task < wants_.size(); ++task) {
    const Place place = graph_->places[task];
    if (place.layer == layer && place.index == index && wants_[task].live != 0) return wants_[task];
  }
  violated("the client hears of what it does not want");
}

const Layer* World::layer_at(LayerId id) const {
  const auto number = static_cast<std::uint32_t>(id) - 1;
  return number < graph_->layers.size() ? graph_->layers[number].get() : nullptr;
}

// ---- what must hold -------------------------------------------------------------------------------------------------

void World::check_counters() const {
  const scheduler::Counters& counters = scheduler_->counters();
  if (counters.heartbeat_mismatches != 0 && !scenario_->repairs) violated("a heartbeat's hash is not the scheduler's");
  if (counters.stale_answers != 0 && !scenario_->repairs) violated("an answer is taken for a stale one");
  if (counters.client_anomalies != 0) violated("an honest client is taken for a confused one");
}

void World::check_end() const {
  bool anybody = false;
  for (const Node& node : nodes_) anybody = anybody || node.live();
  if (anybody && !left_) check_wants();
  if (!left_ && answered_orders_ != orders_) {
    violated(fmt::format("an operator gave {} orders and had {} answers", orders_, answered_orders_));
  }
  check_heartbeats();
  World after = *this;
  if (!after.left_) after.leave();
  if (after.unsettled_) after.settle();
  for (int steps = 0;; ++steps) {
    const std::vector<Choice> open = after.choices();
    const auto next = std::find_if(open.begin(), open.end(), [](const Choice& choice) { return !choice.optional; });
    if (next == open.end()) break;
    if (steps == 10'000) violated("after the client left, the cluster never comes to rest");
    after.apply(*next);
  }
  after.check_nothing_left();
}

void World::check_wants() const {
  const scheduler::Counters& counters = scheduler_->counters();
  if (counters.released + counters.waiting + counters.no_worker + counters.queued + counters.processing != 0) {
    violated("tasks are unfinished and nothing is under way");
  }
  for (const std::uint32_t task : scenario_->shape.wanted) {
    const Want& want = wants_[task];
    if (want.live == 0 || want.status == Status::kErred) continue;
    if (want.status == Status::kPending) violated(fmt::format("task {} is wanted and never ends", task));
    for (const WorkerId holder : want.holders) {
      const Node& node = nodes_[number_of(holder)];
      if (!node.live() || !node.core->keeps(want.result)) {
        violated(fmt::format("the client is told to find task {} on w{}, which does not have it", task,
                             static_cast<std::uint32_t>(holder)));
      }
    }
  }
}

void World::check_heartbeats() const {
  scheduler::SchedulerState copy = *scheduler_;
  const auto known = copy.workers();
  for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
    if (!nodes_[worker].live()) continue;
    const msg::WorkerHeartbeat beat = nodes_[worker].core->heartbeat();
    std::vector<scheduler::Action> actions;
    copy.handle(now_, scheduler::FromWorker{id_of(worker), beat}, actions);
    const auto about =
        std::find_if(known.begin(), known.end(), [&](const auto& w) { return w.worker == id_of(worker); });
    if (about == known.end() || about->slots_spent != beat.received || about->processing != beat.received - beat.sent) {
      violated(fmt::format("w{} and the scheduler count its attempts differently", worker + 1));
    }
  }
  if (copy.counters().heartbeat_mismatches != scheduler_->counters().heartbeat_mismatches)
    violated("at the end a heartbeat's hash is not the scheduler's");
}

void World::check_nothing_left() const {
  if (!scheduler_->empty()) violated("the client left, and something is left on the scheduler");
  for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
    const Node& node = nodes_[worker];
    if (!node.live()) continue;
    const worker::WorkerState& core = *node.core;
    if (core.results() != 0 || core.attempts() != 0 || core.managed_bytes() != 0 || core.reserved_bytes() != 0 ||
        core.acquiring() != 0 || core.orphans() != 0 || core.inventory_parts() != 0 || core.spilled_bytes() != 0 ||
        node.layers != 0 || !node.jobs.empty() || !node.files.empty()) {
      violated(fmt::format(
          "the client left, and w{} has {} results, {} attempts, {} bytes, {} reserved, {} files, {} layers",
          worker + 1, core.results(), core.attempts(), core.managed_bytes(), core.reserved_bytes(), node.files.size(),
          node.layers));
    }
    for (const auto& [peer, line] : node.lines) {
      if (!line.waiting.empty()) violated(fmt::format("w{} waits for w{} for ever", worker + 1, peer + 1));
    }
  }
}

// ---- for the search -------------------------------------------------------------------------------------------------

std::uint64_t World::hash() const {
  CanonicalHash hash;
  describe(hash);
  hash.rename();
  describe(hash);
  return hash.value();
}

void World::describe(CanonicalHash& hash) const {
  scheduler_->canonical_hash(hash, nodes_.size());
  for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
    const Node& node = nodes_[worker];
    hash.add(node.joined);
    hash.add(node.dead);
    hash.add(node.lost);
    hash.add(node.retires);
    hash.add(node.reported);
    if (!node.reported) {
      for (const AttemptId attempt : node.executing) hash.attempt(attempt);
    }
    hash.add(node.cut);
    hash.add(restarts_ - node.joined_in);
    hash.add(node.id);
    for (const auto& [id, task] : node.orphans) hash.add(task);
    if (node.core) node.core->canonical_hash(hash, node.now);
    model::describe(hash, id_of(worker), node.to_worker);
    model::describe(hash, id_of(worker), node.to_scheduler);
    for (const auto& [attempt, job] : node.jobs) {
      hash.attempt(attempt);
      hash.add(job.recalled);
    }
    hash.unordered(node.files, [&](const auto& entry) {
      TaskId task{};
      std::memcpy(&task, entry.second.chunk.data(), sizeof task);
      hash.add(task);
      hash.add(entry.second.written);
      hash.add(entry.second.being_read);
      hash.add(entry.second.dropped);
    });
    for (const auto& [peer, line] : node.lines) {
      if (line.requests.empty() && line.waiting.empty() && line.answered.empty()) continue;
      hash.add(peer);
      describe_requests(hash, line.requests);
      describe_requests(hash, line.waiting);
      describe_requests(hash, line.answered);
      for (const msg::FetchReply& reply : line.replies) {
        for (const auto& item : reply.items) hash.add(static_cast<std::uint64_t>(item.status));
      }
    }
  }
  for (const Want& want : wants_) {
    hash.add(want.live);
    hash.add(want.status);
    hash.add(want.cancelled);
    hash.add(want.error);
    for (const WorkerId holder : want.holders) hash.add(holder);
  }
  hash.add(unsettled_);
  hash.add(left_);
  hash.add(blamed_);
  hash.add(detached_);
  for (const unsigned had : {cuts_, restarts_, losses_, kernel_failures_, busy_answers_, client_steps_, orders_, ticks_,
                             answered_orders_, disk_failures_, drains_}) {
    hash.add(std::uint64_t{had});
  }
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
