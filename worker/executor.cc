#include "worker/executor.h"

#include <fmt/core.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <type_traits>
#include <utility>
#include <variant>

#include "worker/nanny/vitals.h"

namespace tegula::worker {

namespace {

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

constexpr int kLooksPerClock = 32;

// Threads that are more than the cores would spin at the cost of those that they wait for.
Executor::Idling fit(Executor::Idling idling, unsigned threads) {
  const unsigned cores = std::thread::hardware_concurrency();
  if (cores <= 1 || threads > cores) idling.spin = {};
  return idling;
}

ErrorInfo over_time(std::chrono::nanoseconds limit) {
  ErrorInfo error;
  error.code = ErrorCode::kTimeout;
  error.message =
      fmt::format("the task took longer than its time limit of {:.3g} s", std::chrono::duration<double>(limit).count());
  return error;
}

// The end of a job of a former life.
OrphanEnded orphan_of(std::uint64_t life, Event end) {
  return std::visit(
      [life]<typename End>(End& e) -> OrphanEnded {
        if constexpr (std::is_same_v<End, KernelFinished>) return {life, e.attempt, std::move(e.outputs)};
        if constexpr (requires { e.attempt; }) return {life, e.attempt, {}};
        return {};
      },
      end);
}

}  // namespace

Executor::Executor(unsigned threads, const std::string& name, std::shared_ptr<BufferPool> pool,
                   std::function<void()> notify, Idling idling, Vitals* vitals)
    : pool_(std::move(pool)), notify_(std::move(notify)), idling_(fit(std::move(idling), threads)) {
  threads = std::max(threads, 1u);
  idle_ = threads;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited: signals are the program's matter, not a kernel's
  try {
    for (unsigned i = 0; i < threads; ++i) {
      slots_.push_back(std::make_unique<Slot>());
      const bool told = vitals != nullptr && i < Vitals::kMostThreads;
      slots_.back()->executing = told ? &vitals->slots[i].attempt : &slots_.back()->own;
      threads_.emplace_back([this, slot = slots_.back().get()] { work(*slot); });
      pthread_setname_np(threads_.back().native_handle(), (name + "-" + std::to_string(i)).substr(0, 15).c_str());
    }
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Executor::~Executor() {
  assert(std::none_of(threads_.begin(), threads_.end(),
                      [](const std::thread& thread) { return thread.get_id() == std::this_thread::get_id(); }));
  abandon_all();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queued_.store(1, std::memory_order_relaxed);  // ends the spinning
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Executor::submit(std::vector<Job>& jobs) {
  if (jobs.empty()) return;
  unsigned to_wake = 0;
  {
    const std::lock_guard lock(mutex_);
    for (Job& job : jobs) {
      job.life = life_;
      queue_.push_back(std::move(job));
    }
    queued_.store(queue_.size(), std::memory_order_release);
    const std::size_t idle = idle_.load(std::memory_order_relaxed);
    if (queue_.size() > idle) to_wake = static_cast<unsigned>(std::min<std::size_t>(parked_, queue_.size() - idle));
    parked_ -= to_wake;
    called_ += to_wake;
    idle_ += to_wake;
  }
  jobs.clear();
  for (; to_wake > 0; --to_wake) wake_.notify_one();
}

bool Executor::recall(AttemptId attempt, bool cancel) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(queue_.begin(), queue_.end(), [attempt](const Job& job) { return job.attempt == attempt; });
  if (found != queue_.end()) {
    queue_.erase(found);
    queued_.store(queue_.size(), std::memory_order_release);
    return true;
  }
  if (cancel) {
    for (const auto& slot : slots_) {
      const bool asked_for = slot->running && slot->life == life_ && slot->attempt == attempt;
      if (asked_for) slot->cancelled.store(true, std::memory_order_relaxed);
    }
  }
  return false;
}

std::vector<AttemptId> Executor::running() {
  std::vector<AttemptId> attempts;
  const std::lock_guard lock(mutex_);
  for (const auto& slot : slots_) {
    if (slot->running && slot->life == life_) attempts.push_back(slot->attempt);
  }
  return attempts;
}

Rejoin Executor::begin_life(std::vector<Event>& ended) {
  std::deque<Job> dropped;
  const std::scoped_lock lock(mutex_, done_mutex_);
  std::move(done_.begin(), done_.end(), std::back_inserter(ended));
  done_.clear();
  dropped.swap(queue_);
  queued_.store(0, std::memory_order_release);
  Rejoin rejoin{life_++, {}};
  for (const auto& slot : slots_) {
    if (slot->running && slot->life == rejoin.life) rejoin.running.push_back(slot->attempt);
    slot->executing->store(0, std::memory_order_relaxed);  // the number may mean another attempt soon
  }
  return rejoin;
}

void Executor::abandon_all() {
  std::deque<Job> dropped;
  std::vector<Event> ended;
  const std::scoped_lock lock(mutex_, done_mutex_);
  dropped.swap(queue_);
  ended.swap(done_);
  first_life_ = ++life_;
  queued_.store(0, std::memory_order_release);
  for (const auto& slot : slots_) {
    slot->cancelled.store(true, std::memory_order_relaxed);
    slot->executing->store(0, std::memory_order_relaxed);  // the number may mean another attempt soon
  }
}

void Executor::collect(std::vector<Event>& events) {
  const std::lock_guard lock(done_mutex_);
  if (events.empty()) {
    events.swap(done_);
  } else {
    std::move(done_.begin(), done_.end(), std::back_inserter(events));
    done_.clear();
  }
}

bool Executor::look_out(std::chrono::steady_clock::time_point until) const {
  do {
    for (int i = 0; i < kLooksPerClock; ++i) {
      if (queued_.load(std::memory_order_acquire) != 0) return true;
      relax();
    }
    if (idling_.meanwhile) idling_.meanwhile();
  } while (std::chrono::steady_clock::now() < until);
  return false;
}

void Executor::park(std::unique_lock<std::mutex>& lock) {
  --idle_;
  ++parked_;
  wake_.wait(lock, [this] { return called_ > 0 || stopping_; });
  if (called_ > 0) --called_;
}

bool Executor::take(Slot& slot, Job& job) {
  const auto until = std::chrono::steady_clock::now() + idling_.spin;
  std::unique_lock lock(mutex_, std::defer_lock);
  while (true) {
    const bool seen = look_out(until);  // another thread may have taken it meanwhile
    lock.lock();
    slot.running = false;
    if (queue_.empty() && !stopping_ && !seen) park(lock);
    if (stopping_) return false;
    if (!queue_.empty()) break;
    lock.unlock();
  }
  job = std::move(queue_.front());
  queue_.pop_front();
  --idle_;
  queued_.store(queue_.size(), std::memory_order_release);
  slot.attempt = job.attempt;
  slot.life = job.life;
  slot.running = true;
  slot.limit = job.layer->time_limit();
  if (slot.limit.count() != 0) {
    slot.since = std::chrono::steady_clock::now();
    slot.over_time = slot.given_up = false;
  }
  slot.cancelled.store(false, std::memory_order_relaxed);
  slot.executing->store(static_cast<std::uint64_t>(job.attempt), std::memory_order_relaxed);
  return true;
}

void Executor::work(Slot& slot) {
  Job job;
  while (take(slot, job)) {
    RunOutcome outcome = job.layer->run({job.task, job.inputs.get(), job.granted, &slot.cancelled}, *pool_);
    slot.executing->store(0, std::memory_order_relaxed);
    ++idle_;
    if (job.layer->time_limit().count() == 0 || note_time(slot, outcome)) {
      finish(job, std::move(outcome));
    } else {
      job = {};
    }
  }
}

void Executor::finish(Job& job, RunOutcome outcome) {
  const AttemptId attempt = job.attempt;
  const std::uint64_t life = job.life;
  job = {};  // lets go of layer and inputs before the end is told
  switch (outcome.kind) {
    case RunOutcome::Kind::kFinished:
      return deliver(life, KernelFinished{attempt, std::move(outcome.outputs), outcome.need, outcome.compute_ns});
    case RunOutcome::Kind::kFailed:
      return deliver(life, KernelFailed{attempt, std::move(*outcome.error), outcome.compute_ns});
    case RunOutcome::Kind::kNeedsMore:
      return deliver(life, KernelNeeds{attempt, outcome.need});
  }
}

void Executor::deliver(std::uint64_t life, Event event) {
  bool first = false;
  {
    const std::lock_guard lock(done_mutex_);
    if (life < first_life_) return;
    first = done_.empty();
    if (life == life_) {
      done_.push_back(std::move(event));
    } else {
      done_.emplace_back(orphan_of(life, std::move(event)));
    }
  }
  if (first) notify_();
}

bool Executor::note_time(Slot& slot, RunOutcome& outcome) {
  const std::lock_guard lock(mutex_);
  if (slot.given_up) return false;
  if (slot.over_time) {
    outcome.kind = RunOutcome::Kind::kFailed;
    outcome.outputs.clear();
    outcome.error = std::make_unique<ErrorInfo>(over_time(slot.limit));
  }
  slot.limit = {};  // its end is decided
  return true;
}

Executor::Overdue Executor::check_limits(std::chrono::nanoseconds grace) {
  Overdue overdue;
  std::vector<std::pair<std::uint64_t, Event>> failed;
  {
    const std::lock_guard lock(mutex_);
    overdue.limited =
        std::any_of(queue_.begin(), queue_.end(), [](const Job& job) { return job.layer->time_limit().count() != 0; });
    const auto now = std::chrono::steady_clock::now();
    for (const auto& slot : slots_) {
      if (!slot->running || slot->limit.count() == 0 || slot->given_up) continue;
      overdue.limited = true;
      const std::chrono::nanoseconds taken = now - slot->since;
      if (taken < slot->limit) continue;
      slot->over_time = true;
      slot->cancelled.store(true, std::memory_order_relaxed);
      if (taken - slot->limit < grace) continue;
      slot->given_up = true;
      slot->executing->store(0, std::memory_order_relaxed);  // nobody's task any more
      ++overdue.stuck;
      failed.emplace_back(
          slot->life, KernelFailed{slot->attempt, over_time(slot->limit), static_cast<std::uint64_t>(taken.count())});
    }
  }
  for (auto& [life, event] : failed) deliver(life, std::move(event));
  return overdue;
}

}  // namespace tegula::worker
