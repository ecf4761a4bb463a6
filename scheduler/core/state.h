// The scheduler's core: every scheduling decision and no I/O. Events go in, actions come out; the same events with the
// same times give the same actions in the same order. Plain and single-threaded: the owner calls it from one thread at
// a time (or under one lock). Copyable, so that a test can try two futures of one state.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "scheduler/core/actions.h"
#include "scheduler/core/events.h"
#include "src/graph.h"
#include "src/ids.h"

namespace tegula {
class CanonicalHash;
}

namespace tegula::scheduler {

struct SchedulerConfig {
  std::uint64_t seed = 1;  // breaks ties between equals
  std::chrono::nanoseconds reattach_grace = std::chrono::seconds(5);
  std::chrono::nanoseconds worker_timeout = std::chrono::seconds(30);  // 0: only a closed connection is a loss
  std::chrono::nanoseconds heartbeat_interval = std::chrono::seconds(1);
  std::uint32_t allowed_deaths = 3;  // of workers that executed a task, after which it is KilledWorker
  // How long after the loss of a worker its nanny's report is waited for, before blame falls by guess.
  std::chrono::nanoseconds report_patience = std::chrono::seconds(2);
  // Of a scheduler that was started again: for so long workers may come back with what they hold and clients with what
  // they want, before anything is computed. 0: it computes at once.
  std::chrono::nanoseconds inventory_window = std::chrono::seconds(3);
  bool journal = false;                         // what changes a session is given as Persist
  std::uint32_t allowed_fetch_failures = 20;    // returns for missing inputs, after which a task ends as kDataLost
  std::uint64_t max_demanded_tasks = 1u << 28;  // of all sessions together; a submission beyond it is refused
  std::size_t log_size = 1u << 16;              // transitions kept for story()
  std::size_t root_margin = 256;                // roots that may be ready beyond twice the slots
  // A task that has not started moves to an idle worker when it would start so much earlier there.
  std::chrono::nanoseconds worthwhile_gain = std::chrono::milliseconds(2);
  // What takes no longer may be bound ahead of inputs that several workers make.
  std::chrono::nanoseconds short_task = std::chrono::milliseconds(1);
  double assumed_bandwidth = 1e9;          // bytes per second between workers, for that decision
  std::size_t expansion_steps = 1u << 16;  // steps of expansion in one settle(), so that other events get their turn
  // Work is there and nothing has finished for this long: a Report says what is waited for. 0: never.
  std::chrono::nanoseconds stall_report = std::chrono::seconds(30);
  bool drop_surplus_replicas = true;  // copies that nobody needs where they are, see surplus.cc
};

// Where a task stands. `released`: demanded, but nobody has looked at it yet (it has no record of its own).
enum class TaskState : std::uint8_t {
  kReleased,
  kWaiting,     // for inputs
  kNoWorker,    // ready, but no live worker may run it: none has its kernel, or meets its restrictions
  kQueued,      // ready, waits for credit
  kProcessing,  // bound to a worker
  kMemory,      // finished, at least one output kept
  kErred,
  kForgotten,  // not known
};
// Of a task in kProcessing. A bound task may execute already: that is known when its worker says so (in a heartbeat, or
// when it is asked to give it back).
enum class TaskPhase : std::uint8_t { kNone, kBound, kRunning, kRetracting };

std::string_view name_of(TaskState state);  // "no-worker"

// One line of the transition log.
struct Transition {
  Time time{};
  TaskId task{};
  TaskState from = TaskState::kForgotten;
  TaskState to = TaskState::kForgotten;
  WorkerId worker{};    // 0: none
  AttemptId attempt{};  // 0: none
};
std::string to_string(const Transition& transition);

// Kept as things happen, so reading them costs nothing. Counts since start unless said otherwise.
struct Counters {
  // now
  std::uint64_t released = 0, waiting = 0, no_worker = 0, queued = 0, processing = 0, memory = 0, erred = 0;
  std::uint64_t workers = 0, threads = 0, clients = 0, layers = 0;
  std::uint64_t slots_free = 0;  // credit not spent
  // since start
  std::uint64_t tasks_finished = 0, tasks_failed = 0, tasks_returned = 0, tasks_recomputed = 0;
  std::uint64_t assignments = 0, retractions = 0, adopted_replicas = 0, results_freed = 0;
  std::uint64_t surplus_dropped = 0;  // copies
  std::uint64_t tasks_retried = 0;
  std::uint64_t inventory_results = 0, inventory_kept = 0;  // that workers brought along; of these, that were needed
  std::uint64_t tasks_asked_back = 0, tasks_moved = 0;      // for idle workers; how many of them came
  std::uint64_t workers_joined = 0, workers_lost = 0, workers_died = 0, sessions = 0, submissions = 0,
                submissions_refused = 0;
  std::uint64_t compute_ns = 0;  // in kernels, as workers reported
  // Things that no honest, bug-free peer does. Each must be 0 in a test without faults.
  std::uint64_t heartbeat_mismatches = 0;  // a worker's attempts are not those that this core thinks it has
  std::uint64_t stale_answers = 0;         // answers for attempts that are not the task's
  std::uint64_t client_anomalies = 0;      // releases of what was not wanted, unknown layers
};

struct WorkerInfo {
  WorkerId worker{};
  msg::RegisterWorker registration;
  msg::WorkerHeartbeat heartbeat;  // the last one
  Time last_heard{};
  std::uint64_t slots_granted = 0, slots_spent = 0;
  std::optional<std::int64_t> memory_credit;  // bytes; none: it has no limit
  std::uint32_t processing = 0;               // attempts bound to it
  bool retiring = false;                      // gets nothing new; leaves when its results are elsewhere
  std::optional<Time> ends_at;                // its lifetime, when it has one
};

struct WorkerDeath {
  Time time{};         // when it was lost
  std::string worker;  // its name
  std::string cause;
  bool certain = false;  // its nanny said so
};

// A client's session; of tasks, those that its submissions asked for first.
struct ClientInfo {
  ClientId client{};
  std::string name;
  bool connected = true;  // false: lost, and not back yet
  std::uint64_t active = 0, processing = 0;
  std::uint64_t layers = 0;  // that it names
  std::uint64_t wants = 0;   // results that it wants, finished or not
};

struct LayerInfo {
  LayerId layer{};
  LayerHash hash;
  msg::LayerPtr description;  // input rules name LayerIds
  std::uint32_t active = 0;   // tasks to be computed
  std::uint32_t known = 0;    // tasks with a record
  std::uint64_t clients = 0;  // that name it
};

struct TaskInfo {
  TaskState state = TaskState::kForgotten;
  TaskPhase phase = TaskPhase::kNone;
  WorkerId worker{};         // kProcessing
  AttemptId attempt{};       // kProcessing
  std::int32_t urgency = 0;  // the user's priority: greater first
  std::int64_t tag = 0;      // its place among equally urgent ones: smaller first
  std::string key;           // empty when the layer is not known
  std::string kernel;
  struct Output {
    std::uint64_t nbytes = 0;
    std::uint64_t wants = 0;      // of all clients
    std::uint64_t consumers = 0;  // demanded tasks that still have to read it
    std::vector<WorkerId> holders;
  };
  std::vector<Output> outputs;
  std::optional<ErrorInfo> error;  // kErred
};

struct InputInfo {
  ResultId result;
  TaskState state = TaskState::kForgotten;  // of the task that makes it
  bool available = false;
};

struct Core;

class SchedulerState {
 public:
  explicit SchedulerState(SchedulerConfig config = {});
  ~SchedulerState();
  SchedulerState(const SchedulerState& other);
  SchedulerState& operator=(const SchedulerState& other);
  SchedulerState(SchedulerState&&) noexcept;
  SchedulerState& operator=(SchedulerState&&) noexcept;

