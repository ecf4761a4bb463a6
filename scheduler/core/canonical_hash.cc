// The state as searches compare it: everything that a later decision or message depends on, and nothing that only
// people look at (counters since start, the log, when somebody was heard last). Whoever adds a field to the tables adds
// it here, or says here why two states may differ in it.
//
// Left out because it follows from the rest (check_invariants() compares it): queues, heaps but for those from which
// movers strike workers, counts per requirement, layer, session and worker. Slots of records are left out because no
// decision depends on them. A tag only means something by its distance from virtual time.
#include "src/canonical_hash.h"

#include <bit>
#include <numeric>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

class Describer {
 public:
  Describer(const Core& core, std::size_t workers, CanonicalHash& hash) : core_(core), places_(workers), hash_(hash) {}

  void run() {
    workers();
    core_.layers_.for_each([&](const LayerRecord& record) { layer(record); });
    sessions();
    hash_.unordered(core_.deaths_, [&](const auto& entry) {
      hash_.add(entry.first);
      for (const Death& death : entry.second) {  // the rest is for people
        hash_.add(death.certain);
        hash_.add(death.full);
        hash_.add(death.instance);
      }
    });
    for (const Inquest& inquest : core_.inquests_) this->inquest(inquest);
    hash_.unordered(core_.kernels_seen_, [&](const std::string& kernel) { hash_.add(kernel); });
    hash_.unordered(core_.asked_back_, [&](const auto& entry) {
      hash_.add(entry.first);
      hash_.add(entry.second);
    });
    for (const auto& [time, task] : core_.delayed_) {
      hash_.add((time - core_.now_).count());
      hash_.add(task);
    }
    core_.costs_.canonical_hash(hash_);
    for (const auto& [result, copies] : core_.copies_wanted_) {
      hash_.add(result);
      hash_.add(copies);
    }
    for (const ResultId& result : core_.surplus_) hash_.add(result);
    hash_.add(core_.surplus_next_);
    hash_.add(core_.recovering_);
    if (core_.started_) {
      hash_.add(std::min((core_.now_ - *core_.started_).count(), 2 * core_.config_.inventory_window.count()));
    }
    for (const Core::Contest& contest : core_.contests_) {
      hash_.add(contest.event.worker);
      hash_.add((core_.now_ - contest.since).count());
    }
    jobs();
    unsettled();
  }

 private:
  void workers() {
    std::uint64_t turns = 1;  // list_holders() goes round the holders by attempt: all of their numbers divide this
    for (std::uint64_t n = 1; n <= std::max(places_, core_.workers_.size()); ++n) turns = std::lcm(turns, n);
    for (std::uint64_t slot = 0; slot < core_.workers_.size(); ++slot) {
      hash_.add(static_cast<bool>(core_.workers_[slot]));
      if (core_.workers_[slot]) worker(*core_.workers_[slot]);
    }
    hash_.add(static_cast<std::uint64_t>(core_.last_attempt_) % turns);
    for (WorkerSlot slot : core_.free_workers_) hash_.add(slot);
  }

  void worker(const Worker& worker) {
    hash_.set_counted(worker.id, {worker.spent, worker.answered, worker.kib_spent});
    hash_.add(worker.id);
    hash_.add(worker.credit());
    hash_.add(worker.kib_granted - worker.kib_spent);
    hash_.add(worker.offered);
    for (const Slot bound : worker.bound) hash_.add(core_.tasks_[bound].id);  // movers look at the last ones
    const WorkerGroup& group = core_.groups_[worker.group];
    hash_.add(group.idle.key(worker.slot));
    hash_.add(group.delay.key(worker.slot));
    hash_.add((core_.now_ - worker.last_answer).count());
    hash_.add(worker.answers_heard - worker.answered);
    hash_.add(worker.parts_due);
    hash_.add(worker.differs_since != Time{});
    for (const msg::Inventory& part : worker.inventory) {
      hash_.add(part.part);
      for (const msg::Inventory::Held& held : part.results) {
        hash_.add(held.layer.low);
        hash_.add(held.index);
        hash_.add(held.output);
        hash_.add(held.nbytes);
      }
    }
    hash_.add(worker.retiring);
    if (worker.ends_at) hash_.add(std::max(*worker.ends_at - core_.now_, Time{0}).count());
    hash_.add(worker.death.has_value());
    if (worker.death) {
      hash_.add(worker.death->cause);
      hash_.unordered(worker.death->executing, [&](AttemptId attempt) { hash_.attempt(attempt); });
    }
    hash_.add(worker.heartbeat.managed_bytes);  // copies go where there is room
    hash_.add(worker.heartbeat.reserved_bytes);
    hash_.unordered(worker.introduced, [&](WorkerId peer) { hash_.add(peer); });
    for (auto peer = core_.unreachable_.lower_bound({worker.id, WorkerId{}});
         peer != core_.unreachable_.end() && peer->first.first == worker.id; ++peer) {
      hash_.add(peer->first.second);
      hash_.add((peer->second - core_.now_).count());
    }
    hash_.unordered(worker.to_free, [&](const ResultId& result) { hash_.add(result); });
  }

