#include "scheduler/core/state.h"

#include <algorithm>
#include <utility>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

namespace {

// What a worker says, to the step that takes it.
struct WorkerMessage {
  Core& core;
  Worker& worker;
  void operator()(msg::TaskFinished& m) const { core.on_finished(worker, m); }
  void operator()(msg::TaskFailed& m) const { core.on_failed(worker, m); }
  void operator()(msg::TaskReturned& m) const { core.on_returned(worker, m); }
  void operator()(msg::TaskRunning& m) const { core.on_running(worker, m); }
  void operator()(msg::ReplicasAdded& m) const { core.on_replicas_added(worker, m); }
  void operator()(msg::ReplicasDropped& m) const { core.on_replicas_dropped(worker, m); }
  void operator()(msg::GrantCredit& m) const { core.on_grant(worker, m); }
  void operator()(msg::QueryNextUse& m) const { core.on_query_next_use(worker, m); }
  void operator()(msg::WorkerHeartbeat& m) const { core.on_heartbeat(worker, m); }
  void operator()(msg::WorkerDraining& m) const { core.on_draining(worker, m); }
  void operator()(msg::Inventory& m) const { core.on_inventory(worker, m); }
  void operator()(msg::WorkerLeaving& m) const { core.expel(worker, LossReason::kOrderly, m.reason); }
  template <typename Other>
  void operator()(Other&) const {
    core.expel(worker, LossReason::kProtocol, "sent a message that no worker sends");
  }
};

// What a client says.
struct ClientMessage {
  Core& core;
  Session& session;
  const std::string& refusal;
  void operator()(msg::Submit& m) const {
    if (!core.fresh_sequence(session, m.sequence)) return;
    if (refusal.empty()) return core.on_submit(session, m);
    // Told at once: it may take long until there is room to write that down.
    const ErrorInfo error{ErrorCode::kFile, refusal, {}, {}, {}, {}};
    core.refuse_submission(session, m.sequence, error);
    core.persist(session, msg::SubmitRefused{m.sequence, error});
  }
  void operator()(msg::ReleaseWants& m) const {
    if (!core.fresh_sequence(session, m.sequence)) return;
    core.persist(session, m);
    core.on_release(session, m);
    core.acknowledge(session);
  }
  void operator()(msg::ForgetLayers& m) const {
    if (!core.fresh_sequence(session, m.sequence)) return;
    core.persist(session, m);
    core.on_forget(session, m);
    core.acknowledge(session);
  }
  void operator()(msg::CancelWants& m) const {
    if (!core.fresh_sequence(session, m.sequence)) return;
    core.persist(session, m);
    core.on_cancel(session, m);
    core.acknowledge(session);
  }
  void operator()(msg::CloseClient&) const { close("closed by the client"); }
  void operator()(msg::QueryStatus& m) const {
    msg::StatusReply reply = core.status();
    reply.request = m.request;
    core.send(session, std::move(reply));
  }
  void operator()(msg::Command& m) const { core.on_command(session, m); }
  void operator()(msg::SubscribeProgress& m) const {
    session.progress_interval = std::chrono::milliseconds(m.interval_ms);
  }
  template <typename Other>
  void operator()(Other&) const {
    close("sent a message that no client sends");
  }
  void close(const char* why) const {
    core.out_->push_back(CloseClient{session.connection, why});
    core.close_session(core.slot_of(session));
  }
};

}  // namespace

Core::Core(SchedulerConfig settings) : config_(settings) {
  sessions_.emplace_back(std::make_unique<Session>());  // the core's own: recovery
  sessions_[0]->open = true;
}

void Core::apply(Time time, Event&& event, std::vector<Action>& out) {
  now_ = time;
  out_ = &out;
  if (!started_) started_ = time;
  std::visit([this](auto& what) { on(what); }, event);
  if (!contests_.empty()) decide_contests();
  counters_.slots_free = slots_ - counters_.processing;
  out_ = nullptr;
}

void Core::settle(Time time, std::vector<Action>& out) {
  now_ = time;
  out_ = &out;
  steps_left_ = config_.expansion_steps;
  if (recovering_ && recovery_is_over()) end_recovery();
  if (!recovering_ && !jobs_.empty()) advance_jobs();
  if (!recovering_) {
    do {
      fail_missing_kernels();
      resolve_doubts();
      expand();
      send_frees();  // before assignments: one of them may make the same result again
    } while (bind_ready() && !expandable_.empty() && steps_left_ > 0);
    ask_back();
    fail_missing_kernels();  // of what was expanded last
  }
  resolve_doubts();
  send_frees();
  drop_unused_layers();
  for (std::uint16_t slot : to_acknowledge_) {
    Session& session = *sessions_[slot];
    session.acknowledge = false;
    send(session, msg::SubmitAccepted{session.last_sequence});
  }
  to_acknowledge_.clear();
  counters_.slots_free = slots_ - counters_.processing;
  out_ = nullptr;
}

