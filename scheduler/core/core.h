// The core's tables and the steps that change them, one file for each group of steps. Every change goes by these rules:
//
//  - A task is *active* while it is demanded and not finished: some output of it is wanted or read by another active
//  task,
//    and that output is not available (no worker holds it). Only active tasks count as consumers.
//  - A record exists for each task that was expanded, bound, kept in memory or whose error somebody wants. Its counts
//  of
//    wants and consumers are exact, over consumers with and without a record.
//  - An active task that has a record is waiting, no-worker, queued or processing. While it waits, each of its inputs
//  is
//    available or active, and `missing` counts those that are not available.
//  - A result is freed as soon as nobody wants it and no active task reads it.
//
// apply() makes the changes that an event means; settle() then expands, binds and sends what was collected.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "scheduler/core/job.h"
#include "scheduler/core/layers.h"
#include "scheduler/core/ready_queue.h"
#include "scheduler/core/session.h"
#include "scheduler/core/state.h"
#include "scheduler/core/task.h"
#include "scheduler/core/workers.h"

namespace tegula::scheduler {

struct Core {
  explicit Core(SchedulerConfig settings);

  // ---- state.cc: events ----
  void apply(Time time, Event&& event, std::vector<Action>& out);
  void settle(Time time, std::vector<Action>& out);
  void tick();
  bool empty() const;
  void on(WorkerJoined& event);
  void on(FromWorker& event);
  void on(WorkerLost& event);
  void on(DeathReported& event);
  void on(ClientConnected& event);
  void on(FromClient& event);
  void on(ClientLost& event);
  void on(SessionRestored& event);
  void on(Tick&) { tick(); }

  // ---- transitions.cc: records and their states ----
  Task* find_task(TaskId id);
  const Task* find_task(TaskId id) const { return const_cast<Core*>(this)->find_task(id); }
  Slot find_slot(TaskId id) const;
  LayerRecord& layer_of_task(const Task& task) const { return layers_.at(layer_of(task.id)); }
  // A record with exact counts, in state released.
  Slot create_record(LayerRecord& layer, std::uint32_t index);
  void set_state(Task& task, TaskState to);
  void forget(Slot slot);
  void drop_unused_layers();
  std::uint64_t wants_of(const LayerRecord& layer, std::uint16_t output, std::uint32_t index) const;
  bool has_active_consumer(const LayerRecord& layer, std::uint16_t output, std::uint32_t index) const;
  std::string key_of(TaskId id) const;

  // ---- demand.cc: what is to be computed ----
  // Demanded tasks of one layer, collected while walking backwards.
  struct Pending {
    bool all = false;
    std::vector<std::uint32_t> indices;
  };
  using PendingLayers = std::map<LayerId, Pending, std::greater<>>;
  // Makes active what the tasks in `pending`, active already, need. Walks from consumers to producers, layer by layer.
  void demand(PendingLayers& pending, std::uint16_t account);
  void demand_again(Slot slot);  // a finished or failed task whose output is needed after all
  void demand_again(LayerRecord& layer, std::uint32_t index, std::uint16_t account);
  void demand_inputs_of_all(LayerRecord& layer, PendingLayers& pending, std::uint16_t account);
  void demand_inputs(const LayerRecord& layer, std::uint32_t index, PendingLayers& pending, std::uint16_t account);
  // Sets the flag (it was clear) and queues the task, so that its inputs will be demanded.
  void activate(LayerRecord& layer, std::uint32_t index, Pending& pending, std::uint16_t account);
  // All tasks of a layer of which none is active or has a record.
  void activate_all(LayerRecord& layer, Pending& pending, std::uint16_t account);
  // Clears the flag; true: it was set.
  bool clear_active(LayerRecord& layer, std::uint32_t index);
  // Takes back what an active task counted on its inputs. Call after clear_active.
  void release_inputs(const LayerRecord& layer, std::uint32_t index);
  // Something stopped needing this task: looked at before the event ends.
  void doubt(TaskId task) { doubted_.push_back(task); }
  void resolve_doubts();
  bool still_needed(LayerRecord& layer, std::uint32_t index);
  void deactivate(LayerRecord& layer, std::uint32_t index);