  // Applies one event and takes the decisions that follow: apply() and settle() in one. Appends what is to be done.
  void handle(Time now, Event event, std::vector<Action>& actions);

  // For a batch that came together (one frame of a connection, one turn of a loop): apply() each event, then settle()
  // once. Cheaper than handle() for each, and it lets a worker's new credit and the news that came with it be seen
  // together. Nothing is bound, freed or expanded before settle().
  void apply(Time now, Event event, std::vector<Action>& actions);
  void settle(Time now, std::vector<Action>& actions);

  // The last settle() ended before everything was expanded that could be: call handle(Tick) as soon as the events that
  // are waiting have been served.
  bool busy() const;

  // ---- for people and tests; none of these changes anything ----
  const Counters& counters() const;
  std::vector<WorkerInfo> workers() const;  // by id
  std::vector<WorkerDeath> deaths() const;  // of workers, the last 32, oldest first
  TaskInfo task(TaskId task) const;
  TaskState state_of(TaskId task) const;
  std::vector<InputInfo> inputs(TaskId task, std::size_t most) const;
  std::optional<LayerId> find_layer(const LayerHash& hash) const;
  std::vector<ClientInfo> clients() const;                             // by id
  std::vector<LayerInfo> layers() const;                               // by id
  std::vector<TaskId> tasks() const;                                   // with a record, by id
  std::vector<ResultId> held_by(WorkerId worker) const;                // by id
  std::vector<std::pair<TaskId, AttemptId>> bound_to(WorkerId) const;  // in the order of binding
  std::string key(TaskId task) const;                                  // "" when its layer is not known
  Time time() const;                                                   // of the last event
  // Whether it waits for workers and clients of its former life, see SchedulerConfig::inventory_window.
  bool recovering() const;
  // Since a task ended last, while there is something to do; else 0.
  Time standstill() const;

  // What a key's text names: "normal-3f2a91c0(0,7)", where the hash may be shortened or left out while that leaves one
  // layer, or "12/7", layer and index as logs have them. Throws ValueError that says what is wrong with it and names
  // the nearest key.
  ResultId find_key(std::string_view text) const;
  // A worker by name, address or number; a client by name or number. Throws ValueError naming the nearest.
  WorkerId find_worker(std::string_view text) const;
  ClientId find_client(std::string_view text) const;
  // One sentence: why the task is not running, or where it stands.
  std::string why(TaskId task) const;
  std::vector<Transition> story(TaskId task) const;  // oldest first, as far back as the log goes
  std::vector<Transition> log() const;
  std::uint64_t transitions() const;  // since start, logged or not
  // No session, task, layer, result or queue is left (workers may be connected).
  bool empty() const;
  std::size_t task_record_bytes() const;  // memory in the tables of tasks: what grows with the number of known tasks

  // Compares every index, counter and queue with what follows from the rest. Throws Error(kInternal) that tells the
  // task and its story. O(everything).
  void check_invariants() const;
  // Describes this state for a search that compares it with others, see canonical_hash.cc. Workers' connections are
  // counted from here, so this comes before what workers and messages say. At most `workers` will be there at a time.
  void canonical_hash(CanonicalHash& hash, std::size_t workers) const;

 private:
  std::unique_ptr<Core> core_;
};

}  // namespace tegula::scheduler
