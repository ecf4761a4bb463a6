#include "bench/sim/virtual_time.h"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bench/sim/sim_worker.h"
#include "tegula/error.h"

namespace tegula::sim {
namespace {

using namespace scheduler;

constexpr std::size_t kLayersPerSubmit = 1024;
constexpr Time kTick = std::chrono::milliseconds(100);
constexpr std::uint64_t kMostAttempts = 50;  // of each task, on average
constexpr Time kHeartbeat = std::chrono::seconds(1);

// What is to happen, in order of time; what happens at one time, in the order in which it was said.
class Agenda {
 public:
  void at(Time time, std::function<void()> what) {
    items_.push_back({time, ++last_, std::move(what)});
    std::push_heap(items_.begin(), items_.end(), later);
  }
  bool empty() const { return items_.empty(); }
  Time now() const { return now_; }
  std::uint64_t count() const { return last_; }
  void next() {
    std::pop_heap(items_.begin(), items_.end(), later);
    Item item = std::move(items_.back());
    items_.pop_back();
    now_ = item.time;
    item.what();
  }

 private:
  struct Item {
    Time time;
    std::uint64_t order;
    std::function<void()> what;
  };
  static bool later(const Item& a, const Item& b) { return std::tie(a.time, a.order) > std::tie(b.time, b.order); }
  std::vector<Item> items_;
  std::uint64_t last_ = 0;
  Time now_{};
};

class Simulation : public SimWorker::Host {
 public:
  Simulation(std::string_view policy, const Pattern& pattern, const Scenario& scenario)
      : pattern_(pattern),
        scenario_(scenario),
        network_(scenario.network),
        policy_(make_policy(policy, scenario)),
        waiting_for_(pattern.wanted()) {
    for (const auto& layer : pattern.layers) ready_.emplace_back(layer->tasks());
  }

  VirtualRun run() {
    set_up();
    run_client();
    run_.makespan = agenda_.now() - submitted_;
    while (agenda_.now() - submitted_ < scenario_.span) {
      attach_client();
      submit();
      run_client();
    }
    if (scenario_.span > Time{}) take_stock();
    run_.bytes_moved = network_.bytes_moved();
    run_.events = agenda_.count();
    run_.counts = policy_->counts();
    if (run_.counts.anomalies != 0) {
      throw Error(ErrorCode::kInternal,
                  fmt::format("{} things were counted that only bugs cause", run_.counts.anomalies));
    }
    measure_busy();
    return run_;
  }

 private:
  // Tasks that go to and fro for ever are no progress either.
  void look_for_circles() {
    next_look_ = agenda_.count() + 10000;
    const Policy::Counts counts = policy_->counts();
    if (counts.assignments < kMostAttempts * (pattern_.tasks + 100) * run_.clients) return;
    throw Error(
        ErrorCode::kInternal,
        fmt::format("the scheduler goes round in circles: after {:.3f} s it has bound {} tasks {} times, got {} "
                    "back, computed {} again, and {} of {} results are missing",
                    seconds(agenda_.now() - submitted_), pattern_.tasks, counts.assignments, counts.returned,
                    counts.recomputed, waiting_for_, pattern_.wanted()));
  }

  // ---- clients ----

  void attach_client() {
    ++run_.clients;
    client_ = static_cast<ConnectionId>(run_.clients);
    sequence_ = 0;
    waiting_for_ = pattern_.wanted();
    for (std::vector<std::uint8_t>& layer : ready_) std::fill(layer.begin(), layer.end(), 0);
    apply(ClientConnected{client_, {0, 0, "client"}, run_.clients, 1});
  }

  // Until it has heard of all results.
  void run_client() {
    // Nothing that is honest takes longer than this without a task's end.
    const Time patience = 1000 * scenario_.durations.mean() + std::chrono::hours(1);
    while (waiting_for_ != 0) {
      agenda_.next();
      if (agenda_.count() >= next_look_) look_for_circles();
      if (agenda_.now() - last_finished_ > patience) {
        throw Error(ErrorCode::kInternal,
                    fmt::format("the scheduler stands still with {} of {} results missing{}{}", waiting_for_,
                                pattern_.wanted(), said_.empty() ? "" : ": ", said_));
      }
    }
    if (scenario_.span > Time{}) apply(FromClient{client_, msg::CloseClient{}});
  }