  // ---- expansion.cc: from demanded to known ----
  void expand();
  bool run_cursor(std::uint16_t session,
                  Cursor& cursor);  // true: done; false: the cap is reached, or the steps are spent
  enum class Step { kDone, kPushed, kBlocked };
  Step next_target(std::uint16_t session, Cursor& cursor);  // kDone: there is none
  Step next_input(std::uint16_t session, Cursor& cursor);   // kDone: all inputs of the frame were visited
  Step visit(std::uint16_t session, Cursor& cursor, LayerRecord& layer, std::uint32_t index);
  bool unexpanded(const LayerRecord& layer, std::uint32_t index) const;
  void finish_visit(std::uint16_t session, const Cursor& cursor, LayerRecord& layer, std::uint32_t index);
  bool root_cap_reached(const Session& session, std::int32_t urgency) const;
  void mark_expandable(std::uint16_t session);
  // Expands below a task that became active again, ahead of everything else.
  void recover(TaskId task);

  // ---- readiness.cc: waiting, queued, no-worker ----
  // The task is active and unbound: waiting for inputs or ready. Demands inputs that nobody computes any more.
  void enter(Slot slot);
  void make_ready(Slot slot);
  void leave_queue(Slot slot);
  WorkerSlot preferred_holder(const Task& task);
  void requeue(std::uint32_t requirement);

  double expected_ns(const LayerRecord& layer) const {  // 0: unknown
    return layer.cost.known() ? layer.cost.ns() : costs_.ns(layer.cost_class);
  }

  // ---- fairness.cc: in which order ----
  std::int64_t next_tag(Session& session, const LayerRecord& layer);
  void rejoin(Session& session);  // it asks for something more
  void served(const Task& task);
  static std::int64_t order_on_worker(const Task& task);

