// Random graphs and random histories: workers that are honest but slow and mortal, clients that want, release, cancel,
// vanish and come back; workers whose connections break and that bring back what they hold; schedulers that are started
// again, with a journal or without, and know nothing else; and workers that lie. After every event the invariants hold;
// when the storm is over, every want has an answer, and when the clients have gone, nothing is left anywhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "comm/session_contents.h"
#include "scheduler/journal.h"
#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using Random = std::mt19937;

// Does what a worker must, one small step at a time. Everything it was sent and everything it says is on its way for a
// while, in order.
struct FakeWorker {
  struct Attempt {
    msg::Assign assign;
    bool executing = false;
    bool abandoned = false;
  };
  WorkerId id{};
  msg::RegisterWorker about;
  std::deque<msg::Message> outbox;
  std::set<ResultId> store;
  std::map<LayerId, msg::LayerPtr> layers;
  std::map<LayerId, LayerHash> hashes;
  std::map<std::uint32_t, std::vector<msg::Inventory::Held>> inventory;  // parts not answered
  std::set<ResultId> dropped;                                            // told as such meanwhile
  std::uint32_t last_part = 0;
  std::vector<std::vector<msg::Inventory::Held>> orphans;  // results of kernels that ran when it joined anew
  std::set<WorkerId> addresses;
  std::map<AttemptId, Attempt> attempts;
  AttemptId last_attempt{};
  std::uint64_t granted = 0, sent = 0, received = 0;
  std::uint64_t kib_granted = 0, kib_received = 0;
  std::uint64_t nanny = 0;
  std::uint32_t threads = 1;

  void answer(AttemptId attempt, msg::Message message) {
    if (const auto held = attempts.find(attempt); held != attempts.end()) {
      if (kib_granted != msg::GrantCredit::kNoLimit) kib_granted += held->second.assign.kib;
      attempts.erase(held);
    }
    outbox.push_back(msg::GrantCredit{++granted, kib_granted});
    outbox.push_back(std::move(message));
    ++sent;
  }
  bool makes(TaskId task) const {
    return std::any_of(attempts.begin(), attempts.end(),
                       [task](const auto& held) { return held.second.assign.task == task && !held.second.abandoned; });
  }
  // It has the attempt, or will be given it.
  bool will_end(AttemptId attempt) const {
    const auto found = attempts.find(attempt);
    return found == attempts.end() ? attempt > last_attempt : !found->second.abandoned;
  }
  // Another connection begins: attempts are dropped or orphans, results are told as an inventory of what they are.
  void begin_anew(WorkerId name, bool numbers_go_on) {
    if (!numbers_go_on) last_attempt = {};
    std::vector<msg::Inventory::Held> held;
    for (const auto& [part, results] : inventory) held.insert(held.end(), results.begin(), results.end());
    for (const ResultId& result : store) {
      const auto hash = hashes.find(layer_of(result.task));
      if (hash == hashes.end()) continue;  // what it is has not been heard yet
      held.push_back({hash->second, index_of(result.task), result.output, 10});
    }
    for (const auto& [attempt, what] : attempts) {
      if (!what.executing || what.abandoned) continue;
      const LayerId layer = layer_of(what.assign.task);
      auto& orphan = orphans.emplace_back();
      for (std::size_t o = 0; o < layers.at(layer)->outputs.size(); ++o) {
        orphan.push_back({hashes.at(layer), index_of(what.assign.task), static_cast<std::uint16_t>(o), 10});
      }
    }
    id = name;
    outbox.clear();
    store.clear();
    layers.clear();
    hashes.clear();
    inventory.clear();
    dropped.clear();
    addresses.clear();
    attempts.clear();
    granted = sent = received = kib_received = 0;
    for (std::size_t at = 0; at < held.size(); at += 3) {  // several parts
      inventory[++last_part].assign(held.begin() + static_cast<long>(at),
                                    held.begin() + static_cast<long>(std::min(held.size(), at + 3)));
    }
    for (const auto& [part, results] : inventory) outbox.push_back(msg::Inventory{part, results});
  }
  void take(const msg::InventoryTaken& taken, bool honest) {
    const auto part = inventory.extract(taken.part);
    if (!honest && (part.empty() || part.mapped().size() != taken.layers.size())) return;
    ASSERT_FALSE(part.empty()) << "an answer to nothing";
    ASSERT_EQ(part.mapped().size(), taken.layers.size());
    for (std::size_t i = 0; i < taken.layers.size(); ++i) {
      const msg::Inventory::Held& held = part.mapped()[i];
      if (taken.layers[i] == LayerId{}) continue;
      const ResultId name{make_task_id(taken.layers[i], held.index), held.output};
      store.insert(name);
      if (dropped.contains(name)) outbox.push_back(msg::ReplicasAdded{{name}});
    }
    if (inventory.empty()) dropped.clear();
  }
  std::uint64_t hash() const {
    std::uint64_t hash = 0;
    for (const auto& [attempt, what] : attempts) hash ^= msg::mix(attempt);
    return hash;
  }
};

