// Copies made on purpose: a result is to be on several workers, a worker is to leave, or some hold more than others.
//
// All three are jobs of one kind: a list of copies to be made. A worker is asked for some of them at a time and answers
// each with ReplicasAdded or ReplicasDropped. Only when a result is where it shall be is it let go of where it shall
// not, so nothing is lost by any of this, whoever dies in between.
#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "scheduler/core/core.h"
#include "src/config.h"

namespace tegula::scheduler {
namespace {

constexpr std::uint64_t kMostInFlight = 256;  // copies of one job
constexpr std::size_t kMostHolders = 3;       // named for one copy
constexpr double kBalanced = 1.05;            // times the mean: as good as equal

}  // namespace

void Core::add_job(Job job) {
  job.number = ++last_job_;
  jobs_.emplace(job.number, std::move(job));
}

// ---- retire ----

std::vector<ResultId> Core::only_on(const Worker& worker) const {
  std::vector<ResultId> results;
  tasks_.for_each([&](Slot, const Task& task) {
    for (std::uint16_t o = 0; o < task.output_count; ++o) {
      const ReplicaSet& replicas = task.output(o).replicas;
      if (!replicas.contains(worker.slot)) continue;
      const auto stays = [&](WorkerSlot slot) { return workers_[slot]->retiring == 0; };
      if (std::none_of(replicas.span().begin(), replicas.span().end(), stays)) results.push_back({task.id, o});
    }
  });
  std::sort(results.begin(), results.end());
  return results;
}

void Core::retire(Job job, Worker& worker) {
  if (worker.retiring != 0) throw ValueError(fmt::format("worker {} is retiring already", worker.registration.name));
  job.kind = Job::Kind::kRetire;
  job.subject = worker.registration.name;
  job.worker = worker.id;
  slots_ -= worker.credit();
  worker.retiring = last_job_ + 1;
  add_job(std::move(job));
  // What was to go there goes elsewhere.
  std::vector<Slot> ready;
  for (const auto& entry : worker.ready.entries()) ready.push_back(entry.slot);
  for (Slot slot : ready) leave_queue(slot);
  for (Slot slot : ready) make_ready(slot);
  credit_changed(worker);
}

// The worker wishes to end: it retires, but cannot stay when that does not succeed.
void Core::on_draining(Worker& worker, const msg::WorkerDraining&) {
  if (worker.retiring == 0) retire(Job{}, worker);
  jobs_.at(worker.retiring).drains = true;
}

bool Core::somebody_stays() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& worker) { return worker && worker->retiring == 0; });
}

void Core::send_away(const Job& job, Worker& worker) {
  const char* why = job.drains ? "it wished to end, and has handed over what others take" : "retired by the operator";
  send(worker, msg::Shutdown{why});
  out_->push_back(CloseWorker{worker.id, why});
  lose_worker(worker.slot, LossReason::kOrderly, why);
}

void Core::end_retirement(Worker& worker) {
  worker.retiring = 0;
  slots_ += worker.credit();
  credit_changed(worker);
}

// ---- replicate ----

void Core::replicate(Job job, const std::vector<ResultId>& results, std::uint64_t count) {
  for (const ResultId result : results) {
    const Slot slot = find_slot(result.task);
    if (slot == kNoSlot || !tasks_[slot].output(result.output).available()) {
      throw ValueError("there is nothing to copy: " + why(result.task));
    }
  }
  std::uint64_t staying = 0;
  for (const auto& worker : workers_) staying += worker && worker->retiring == 0 ? 1 : 0;
  if (count == 0 || count > staying) {
    throw ValueError(fmt::format("cannot have results of {} on {} of {} workers", job.subject, count, staying));
  }
  for (const ResultId result : results) {
    std::uint64_t held = 0;
    for (WorkerSlot holder : tasks_[find_slot(result.task)].output(result.output).replicas.span()) {
      held += workers_[holder]->retiring == 0 ? 1 : 0;
    }
    for (; held < count; ++held) job.pending.push_back({result, {}, {}, {}});
    copies_wanted_[result] = count;
  }
  job.kind = Job::Kind::kReplicate;
  add_job(std::move(job));
}

// ---- rebalance ----

