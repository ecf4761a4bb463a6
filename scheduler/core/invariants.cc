// What must hold after each settle(), computed anew from the flags, the records and the wants. Slow and complete: tests
// call it after every event.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

class Checker {
 public:
  explicit Checker(const Core& core) : core_(const_cast<Core&>(core)) {}

  void run() {
    check(core_.doubted_.empty() && core_.maybe_unused_.empty(), "left-over work");
    check(core_.recovering_ || core_.doubtful_requirements_.empty(), "left-over doubts about kernels");
    check_layers();
    core_.tasks_.for_each([&](Slot slot, Task& task) { check_task(slot, task); });
    check_counters();
    check_workers();
    check_requirements();
    check_sessions();
    if (!core_.recovering_) check_idle_credit();
    check_jobs();
    check_copies();
    check_inquests();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::kInternal, "invariant broken: " + what);
  }
  void check(bool holds, const char* what) const {
    if (!holds) fail(what);
  }
  void check(bool holds, const Task& task, const char* what) const {
    if (holds) return;
    std::string text = fmt::format("task {} ({}, layer {} index {}): {}", core_.key_of(task.id), name_of(task.state),
                                   static_cast<std::uint32_t>(layer_of(task.id)), index_of(task.id), what);
    for (const Transition& entry : core_.story(task.id)) text += "\n  " + to_string(entry);
    fail(text);
  }

  void check_layers() {
    core_.layers_.for_each([&](LayerRecord& layer) {
      std::uint32_t active = 0, known = 0;
      for (std::uint32_t index = 0; index < layer.tasks; ++index) {
        const Slot slot = layer.slot(index);
        if (layer.is_active(index)) {
          ++active;
          ++account_active_[layer.account(index)];
          if (slot == kNoSlot) ++released_;
          if (!core_.still_needed(layer, index)) {
            fail(fmt::format("{} is active but nobody needs it", core_.key_of(make_task_id(layer.id, index))));
          }
        }
        if (slot == kNoSlot) continue;
        ++known;
        check(core_.tasks_[slot].id == make_task_id(layer.id, index), core_.tasks_[slot],
              "filed under another's number");
      }
      check(active == layer.active, "active tasks of a layer miscounted");
      check(known == layer.known, "records of a layer miscounted");
      check(!layer.unused(), "a layer that nothing needs");
      for (const LayerInput& input : layer.inputs)
        check(core_.layers_.find(input.layer) != nullptr, "a layer lost its input");
      active_ += active;
      known_ += known;
    });
    check(active_ == core_.active_, "active tasks miscounted");
    check(known_ == core_.tasks_.size(), "records that no layer knows");
  }

  void check_task(Slot slot, const Task& task) {
    const LayerRecord& layer = core_.layers_.at(layer_of(task.id));
    const bool active = layer.is_active(index_of(task.id));
    ++states_[task.state];
    if (active) check(task.account == layer.account(index_of(task.id)), task, "on two accounts");
    check_outputs(task, layer);
    switch (task.state) {
      case TaskState::kWaiting:
      case TaskState::kQueued:
      case TaskState::kNoWorker:
        check(active, task, "nobody needs it");
        check_inputs(task, layer);
        check(task.queued_in != QueueKind::kNone || task.state == TaskState::kWaiting, task, "queued by half");
        check((task.queued_in == QueueKind::kAhead) <= (task.state == TaskState::kWaiting), task, "ready, yet ahead");
        break;
      case TaskState::kProcessing: {
        check(active || task.phase == TaskPhase::kRetracting, task, "nobody needs it and it is not retracted");
        check(task.worker < core_.workers_.size() && core_.workers_[task.worker], task, "bound to nobody");
        const Worker& worker = core_.worker_at(task.worker);
        check(task.position < worker.bound.size() && worker.bound[task.position] == slot, task,
              "its worker doesn't know");
        ++account_processing_[task.account];
        break;
      }
      case TaskState::kMemory:
        check(!active, task, "finished and demanded");
        break;
      case TaskState::kErred:
        check(!active && task.failure != nullptr, task, "erred without an error");
        break;
      default:
        check(false, task, "a record in a state that has none");
    }
    if (task.state != TaskState::kProcessing)
      check(task.phase == TaskPhase::kNone && task.worker == kNoSlot, task, "bound by half");
    if (task.queued_in != QueueKind::kNone) check_queued(slot, task, layer);
  }

  void check_outputs(const Task& task, const LayerRecord& layer) {
    bool kept = false, error_wanted = false;
    for (std::uint16_t o = 0; o < layer.outputs; ++o) {
      const Output& output = task.output(o);
      check(output.wants == core_.wants_of(layer, o, index_of(task.id)), task, "wants miscounted");
      std::uint32_t consumers = 0;
      for (const LayerReader& reader : layer.readers) {
        if (reader.output != o) continue;
        const LayerRecord& readers = core_.layers_.at(reader.layer);
        reader.consumers->for_each(index_of(task.id),
                                   [&](std::uint32_t c) { consumers += readers.is_active(c) ? 1 : 0; });
      }
      check(output.consumers == consumers, task, "consumers miscounted");
      check(!output.available() || output.needed(), task, "kept for nobody");
      for (WorkerSlot worker : output.replicas.span()) {
        check(worker < core_.workers_.size() && core_.workers_[worker], task, "held by a worker that is gone");
      }
      kept = kept || output.available();
      error_wanted = error_wanted || (!output.available() && output.needed());
    }
    if (task.state == TaskState::kMemory) check(kept, task, "in memory nowhere");
    if (task.state == TaskState::kErred) check(error_wanted, task, "an error that nobody wants");
  }

  void check_inputs(const Task& task, const LayerRecord& layer) {
    std::uint32_t missing = 0;
    for (const LayerInput& input : layer.inputs) {
      const LayerRecord& producers = core_.layers_.at(input.layer);
      for_each_distinct(input, index_of(task.id), [&](std::uint32_t producer) {
        const Slot of = producers.slot(producer);
        if (of != kNoSlot && core_.tasks_[of].output(input.output).available()) return;
        ++missing;
        check(producers.is_active(producer), task, "waits for an input that nobody computes");
      });
    }
    if (task.state == TaskState::kWaiting) {
      check(missing == task.missing && missing != 0, task, "missing inputs miscounted");
    } else {
      check(missing == 0, task, "ready without its inputs");
    }
  }

  void check_queued(Slot slot, const Task& task, const LayerRecord& layer) {
    if (task.queued_in == QueueKind::kDelayed) {
      ++delayed_;
      return;
    }
    if (task.queued_in == QueueKind::kAhead) {
      check(core_.producers_of(task).bound, task, "ahead of what nobody makes");
      check_place(slot, task, core_.worker_at(task.queue).ahead);
      ++ahead_;
      return;
    }
    const Requirement& requirement = core_.requirements_[layer.requirement];
    check((requirement.live == 0) == (task.state == TaskState::kNoWorker), task,
          "queued without a worker, or the reverse");
    const ReadyQueue* queue = nullptr;
    if (task.queued_in == QueueKind::kAny) {
      check(task.queue == layer.requirement, task, "in another requirement's queue");
      queue = &requirement.ready;
      ++(requirement.live == 0 ? account_no_worker_ : account_queued_)[{task.account, task.urgency}];
    } else {
      check(task.queue < core_.workers_.size() && core_.workers_[task.queue], task, "queued for a worker that is gone");
      const Worker& worker = core_.worker_at(task.queue);
      check(core_.groups_[worker.group].has[layer.requirement], task, "queued for a worker that may not run it");
      queue = &worker.ready;
    }
    check_place(slot, task, *queue);
    ++queued_;
  }

  void check_place(Slot slot, const Task& task, const ReadyQueue& queue) {
    const auto& entries = queue.entries();
    check(task.position < entries.size() && entries[task.position].slot == slot, task, "lost in its queue");
    check(task.position == 0 || !ReadyQueue::before(entries[task.position], entries[(task.position - 1) / 2]), task,
          "out of order in its queue");
  }

  void check_counters() {
    const Counters& c = core_.counters_;
    check(c.released == released_, "released miscounted");
    check(c.waiting == states_[TaskState::kWaiting], "waiting miscounted");
    check(c.no_worker == states_[TaskState::kNoWorker], "no-worker miscounted");
    check(c.queued == states_[TaskState::kQueued], "queued miscounted");
    check(c.processing == states_[TaskState::kProcessing], "processing miscounted");
    check(c.memory == states_[TaskState::kMemory], "memory miscounted");
    check(c.erred == states_[TaskState::kErred], "erred miscounted");
    check(c.layers == core_.layers_.size(), "layers miscounted");
  }

  void check_workers() {
    std::uint64_t slots = 0, workers = 0, threads = 0, bound = 0;
    for (std::uint32_t slot = 0; slot < core_.workers_.size(); ++slot) {
      if (!core_.workers_[slot]) continue;
      const Worker& worker = *core_.workers_[slot];
      ++workers;
      threads += worker.registration.threads;
      bound += worker.bound.size();
      ready_ += worker.ready.size();
      ahead_ -= worker.ahead.size();
      std::uint64_t hash = 0, lacking = 0, expected = 0, asked = 0;
      for (Slot task : worker.bound) {
        hash ^= msg::mix(core_.tasks_[task].attempt);
        lacking += core_.tasks_[task].missing != 0 ? 1 : 0;
        if (core_.tasks_[task].missing == 0) expected += core_.tasks_[task].expected_us;
        const auto back = core_.asked_back_.find(core_.tasks_[task].id);
        if (back != core_.asked_back_.end()) ++(back->second == WorkerId{} ? asked_ : asked);
        check(core_.tasks_[task].phase == TaskPhase::kRetracting || !core_.asked_back_.contains(core_.tasks_[task].id),
              core_.tasks_[task], "asked for, yet not retracting");
      }
      const auto awaits = std::count_if(core_.asked_back_.begin(), core_.asked_back_.end(),
                                        [&](const auto& entry) { return entry.second == worker.id; });
      check(expected == worker.expected_us, "a worker's expected time miscounted");
      check(asked == worker.asked_back && static_cast<std::uint64_t>(awaits) == worker.awaits,
            "tasks asked back miscounted");
      asked_ += asked;
      check(lacking == worker.bound_ahead, "a worker's tasks bound ahead miscounted");
      check(worker.credit() == 0 || worker.ahead.empty() || core_.recovering_,
            "idle credit while tasks could be bound ahead");
      check(hash == worker.attempts_hash, "hash of a worker's attempts");
      check(worker.answered + worker.bound.size() == worker.spent, "a worker's attempts miscounted");
      check(worker.spent <= worker.granted, "bound beyond the credit");
      check(worker.to_free.empty(), "results not freed");
      slots += worker.credit() + worker.bound.size();
      check_resources(worker);
      const WorkerGroup& group = core_.groups_[worker.group];
      check(group.credit.contains(slot) == (worker.open_credit() != 0), "credit not offered");
      check(group.load.contains(slot) == !worker.ready.empty(), "load not known");
    }
    check(asked_ == core_.asked_back_.size(), "tasks asked back that no worker has");
    check(slots == core_.slots_, "slots miscounted");
    check(workers == core_.counters_.workers && workers == core_.by_worker_.size(), "workers miscounted");
    check(threads == core_.counters_.threads, "threads miscounted");
    check(bound == core_.counters_.processing, "bound attempts miscounted");
  }

  void check_resources(const Worker& worker) {
    std::unordered_map<std::string, std::uint64_t> free;
    for (const msg::Resource& resource : worker.registration.resources)
      free[resource.name] = to_millionths(resource.amount);
    for (Slot slot : worker.bound) {
      const Requirement& requirement = core_.requirements_[core_.layer_of_task(core_.tasks_[slot]).requirement];
      for (const auto& [name, amount] : requirement.resources) {
        check(free[name] >= amount, core_.tasks_[slot], "occupies more than its worker has");
        free[name] -= amount;
      }
    }
    check(free == worker.resources_free, "a worker's free resources miscounted");
    for (std::uint32_t k : core_.metered_) {
      const bool able = core_.groups_[worker.group].has[k] && core_.fits(worker, core_.requirements_[k]);
      check(core_.requirements_[k].able.contains(worker.slot) == (able && worker.credit() != 0), "ability not known");
    }
  }

  void check_requirements() {
    for (std::uint32_t k = 0; k < core_.requirements_.size(); ++k) {
      const Requirement& requirement = core_.requirements_[k];
      ready_ += requirement.ready.size();
      std::uint32_t live = 0;
      for (const WorkerGroup& group : core_.groups_) live += group.has[k] ? group.live : 0;
      check(requirement.live == live, "workers that meet a requirement miscounted");
      check(requirement.listed == !requirement.ready.empty(), "a requirement's ready tasks not listed");
      check(!core_.kernel_missing(requirement) || requirement.ready.empty() || core_.recovering_,
            "a task waits for a kernel that does not exist");
    }
    check(ready_ == queued_ && ahead_ == 0, "tasks in queues miscounted");
    check(delayed_ == core_.delayed_.size(), "tasks to be tried again miscounted");
  }

  void check_sessions() {
    bool walking = false;
    for (std::size_t s = 0; s < core_.sessions_.size(); ++s) {
      const auto account = static_cast<std::uint16_t>(s);
      if (!core_.sessions_[s]) {
        check(account_active_[account] == 0 && account_processing_[account] == 0, "tasks on the account of nobody");
        continue;
      }
      const Session& session = *core_.sessions_[s];
      walking = walking || !session.cursors.empty();
      check(session.active == account_active_[account], "a session's active tasks miscounted");
      check(session.processing == account_processing_[account], "a session's processing tasks miscounted");
      for (const auto& [urgency, roots] : session.roots) {
        check(roots.queued == account_queued_[{account, urgency}], "a session's queued roots miscounted");
        check(roots.no_worker == account_no_worker_[{account, urgency}], "a session's roots without worker miscounted");
        account_queued_.erase({account, urgency});
        account_no_worker_.erase({account, urgency});
      }
      check(session.open || session.active != 0 || session.processing != 0, "a closed session lingers");
      for (const auto& [number, id] : session.layers) {
        check(core_.layers_.find(id) != nullptr && core_.find_namer(*core_.sessions_[s], number) != nullptr,
              "a session names a layer that does not know");
      }
    }
    check(account_queued_.empty() && account_no_worker_.empty(), "roots that no session counts");
    check(released_ == 0 || walking, "demanded tasks that nobody will expand");
  }

  // No credit stays idle while something is ready that it could be used for.
  void check_idle_credit() {
    for (const WorkerGroup& group : core_.groups_) {
      if (group.credit.empty()) continue;
      check(core_.best_requirement(group) == kNoSlot, "idle credit");
      if (!group.idle.empty()) {
        const Worker& idle = core_.worker_at(group.idle.top());
        check(core_.worth_taking(idle, group) == kNoSlot, "an idle thread");
      }
    }
    for (std::uint32_t k : core_.metered_) {
      check(core_.requirements_[k].ready.empty() || core_.requirements_[k].able.empty(), "idle resources");
    }
  }

  void check_copies() {
    for (const ResultId& result : core_.surplus_) {
      check(core_.result_exists(result) && core_.find_slot(result.task) != kNoSlot, "copies of what is forgotten");
    }
    for (const auto& [result, copies] : core_.copies_wanted_) {
      check(core_.result_exists(result) && core_.find_slot(result.task) != kNoSlot,
            "wants copies of what is forgotten");
    }
  }

  void check_jobs() {
    std::map<std::uint64_t, std::uint64_t> moves;
    std::map<WorkerId, std::uint64_t> incoming;
    for (const auto& [name, move] : core_.moves_) {
      ++moves[move.job];
      incoming[name.second] += move.nbytes;
      check(core_.jobs_.contains(move.job), "a copy that no job waits for");
      check(core_.by_worker_.contains(name.second), "a copy asked of a worker that is gone");
    }
    for (const auto& [number, job] : core_.jobs_) check(job.in_flight == moves[number], "copies under way miscounted");
    for (const auto& worker : core_.workers_) {
      if (!worker) continue;
      check(worker->incoming == incoming[worker->id], "bytes on their way to a worker miscounted");
      if (worker->retiring == 0) continue;
      check(worker->ready.empty(), "tasks queued for a worker that is to leave");
      check(core_.jobs_.contains(worker->retiring), "a worker retires for no job");
    }
  }

  void check_inquests() {
    Time last{};
    for (const Inquest& inquest : core_.inquests_) {
      check(inquest.nanny != 0 && !inquest.suspects.empty(), "a report is waited for that nobody sends or needs");
      check(inquest.deadline >= last, "reports are waited for out of order");
      check(inquest.deadline <= core_.now_ + core_.config_.report_patience, "a report is waited for too long");
      last = inquest.deadline;
    }
    for (const auto& worker : core_.workers_) {
      if (!worker || !worker->death) continue;
      check(worker->death->nanny == worker->registration.nanny && worker->death->nanny != 0, "somebody else's death");
      check(worker->death->executing.size() <= worker->registration.threads,
            "more was executed than there are threads");
    }
    for (const auto& [id, deaths] : core_.deaths_) {
      const Task* task = core_.find_task(id);
      check(task != nullptr && task->near_deaths == deaths.size() && !deaths.empty() &&
                static_cast<std::size_t>(std::count_if(deaths.begin(), deaths.end(),
                                                       [](const Death& death) { return death.full; })) == task->deaths,
            "deaths with a task miscounted");
    }
  }

  Core& core_;
  std::uint64_t active_ = 0, known_ = 0, released_ = 0, queued_ = 0, ready_ = 0, ahead_ = 0, asked_ = 0, delayed_ = 0;
  std::map<TaskState, std::uint64_t> states_;
  std::map<std::uint16_t, std::uint64_t> account_active_, account_processing_;
  std::map<std::pair<std::uint16_t, std::int32_t>, std::uint64_t> account_queued_, account_no_worker_;
};

}  // namespace

void Core::check_invariants() const { Checker(*this).run(); }

}  // namespace tegula::scheduler
