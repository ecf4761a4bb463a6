// Every decision of a worker and no I/O: the same events in the same order give the same actions. Time arrives with the
// events, what is done about the actions is the shell's matter. One thread at a time; copyable.
//
// A task's attempt goes ahead (inputs are made by other attempts, here or on peers) -> waiting (inputs missing) ->
// fetching (inputs asked for) -> ready -> executing (handed to the executor) -> answered and forgotten. Retracted while
// executing it is abandoned: it ends as it likes and is then answered as returned. Each attempt is answered once:
// TaskFinished, TaskFailed or TaskReturned. When an attempt ends without a result, those ahead of it that counted on it
// are returned at once, here and, by the answer to what they asked, on peers.
//
// A task ahead has no bytes that others need. Inputs that are small come when they exist; of others it hears, and they
// are fetched while half of the memory is free, or else when nothing is to be waited for any more, like those of any
// task. What was fetched early is given up again as soon as something else does not fit.
//
// When another connection to the scheduler begins (Rejoin), results stay, under names of this worker's own until the
// scheduler has said what they are called now; kernels that run are orphans and their results are told when they end.
//
// Memory: what is kept and what is reserved (pieces under way, values being read back, outputs and scratch of admitted
// tasks) stays under the limit. A task that has to bring inputs here, from peers or from disk, reserves these, its
// outputs and scratch together or nothing. When the bytes of the task that is next are not there, values go to disk
// (store.h); where that is not enough, tasks after it give back their inputs that have not started. Smaller tasks pass
// it so and so often. When nothing will come free by itself, the first task in order goes on all the same, so there is
// no limit under which a worker stands still; only a full disk is waited for.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "src/graph.h"
#include "worker/core/events.h"
#include "worker/core/fetches.h"
#include "worker/core/memory_credit.h"
#include "worker/core/slot_credit.h"
#include "worker/core/store.h"

namespace tegula {
class CanonicalHash;
}

namespace tegula::worker {

struct CoreOptions {
  unsigned threads = 1;
  std::uint64_t memory_limit = 0;  // bytes; 0: none
  std::string worker;              // name and address, for errors
  FetchLimits fetch;
  StoreOptions store;
  // The bytes beyond the declared outputs that the first task of a layer is granted; what its plan says is remembered
  // for the next.
  std::uint64_t first_extra_bytes = 128u << 10;
};

enum class TaskState : std::uint8_t { kAhead, kWaiting, kFetching, kReady, kExecuting, kAbandoned };
std::string_view name_of(TaskState state);

class WorkerState {
 public:
  explicit WorkerState(const CoreOptions& options);

  // Applies events in order, then starts what can be started and grants slots once for all of them. Appends what the
  // shell must do, in order. News of an attempt that is not held any more is stale, not wrong.
  void handle(std::span<Event> events, Time now, std::vector<Action>& actions);
  void handle(Event event, Time now, std::vector<Action>& actions) {
    handle(std::span<Event>(&event, 1), now, actions);
  }

  // The next time at which a Tick is wanted.
  std::optional<Time> next_wakeup(Time now) const;

  // A result that is in memory, or null.
  const Chunk* find(const ResultId& result) const { return store_.find(result); }
  // The file of a result that is on disk, and the bytes of its value; 0: there is none.
  FileId file_of(const ResultId& result) const { return store_.file_of(result); }
  std::uint64_t bytes_of(const ResultId& result) const { return store_.bytes_of(result); }
  bool keeps(const ResultId& result) const { return store_.contains(result); }
  std::optional<Place> place_of(const ResultId& result) const { return store_.place_of(result); }
  // The value is being sent, and in use until LoanEnded says otherwise.
  void lend(const Buffer& buffer) {
    store_.hold(buffer);
    ++loans_;
  }