  // ---- ahead.cc: waiting tasks that are bound before their inputs exist ----
  // Queues a waiting task to be bound ahead if each input that it lacks is bound to some worker.
  void consider_ahead(Slot slot);
  void consider_consumers_ahead(Slot producer);
  // Who makes the inputs that a task lacks.
  struct Producers {
    bool bound = false;       // each of them is bound, and is not asked back
    bool one = true;          // to one worker
    bool all = true;          // the task lacks all of its inputs
    WorkerSlot at = kNoSlot;  // where one of them is bound
    std::uint8_t depth = 0;   // of the task then, see Task::ahead_depth
  };
  Producers producers_of(const Task& task) const;
  WorkerSlot place_ahead(const Task& task, WorkerSlot usual);
  bool follows_with_others(const Task& task) const;
  // Counts the task among those that follow what it waits for, or not any more.
  void count_follower(const Task& task, int by);
  template <typename Visit>
  void for_each_pending_producer(const Task& task, Visit&& visit) const {
    for (const LayerInput& input : layers_.at(layer_of(task.id)).inputs) {
      const LayerRecord& producers = layers_.at(input.layer);
      input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
        const Slot slot = producers.slot(producer);
        if (slot == kNoSlot) return;
        Task& made = const_cast<Core*>(this)->tasks_[slot];
        if (made.state == TaskState::kProcessing && !made.output(input.output).available()) visit(made);
      });
    }
  }
  // The producer's attempt will give no result: what was queued to follow it is not any more.
  void drop_ahead(Slot producer);
  // The same, and nobody will tell the workers that have tasks bound ahead of it: these are asked for.
  void recall_followers(Slot producer);
  template <typename Visit>
  void for_each_known_consumer(const Task& task, Visit&& visit) const {
    for (const LayerReader& reader : layers_.at(layer_of(task.id)).readers) {
      const LayerRecord& consumers = layers_.at(reader.layer);
      if (consumers.active == 0 || consumers.known == 0) continue;
      reader.consumers->for_each(index_of(task.id), [&](std::uint32_t consumer) {
        if (const Slot of = consumers.slot(consumer); of != kNoSlot) visit(of);
      });
    }
  }

  // ---- binding.cc: ready to processing ----
  bool bind_ready();  // true: something was bound
  enum class Round { kThreads, kCredit };
  void bind_own(Worker& worker, Round round);
  void bind_any(WorkerGroup& group, const SlotHeap& takers);
  void bind_others(WorkerGroup& group, const SlotHeap& takers);
  void bind_ahead(Worker& worker);
  std::uint32_t best_requirement(const WorkerGroup& group) const;
  Slot worth_taking(const Worker& taker, const WorkerGroup& group) const;
  void bind(Slot slot, Worker& worker);
  std::uint64_t list_holders(const Task& task, Worker& worker, msg::Assign& assign);
  void introduce(Worker& worker, WorkerSlot peer);
  void define(Worker& worker, LayerRecord& layer);
  void unbind(Slot slot);

  // ---- moving.cc: what has not started goes to idle workers ----
  void ask_back();
  Slot movable_task(const Worker& from, const Worker& to) const;
  // ---- transfers.cc ----
  void observe_transfers(Worker& to, const std::vector<msg::Transfers>& reports);
  double seconds_between(const Worker& from, const Worker& to, std::uint64_t bytes) const;
  double seconds_to_fetch(const Task& task, const Worker& to) const;
  static double assumed_latency();  // seconds
  // Beside what a transfer takes: nothing, or very long where an input is held only by workers that this one could not
  // reach lately.
  double detour(const Task& task, const Worker& to) const;
  void note_unreachable(const Worker& from, const Worker& holder);
  void forget_unreachable(WorkerId gone);
  std::uint64_t bytes_of_latency() const;  // that could be moved while one fetch is asked for
  // Until a task that comes to the worker now would start there; `queued`: behind those that are ready for it.
  double seconds_to_start(const Worker& worker, bool queued) const;
  void on_running(Worker& worker, const msg::TaskRunning& message);
  void end_asking(Task& task);  // it was answered, somehow
  void hand_over();             // what came back goes to whom it was asked for
  void workload_changed(Worker& worker);
  void offer(Worker& worker);
  void retract(Slot slot);
  void credit_changed(Worker& worker);

  // ---- results.cc: finished, available, released, lost ----
  void on_finished(Worker& worker, msg::TaskFinished& message);
  void on_finished_and_freed(Worker& worker, Slot slot);
  void on_failed(Worker& worker, msg::TaskFailed& message);
  void on_returned(Worker& worker, msg::TaskReturned& message);
  void on_replicas_added(Worker& worker, const msg::ReplicasAdded& message);
  void on_replicas_dropped(Worker& worker, const msg::ReplicasDropped& message);
  void on_query_next_use(Worker& worker, const msg::QueryNextUse& message);
  std::int64_t next_use(const ResultId& result) const;
  // The slot of the task if `attempt` is its attempt on this worker; else counts a stale answer.
  Slot answered_attempt(Worker& worker, TaskId task, AttemptId attempt);
  bool held_by(ResultId result, WorkerSlot worker) const;
  void input_arrived(Slot consumer);
  void adopt(Worker& worker, ResultId result, std::uint64_t nbytes);
  void announce(Slot slot, std::uint16_t output);
  void remove_replica(Slot slot, std::uint16_t output, WorkerSlot worker);
  // The output's last holder is gone although it is needed: first all who counted on it hear of it (for all outputs
  // lost at once, before anything becomes active again), then it is computed again.
  void output_gone(Slot slot, std::uint16_t output);
  void recompute(Slot slot);
  void release_output(Slot slot, std::uint16_t output);
  // Frees outputs nobody needs and forgets the record when nothing is left of it.
  void tidy(Slot slot);
  bool result_exists(ResultId result) const;

  // ---- recovery.cc: what workers hold from before, and who has a name ----
  void on_inventory(Worker& worker, msg::Inventory& message);
  void take_inventory(Worker& worker, const msg::Inventory& part);
  // Counts the worker as a holder if that spares a computation or is one copy more; false: nobody needs it.
  bool keep_replica(Worker& worker, ResultId result, std::uint64_t nbytes);
  void begin_recovery();  // somebody speaks of a former life
  void end_recovery();
  bool recovery_is_over() const;
  void join(WorkerJoined& event);
  void decide_contests();
  Worker* worker_by_name(const std::string& name);

  // ---- retries.cc ----
  // True: the task's failure is forgiven, and it is tried again.
  bool retry(Slot slot, const ErrorInfo& error);
  void end_delays();

  // ---- errors.cc ----
  void fail(TaskId task, ErrorInfo error);
  void fail(TaskId task, std::shared_ptr<const Failure> failure);
  void fail_because_of(const Task& producer, TaskId task);
  ErrorInfo error_of(const Failure& failure) const;

  // ---- workers.cc ----
  void on_grant(Worker& worker, const msg::GrantCredit& message);
  void on_heartbeat(Worker& worker, const msg::WorkerHeartbeat& message);
  void lose_worker(WorkerSlot slot, LossReason reason, const std::string& detail);
  void expel(Worker& worker, LossReason reason, const std::string& why);
  void refuse_worker(WorkerId worker, std::string reason);
  void compare_attempts(Worker& worker, const msg::WorkerHeartbeat& message);
  void reenter(Slot slot);
  Worker* find_worker(WorkerId id);
  Worker* predecessor_of(const msg::RegisterWorker& registration);
  Worker& worker_at(WorkerSlot slot) const { return *workers_[slot]; }
  void load_changed(Worker& worker);
  void free_on(WorkerSlot worker, ResultId result);  // sent in settle()
  void send_frees();
  void send_frees(Worker& worker);

  // ---- blame.cc: what a worker's death says about its tasks ----
  enum class Blame { kNone, kNear, kFull };
  // The tasks that were to blame have been entered again by now.
  void judge(Inquest inquest, const msg::WorkerDied* report);
  // True: it has used up its workers.
  bool blame(Task& task, Death death);
  void take_back_blame(const msg::RegisterWorker& alive);
  void stop(TaskId task, const Inquest& inquest);
  std::string deaths_with(TaskId task, const char* how) const;  // of workers that died with it
  void end_inquests();

  // ---- deaths.cc: what workers died of, for people ----
  void note_death(const Worker& worker, const std::string& detail);
  void correct_death(const msg::WorkerDied& report);
  void take_back_death(std::uint64_t instance);

  // ---- requirements.cc: who may run what ----
  bool meets(const Worker& worker, const Requirement& requirement) const;
  std::uint32_t group_for(const Worker& worker);
  void enter_group(Worker& worker);
  void leave_group(Worker& worker);
  bool count_named();  // true: a loose requirement changed its meaning
  void regroup();
  void arrive(Worker& worker);
  void departed(const std::vector<bool>& had);  // a worker left its group, which met these requirements
  bool fits(const Worker& worker, const Requirement& requirement) const;
  void resources_changed(Worker& worker);
  static void occupy(Worker& worker, const Requirement& requirement);
  void vacate(Worker& worker, const Requirement& requirement);
  void bind_metered();
  std::uint32_t requirement_for(const std::string& kernel, const msg::SubmitOptions& options);
  std::uint32_t requirement_for(Requirement wanted);
  bool require_more_memory(LayerRecord& layer, const Worker& worker);  // false: nobody has more
  void release_requirement(std::uint32_t requirement);
  bool kernel_missing(const Requirement& requirement) const;
  void fail_missing_kernels();
  ErrorInfo kernel_error(const Requirement& requirement) const;

  // ---- clients.cc, submit.cc ----
  void on_submit(Session& session, msg::Submit& message);
  void refuse_submission(Session& session, std::uint64_t sequence, ErrorInfo why);
  Session& open_session(std::uint64_t number, std::uint64_t secret, const msg::AttachClient& about);
  void persist(const Session& session, msg::Message message) const;
  void take_layers(Session& session, const msg::Submit& message, const std::vector<LayerHash>& hashes);
  void add_wants(Session& session, const std::vector<msg::WantRange>& wants, std::int32_t urgency);
  void on_release(Session& session, const msg::ReleaseWants& message);
  void on_forget(Session& session, const msg::ForgetLayers& message);
  void on_cancel(Session& session, const msg::CancelWants& message, const char* by = "its client");
  bool fresh_sequence(Session& session, std::uint64_t sequence);
  void acknowledge(Session& session);  // in one message at the end of settle()
  void attach(Session& session, const ClientConnected& event);
  void resend(Session& session);
  void tell(Session& session, const LayerRecord& layer, std::uint16_t output, std::uint32_t index, LayerNumber number);
  ErrorInfo cancelled_error(const LayerRecord& layer, std::uint32_t index, const char* by = "its client") const;
  void close_session(std::uint16_t slot);
  void retire_session(std::uint16_t slot);  // if it is closed and its account is empty
  void drop_namer(LayerRecord& layer, std::uint16_t session, LayerNumber number);
  Namer* find_namer(Session& session, LayerNumber number);
  // Live wants of [begin, end) changed by `by`, on the records too.
  void change_wants(LayerRecord& layer, std::uint16_t output, std::uint32_t begin, std::uint32_t end, std::int32_t by);
  Session* session_of(ConnectionId connection);
  std::uint16_t slot_of(const Session& session) const;

  // ---- commands.cc: what operators order ----
  void on_command(Session& session, const msg::Command& message);
  void answer(ConnectionId to, std::uint64_t request, const std::string& done);
  void refuse(ConnectionId to, std::uint64_t request, ErrorCode code, const std::string& why);
  std::string cancel_task(TaskId task);
  std::string cancel_client(Session& session);

  // ---- replicas.cc: copies made on purpose ----
  void retire(Job job, Worker& worker);
  void replicate(Job job, const std::vector<ResultId>& results, std::uint64_t count);
  // The results that a client names by layers of its session.
  std::vector<ResultId> results_in(const Session& session, const std::vector<msg::WantRange>& ranges) const;
  void on_draining(Worker& worker, const msg::WorkerDraining& message);
  bool somebody_stays() const;
  void send_away(const Job& job, Worker& worker);
  void rebalance(Job job);
  void add_job(Job job);
  void advance_jobs();  // in settle()
  void advance(Job& job);
  void finish(Job& job);  // done, or failed when it says why
  void start_moves(Job& job);
  Worker* receiver_of(const Job& job, const Job::Pending& pending);
  std::vector<ResultId> only_on(const Worker& worker) const;
  void end_retirement(Worker& worker);  // it stays after all
  // The worker answered for a copy that it was asked for, or is gone.
  void move_ended(ResultId result, Worker& worker, bool copied);
  void forget_moves_to(WorkerId gone);

  // ---- surplus.cc: copies that nobody needs where they are ----
  void note_surplus(const Task& task, std::uint16_t output);
  void forget_copies(ResultId result);
  void drop_surplus();
  bool drop_surplus(ResultId result);

  // ---- notify.cc: what clients hear ----
  template <typename M>
  void send(const Session& session, M&& message) {
    if (session.connection != ConnectionId{})
      out_->push_back(SendToClient{session.connection, std::forward<M>(message)});
  }
  template <typename M>
  void send(const Worker& worker, M&& message) {
    out_->push_back(SendToWorker{worker.id, std::forward<M>(message)});
  }
  msg::ResultReady ready_message(const Task& task, std::uint16_t output, LayerNumber number) const;
  void notify_ready(const Task& task, std::uint16_t output);
  void notify_lost(const Task& task, std::uint16_t output);
  void notify_erred(const LayerRecord& layer, std::uint32_t index, const ErrorInfo& error);
  msg::StatusReply status() const;
  msg::Progress progress_of(const Session& session) const;
  void send_progress(Session& session);

  // ---- introspection.cc, why.cc, invariants.cc ----
  TaskInfo describe(TaskId task) const;
  TaskState state_of(TaskId task) const;
  std::vector<InputInfo> inputs(TaskId task, std::size_t most) const;
  ResultId find_key(std::string_view text) const;
  Worker& worker_named(std::string_view text) const;
  Session& session_named(std::string_view text) const;
  std::string why(TaskId task) const;
  std::string standing(TaskId task) const;      // in a few words
  std::string after_deaths(TaskId task) const;  // how many workers died with it, if any did
  std::string why_waiting(const Task& task) const;
  std::string why_queued(const Task& task) const;
  std::string why_no_worker(const Task& task) const;
  std::string why_processing(const Task& task) const;
  std::string where_kept(const Task& task) const;
  std::string why_without_record(const LayerRecord& layer, std::uint32_t index) const;
  const Transition* last_transition(TaskId task) const;
  Time since(TaskId task, Time fallback) const;  // its last transition
  // The first of the inputs that are not available, in the order of the rules; at most `most`.
  std::vector<TaskId> missing_inputs(const Task& task, std::size_t most) const;
  void watch_progress();
  std::string stall_text() const;
  std::vector<Transition> log() const;
  std::vector<Transition> story(TaskId task) const;
  void check_invariants() const;

  // ---- data ----
  SchedulerConfig config_;
  Time now_{};
  Time last_tick_{};
  std::vector<Action>* out_ = nullptr;  // only while an event is handled
  Counters counters_;

  CostTable costs_;
  LinkCost link_;  // of all pairs of workers
  LayerTable layers_;
  TaskTable tasks_;
  std::vector<LayerId> maybe_unused_;  // layers to look at before the event ends

  std::vector<Owned<Session>> sessions_;  // slot 0 is the core's own: no client, no cap
  std::vector<std::uint16_t> free_sessions_;
  std::unordered_map<ConnectionId, std::uint16_t> by_connection_;
  std::unordered_map<std::uint64_t, std::uint16_t> by_wire_session_;
  std::uint32_t last_client_ = 0;
  std::vector<std::uint16_t> to_acknowledge_;
  std::deque<std::uint16_t> expandable_;  // sessions whose cursors may go on
  std::uint64_t active_ = 0;              // active tasks in all

  std::vector<Owned<Worker>> workers_;  // by slot
  std::vector<WorkerSlot> free_workers_;
  std::unordered_map<WorkerId, WorkerSlot> by_worker_;
  std::unordered_set<std::string> worker_names_;
  // Who wants the name of a worker that may be dead. It is heard of, or stays silent for a while.
  struct Contest {
    WorkerJoined event;
    Time since{};
  };
  std::vector<Contest> contests_;
  std::vector<WorkerGroup> groups_;
  std::unordered_set<std::string> kernels_seen_;  // that some worker had
  std::vector<Requirement> requirements_;
  std::vector<std::uint32_t> free_requirements_;
  std::unordered_map<std::string, std::uint32_t> by_requirement_;
  std::vector<std::uint32_t> metered_;                // requirements that occupy resources
  std::vector<std::uint32_t> ready_requirements_;     // with tasks in their queue
  std::vector<std::uint32_t> doubtful_requirements_;  // may be missing: looked at in settle()
  std::vector<WorkerSlot> offers_;                    // workers that may have both credit and a task of their own
  std::vector<WorkerSlot> with_frees_;                // workers with something in to_free
  std::uint64_t slots_ = 0;                           // granted and not come back: free or bound
  AttemptId last_attempt_{};
  // Phase retracting, but still needed: the idle worker they are for, or 0 for those that lost what they follow. Few.
  std::unordered_map<TaskId, WorkerId> asked_back_;
  std::vector<std::pair<TaskId, WorkerId>> handed_over_;  // came back: to be bound in settle()

  std::multimap<Time, TaskId> delayed_;  // failed tasks by the time at which they are tried again
  std::vector<TaskId> doubted_;
  std::int64_t virtual_time_ = 0;  // the greatest tag of a task that was bound
  std::size_t steps_left_ = 0;
  std::unordered_map<TaskId, std::vector<Death>> deaths_;  // of the workers that died with a task; few
  std::deque<Inquest> inquests_;                           // in the order of their deadlines
  std::deque<Obituary> died_;                              // lately, oldest first

  std::vector<std::uint64_t> holder_bytes_;  // scratch of preferred_holder, by worker slot
  std::vector<WorkerSlot> holder_touched_;

  std::map<std::uint64_t, Job> jobs_;
  std::map<std::pair<ResultId, WorkerId>, Job::Move> moves_;  // under way, by the receiver
  std::uint64_t last_job_ = 0;
  std::map<ResultId, std::uint64_t> copies_wanted_;  // by operators
  std::set<ResultId> surplus_;                       // with several copies, of which some may not be needed
  ResultId surplus_next_{};                          // the first of those that Tick looks at next

  std::uint64_t ended_before_ = 0;   // tasks, when progress was last looked at
  Time progress_at_{};               // when one ended last, or when there was nothing to do
  std::uint32_t stall_reports_ = 0;  // since then

  std::optional<Time> started_;  // the time of the first event
  bool restoring_ = false;       // a session: the journal has what it says
  bool recovering_ = false;      // nothing is expanded or bound until the window closes

  std::vector<Transition> log_;  // a ring
  std::size_t log_next_ = 0;
  std::uint64_t transitions_ = 0;  // since start

  // Who could not reach whom, and until when that counts. Nearly always empty.
  std::map<std::pair<WorkerId, WorkerId>, Time> unreachable_;
};

}  // namespace tegula::scheduler