struct FakeClient {
  ConnectionId connection{};
  std::uint64_t session = 0, secret = 0;
  std::uint64_t sequence = 0;
  bool attached = false;  // as the client knows
  LayerNumber next_number = 0;
  std::vector<LayerNumber> numbers;
  std::vector<msg::LayerPtr> layers;
  std::vector<msg::Message> unacknowledged;
  SessionContents contents;  // what was acknowledged
  unsigned life = 0;         // of the scheduler that knows the session
  using Want = std::tuple<LayerNumber, std::uint16_t, std::uint32_t>;
  enum class Status { kPending, kReady, kErred };
  struct Known {
    std::uint32_t live = 0;
    Status status = Status::kPending;
    msg::ResultReady ready;
    ErrorInfo error;
  };
  std::map<Want, Known> wants;
};

class Storm {
 public:
  Storm(unsigned seed, bool liars)
      : random_(seed), liars_(liars), keeps_journal_(seed % 2 == 0), cluster_(config(seed, keeps_journal_)) {}

  void run(int steps) {
    for (int i = 0; i < 2; ++i) join();
    for (int i = 0; i < 2; ++i) attach_new();
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) step();
  }

  // No more trouble: whatever is under way comes to its end.
  void calm_down() {
    liars_ = false;
    calm_ = true;
    while (!liar_ids_.empty()) kill(*liar_ids_.begin());
    while (!away_.empty()) come_back();
    join();  // one that has every kernel
    for (FakeClient& client : clients_) {
      if (!client.attached) reattach(client);
    }
    for (int i = 0; !testing::Test::HasFatalFailure(); ++i) {
      ASSERT_LT(i, 200000) << "never comes to rest";
      if (move_something()) continue;
      cluster_.now += std::chrono::hours(1);  // what is to be tried again later
      handle(Tick{});
      if (!move_something()) break;
    }
  }

  void expect_every_want_answered() {
    for (FakeClient& client : clients_) {
      for (const auto& [want, known] : client.wants) {
        if (known.live == 0) continue;
        const auto [layer, output, index] = want;
        ASSERT_NE(known.status, FakeClient::Status::kPending)
            << "layer " << layer << " output " << output << " task " << index;
        if (known.status != FakeClient::Status::kReady) continue;
        ASSERT_FALSE(known.ready.holders.empty());
        bool held = false;
        for (WorkerId holder : known.ready.holders)
          held |= workers_.contains(holder) && workers_[holder].store.contains(known.ready.result);
        ASSERT_TRUE(held) << "said to be ready, but nobody named has it";
      }
    }
  }

  void expect_nothing_left_when_clients_go() {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      clients_[i].attached = false;
      if (i % 2 == 0) {
        handle(FromClient{clients_[i].connection, msg::CloseClient{}});
      } else {
        handle(ClientLost{clients_[i].connection});
      }
    }
    clients_.clear();
    cluster_.now += std::chrono::seconds(6);
    handle(Tick{});
    for (int i = 0; move_something() && !testing::Test::HasFatalFailure(); ++i) ASSERT_LT(i, 100000);
    EXPECT_TRUE(cluster_.state.empty());
    EXPECT_EQ(journal_.size(), 0u);
    for (const auto& [id, worker] : workers_) {
      EXPECT_TRUE(worker.store.empty()) << worker.store.size() << " results left on a worker";
      EXPECT_TRUE(worker.layers.empty()) << worker.layers.size() << " layers left on a worker";
      EXPECT_TRUE(worker.attempts.empty());
    }
    const Counters& counters = cluster_.state.counters();
    EXPECT_EQ(counters.processing + counters.queued + counters.waiting + counters.memory + counters.erred, 0u);
  }

  const SchedulerState& state() const { return cluster_.state; }

 private:
  static SchedulerConfig config(unsigned seed, bool journal) {
    SchedulerConfig config;
    config.journal = journal;
    config.root_margin = seed % 3 == 0 ? 0 : 2;
    config.expansion_steps = seed % 2 == 0 ? 3 : 1000;
    config.log_size = 4096;
    config.worker_timeout = Time{};
    if (seed % 4 != 0) config.short_task = std::chrono::hours(1);
    config.allowed_deaths = 1 + seed % 3;
    config.report_patience = std::chrono::milliseconds(50);
    return config;
  }
  std::size_t pick(std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(random_);
  }
  bool chance(std::size_t one_in) { return pick(1, one_in) == 1; }

  void handle(Event event) {
    cluster_.now += std::chrono::milliseconds(1);
    ASSERT_NO_THROW(cluster_.handle(std::move(event)));
    for (const Persist& entry : std::exchange(cluster_.persisted, {})) journal_.apply(entry);
    for (WorkerId closed : std::exchange(cluster_.closed_workers, {})) {
      if (!workers_.contains(closed)) continue;  // replaced by what is its next connection
      ASSERT_TRUE(liar_ids_.contains(closed) || calm_) << "an honest worker was thrown out";
      kill(closed);
    }
    for (ConnectionId closed : cluster_.closed_clients) {
      for (const FakeClient& client : clients_)
        ASSERT_FALSE(client.attached && client.connection == closed) << "a client was thrown out";
    }
  }

  // ---- workers ----
  void join() {
    FakeWorker worker;
    worker.id = static_cast<WorkerId>(++last_worker_);
    worker.granted = pick(1, 3);
    msg::RegisterWorker about;
    about.name = "w" + std::to_string(last_worker_);
    about.address = about.name;
    about.threads = worker.threads = static_cast<std::uint32_t>(pick(1, 2));
    if (chance(2)) {
      about.nanny = worker.nanny = kFirstNanny + last_worker_;
      about.life = 1;
    }
    about.kernels = {"test.nop"};
    if (workers_.empty() || calm_ || chance(2)) about.kernels.push_back("test.rare");
    about.slots_granted = worker.granted;
    about.kib_granted = worker.kib_granted = chance(2) ? pick(1, 3) : msg::GrantCredit::kNoLimit;
    about.host = chance(2) ? "alpha" : "beta";
    if (calm_ || chance(2)) about.resources.push_back({"GPU", calm_ ? 2.0 : static_cast<double>(pick(1, 2))});
    if (liars_ && chance(2)) liar_ids_.insert(worker.id);
    about.memory_limit = calm_ || chance(2) ? 0 : pick(1, kMostMemory);
    about.instance = last_worker_;
    worker.about = about;
    const WorkerId id = worker.id;
    workers_[id] = std::move(worker);
    handle(WorkerJoined{id, about});
  }
  void kill(WorkerId id) {
    if (workers_.at(id).nanny != 0) report_death(workers_.at(id));
    workers_.erase(id);
    liar_ids_.erase(id);
    cluster_.sent_to_worker.erase(id);
    handle(WorkerLost{id, chance(2) ? LossReason::kConnection : LossReason::kOrderly, "killed"});
  }
  // Before the loss is known, some time after it, or never.
  void report_death(const FakeWorker& worker) {
    msg::WorkerDied died;
    died.name = "worker";
    died.nanny = worker.nanny;
    died.life = 1;
    died.cause = static_cast<msg::DeathCause>(pick(0, 6));
    died.detail = "so it is told";
    for (const auto& [attempt, what] : worker.attempts) {
      if (what.executing && died.executing.size() < worker.threads) died.executing.push_back(attempt);
    }
    if (chance(3)) return;
    if (chance(2)) return handle(DeathReported{std::move(died)});
    reports_.push_back(std::move(died));
  }
  // Of anybody, with anything.
  void false_report() {
    msg::WorkerDied died;
    died.nanny = kFirstNanny + pick(0, last_worker_ + 2);
    died.life = static_cast<std::uint32_t>(pick(0, 2));
    died.cause = static_cast<msg::DeathCause>(pick(0, 6));
    for (std::size_t i = pick(0, 5); i > 0; --i) died.executing.push_back(static_cast<AttemptId>(pick(0, 50)));
    handle(DeathReported{std::move(died)});
  }
  // A connection breaks. The scheduler may hear of it first, or of the next one.
  void reconnect(WorkerId id) {
    if (liar_ids_.contains(id)) return;
    FakeWorker worker = std::move(workers_.extract(id).mapped());
    cluster_.sent_to_worker.erase(id);
    if (chance(2)) handle(WorkerLost{id, LossReason::kConnection, "reset"});
    come_back(std::move(worker), true);
  }
  void come_back(FakeWorker worker, bool same_life) {
    worker.begin_anew(static_cast<WorkerId>(++last_worker_), same_life);
    worker.about.inventory_parts = static_cast<std::uint32_t>(worker.inventory.size());
    worker.granted = worker.about.slots_granted;
    worker.kib_granted = worker.about.kib_granted;
    const WorkerId id = worker.id;
    const msg::RegisterWorker about = worker.about;
    workers_[id] = std::move(worker);
    handle(WorkerJoined{id, about});
  }
  void come_back() {
    FakeWorker worker = std::move(away_.back());
    away_.pop_back();
    come_back(std::move(worker), false);
  }
  bool end_orphan(FakeWorker& worker) {
    if (worker.orphans.empty()) return false;
    const auto results = std::move(worker.orphans.back());
    worker.orphans.pop_back();
    worker.inventory[++worker.last_part] = results;
    worker.outbox.push_back(msg::Inventory{worker.last_part, results});
    return true;
  }

  // The scheduler dies, and the next one knows what the journal has, or nothing. All connections are lost.
  void restart() {
    if (!keeps_journal_) ++life_;
    cluster_.state = SchedulerState(config(static_cast<unsigned>(pick(0, 5)), keeps_journal_));
    cluster_.sent_to_worker.clear();
    cluster_.sent_to_client.clear();
    for (auto& [id, worker] : workers_) {
      if (!liar_ids_.contains(id)) away_.push_back(std::move(worker));
    }
    workers_.clear();
    liar_ids_.clear();
    for (FakeClient& client : clients_) {
      client.attached = false;
      for (auto& [want, known] : client.wants) {
        if (known.status == FakeClient::Status::kReady) known.status = FakeClient::Status::kPending;
      }
    }
    for (SessionRestored& session : journal_.sessions()) handle(std::move(session));
    handle(Tick{});
  }

  FakeWorker& any_worker() {
    auto at = workers_.begin();
    std::advance(at, static_cast<long>(pick(0, workers_.size() - 1)));
    return at->second;
  }

  // The next message from the scheduler arrives.
  bool hear(FakeWorker& worker) {
    auto& inbox = cluster_.sent_to_worker[worker.id];
    // Nothing follows from it here: fetches are over at once.
    for (; !inbox.empty() && std::holds_alternative<msg::WorkerGone>(inbox.front()); inbox.pop_front()) {
      EXPECT_EQ(worker.addresses.erase(std::get<msg::WorkerGone>(inbox.front()).worker), 1u)
          << "it never knew that one";
    }
    if (inbox.empty()) return false;
    const msg::Message message = std::move(inbox.front());
    inbox.pop_front();
    if (const auto* define = std::get_if<msg::DefineLayer>(&message)) {
      EXPECT_TRUE(worker.layers.emplace(define->layer, define->description).second) << "a layer defined twice";
      worker.hashes[define->layer] = define->hash;
    } else if (const auto* taken = std::get_if<msg::InventoryTaken>(&message)) {
      worker.take(*taken, !liar_ids_.contains(worker.id));
    } else if (const auto* forget = std::get_if<msg::ForgetLayer>(&message)) {
      EXPECT_EQ(worker.layers.erase(forget->layer), 1u);
      worker.hashes.erase(forget->layer);
      for (const auto& [attempt, what] : worker.attempts) EXPECT_NE(layer_of(what.assign.task), forget->layer);
    } else if (const auto* address = std::get_if<msg::WorkerAddress>(&message)) {
      EXPECT_TRUE(worker.addresses.insert(address->worker).second) << "introduced twice";
    } else if (const auto* assign = std::get_if<msg::Assign>(&message)) {
      ++worker.received;
      const auto layer = worker.layers.find(layer_of(assign->task));
      EXPECT_NE(layer, worker.layers.end()) << "assigned a task of a layer it was not told of";
      const bool root = layer != worker.layers.end() && layer->second->inputs.empty();
      // What occupies resources, and what was asked back for this worker, comes whatever it offers.
      if (root && !resources_wanted_ && cluster_.state.counters().tasks_moved == 0) {
        EXPECT_LT(worker.kib_received, worker.kib_granted) << "a root beyond the memory that was offered";
      }
      worker.kib_received += assign->kib;
      for (const auto& holder : assign->holders) EXPECT_TRUE(worker.addresses.contains(holder.worker));
      for (const auto& item : assign->awaited) {
        EXPECT_TRUE(worker.addresses.contains(item.worker));
        EXPECT_LT(item.attempt, assign->attempt) << "awaits what is bound after it";
      }
      EXPECT_GT(assign->attempt, worker.last_attempt);
      worker.last_attempt = assign->attempt;
      EXPECT_TRUE(worker.attempts.emplace(assign->attempt, FakeWorker::Attempt{*assign, false, false}).second);
    } else if (const auto* retract = std::get_if<msg::Retract>(&message)) {
      const auto found = worker.attempts.find(retract->attempt);
      if (found == worker.attempts.end()) return true;  // its answer is on the way
      if (found->second.executing && !retract->cancel) {
        worker.outbox.push_back(msg::TaskRunning{retract->attempt, retract->task});
      } else if (found->second.executing) {
        found->second.abandoned = true;
      } else {
        worker.answer(retract->attempt, msg::TaskReturned{retract->attempt, retract->task, {}});
      }
    } else if (const auto* free = std::get_if<msg::FreeResults>(&message)) {
      for (ResultId result : free->results) worker.store.erase(result);
    }
    return true;
  }

  // The next message of the worker reaches the scheduler.
  bool speak(FakeWorker& worker) {
    if (worker.outbox.empty()) return false;
    msg::Message message = std::move(worker.outbox.front());
    worker.outbox.pop_front();
    handle(FromWorker{worker.id, std::move(message)});
    return true;
  }

  bool work(FakeWorker& worker) {
    if (worker.attempts.empty()) return false;
    auto at = worker.attempts.begin();
    std::advance(at, static_cast<long>(pick(0, worker.attempts.size() - 1)));
    if (at->second.executing) {
      end(worker, at->second);
    } else {
      start(worker, at->second);
    }
    return true;
  }

  void start(FakeWorker& worker, FakeWorker::Attempt& attempt) {
    const msg::Assign& assign = attempt.assign;
    if (!calm_ && chance(20)) {
      worker.answer(assign.attempt, msg::TaskReturned{assign.attempt, assign.task, {}});
      return;
    }
    std::vector<msg::TaskReturned::Missing> missing;
    bool follows = false;  // an attempt makes an input, here or elsewhere
    bool in_vain = false;  // it ended without
    const Layer& layer = *worker.layers.at(layer_of(assign.task));
    for (std::size_t r = 0; r < layer.inputs.size(); ++r) {
      for_each_producer(layer, r, index_of(assign.task), [&](std::uint32_t producer) {
        const ResultId input{make_task_id(static_cast<LayerId>(layer.inputs[r].layer), producer),
                             layer.inputs[r].output};
        if (worker.store.contains(input)) return;
        const auto awaited = std::find_if(assign.awaited.begin(), assign.awaited.end(),
                                          [&](const auto& item) { return item.result == input; });
        if (worker.makes(input.task)) {
          follows = true;
        } else if (awaited != assign.awaited.end()) {
          const auto peer = workers_.find(awaited->worker);
          if (peer == workers_.end()) {
            missing.push_back({input, awaited->worker});
          } else if (peer->second.store.contains(input)) {
            worker.store.insert(input);
            worker.outbox.push_back(msg::ReplicasAdded{{input}});
          } else if (peer->second.will_end(awaited->attempt)) {
            follows = true;
          } else {
            in_vain = true;
          }
        } else {
          fetch(worker, assign, input, missing);
        }
      });
    }
    if (follows && missing.empty() && !in_vain) return;
    if (missing.empty() && !in_vain) {
      attempt.executing = true;
    } else {
      worker.answer(assign.attempt, msg::TaskReturned{assign.attempt, assign.task, std::move(missing)});
    }
  }

  void fetch(FakeWorker& worker, const msg::Assign& assign, ResultId input,
             std::vector<msg::TaskReturned::Missing>& missing) {
    bool named = false;
    for (const auto& holder : assign.holders) {
      if (holder.result != input) continue;
      named = true;
      const auto peer = workers_.find(holder.worker);
      if (peer != workers_.end() && peer->second.store.contains(input)) {
        worker.store.insert(input);
        worker.outbox.push_back(msg::ReplicasAdded{{input}});
        return;
      }
      missing.push_back({input, holder.worker});
    }
    if (!named) missing.push_back({input, worker.id});  // the scheduler took it to be here
  }

  void end(FakeWorker& worker, const FakeWorker::Attempt& attempt) {
    const msg::Assign assign = attempt.assign;
    if (attempt.abandoned) {
      worker.answer(assign.attempt, msg::TaskReturned{assign.attempt, assign.task, {}});
    } else if (!calm_ && chance(30)) {
      ErrorInfo error;
      error.code = chance(3) ? ErrorCode::kTaskTooLarge : ErrorCode::kKernelFailed;
      error.message = "bad luck";
      worker.answer(assign.attempt, msg::TaskFailed{assign.attempt, assign.task, error});
    } else {
      const std::size_t outputs = worker.layers.at(layer_of(assign.task))->outputs.size();
      std::vector<std::uint64_t> nbytes;
      for (std::size_t o = 0; o < outputs; ++o) {
        nbytes.push_back(pick(1, 100));
        worker.store.insert({assign.task, static_cast<std::uint16_t>(o)});
      }
      worker.answer(assign.attempt, msg::TaskFinished{assign.attempt, assign.task, nbytes, 10});
    }
  }

  void drop_a_copy(FakeWorker& worker) {
    if (worker.store.empty()) return;
    auto at = worker.store.begin();
    std::advance(at, static_cast<long>(pick(0, worker.store.size() - 1)));
    worker.outbox.push_back(msg::ReplicasDropped{{*at}});
    if (!worker.inventory.empty()) worker.dropped.insert(*at);
    worker.store.erase(at);
  }

  void beat(FakeWorker& worker) {
    msg::WorkerHeartbeat heartbeat;
    heartbeat.attempts_hash = worker.hash();
    for (std::size_t n = pick(0, 3); n > 0; --n) {
      const auto bytes = std::uint64_t{1} << pick(0, 40);
      heartbeat.transfers.push_back({static_cast<WorkerId>(pick(0, last_worker_ + 1)), pick(0, 2), pick(0, 1000000),
                                     pick(0, 2), pick(0, 1000000), chance(3) ? 0 : bytes});
    }
    heartbeat.sent = worker.sent;
    heartbeat.received = worker.received;
    worker.outbox.push_back(heartbeat);
  }

  // What no honest worker says.
  void lie(FakeWorker& worker) {
    const TaskId task = make_task_id(static_cast<LayerId>(pick(0, 12)), static_cast<std::uint32_t>(pick(0, 6)));
    auto attempt = static_cast<AttemptId>(pick(0, 50));
    if (!worker.attempts.empty() && chance(2)) attempt = worker.attempts.begin()->first;
    const ResultId result{task, static_cast<std::uint16_t>(pick(0, 2))};
    switch (pick(0, 7)) {
      case 0:
        worker.outbox.push_back(msg::TaskFinished{attempt, task, std::vector<std::uint64_t>(pick(0, 3), 7), 1});
        break;
      case 1:
        worker.outbox.push_back(msg::TaskFailed{attempt, task, {}});
        break;
      case 2:
        worker.outbox.push_back(msg::TaskReturned{attempt, task, {{result, static_cast<WorkerId>(pick(0, 9))}}});
        break;
      case 3:
        worker.outbox.push_back(msg::ReplicasAdded{{result}});
        break;
      case 4:
        worker.outbox.push_back(msg::ReplicasDropped{{result}});
        break;
      case 5:
        worker.kib_granted =
            std::max(worker.kib_granted, chance(4) ? msg::GrantCredit::kNoLimit >> pick(0, 1) : pick(0, 5));
        worker.outbox.push_back(
            msg::GrantCredit{pick(0, 1) == 0 ? 1 : worker.granted + pick(0, 5), worker.kib_granted});
        break;
      case 6: {
        msg::Inventory inventory{static_cast<std::uint32_t>(pick(0, 3)), {}};
        const LayerHash hash = worker.hashes.empty() ? LayerHash{1, 1} : worker.hashes.begin()->second;
        inventory.results.push_back({hash, index_of(task), result.output, 5});
        worker.inventory[inventory.part] = inventory.results;
        worker.outbox.push_back(std::move(inventory));
        break;
      }
      default:
        worker.outbox.push_back(msg::WorkerHeartbeat{});
        break;
    }
  }

  // ---- clients ----
  void attach_new() {
    FakeClient client;
    client.connection = static_cast<ConnectionId>(++last_connection_);
    client.session = last_connection_ * 1000;
    client.secret = 5;
    client.attached = true;
    client.life = life_;
    const ConnectionId connection = client.connection;
    clients_.push_back(std::move(client));
    handle(ClientConnected{connection, {0, 0, "c"}, last_connection_ * 1000, 5});
  }
  void reattach(FakeClient& client) {
    client.connection = static_cast<ConnectionId>(++last_connection_);
    handle(ClientConnected{client.connection, {client.session, client.secret, "c"}, 1, 1});
    const bool unknown = cluster_.closed_clients.contains(client.connection);
    EXPECT_TRUE(unknown || client.life == life_) << "a session of another life";
    if (unknown) return submit_again(client);
    client.attached = true;
    const auto repeat = client.unacknowledged;
    for (const msg::Message& message : repeat) handle(FromClient{client.connection, message});
  }
  // To a scheduler that does not know the session.
  void submit_again(FakeClient& client) {
    client.life = life_;
    client.connection = static_cast<ConnectionId>(++last_connection_);
    client.session = last_connection_ * 1000;
    client.attached = true;
    handle(ClientConnected{client.connection, {0, 0, "c"}, client.session, client.secret});
    for (auto& [want, known] : client.wants) {  // also of a session that was given up
      if (known.status == FakeClient::Status::kReady) known.status = FakeClient::Status::kPending;
    }
    std::vector<msg::Message> changes = client.contents.changes();
    changes.insert(changes.end(), client.unacknowledged.begin(), client.unacknowledged.end());
    client.contents = {};
    client.unacknowledged.clear();
    client.sequence = 0;
    for (msg::Message& change : changes) {
      std::visit(
          [&](auto& m) {
            if constexpr (requires { m.sequence; }) m.sequence = ++client.sequence;
          },
          change);
      client.unacknowledged.push_back(change);
    }
    for (msg::Message& change : changes) handle(FromClient{client.connection, std::move(change)});
  }
  void say(FakeClient& client, msg::Message message) {
    client.unacknowledged.push_back(message);
    if (client.attached) handle(FromClient{client.connection, std::move(message)});
  }
  bool listen(FakeClient& client) {
    auto& inbox = cluster_.sent_to_client[client.connection];
    if (!client.attached || inbox.empty()) return false;
    const msg::Message message = std::move(inbox.front());
    inbox.pop_front();
    const auto known = [&](const auto& m) -> FakeClient::Known& { return client.wants[{m.layer, m.output, m.index}]; };
    if (const auto* ready = std::get_if<msg::ResultReady>(&message)) {
      known(*ready).status = FakeClient::Status::kReady;
      known(*ready).ready = *ready;
    } else if (const auto* erred = std::get_if<msg::ResultErred>(&message)) {
      EXPECT_FALSE(erred->error.message.empty());
      known(*erred).status = FakeClient::Status::kErred;
      known(*erred).error = erred->error;
    } else if (const auto* lost = std::get_if<msg::ResultLost>(&message)) {
      known(*lost).status = FakeClient::Status::kPending;
    } else if (const auto* accepted = std::get_if<msg::SubmitAccepted>(&message)) {
      acknowledged(client, accepted->sequence);
    } else if (const auto* attached = std::get_if<msg::ClientAttached>(&message)) {
      EXPECT_NE(attached->session, 0u);
      acknowledged(client, attached->last_sequence);
    } else if (const auto* refused = std::get_if<msg::SubmitRefused>(&message)) {
      ADD_FAILURE() << "refused: " << refused->error.message;
    }
    return true;
  }
  static std::uint64_t sequence_of(const msg::Message& message) {
    return std::visit(
        [](const auto& m) -> std::uint64_t {
          if constexpr (requires { m.sequence; }) return m.sequence;
          return 0;
        },
        message);
  }
  static void acknowledged(FakeClient& client, std::uint64_t sequence) {
    while (!client.unacknowledged.empty() && sequence_of(client.unacknowledged.front()) <= sequence) {
      client.contents.apply(client.unacknowledged.front());
      client.unacknowledged.erase(client.unacknowledged.begin());
    }
  }

  // Such that the one worker that is sure to be there in the end may run all of it.
  msg::SubmitOptions options() {
    msg::SubmitOptions options;
    options.priority = static_cast<std::int32_t>(pick(0, 4)) - 2;
    options.retries = static_cast<std::uint16_t>(pick(0, 2));
    options.retry_delay_ms = static_cast<std::uint32_t>(pick(0, 5));
    if (chance(3)) {
      options.workers = {"w" + std::to_string(pick(1, last_worker_ + 1)), "alpha"};
      options.allow_other_workers = true;
    }
    if (chance(3)) {
      options.resources.push_back({"GPU", static_cast<double>(pick(1, 4)) / 2});
      resources_wanted_ = true;
    }
    if (chance(4)) options.resources.push_back({"memory", static_cast<double>(pick(1, kMostMemory))});
    return options;
  }

  void submit(FakeClient& client) {
    msg::Submit submit;
    submit.sequence = ++client.sequence;
    submit.first_layer = client.next_number;
    const std::size_t layers = pick(0, 4);
    for (std::size_t i = 0; i < layers; ++i) {
      const auto layer = shared(RandomGraph(random_).next(client.layers, client.numbers, pick(0, 1)));
      submit.layers.push_back(layer);
      client.layers.push_back(layer);
      client.numbers.push_back(client.next_number++);
    }
    const std::size_t wants = client.layers.empty() ? 0 : pick(1, 3);
    for (std::size_t i = 0; i < wants; ++i) {
      const std::size_t at = client.layers.size() - 1 - pick(0, std::min<std::size_t>(client.layers.size() - 1, 4));
      const Layer& layer = *client.layers[at];
      msg::WantRange range{client.numbers[at], static_cast<std::uint16_t>(pick(0, layer.outputs.size() - 1)), 0,
                           layer.tasks()};
      if (chance(2)) {
        range.begin = static_cast<std::uint32_t>(pick(0, layer.tasks()));
        range.end = static_cast<std::uint32_t>(pick(range.begin, layer.tasks()));
      }
      for (std::uint32_t index = range.begin; index < range.end; ++index) {
        auto& want = client.wants[{range.layer, range.output, index}];
        ++want.live;
        // A result that had erred is tried again; one that is ready stays so, and is told once more.
        if (want.status == FakeClient::Status::kErred) want.status = FakeClient::Status::kPending;
      }
      submit.wants.push_back(range);
    }
    if (chance(3)) submit.options = options();
    say(client, std::move(submit));
  }
  void release(FakeClient& client) {
    msg::ReleaseWants message{++client.sequence, {}};
    const std::size_t share = pick(1, 4);
    for (auto& [want, known] : client.wants) {
      if (known.live == 0 || !chance(share)) continue;
      const auto [layer, output, index] = want;
      message.wants.push_back({layer, output, index, index + 1});
      if (--known.live == 0) known.status = FakeClient::Status::kPending;
    }
    say(client, std::move(message));
  }
  void cancel(FakeClient& client) {
    msg::CancelWants message{++client.sequence, {}};
    for (auto& [want, known] : client.wants) {
      const auto [layer, output, index] = want;
      if (known.live != 0 && chance(4)) message.wants.push_back({layer, output, index, index + 1});
    }
    say(client, std::move(message));
  }
  void forget(FakeClient& client) {
    if (client.layers.empty()) return;
    const std::size_t at = pick(0, client.layers.size() - 1);
    const LayerNumber number = client.numbers[at];
    std::erase_if(client.wants, [&](const auto& entry) { return std::get<0>(entry.first) == number; });
    client.layers.erase(client.layers.begin() + static_cast<long>(at));
    client.numbers.erase(client.numbers.begin() + static_cast<long>(at));
    forgotten_.insert({client.session, number});
    say(client, msg::ForgetLayers{++client.sequence, {number}});
  }
  void cut(FakeClient& client) {
    if (!client.attached) {
      reattach(client);
      return;
    }
    client.attached = false;
    cluster_.sent_to_client.erase(client.connection);  // what was on its way is lost
    handle(ClientLost{client.connection});
  }

  // ---- the storm ----
  void step() {
    const std::size_t what = pick(0, 99);
    FakeClient& client = clients_[pick(0, clients_.size() - 1)];
    if (what < 3) return submit(client);
    if (what < 5) return release(client);
    if (what < 6) return chance(2) ? cancel(client) : forget(client);
    if (what < 7) return cut(client);
    if (what < 8) return workers_.size() < 5 ? join() : void();
    if (what < 9 && chance(2) && !workers_.empty()) return kill(any_worker().id);
    if (what < 10 && chance(8)) return restart();
    if (what < 10 && !away_.empty()) return come_back();
    if (what < 10 && chance(2) && !workers_.empty()) return reconnect(any_worker().id);
    if (what < 10) {
      if (chance(4)) cluster_.now += std::chrono::seconds(4);  // a window closes
      return handle(Tick{});
    }
    if (what < 11 && chance(4) && clients_.size() < 4) return attach_new();
    if (what < 12 && !reports_.empty()) {
      handle(DeathReported{std::move(reports_.front())});
      return reports_.pop_front();
    }
    if (what < 12 && liars_ && chance(3)) return false_report();
    if (workers_.empty()) return;
    FakeWorker& worker = any_worker();
    if (what < 13) return beat(worker);
    if (what < 14) return drop_a_copy(worker);
    if (what < 16 && end_orphan(worker)) return;
    if (what < 20 && liar_ids_.contains(worker.id)) return lie(worker);
    if (what < 21) return worker.outbox.push_back(msg::GrantCredit{++worker.granted, worker.kib_granted});
    if (what < 45) return static_cast<void>(hear(worker));
    if (what < 70) return static_cast<void>(speak(worker));
    if (what < 90) return static_cast<void>(work(worker));
    listen(client);
  }
  bool move_something() {
    bool moved = false;
    for (auto at = workers_.begin(); at != workers_.end();) {
      FakeWorker& worker = (at++)->second;
      moved = hear(worker) || moved;
      moved = work(worker) || moved;
      moved = end_orphan(worker) || moved;
      moved = speak(worker) || moved;
    }
    for (FakeClient& client : clients_) moved = listen(client) || moved;
    return moved;
  }

  Random random_;
  bool liars_;
  bool keeps_journal_;
  bool resources_wanted_ = false;
  bool calm_ = false;
  FakeCluster cluster_;
  std::map<WorkerId, FakeWorker> workers_;
  std::set<WorkerId> liar_ids_;
  std::vector<FakeClient> clients_;
  std::set<std::pair<std::uint64_t, LayerNumber>> forgotten_;
  JournalState journal_;
  std::vector<FakeWorker> away_;  // whose scheduler died, until they find the next one
  unsigned life_ = 0;             // of the scheduler
  std::uint32_t last_worker_ = 0;
  std::uint64_t last_connection_ = 0;
  static constexpr std::uint64_t kFirstNanny = 1000;
  static constexpr std::uint64_t kMostMemory = 1000;
  std::deque<msg::WorkerDied> reports_;  // of deaths, on their way
};