  msg::GrantCredit granted() const { return {credit_.granted(), memory_credit_.granted()}; }
  // What came from other workers since the last call, for the next heartbeat.
  std::vector<msg::Transfers> take_transfers() { return fetches_.take_transfers(kMostTransfers); }
  msg::WorkerHeartbeat heartbeat() const;  // what the core knows: not rss_bytes, bytes_in, bytes_out
  std::optional<TaskState> state_of(AttemptId attempt) const;
  std::uint64_t managed_bytes() const { return store_.managed_bytes(); }
  std::uint64_t reserved_bytes() const { return granted_bytes_ + fetches_.reserved_bytes() + store_.reading_bytes(); }
  std::uint64_t spilled_bytes() const { return store_.spilled_bytes(); }
  bool disk_full() const { return store_.disk_full(); }
  std::size_t attempts() const { return tasks_.size(); }
  std::size_t results() const { return store_.size(); }
  std::size_t acquiring() const { return acquiring_.size() + acquisitions_.size(); }
  std::size_t orphans() const { return orphans_.size(); }
  // Parts of an inventory that the scheduler has not answered.
  std::uint32_t inventory_parts() const { return static_cast<std::uint32_t>(inventory_.size()); }
  const SlotCredit& credit() const { return credit_; }
  // Throws std::logic_error that says what does not hold. Tests call it after every event.
  void check_invariants() const;
  // Describes this state at `now` for a search that compares it with others, see canonical_hash.cc. The scheduler's
  // core comes first.
  void canonical_hash(CanonicalHash& hash, Time now) const;

 private:
  struct LayerInfo {
    msg::LayerPtr description;
    LayerHash hash;
    std::string invalid;      // why its tasks cannot run; "" for a sound one
    std::uint64_t tasks = 0;  // attempts of it that are held
    bool forgotten = false;
    std::uint64_t extra_bytes = 0;  // what plans asked for beyond the declared outputs, the most seen
    std::uint64_t memory = 0;       // what the submission wants reserved at least, as far as the limit allows
  };
  struct Slot {
    ResultId result;
    Box box;
    bool filled = false;
    Chunk chunk;  // when filled
  };
  struct Task {
    AttemptId attempt{};
    TaskId id{};
    std::int64_t priority = 0;
    TaskState state = TaskState::kWaiting;
    std::uint32_t missing = 0;                 // slots not filled
    std::vector<Slot> slots;                   // until ready
    std::vector<msg::Assign::Holder> holders;  // of inputs that are not here, by result
    std::vector<TaskId> producers;             // kAhead: whose attempts here have not ended
    std::uint32_t awaited = 0;                 // kAhead: slots asked for that have not been answered
    std::vector<PieceId> pieces;               // asked for, to be released
    std::shared_ptr<TaskInputs> inputs;        // the pieces are complete when ready
    std::uint64_t input_bytes = 0;             // of the pieces, at most; known when ready
    std::uint64_t need = 0;                    // bytes of outputs and scratch; declared, then planned
    std::uint64_t granted = 0;                 // of that, reserved: since its inputs were asked for, or its start
    std::uint64_t claims = 0;                  // KiB that it will take, while it waits or is ready and has none
    std::uint8_t memory_failures = 0;          // kernels that did not get their memory
    Time fetch_began{0};
    Time fetched_in{0};        // until the last piece came from a peer; 0: none did
    Time read_in{0};           // until the last value came from disk; 0: none did
    bool wanted_back = false;  // while executing: the scheduler asked whether it could have it back
  };
  // A kernel that ran when the scheduler was joined anew.
  struct Orphan {
    LayerHash layer;
    std::uint32_t index = 0;
    bool wanted = true;         // its result is to be kept
    TaskInputsPtr inputs;       // held until it ends
    std::uint64_t granted = 0;  // bytes
  };
  using OrphanId = std::pair<std::uint64_t, AttemptId>;  // the executor's life, the attempt
  // Results that have no name of the scheduler's yet are kept under numbers of layers that no scheduler gives.
  static constexpr std::uint32_t kFirstOwnLayer = 0x80000000u;
  static constexpr std::size_t kMostTransfers = 32;  // peers in a heartbeat
  using Order = std::pair<std::int64_t, AttemptId>;  // priority, then the order of binding
  using TaskMap = std::unordered_map<AttemptId, Task>;

