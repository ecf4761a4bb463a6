// The schedulers that Tegula's is compared with: no limit to what deciding may cost, the whole graph in view. They
// speak the same protocol to the same workers. A worker's loss is not in their repertoire.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "bench/sim/policy.h"
#include "src/graph_rules.h"

namespace tegula::sim {

class ListScheduler : public Policy {
 public:
  explicit ListScheduler(const Scenario& scenario) : scenario_(scenario), network_(scenario.network) {}
  void apply(Time now, scheduler::Event event, std::vector<scheduler::Action>& actions) override;
  void settle(Time now, std::vector<scheduler::Action>& actions) override;
  Counts counts() const override { return counts_; }

 protected:
  using Task = std::uint32_t;  // all layers' tasks, one after another
  static constexpr std::uint32_t kNone = ~0u;
  // What comes first; ties by the depth-first order from the wants.
  using Key = std::tuple<std::int64_t, std::int64_t, Task>;

  struct Node {
    std::uint32_t missing = 0;  // inputs that are not done
    std::uint32_t readers = 0;  // tasks that are not done and read it
    std::uint32_t worker = kNone;
    AttemptId attempt{};
    std::uint64_t nbytes = 0;
    std::int64_t order = 0;  // depth first
    std::int64_t rank = 0;   // what comes before that
    bool done = false, wanted = false;
    std::vector<std::uint32_t> holders;
  };
  struct Worker {
    std::uint64_t granted = 0, spent = 0;
    std::uint32_t bound = 0;
    std::unordered_set<std::uint32_t> introduced;
    std::vector<bool> defined;  // by layer
    std::set<Key> queue;        // tasks that are to run here, for want of credit
    std::uint64_t placed = 0;   // tasks that were ever to run here
    std::vector<Time> ends;     // when each thread will be done with what is placed here, as a clairvoyant knows
    std::uint64_t credit() const { return granted - spent; }
  };

  virtual void rank_tasks() {}
  // Tasks that became ready since the last turn, in order. To be bound, or left in ready_ or in a queue.
  virtual void place(Time now) = 0;

  std::uint32_t layer_of_task(Task task) const;
  std::uint32_t index_of_task(Task task) const { return task - offset_[layer_of_task(task)]; }
  Time duration(Task task, std::uint32_t worker) const;
  template <typename Visit>
  void for_each_producer_of(Task task, Visit&& visit) const;
  template <typename Visit>
  void for_each_consumer_of(Task task, Visit&& visit) const;
  Key key_of(Task task) const { return {nodes_[task].rank, nodes_[task].order, task}; }
  // Until the inputs that `worker` lacks are there, if nothing else is moved.
  Time transfer_time(Task task, std::uint32_t worker) const;
  std::vector<std::uint32_t> holders_of_inputs(Task task) const;
  void bind(Task task, std::uint32_t worker);
  void enqueue(Task task, std::uint32_t worker);
  void bind_queued();

  const Scenario& scenario_;
  Network network_;
  std::vector<Node> nodes_;
  std::vector<Worker> workers_;
  std::set<Key> ready_;
  Time mean_duration_{};  // of what has run

 private:
  void on(const scheduler::WorkerJoined& event);
  void on(scheduler::FromWorker& event);
  void on(const scheduler::WorkerLost& event);
  void on(scheduler::FromClient& event);
  void on(const scheduler::DeathReported&) {}
  void on(const scheduler::ClientConnected&) {}
  void on(const scheduler::ClientLost&) {}
  void on(const scheduler::SessionRestored&) {}
  void on(const scheduler::Tick&) {}
  void finished(std::uint32_t worker, const msg::TaskFinished& message);
  void returned(const msg::TaskReturned& message);
  void build(const std::vector<msg::WantRange>& wants);
  void order_depth_first(const std::vector<msg::WantRange>& wants);
  void free_if_unread(Task task);
  Task task_of(TaskId id) const { return offset_[static_cast<std::uint32_t>(tegula::layer_of(id)) - 1] + index_of(id); }
  TaskId id_of(Task task) const;
  WorkerId id_of_worker(std::uint32_t worker) const { return static_cast<WorkerId>(worker + 1); }
  void send(std::uint32_t worker, msg::Message message);

  std::vector<msg::LayerPtr> layers_;
  std::vector<std::vector<CompiledRule>> rules_;
  struct Reader {
    std::uint32_t layer;
    ConsumerTable consumers;
  };
  std::vector<std::vector<Reader>> readers_;  // by layer
  std::vector<Task> offset_;                  // by layer, and the end
  std::vector<std::uint32_t> touched_;        // workers whose queue or credit changed
  std::unordered_map<std::uint32_t, std::vector<ResultId>> frees_;
  std::uint64_t last_attempt_ = 0;
  std::vector<scheduler::Action>* out_ = nullptr;
  Counts counts_;
};

class RandomPlacement : public ListScheduler {
 public:
  using ListScheduler::ListScheduler;

 private:
  void place(Time now) override;
  std::uint64_t draws_ = 0;
};

class EagerAssignment : public ListScheduler {
 public:
  using ListScheduler::ListScheduler;

 private:
  void place(Time now) override;
  std::int64_t arrivals_ = 0;
};

class GreedyList : public ListScheduler {
 public:
  using ListScheduler::ListScheduler;

 private:
  void place(Time now) override;
};

class ClairvoyantCriticalPath : public ListScheduler {
 public:
  using ListScheduler::ListScheduler;

 private:
  void rank_tasks() override;
  void place(Time now) override;
};

}  // namespace tegula::sim
