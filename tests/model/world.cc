#include "tests/model/world.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/overloaded.h"
#include "tests/model/parts.h"

namespace tegula::model {

Chunk result_of(TaskId task) {
  Chunk chunk = Chunk::allocate(DType::kFloat64, {1});
  std::memcpy(chunk.mutable_data(), &task, sizeof task);
  return chunk;
}

bool passive(const msg::Message& message) {
  return std::holds_alternative<msg::WorkerRegistered>(message) || std::holds_alternative<msg::DefineLayer>(message) ||
         std::holds_alternative<msg::WorkerAddress>(message);
}

void violated(const std::string& what) { throw Violation(what); }

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

}  // namespace tegula::model