  void apply(msg::Assign& event);
  void apply(msg::Retract& event);
  void apply(msg::FreeResults& event);
  void apply(msg::DefineLayer& event);
  void apply(msg::ForgetLayer& event);
  void apply(msg::WorkerAddress& event);
  void apply(msg::WorkerGone& event);
  void apply(msg::WorkerRegistered& event);
  void apply(msg::FetchReply& event);
  void apply(FetchFailed& event);
  void apply(KernelFinished& event);
  void apply(KernelFailed& event);
  void apply(KernelNeeds& event);
  void apply(Recalled& event);
  void apply(TooLate& event);
  void apply(Tick& event);
  void apply(msg::AcquireReplicas& event);
  void apply(Await& event);
  void apply(SpillDone& event) { store_.written(event); }
  void apply(SpillFailed& event) { store_.not_written(event, now_); }
  void apply(Unspilled& event);
  void apply(UnspillFailed& event);
  void apply(LoanEnded& event);
  void apply(msg::NextUse& event);
  void apply(Rejoin& event);
  void apply(OrphanEnded& event);
  void apply(msg::InventoryTaken& event);

  // Rejoining.
  void orphan(const Rejoin& event);
  void name_anew();
  std::optional<LayerHash> hash_of(LayerId layer) const;
  static bool is_own(const ResultId& result) {
    return static_cast<std::uint32_t>(layer_of(result.task)) >= kFirstOwnLayer;
  }
  LayerId own_layer(const LayerHash& hash);
  void list_in_inventory(const std::vector<ResultId>& results);
  void send_inventory(std::uint32_t part);
  void tell_dropped(msg::ReplicasDropped dropped);

  // Lists the task's inputs and fills those that are here. Throws ValueError or IndexError when the description makes
  // no sense.
  void list_inputs(Task& task, const Layer& layer);
  void name_inputs(Task& task, const Layer& layer);
  void fill(Task& task, Slot& slot, Chunk chunk);
  bool fill_from_store(Task& task, Slot& slot);  // false: it is not in memory
  // Whether inputs of the task are to be made by other attempts: it is ahead of them then. It may be gone afterwards.
  void go_ahead(TaskMap::iterator task, std::vector<msg::Assign::Awaited> awaited);
  void end_awaited(AttemptId before);
  void wait_for_producers(Task& task, const std::vector<msg::Assign::Awaited>& awaited);
  // Asks for what is elsewhere, or will be.
  void ask_ahead(TaskMap::iterator task, const std::vector<msg::Assign::Awaited>& awaited);
  void add_holders(const Task& task, const ResultId& result, std::vector<Fetches::Source>& sources) const;
  void end_waiting(TaskMap::iterator task);  // if there is nothing left that it is ahead of
  // The attempt of `producer` will make nothing more: those ahead of it have their input, or are returned.
  void settle_ahead(TaskId producer, AttemptId attempt);
  void become_ready(TaskMap::iterator task);
  std::uint64_t estimate(const ResultId& result, const Box& box) const;
  std::uint64_t declared_need(const Task& task) const;
  void settle_fetches(Fetches::Outcome outcome);
  // Replicas that the scheduler asked for: fetched as inputs are, by an attempt that does not exist, then kept.
  static constexpr AttemptId kAcquisition{};
  struct Acquisition {
    ResultId result;
    std::vector<Fetches::Source> sources;
  };
  bool start_acquiring(const ResultId& result, const std::vector<Fetches::Source>& sources, std::uint64_t bytes);
  void admit_acquisitions();
  void settle_acquisitions(const Fetches::Outcome& outcome);