  void inquest(const Inquest& inquest) {
    hash_.add(inquest.nanny);
    hash_.add(inquest.life);
    hash_.add(inquest.instance);
    hash_.add(inquest.vanished);
    hash_.add((inquest.deadline - core_.now_).count());
    hash_.add(inquest.suspects.size());
    for (const Inquest::Suspect& suspect : inquest.suspects) {
      hash_.add(suspect.task);
      hash_.attempt(suspect.attempt);
      hash_.add(suspect.likely);
    }
  }

  void layer(const LayerRecord& layer) {
    hash_.add(layer.id);
    hash_.add(layer.hash.low);
    hash_.add(layer.requirement);
    hash_.add(layer.retries);
    hash_.add(layer.retry_delay_ms);
    hash_.add(layer.time_limit_ms);
    hash_.add(layer.memory);
    hash_.add(std::bit_cast<std::uint64_t>(layer.cost.ns()));
    for (const Namer& namer : layer.namers) {
      hash_.add(namer.session);
      hash_.add(namer.number);
      for (const WantMap& wants : namer.wants) want_map(wants);
      for (const WantMap& wants : namer.cancelled) want_map(wants);
    }
    for (std::size_t word = 0; word < layer.defined.size(); ++word) {
      if (layer.defined[word] == 0) continue;  // a vector that grew and one that never did
      hash_.add(word);
      hash_.add(layer.defined[word]);
    }
    for (std::uint32_t index = 0; index < layer.tasks; ++index) {
      hash_.add(layer.flags.get(index));
      const Slot slot = layer.slot(index);
      hash_.add(slot != kNoSlot);
      if (slot != kNoSlot) task(core_.tasks_[slot]);
    }
  }

  void want_map(const WantMap& wants) {
    wants.for_each([&](std::uint32_t begin, std::uint32_t end, std::uint32_t count) {
      hash_.add(begin);
      hash_.add(end);
      hash_.add(count);
    });
    hash_.add(std::uint64_t{0});  // where one map ends
  }

  void task(const Task& task) {
    hash_.add(task.state);
    hash_.add(task.phase);
    hash_.add(task.tag - core_.virtual_time_);
    hash_.add(task.urgency);
    hash_.add(task.queued_in);
    if (task.queued_in != QueueKind::kNone) hash_.add(task.queue);
    if (task.state == TaskState::kProcessing) {
      hash_.add(task.worker);
      hash_.attempt(task.attempt);
      hash_.add(task.expected_us);
      hash_.add(task.ahead_depth);
      hash_.add(task.freed_there);
    }
    if (task.state == TaskState::kWaiting || task.state == TaskState::kProcessing) hash_.add(task.missing);
    hash_.add(task.failures);
    hash_.add(task.expanded);
    hash_.add(task.came_back);
    hash_.add(task.deaths);
    hash_.add(task.near_deaths);
    hash_.add(task.fetch_failures);
    hash_.add(task.account);
    for (std::uint16_t o = 0; o < task.output_count; ++o) output(task.output(o));
    for (const Failure* failure = task.failure.get(); failure != nullptr; failure = failure->cause.get()) {
      hash_.add(failure->task);
      hash_.add(failure->error->code);
    }
  }