  // When the last client has left and messages have had their time, nobody holds anything.
  void take_stock() {
    const Time until = agenda_.now() + std::chrono::minutes(1);
    while (agenda_.now() < until) agenda_.next();
    run_.left_behind = policy_->empty() ? 0 : 1;
    for (std::size_t i = first_alive_; i < workers_.size(); ++i) {
      if (workers_[i]->alive() && !workers_[i]->idle()) ++run_.left_behind;
    }
    run_.workers = workers_.size();
  }

  // ---- the start ----

  void set_up() {
    attach_client();
    add_workers(scenario_.workers);
    settle();
    tick();
    // Everybody knows everybody before the clock that counts starts.
    submitted_ = last_finished_ = 4 * network_.latency() + std::chrono::seconds(1);
    for (const Scenario::Change& join : scenario_.joins) {
      agenda_.at(submitted_ + join.at, [this, &join] { add_workers(join.workers); });
    }
    for (const Scenario::Change& loss : scenario_.losses) {
      agenda_.at(submitted_ + loss.at, [this, &loss] { lose_workers(loss.workers); });
    }
    agenda_.at(submitted_, [this] { submit(); });
    if (scenario_.churn > Time{}) agenda_.at(submitted_ + scenario_.churn, [this] { churn(); });
  }

  void submit() {
    for (std::size_t first = 0; first < pattern_.layers.size(); first += kLayersPerSubmit) {
      const std::size_t end = std::min(first + kLayersPerSubmit, pattern_.layers.size());
      msg::Submit part;
      part.sequence = ++sequence_;
      part.first_layer = static_cast<LayerNumber>(first);
      part.layers.assign(pattern_.layers.begin() + static_cast<std::ptrdiff_t>(first),
                         pattern_.layers.begin() + static_cast<std::ptrdiff_t>(end));
      if (end == pattern_.layers.size()) part.wants = pattern_.wants;
      apply(FromClient{client_, std::move(part)});
    }
  }

  void add_workers(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto number = static_cast<std::uint32_t>(workers_.size());
      workers_.push_back(std::make_unique<SimWorker>(*this, number, scenario_.threads, scenario_.memory_limit));
      memory_of_.push_back(0);
      since_.push_back(agenda_.now());
      SimWorker& worker = *workers_.back();
      apply(WorkerJoined{worker.id(), worker.registration()});
      beat(worker);
    }
  }

  void churn() {
    agenda_.at(agenda_.now() + scenario_.churn, [this] { churn(); });
    add_workers(1);
    lose_workers(1, workers_.size() % 2 == 0 ? LossReason::kOrderly : LossReason::kConnection);
  }

  void lose_workers(std::uint32_t count, LossReason reason = LossReason::kConnection) {
    for (; count > 0 && first_alive_ < workers_.size(); ++first_alive_) {
      const auto& worker = workers_[first_alive_];
      --count;
      worker->die();
      note_memory(*worker, 0);
      for (auto at = waiting_.begin(); at != waiting_.end();) {
        if (at->first.first != worker->number()) {
          ++at;
          continue;
        }
        for (const auto& [asker, fetch] : at->second) {
          fail_fetch(*asker, fetch.request, agenda_.now() + network_.latency());
        }
        at = waiting_.erase(at);
      }
      lost_seconds_ += seconds(agenda_.now() - std::max(since_[worker->number()], submitted_)) * scenario_.threads;
      agenda_.at(agenda_.now() + network_.latency(), [this, id = worker->id(), reason] {
        apply(WorkerLost{id, reason, "the simulated machine is gone"});
      });
    }
  }

  void beat(SimWorker& worker) {
    agenda_.at(agenda_.now() + kHeartbeat, [this, &worker] {
      if (!worker.alive()) return;
      std::vector<msg::Message> frame;
      frame.emplace_back(worker.heartbeat());
      send(worker, std::move(frame));
      beat(worker);
    });
  }

  void tick() {
    agenda_.at(agenda_.now() + kTick, [this] {
      apply(Tick{});
      tick();
    });
  }

  // ---- the scheduler ----

  void apply(Event event) {
    policy_->apply(agenda_.now(), std::move(event), actions_);
    carry_out();
    settle_later();
  }
  // What arrives at one time is settled together.
  void settle_later() {
    if (settle_planned_) return;
    settle_planned_ = true;
    agenda_.at(agenda_.now(), [this] { settle(); });
  }
  void settle() {
    settle_planned_ = false;
    policy_->settle(agenda_.now(), actions_);
    carry_out();
    if (policy_->busy()) settle_later();
  }