  void settle();
  void admit_waiting();
  void start_fetching(TaskMap::iterator task);
  // What a waiting task has to have brought here, and what of it is known to be exact.
  struct ToBring {
    std::uint64_t bytes = 0;
    std::uint64_t exact = 0;  // on disk
  };
  ToBring bytes_to_bring(const Task& task) const;
  void start_ready();
  std::set<Order>::iterator next_to_start(bool older_waits);
  bool room_to_start(Task& task, bool make);
  bool room_to_try_again(const Task& task);
  void start(Task& task);
  std::uint64_t room() const;
  void grant_credit();
  void claim(Task& task);
  void end_claim(Task& task);
  void put_back(Task& task);
  void reserve(Task& task, std::uint64_t bytes);
  void unreserve(Task& task);
  std::uint64_t start_bytes(const Task& task, std::uint64_t inputs) const;
  void stop_executing(Task& task);
  void watch_silence();
  void give_back_excess();
  bool fits(std::uint64_t bytes) const;
  bool spare(std::uint64_t bytes) const;  // nobody needs them now
  void give_up_ahead();
  // Whether the bytes are there now. If not, what can make room for them is set going, at the cost of tasks that come
  // after `order`.
  bool make_room(std::uint64_t bytes, Order order);
  void exceed(std::uint64_t bytes);
  std::uint64_t missing_bytes(std::uint64_t bytes) const;
  void ask_for_ranks();
  // Takes their inputs from tasks after `order` that hold no reservation and nothing that came from peers, the last
  // first, until `bytes` are free to go.
  void take_inputs_back(std::uint64_t bytes, Order order);
  void unready(TaskMap::iterator task);
  // Nothing will come free by itself, so the first in order may go on beyond the limit. A full disk is waited for.
  bool may_exceed() const {
    return handed_ == 0 && fetching_ == 0 && granted_bytes_ == 0 && !store_.freeing() && !store_.waits_for_disk();
  }
  bool too_large(Task& task) const;
  void settle_read(Store::ReadBack read);

  // Each answers the attempt and forgets it; the task is gone afterwards.
  void answer_finished(TaskMap::iterator task, const KernelFinished& event);
  void answer_failed(TaskMap::iterator task, ErrorCode code, std::string message);
  void answer_failed(TaskMap::iterator task, ErrorInfo error);
  void answer_too_large(TaskMap::iterator task);
  void answer_returned(TaskMap::iterator task, std::vector<msg::TaskReturned::Missing> missing = {});
  void forget(TaskMap::iterator task);
  void let_go_of_inputs(const Task& task);
  void leave_state(const Task& task);
  void release_layer_if_done(LayerId id);
  static Order order_of(const Task& task) { return {task.priority, task.attempt}; }

  CoreOptions options_;
  WorkerId self_{};
  SlotCredit credit_;
  MemoryCredit memory_credit_;
  Store store_;
  Fetches fetches_;
  std::unordered_map<LayerId, LayerInfo> layers_;
  std::unordered_map<ResultId, PieceId> acquiring_;
  std::deque<Acquisition> acquisitions_;                      // that wait for room
  std::vector<LayerHash> own_layers_;                         // of the numbers from kFirstOwnLayer on
  std::map<std::uint32_t, std::vector<ResultId>> inventory_;  // parts not answered, by number
  std::set<ResultId> dropped_;                                // told as such while parts were not answered
  std::uint32_t last_part_ = 0;
  std::map<OrphanId, Orphan> orphans_;
  TaskMap tasks_;
  std::unordered_map<TaskId, AttemptId> attempt_of_;             // the latest of each task
  std::unordered_map<TaskId, std::vector<AttemptId>> ahead_of_;  // tasks in kAhead, by producer
  std::unordered_set<AttemptId> awaited_;                        // by peers
  AttemptId last_assigned_{};                                    // the greatest; they come in order
  bool anew_ = false;                                            // nothing was assigned since it joined anew
  std::set<Order> waiting_;
  std::set<Order> ready_;
  std::uint64_t ahead_ = 0;          // tasks in that state
  std::uint64_t fetching_ = 0;       // tasks in that state
  std::uint64_t handed_ = 0;         // tasks executing or abandoned, and orphans
  std::uint64_t granted_bytes_ = 0;  // of all tasks and orphans
  std::uint64_t claimed_kib_ = 0;    // of all tasks
  std::uint64_t loans_ = 0;          // under way
  unsigned bypasses_ = 0;            // tasks that got bytes before the oldest one, whose bytes were not there
  Time next_question_{0};            // when the scheduler may be asked for ranks again
  Time last_end_{0};                 // when a kernel ended last, or the executor was idle

  std::uint64_t attempts_hash_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t done_ = 0;

  // Of the call of handle() that runs.
  Time now_{0};
  std::vector<Action>* actions_ = nullptr;
};

}  // namespace tegula::worker