void Core::send_frees() {
  for (WorkerSlot slot : with_frees_) {
    if (workers_[slot]) send_frees(worker_at(slot));
  }
  with_frees_.clear();
}

void Core::send_frees(Worker& worker) {
  constexpr std::size_t kMost = 1u << 14;  // in one message: frames are limited
  std::vector<ResultId> results = std::exchange(worker.to_free, {});
  while (results.size() > kMost) {
    send(worker, msg::FreeResults{{results.end() - kMost, results.end()}});
    results.resize(results.size() - kMost);
  }
  if (!results.empty()) send(worker, msg::FreeResults{std::move(results)});
}

void Core::on(FromWorker& event) {
  Worker* worker = find_worker(event.worker);
  if (worker == nullptr) return;
  worker->last_heard = now_;
  std::visit(WorkerMessage{*this, *worker}, event.message);
}

void Core::on(FromClient& event) {
  Session* session = session_of(event.connection);
  if (session == nullptr) return;
  std::visit(ClientMessage{*this, *session, event.refusal}, event.message);
}

void Core::tick() {
  end_delays();
  if (!unreachable_.empty()) forget_unreachable(WorkerId{});  // what is too long ago
  end_inquests();
  watch_progress();
  drop_surplus();
  for (const auto& worker : workers_) {
    if (worker) workload_changed(*worker);
  }
  if (config_.worker_timeout != Time{}) {
    // While this process was stopped nobody was listening, and what workers said meanwhile has still to be read.
    const Time away = now_ - std::exchange(last_tick_, now_);
    const bool stopped = away > config_.worker_timeout / 4;
    for (std::size_t slot = 0; slot < workers_.size(); ++slot) {
      if (workers_[slot] && stopped) workers_[slot]->last_heard = std::min(now_, workers_[slot]->last_heard + away);
      if (workers_[slot] && now_ - workers_[slot]->last_heard > config_.worker_timeout) {
        expel(*workers_[slot], LossReason::kHeartbeat, "nothing was heard of it");
      }
    }
  }
  for (std::size_t slot = 1; slot < sessions_.size(); ++slot) {
    if (!sessions_[slot] || !sessions_[slot]->open) continue;
    Session& session = *sessions_[slot];
    if (session.connection != ConnectionId{}) {
      send_progress(session);
    } else if (now_ - session.detached_at >= config_.reattach_grace) {
      close_session(static_cast<std::uint16_t>(slot));
    }
  }
}

bool Core::empty() const {
  return layers_.size() == 0 && tasks_.size() == 0 && active_ == 0 && by_wire_session_.empty() &&
         sessions_.size() == free_sessions_.size() + 1 && sessions_[0]->cursors.empty() &&
         ready_requirements_.empty() && by_requirement_.empty() && deaths_.empty() && asked_back_.empty() &&
         contests_.empty() && delayed_.empty() && jobs_.empty() && moves_.empty() && copies_wanted_.empty() &&
         surplus_.empty();
}

SchedulerState::SchedulerState(SchedulerConfig config) : core_(std::make_unique<Core>(config)) {}
SchedulerState::~SchedulerState() = default;
SchedulerState::SchedulerState(const SchedulerState& other) : core_(std::make_unique<Core>(*other.core_)) {}
SchedulerState& SchedulerState::operator=(const SchedulerState& other) {
  if (this != &other) core_ = std::make_unique<Core>(*other.core_);
  return *this;
}
SchedulerState::SchedulerState(SchedulerState&&) noexcept = default;
SchedulerState& SchedulerState::operator=(SchedulerState&&) noexcept = default;

void SchedulerState::handle(Time now, Event event, std::vector<Action>& actions) {
  core_->apply(now, std::move(event), actions);
  core_->settle(now, actions);
}
void SchedulerState::apply(Time now, Event event, std::vector<Action>& actions) {
  core_->apply(now, std::move(event), actions);
}
void SchedulerState::settle(Time now, std::vector<Action>& actions) { core_->settle(now, actions); }
bool SchedulerState::busy() const { return !core_->recovering_ && !core_->expandable_.empty(); }
bool SchedulerState::recovering() const { return core_->recovering_; }
bool SchedulerState::empty() const { return core_->empty(); }
void SchedulerState::check_invariants() const { core_->check_invariants(); }

}  // namespace tegula::scheduler