  void output(const Output& output) {
    hash_.add(output.wants);
    hash_.add(output.consumers);
    hash_.add(output.replicas.span().size());
    if (!output.available()) return;
    hash_.add(output.nbytes);
    for (WorkerSlot worker : output.replicas.span()) hash_.add(worker);
  }

  void sessions() {
    for (std::uint16_t slot = 0; slot < core_.sessions_.size(); ++slot) {
      hash_.add(static_cast<bool>(core_.sessions_[slot]));
      if (core_.sessions_[slot]) session(*core_.sessions_[slot]);
    }
    for (std::uint16_t slot : core_.free_sessions_) hash_.add(slot);
    for (std::uint16_t slot : core_.expandable_) hash_.add(slot);
  }

  void session(const Session& session) {
    hash_.add(session.open);
    hash_.add(session.connection);
    if (session.connection == ConnectionId{}) {
      hash_.add(std::min(core_.now_ - session.detached_at, Time(core_.config_.reattach_grace)).count());
    }
    hash_.add(session.last_sequence);
    hash_.add(session.acknowledge);
    hash_.add(session.next_number);
    hash_.add(session.refusals.size());
    for (const auto& [number, layer] : session.layers) {
      hash_.add(number);
      hash_.add(layer);
    }
    for (const Cursor& cursor : session.cursors) this->cursor(cursor);
    hash_.add(session.expandable);
    hash_.add(std::bit_cast<std::uint64_t>(session.share));
    hash_.add(std::bit_cast<std::uint64_t>(session.tag - static_cast<double>(core_.virtual_time_)));
  }

  void cursor(const Cursor& cursor) {
    for (std::size_t range = cursor.range; range < cursor.targets.size(); ++range) {
      hash_.add(cursor.targets[range].layer);
      hash_.add(cursor.targets[range].next);
      hash_.add(cursor.targets[range].end);
    }
    for (const Cursor::Frame& frame : cursor.stack) {
      hash_.add(frame.task);
      hash_.add(frame.rule);
      hash_.add(frame.k);
    }
    hash_.add(cursor.urgency);
  }

  void jobs() {
    for (const auto& [number, job] : core_.jobs_) {
      hash_.add(number);
      hash_.add(job.kind);
      hash_.add(job.worker);
      hash_.add(job.searched);
      hash_.add(job.drains);
      for (const ResultId& result : job.left_behind) hash_.add(result);
      hash_.add(job.failure.empty());
      hash_.add(job.pending.size());
      for (const Job::Pending& copy : job.pending) pending(copy);
    }
    for (const auto& [name, move] : core_.moves_) {
      hash_.add(name.first);
      hash_.add(name.second);
      hash_.add(move.job);
      hash_.add(move.nbytes);
      pending(move.pending);
    }
  }

  void pending(const Job::Pending& copy) {
    hash_.add(copy.result);
    hash_.add(copy.to);
    hash_.add(copy.from);
    hash_.unordered(copy.refused, [&](WorkerId worker) { hash_.add(worker); });
  }

  // What lies between apply() and settle().
  void unsettled() {
    hash_.unordered(core_.doubted_, [&](TaskId task) { hash_.add(task); });
    hash_.unordered(core_.maybe_unused_, [&](LayerId layer) { hash_.add(layer); });
    hash_.unordered(core_.doubtful_requirements_, [&](std::uint32_t requirement) { hash_.add(requirement); });
    for (const auto& [task, worker] : core_.handed_over_) {
      hash_.add(task);
      hash_.add(worker);
    }
    for (WorkerSlot slot : core_.offers_) hash_.add(slot);
    for (WorkerSlot slot : core_.with_frees_) hash_.add(slot);
    for (std::uint16_t slot : core_.to_acknowledge_) hash_.add(slot);
  }

  const Core& core_;
  const std::size_t places_;
  CanonicalHash& hash_;
};

}  // namespace

void CostTable::canonical_hash(CanonicalHash& hash) const {
  hash.unordered(means_, [&](const auto& entry) {
    hash.add(entry.first);
    hash.add(std::bit_cast<std::uint64_t>(entry.second.ns()));
  });
}

void SchedulerState::canonical_hash(CanonicalHash& hash, std::size_t workers) const {
  Describer(*core_, workers, hash).run();
}

}  // namespace tegula::scheduler
