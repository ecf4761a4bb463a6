// A scheduler's core and workers' cores, the real ones, joined by channels that keep the order of each connection and
// nothing else: which message arrives next, which kernel ends next, who dies when and what the client does are choices.
// A world is a value: whoever searches copies it and tries another choice.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/messages.h"
#include "scheduler/core/state.h"
#include "src/canonical_hash.h"
#include "tests/model/shapes.h"
#include "worker/core/state.h"

namespace tegula::model {

// Something that must never be.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Frame = std::vector<msg::Message>;

// What may happen in a world. The numbers are budgets: how often in one run.
struct Scenario {
  std::string name;
  Shape shape;
  Graph (*write)(const Shape&) = &layer_per_task;

  unsigned workers = 2;
  unsigned threads = 1;            // of each
  std::uint64_t memory_limit = 0;  // of each; 0: none
  std::uint64_t need = 8;          // what a kernel's plan asks for, of which the output takes 8
  bool spill = false;              // workers have disks
  unsigned disk_failures = 0;      // no room for a value, or its file is lost
  bool late = false;               // the last worker joins at any time, or never
  bool short_tasks = true;         // they may be bound ahead of inputs of several workers
  bool large = false;              // a task ahead has no room for its inputs

  unsigned losses = 0;
  unsigned cuts = 0;       // of a worker's connection to the scheduler: it joins anew with what it holds
  unsigned restarts = 0;   // of the scheduler, which knows nothing then
  bool repairs = false;    // the scheduler may find that a worker's attempts are not those that it knows
  bool slow_news = false;  // that a worker is gone: its peers, and the scheduler, hear of it at different times
  unsigned kernel_failures = 0;
  unsigned busy_answers = 0;  // of workers that are asked for results
  unsigned client_steps = 0;  // releases, cancels, wants once more, leaves
  unsigned ticks = 0;         // that the scheduler hears of
  unsigned orders = 0;        // of an operator: copy a result, retire a worker, rebalance
  unsigned drains = 0;        // workers that wish to end
  bool nannies = false;       // report, or never do, how a worker died; a kernel may have been to blame

  bool single_messages = false;  // every message travels alone; else those of one turn arrive together
  bool gather = false;           // several frames may reach the scheduler before it settles
  bool step_by_step = false;     // the scheduler expands one step at a time

  // What a test breaks on purpose: changes what is sent, in both directions.
  std::function<void(Frame&)> tamper;
  // The same: reading a value for a peer waits for room among the worker's own values.
  bool serving_needs_room = false;
};

// A value that is copied when it is changed.
template <typename T>
class Shared {
 public:
  Shared() = default;
  explicit Shared(T value) : value_(std::make_shared<T>(std::move(value))) {}
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  T& change() {
    if (value_.use_count() > 1) value_ = std::make_shared<T>(*value_);
    return *value_;
  }
  void reset() { value_.reset(); }
  explicit operator bool() const { return value_ != nullptr; }

 private:
  std::shared_ptr<T> value_;
};

struct Choice {
  enum class Kind : std::uint8_t {
    kHear,         // a worker takes the next frame from the scheduler
    kSpeak,        // the scheduler takes the next frame of a worker
    kSettle,       // the scheduler's turn ends
    kTick,         // time passes for it
    kExpand,       // the scheduler goes on expanding
    kServe,        // a worker is reached by a peer's request and answers
    kServeBusy,    // the same, but it has no time
    kTake,         // a worker takes a peer's reply
    kFetchFails,   // a worker learns that a peer is gone
    kKernelEnds,   // by its result, or by what its plan asks for
    kKernelFails,  //
    kRecalled,     // the executor had not begun
    kTooLate,      // it had
    kSpilled,      // a worker's disk has written a value
    kNoSpace,      // or had no room for it
    kReadBack,     // has read one
    kFileLost,     // or could not
    kWake,         // a worker's timer
    kJoin,         //
    kDie,          //
    kLost,         // the scheduler learns that a worker is gone
    kRelease,      // the client
    kCancel,       //
    kWant,         // once more
    kLeave,        //
    kReplicate,    // an operator
    kRetire,       //
    kRebalance,    //
    kDrain,        // a worker wishes to end
    kReport,       // of a nanny
    kCut,          // a worker's connection to the scheduler breaks
    kRejoin,       // and it makes another one
    kOrphanEnds,   // a kernel that ran meanwhile
    kRestart,      // of the scheduler
    kReattach,     // the client finds the next one
    kWindow,       // in which it waits for workers closes
  };
  Kind kind = Kind::kSettle;
  bool optional = false;  // it may never happen
  std::uint32_t worker = 0;
  std::uint32_t other = 0;  // the peer, the task of a client's step, or whether a kernel was to blame for a death
  AttemptId attempt{};
  worker::FileId file = 0;
};

class World {
 public:
  explicit World(std::shared_ptr<const Scenario> scenario);

  std::vector<Choice> choices() const;
  // Throws Violation, or what the cores' own checks throw.
  void apply(const Choice& choice);
  std::uint64_t hash() const;
  // For a world that nothing happens in any more unless somebody wants it to: every want is answered, the cores agree,
  // and when the client leaves nothing is left.
  void check_end() const;