// Greedily, the largest results of the fullest workers first, each to the emptiest one, as long as that brings the two
// nearer to each other. Only results that one worker holds are moved.
void Core::rebalance(Job job) {
  std::vector<std::uint64_t> held(workers_.size());
  std::vector<std::vector<std::pair<std::uint64_t, ResultId>>> movable(workers_.size());
  tasks_.for_each([&](Slot, const Task& task) {
    for (std::uint16_t o = 0; o < task.output_count; ++o) {
      const Output& output = task.output(o);
      const auto replicas = output.replicas.span();
      for (WorkerSlot slot : replicas) held[slot] += output.nbytes;
      if (replicas.size() == 1 && output.nbytes != 0) {
        movable[replicas.front()].emplace_back(output.nbytes, ResultId{task.id, o});
      }
    }
  });
  std::set<std::pair<std::uint64_t, WorkerSlot>> by_bytes;
  std::uint64_t total = 0;
  for (WorkerSlot slot = 0; slot < workers_.size(); ++slot) {
    if (!workers_[slot] || workers_[slot]->retiring != 0) continue;
    by_bytes.emplace(held[slot], slot);
    total += held[slot];
  }
  job.kind = Job::Kind::kRebalance;
  const double enough =
      by_bytes.empty() ? 0 : kBalanced * static_cast<double>(total) / static_cast<double>(by_bytes.size());
  const std::vector<std::pair<std::uint64_t, WorkerSlot>> fullest(by_bytes.rbegin(), by_bytes.rend());
  for (const auto& [at_first, donor] : fullest) {
    auto& results = movable[donor];
    std::sort(results.begin(), results.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    for (const auto& [nbytes, result] : results) {
      if (static_cast<double>(held[donor]) <= enough) break;
      const WorkerSlot receiver = by_bytes.begin()->second;
      if (held[receiver] + nbytes >= held[donor]) continue;  // a smaller one may do
      for (WorkerSlot slot : {donor, receiver}) by_bytes.erase({held[slot], slot});
      held[donor] -= nbytes;
      held[receiver] += nbytes;
      for (WorkerSlot slot : {donor, receiver}) by_bytes.emplace(held[slot], slot);
      job.pending.push_back({result, workers_[receiver]->id, workers_[donor]->id, {}});
    }
  }
  add_job(std::move(job));
}

// ---- all ----

void Core::advance_jobs() {
  for (std::uint64_t lost = ~counters_.workers_lost; lost != counters_.workers_lost;) {
    lost = counters_.workers_lost;  // one that leaves by this may have been the receiver of another job's copies
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, job] : jobs_) numbers.push_back(number);
    for (std::uint64_t number : numbers) {
      if (const auto found = jobs_.find(number); found != jobs_.end()) advance(found->second);
    }
  }
}

void Core::advance(Job& job) {
  if (job.kind == Job::Kind::kRetire && find_worker(job.worker) == nullptr) {
    job.failure = fmt::format("worker {} was lost before its results were elsewhere; what is needed is computed again",
                              job.subject);
  }
  // With nobody to leave anything to, finishing what it has would be in vain.
  if (job.drains && job.failure.empty() && !somebody_stays()) {
    job.failure = fmt::format("worker {} leaves: there is none that could take over what it has", job.subject);
  }
  if (!job.failure.empty()) job.pending.clear();
  start_moves(job);
  if (job.in_flight != 0 || !job.pending.empty()) return;
  if (job.kind != Job::Kind::kRetire || !job.failure.empty()) return finish(job);
  // What it was given is finished first; the results of that are looked for when nothing is bound any more.
  Worker& worker = *find_worker(job.worker);
  if (worker.parts_due != 0) return;  // what it holds is not known yet
  if (std::exchange(job.searched, true) && !worker.bound.empty()) return;
  for (const ResultId result : only_on(worker)) {
    if (!job.left_behind.contains(result)) job.pending.push_back({result, {}, {}, {}});
  }
  if (!job.pending.empty()) {
    start_moves(job);
    if (job.in_flight != 0) return;
    if (!job.failure.empty()) return finish(job);
  }
  if (!worker.bound.empty()) return;
  send_away(job, worker);
  finish(job);
}

void Core::finish(Job& finished) {
  const Job job = std::move(jobs_.extract(finished.number).mapped());
  if (!job.failure.empty()) {
    if (Worker* worker = find_worker(job.worker)) {
      if (job.drains) {
        send_away(job, *worker);
      } else {
        end_retirement(*worker);
      }
    }
    return refuse(job.connection, job.request, ErrorCode::kValue, job.failure);
  }
  const std::string results =
      fmt::format("{} result{} ({})", job.copied, job.copied == 1 ? "" : "s", format_bytes(job.copied_bytes));
  switch (job.kind) {
    case Job::Kind::kRetire:
      return answer(job.connection, job.request,
                    fmt::format("worker {} has left; {} went to others before", job.subject, results));
    case Job::Kind::kReplicate:
      return answer(job.connection, job.request,
                    fmt::format("{}: made {} cop{}", job.subject, job.copied, job.copied == 1 ? "y" : "ies"));
    case Job::Kind::kRebalance:
      return answer(job.connection, job.request, fmt::format("moved {}", results));
  }
}

