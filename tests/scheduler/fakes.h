// A scheduler core between workers and clients that exist only here. The unit tests play the workers by hand; the
// random tests let FakeWorker play them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/core/state.h"
#include "tests/scheduler/graphs.h"

namespace tegula::scheduler {

// Feeds the core, sorts what it sends by receiver, and checks the invariants after each event.
class FakeCluster {
 public:
  explicit FakeCluster(SchedulerConfig config = {}) : state(config) {}

  void handle(Event event) {
    std::vector<Action> actions;
    state.handle(now, std::move(event), actions);
    for (int turns = 0; state.busy(); ++turns) {
      ASSERT_LT(turns, 100000) << "never done expanding";
      state.handle(now, Tick{}, actions);
    }
    sort(actions);
    if (check) state.check_invariants();
  }
  // Several events of one frame, decided on together.
  void handle_together(std::vector<Event> events) {
    std::vector<Action> actions;
    for (Event& event : events) state.apply(now, std::move(event), actions);
    state.settle(now, actions);
    sort(actions);
    if (check) state.check_invariants();
  }

  void from_worker(WorkerId worker, msg::Message message) { handle(FromWorker{worker, std::move(message)}); }
  void from_client(ConnectionId connection, msg::Message message) {
    handle(FromClient{connection, std::move(message)});
  }

  // ---- by hand ----
  WorkerId worker(std::uint64_t slots = 1, std::vector<std::string> kernels = {"test.nop"}, std::uint32_t threads = 1,
                  std::uint64_t kib = msg::GrantCredit::kNoLimit) {
    const auto id = static_cast<WorkerId>(++last_worker);
    msg::RegisterWorker about;
    about.name = "w" + std::to_string(last_worker);
    about.address = "inproc://" + about.name;
    about.threads = threads;
    about.kernels = std::move(kernels);
    about.slots_granted = slots;
    about.kib_granted = kib;
    granted[id] = slots;
    handle(WorkerJoined{id, about});
    sent_to_worker[id].clear();
    return id;
  }
  ConnectionId client() {
    const auto connection = static_cast<ConnectionId>(++last_connection);
    handle(ClientConnected{connection, {0, 0, "client"}, 1000 + last_connection, 77});
    sent_to_client[connection].clear();
    return connection;
  }
  // Layers are numbered from where this client left off.
  void submit(ConnectionId client, const std::vector<Layer>& layers, std::vector<msg::WantRange> wants) {
    msg::Submit submit;
    submit.sequence = ++sequence[client];
    submit.first_layer = next_layer[client];
    for (const Layer& layer : layers) submit.layers.push_back(shared(layer));
    next_layer[client] += static_cast<LayerNumber>(layers.size());
    submit.wants = std::move(wants);
    from_client(client, std::move(submit));
  }
  void release(ConnectionId client, std::vector<msg::WantRange> wants) {
    from_client(client, msg::ReleaseWants{++sequence[client], std::move(wants)});
  }
  void cancel(ConnectionId client, std::vector<msg::WantRange> wants) {
    from_client(client, msg::CancelWants{++sequence[client], std::move(wants)});
  }
  void forget(ConnectionId client, std::vector<LayerNumber> layers) {
    from_client(client, msg::ForgetLayers{++sequence[client], std::move(layers)});
  }

  // What was sent since the last call, of one kind.
  template <typename M>
  std::vector<M> take(WorkerId worker) {
    return take_from<M>(sent_to_worker[worker]);
  }
  template <typename M>
  std::vector<M> take(ConnectionId client) {
    return take_from<M>(sent_to_client[client]);
  }
  // The one assignment that this worker was sent.
  msg::Assign assigned(WorkerId worker) {
    auto assigns = take<msg::Assign>(worker);
    EXPECT_EQ(assigns.size(), 1u);
    return assigns.empty() ? msg::Assign{} : assigns.front();
  }
  void finish(WorkerId worker, const msg::Assign& assign, std::vector<std::uint64_t> nbytes = {8}) {
    // As workers do: the news and the new grant in one frame, the grant first.
    handle_together({FromWorker{worker, msg::GrantCredit{++granted[worker]}},
                     FromWorker{worker, msg::TaskFinished{assign.attempt, assign.task, std::move(nbytes), 5}}});
  }
  void fail(WorkerId worker, const msg::Assign& assign, std::string message = "it broke") {
    ErrorInfo error;
    error.code = ErrorCode::kKernelFailed;
    error.message = std::move(message);
    handle_together({FromWorker{worker, msg::GrantCredit{++granted[worker]}},
                     FromWorker{worker, msg::TaskFailed{assign.attempt, assign.task, std::move(error)}}});
  }
  void give_back(WorkerId worker, const msg::Assign& assign, std::vector<msg::TaskReturned::Missing> missing = {}) {
    handle_together({FromWorker{worker, msg::GrantCredit{++granted[worker]}},
                     FromWorker{worker, msg::TaskReturned{assign.attempt, assign.task, std::move(missing)}}});
  }
  TaskState state_of(TaskId task) const { return state.task(task).state; }

  SchedulerState state;
  Time now{};
  bool check = true;
  std::map<WorkerId, std::deque<msg::Message>> sent_to_worker;
  std::map<ConnectionId, std::deque<msg::Message>> sent_to_client;
  std::set<WorkerId> closed_workers;
  std::set<ConnectionId> closed_clients;
  std::vector<Persist> persisted;
  std::map<WorkerId, std::uint64_t> granted;
  std::map<ConnectionId, std::uint64_t> sequence;
  std::map<ConnectionId, LayerNumber> next_layer;
  std::uint32_t last_worker = 0;
  std::uint64_t last_connection = 0;

 private:
  template <typename M>
  static std::vector<M> take_from(std::deque<msg::Message>& messages) {
    std::vector<M> found;
    std::deque<msg::Message> others;
    for (msg::Message& message : messages) {
      if (auto* match = std::get_if<M>(&message)) {
        found.push_back(std::move(*match));
      } else {
        others.push_back(std::move(message));
      }
    }
    messages = std::move(others);
    return found;
  }
  void sort(std::vector<Action>& actions) {
    for (Action& action : actions) {
      if (auto* to_worker = std::get_if<SendToWorker>(&action)) {
        sent_to_worker[to_worker->worker].push_back(std::move(to_worker->message));
      } else if (auto* to_client = std::get_if<SendToClient>(&action)) {
        sent_to_client[to_client->connection].push_back(std::move(to_client->message));
      } else if (auto* worker = std::get_if<CloseWorker>(&action)) {
        closed_workers.insert(worker->worker);
      } else if (auto* client = std::get_if<CloseClient>(&action)) {
        closed_clients.insert(client->connection);
      } else if (auto* entry = std::get_if<Persist>(&action)) {
        persisted.push_back(std::move(*entry));
      }
    }
  }
};

}  // namespace tegula::scheduler