  std::string describe(const Choice& choice) const;  // what it would be here
  std::string describe() const;                      // where everything stands
  bool client_left() const { return left_; }

 private:
  struct Job {
    TaskId task{};
    std::uint64_t granted = 0;
    bool recalled = false;
  };
  // A spilled value.
  struct File {
    Chunk chunk;
    bool written = false;
    bool being_read = false;
    bool dropped = false;  // while it was being written
  };
  // From one worker to a peer and back.
  struct Line {
    std::deque<worker::StartFetch> requests;
    std::vector<worker::StartFetch> waiting;  // at the peer, for an attempt's end
    std::deque<msg::FetchReply> replies;
    std::deque<worker::StartFetch> answered;  // the requests of those replies
  };
  struct Node {
    bool joined = false;
    bool dead = false;  // the process
    bool lost = false;  // to the scheduler
    bool retires = false;
    bool reported = false;             // how it died
    std::vector<AttemptId> executing;  // when it died
    bool cut = false;                  // lost to the scheduler, and alive
    WorkerId id{};                     // another one with each connection
    std::uint64_t life = 0;
    unsigned joined_in = 0;                                         // which life of the scheduler
    std::map<std::pair<std::uint64_t, AttemptId>, TaskId> orphans;  // kernels of former lives
    Shared<worker::WorkerState> core;
    worker::Time now{};
    std::deque<Frame> to_worker, to_scheduler;
    std::map<AttemptId, Job> jobs;
    std::map<worker::FileId, File> files;
    std::map<std::uint32_t, Line> lines;  // by peer
    int layers = 0;                       // defined and not released
    bool live() const { return joined && !dead && !lost; }
  };
  enum class Status : std::uint8_t { kPending, kReady, kErred };
  struct Want {
    std::uint32_t live = 0;
    Status status = Status::kPending;
    bool cancelled = false;  // once, so that it may end so
    ErrorCode error{};
    std::vector<WorkerId> holders;
    ResultId result;
  };

  WorkerId id_of(std::uint32_t worker) const { return nodes_[worker].id; }
  std::uint32_t number_of(WorkerId id) const {
    return (static_cast<std::uint32_t>(id) - 1) % static_cast<std::uint32_t>(nodes_.size());
  }
  Want& want_at(LayerNumber layer, std::uint32_t index);
  Node& node_of(WorkerId id);

  void start_scheduler();
  void join(std::uint32_t worker);
  void introduce(std::uint32_t worker);
  void cut(std::uint32_t worker);
  void rejoin(std::uint32_t worker);
  void restart();
  void reattach();
  void submit();
  void die(std::uint32_t worker);
  void lose(std::uint32_t worker);
  void client_step(const Choice& choice);
  void report(const Choice& choice);
  void leave();
  void order(const Choice& choice);
  void add_worker_choices(std::uint32_t worker, std::vector<Choice>& found) const;
  void add_client_choices(std::vector<Choice>& found) const;

  void to_scheduler(scheduler::Event event);
  void settle();
  void carry_out(std::vector<scheduler::Action>& actions);
  void to_client(const msg::Message& message);

  void hear(Node& node, std::uint32_t worker);
  void to_worker(std::uint32_t worker, std::vector<worker::Event> events);
  void carry_out(std::uint32_t worker, std::vector<worker::Action>& actions);
  void start(std::uint32_t worker, const worker::Execute& execute);
  bool unsure(std::uint32_t peer, const worker::StartFetch& fetch) const;
  void break_line(std::uint32_t asker, std::uint32_t peer);
  bool may_serve(const Node& node, std::uint32_t peer) const;
  void serve(std::uint32_t asker, std::uint32_t peer, bool busy);
  void answer(std::uint32_t asker, std::uint32_t peer, worker::StartFetch fetch, bool busy);
  void attempt_ended(std::uint32_t worker, AttemptId attempt);
  void send(std::deque<Frame>& channel, Frame frame);
  void end_kernel(std::uint32_t worker, AttemptId attempt);
  void disk_step(const Choice& choice);
  void drop_file(Node& node, worker::FileId number);

  const Layer* layer_at(LayerId id) const;
  void check_counters() const;
  void check_heartbeats() const;
  void check_wants() const;
  void check_nothing_left() const;
  void describe(CanonicalHash& hash) const;

  std::shared_ptr<const Scenario> scenario_;
  std::shared_ptr<const Graph> graph_;
  Shared<scheduler::SchedulerState> scheduler_;
  std::vector<Node> nodes_;
  std::vector<Want> wants_;  // by task
  bool unsettled_ = false;
  bool left_ = false;
  bool detached_ = false;  // the client has not found the scheduler that was started again
  scheduler::ConnectionId connection_{1};
  scheduler::Time now_{};                           // of the scheduler: moves only when a window closes
  unsigned cuts_ = 0, restarts_ = 0, repairs_ = 0;  // had
  std::uint64_t sequence_ = 0;
  // Had so far.
  unsigned losses_ = 0, kernel_failures_ = 0, busy_answers_ = 0, client_steps_ = 0, orders_ = 0, ticks_ = 0;
  unsigned disk_failures_ = 0, drains_ = 0;
  bool blamed_ = false;  // a kernel, for a death
  unsigned answered_orders_ = 0;
};

}  // namespace tegula::model