  void carry_out() {
    std::vector<WorkerId> receivers;
    for (Action& action : actions_) {
      if (auto* to_worker = std::get_if<SendToWorker>(&action)) {
        std::vector<msg::Message>& frame = frames_[to_worker->worker];
        if (frame.empty()) receivers.push_back(to_worker->worker);
        frame.push_back(std::move(to_worker->message));
      } else if (auto* to_client = std::get_if<SendToClient>(&action)) {
        if (to_client->connection == client_) to_client_.push_back(std::move(to_client->message));
      } else if (auto* close = std::get_if<CloseWorker>(&action)) {
        throw Error(ErrorCode::kInternal, "the scheduler closes a worker: " + close->reason);
      } else if (auto* other = std::get_if<CloseClient>(&action)) {
        if (waiting_for_ == 0) continue;  // the answer to its own CloseClient
        throw Error(ErrorCode::kInternal, "the scheduler closes the client: " + other->reason);
      } else if (auto* report = std::get_if<Report>(&action)) {
        said_ = std::move(report->text);
      }
    }
    actions_.clear();
    const Time arrival = agenda_.now() + network_.latency();
    for (const WorkerId id : receivers) {
      agenda_.at(arrival, [this, id, frame = std::move(frames_.extract(id).mapped())]() mutable {
        SimWorker& worker = worker_of(id);
        if (!worker.alive()) return;
        worker.received(std::move(frame), agenda_.now());
        note_memory(worker, worker.memory());
      });
    }
    if (!to_client_.empty()) {
      agenda_.at(arrival, [this, client = client_, frame = std::exchange(to_client_, {})] {
        if (client == client_) client_hears(frame);
      });
    }
  }

  // ---- the client ----

  void client_hears(const std::vector<msg::Message>& frame) {
    msg::ReleaseWants release;
    for (const msg::Message& message : frame) {
      if (const auto* ready = std::get_if<msg::ResultReady>(&message)) {
        // Told again when a holder is lost and others remain.
        if (std::exchange(ready_[ready->layer][ready->index], 1) != 0) continue;
        --waiting_for_;
        if (scenario_.release) release.wants.push_back({ready->layer, ready->output, ready->index, ready->index + 1});
      } else if (const auto* lost = std::get_if<msg::ResultLost>(&message)) {
        // What was given back is not missed.
        if (!scenario_.release && std::exchange(ready_[lost->layer][lost->index], 0) != 0) ++waiting_for_;
      } else if (const auto* erred = std::get_if<msg::ResultErred>(&message)) {
        throw Error(ErrorCode::kInternal, "a task erred: " + erred->error.message);
      } else if (const auto* refused = std::get_if<msg::SubmitRefused>(&message)) {
        throw ValueError(refused->error.message);
      }
    }
    if (release.wants.empty()) return;
    agenda_.at(agenda_.now() + network_.latency(), [this, client = client_, release]() mutable {
      if (client != client_) return;
      release.sequence = ++sequence_;
      apply(FromClient{client_, std::move(release)});
    });
  }

  // ---- what workers ask of their host ----

  void send(SimWorker& worker, std::vector<msg::Message> messages) override {
    agenda_.at(agenda_.now() + network_.latency(), [this, id = worker.id(), frame = std::move(messages)]() mutable {
      for (msg::Message& message : frame) {
        if (std::holds_alternative<msg::TaskFinished>(message)) last_finished_ = agenda_.now();
        policy_->apply(agenda_.now(), FromWorker{id, std::move(message)}, actions_);
      }
      carry_out();
      settle_later();
    });
  }