// The worker that a copy is asked of: the one that is meant, else the one that has least among those that lack it and
// have room as far as is known here.
Worker* Core::receiver_of(const Job& job, const Job::Pending& pending) {
  const Output& output = tasks_[find_slot(pending.result.task)].output(pending.result.output);
  const auto able = [&](const Worker& worker) {
    const std::uint64_t limit = worker.registration.memory_limit;
    const std::uint64_t used = worker.heartbeat.managed_bytes + worker.heartbeat.reserved_bytes + worker.incoming;
    return worker.retiring == 0 && worker.id != job.worker && !output.replicas.contains(worker.slot) &&
           !moves_.contains({pending.result, worker.id}) && (limit == 0 || used + output.nbytes <= limit) &&
           std::find(pending.refused.begin(), pending.refused.end(), worker.id) == pending.refused.end();
  };
  if (pending.to != WorkerId{}) {
    Worker* worker = find_worker(pending.to);
    return worker != nullptr && able(*worker) ? worker : nullptr;
  }
  const auto load = [](const Worker& worker) { return worker.heartbeat.managed_bytes + worker.incoming; };
  Worker* best = nullptr;
  for (const auto& worker : workers_) {
    if (worker && able(*worker) && (best == nullptr || load(*worker) < load(*best))) best = worker.get();
  }
  return best;
}

void Core::start_moves(Job& job) {
  std::map<WorkerSlot, msg::AcquireReplicas> asked;
  while (!job.pending.empty() && job.in_flight < kMostInFlight) {
    Job::Pending pending = std::move(job.pending.front());
    job.pending.pop_front();
    const Slot slot = find_slot(pending.result.task);
    if (slot == kNoSlot || !tasks_[slot].output(pending.result.output).available()) continue;  // not needed any more
    const Output& output = tasks_[slot].output(pending.result.output);
    Worker* const to = receiver_of(job, pending);
    if (to == nullptr) {
      if (job.drains) job.left_behind.insert(pending.result);
      if (job.kind == Job::Kind::kRebalance || job.drains) continue;  // it stays where it is
      job.failure = fmt::format("{}no worker {}takes {} ({})",
                                job.kind == Job::Kind::kRetire ? fmt::format("worker {} stays: ", job.subject) : "",
                                job.kind == Job::Kind::kRetire ? "but it " : "else ", key_of(pending.result.task),
                                format_bytes(output.nbytes));
      job.pending.clear();
      break;
    }
    const auto replicas = output.replicas.span();
    for (std::size_t i = 0; i < std::min(replicas.size(), kMostHolders); ++i) {
      introduce(*to, replicas[i]);
      asked[to->slot].results.push_back({pending.result, worker_at(replicas[i]).id});
    }
    to->incoming += output.nbytes;
    ++job.in_flight;
    moves_.emplace(std::pair(pending.result, to->id), Job::Move{job.number, output.nbytes, std::move(pending)});
  }
  for (auto& [slot, message] : asked) send(worker_at(slot), std::move(message));
}

void Core::move_ended(ResultId result, Worker& worker, bool copied) {
  const auto found = moves_.find({result, worker.id});
  if (found == moves_.end()) return;
  Job::Move move = std::move(found->second);
  moves_.erase(found);
  worker.incoming -= move.nbytes;
  Job& job = jobs_.at(move.job);
  --job.in_flight;
  if (!copied) {
    if (job.kind == Job::Kind::kRebalance) return;  // it stays where it is
    move.pending.refused.push_back(worker.id);
    job.pending.push_back(std::move(move.pending));
    return;
  }
  const Slot slot = find_slot(result.task);
  if (slot == kNoSlot || !tasks_[slot].output(result.output).available()) return;  // it is freed again
  ++job.copied;
  job.copied_bytes += move.nbytes;
  const Worker* from = find_worker(move.pending.from);
  if (from == nullptr || !tasks_[slot].output(result.output).replicas.contains(from->slot)) return;
  tasks_[slot].output(result.output).replicas.add(worker.slot);
  free_on(from->slot, result);
  remove_replica(slot, result.output, from->slot);
}

void Core::forget_moves_to(WorkerId gone) {
  for (auto move = moves_.begin(); move != moves_.end();) {
    if (move->first.second != gone) {
      ++move;
      continue;
    }
    Job& job = jobs_.at(move->second.job);
    --job.in_flight;
    if (job.kind != Job::Kind::kRebalance) job.pending.push_back(std::move(move->second.pending));
    move = moves_.erase(move);
  }
}

}  // namespace tegula::scheduler