class HonestWorkers : public testing::TestWithParam<unsigned> {};

TEST_P(HonestWorkers, EveryWantIsAnsweredAndNothingLeaks) {
  for (unsigned seed = GetParam() * 50; seed < GetParam() * 50 + 50; ++seed) {
    SCOPED_TRACE(seed);
    Storm storm(seed, /*liars=*/false);
    storm.run(400);
    if (testing::Test::HasFatalFailure()) return;
    storm.calm_down();
    if (testing::Test::HasFatalFailure()) return;
    storm.expect_every_want_answered();
    if (testing::Test::HasFatalFailure()) return;
    storm.expect_nothing_left_when_clients_go();
    EXPECT_EQ(storm.state().counters().heartbeat_mismatches, 0u);
    EXPECT_EQ(storm.state().counters().stale_answers, 0u);
    EXPECT_EQ(storm.state().counters().client_anomalies, 0u);
    if (testing::Test::HasFailure()) return;
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, HonestWorkers, testing::Range(0u, 8u));

class LyingWorkers : public testing::TestWithParam<unsigned> {};

TEST_P(LyingWorkers, BreakNothing) {
  for (unsigned seed = GetParam() * 50; seed < GetParam() * 50 + 50; ++seed) {
    SCOPED_TRACE(seed);
    Storm storm(seed, /*liars=*/true);
    storm.run(400);
    if (testing::Test::HasFatalFailure()) return;
    storm.calm_down();
    if (testing::Test::HasFatalFailure()) return;
    storm.expect_every_want_answered();
    if (testing::Test::HasFatalFailure()) return;
    storm.expect_nothing_left_when_clients_go();
    if (testing::Test::HasFailure()) return;
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, LyingWorkers, testing::Range(0u, 4u));

}  // namespace
}  // namespace tegula::scheduler