  void fetch(SimWorker& asker, worker::StartFetch fetch) override {
    agenda_.at(agenda_.now() + network_.latency(), [this, &asker, fetch = std::move(fetch)] {
      SimWorker& holder = worker_of(fetch.peer);
      if (!holder.alive()) {
        fail_fetch(asker, fetch.request, agenda_.now() + network_.latency());
        return;
      }
      if (fetch.attempt == AttemptId{} || holder.has_all(fetch)) return reply(asker, holder, fetch);
      waiting_[{holder.number(), fetch.attempt}].emplace_back(&asker, fetch);
      holder.awaited(fetch.attempt, agenda_.now());
    });
  }
  void attempt_ended(SimWorker& holder, AttemptId attempt) override {
    const auto node = waiting_.extract({holder.number(), attempt});
    if (node.empty()) return;
    for (const auto& [asker, fetch] : node.mapped()) reply(*asker, holder, fetch);
  }
  void reply(SimWorker& asker, SimWorker& holder, const worker::StartFetch& fetch) {
    auto [reply, bytes] = holder.serve(fetch);
    const Time arrival = network_.transfer(holder.number(), asker.number(), bytes, agenda_.now());
    agenda_.at(arrival, [this, &asker, &holder, request = fetch.request, reply = std::move(reply)]() mutable {
      if (!holder.alive()) {
        fail_fetch(asker, request, agenda_.now());
      } else if (asker.alive()) {
        asker.replied(std::move(reply), agenda_.now());
        note_memory(asker, asker.memory());
      }
    });
  }
  void fail_fetch(SimWorker& asker, std::uint64_t request, Time at) {
    agenda_.at(at, [this, &asker, request] {
      if (!asker.alive()) return;
      asker.fetch_failed(request, agenda_.now());
      note_memory(asker, asker.memory());
    });
  }

  void execute(SimWorker& worker, TaskId task, AttemptId attempt) override {
    const Time lasts =
        scenario_.durations.of(static_cast<std::uint32_t>(layer_of(task)) - 1, index_of(task), worker.number());
    agenda_.at(agenda_.now() + lasts, [this, &worker, task, attempt, lasts] {
      if (!worker.alive()) return;
      busy_seconds_ += seconds(lasts);
      worker.finished(attempt, task, lasts, agenda_.now());
      note_memory(worker, worker.memory());
    });
  }

  void wake(SimWorker& worker, Time at) override {
    agenda_.at(std::max(at, agenda_.now()), [this, &worker, at] {
      if (!worker.alive()) return;
      worker.woken(at, agenda_.now());
      note_memory(worker, worker.memory());
    });
  }

  // ---- figures ----

  static double seconds(Time time) { return std::chrono::duration<double>(time).count(); }

  void note_memory(const SimWorker& worker, std::uint64_t bytes) {
    std::uint64_t& before = memory_of_[worker.number()];
    memory_ += bytes - before;
    before = bytes;
    run_.peak_memory = std::max(run_.peak_memory, memory_);
    run_.peak_memory_worker = std::max(run_.peak_memory_worker, bytes);
  }

  void measure_busy() {
    double there = lost_seconds_;
    for (const auto& worker : workers_) {
      if (!worker->alive()) continue;
      there += seconds(agenda_.now() - std::max(since_[worker->number()], submitted_)) * scenario_.threads;
    }
    run_.busy = there > 0 ? busy_seconds_ / there : 0;
  }

  SimWorker& worker_of(WorkerId id) { return *workers_[static_cast<std::uint32_t>(id) - 1]; }

  const Pattern& pattern_;
  const Scenario& scenario_;
  Agenda agenda_;
  Network network_;
  std::unique_ptr<Policy> policy_;
  std::vector<std::unique_ptr<SimWorker>> workers_;
  std::size_t first_alive_ = 0;  // those before have gone
  ConnectionId client_{};        // the present one
  std::vector<Action> actions_;
  std::unordered_map<WorkerId, std::vector<msg::Message>> frames_;
  std::vector<msg::Message> to_client_;
  bool settle_planned_ = false;

  std::uint64_t waiting_for_;
  std::vector<std::vector<std::uint8_t>> ready_;  // by layer and index: the client has heard of it
  std::uint64_t sequence_ = 0;
  Time submitted_{}, last_finished_{};
  std::uint64_t next_look_ = 0;
  std::string said_;  // the scheduler's last report to whoever looks after it

  // Fetches that wait at a worker, by its number, for what an attempt makes there.
  std::map<std::pair<std::uint32_t, AttemptId>, std::vector<std::pair<SimWorker*, worker::StartFetch>>> waiting_;

  VirtualRun run_;
  std::vector<std::uint64_t> memory_of_;  // by worker
  std::vector<Time> since_;
  std::uint64_t memory_ = 0;
  double busy_seconds_ = 0, lost_seconds_ = 0;
};

}  // namespace

VirtualRun simulate(std::string_view policy, const Pattern& pattern, const Scenario& scenario) {
  return Simulation(policy, pattern, scenario).run();
}

}  // namespace tegula::sim
