#include "worker/executor.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <utility>

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
      if (slot->running && slot->attempt == attempt) slot->cancelled.store(true, std::memory_order_relaxed);
    }
  }
  return false;
}

std::vector<AttemptId> Executor::running() {
  std::vector<AttemptId> attempts;
  const std::lock_guard lock(mutex_);
  for (const auto& slot : slots_) {
    if (slot->running) attempts.push_back(slot->attempt);
  }
  return attempts;
}

void Executor::abandon_all() {
  std::deque<Job> dropped;
  std::vector<Event> ended;
  const std::scoped_lock lock(mutex_, done_mutex_);
  dropped.swap(queue_);
  ended.swap(done_);
  ++life_;
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
  slot.running = true;
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
    finish(job, std::move(outcome));
  }
}

void Executor::finish(Job& job, RunOutcome outcome) {
  const AttemptId attempt = job.attempt;
  const std::uint64_t life = job.life;
  job = {};  // lets go of layer and inputs before the end is told
  bool first = false;
  {
    const std::lock_guard lock(done_mutex_);
    if (life != life_) return;
    first = done_.empty();
    switch (outcome.kind) {
      case RunOutcome::Kind::kFinished:
        done_.emplace_back(KernelFinished{attempt, std::move(outcome.outputs), outcome.need, outcome.compute_ns});
        break;
      case RunOutcome::Kind::kFailed:
        done_.emplace_back(KernelFailed{attempt, std::move(*outcome.error), outcome.compute_ns});
        break;
      case RunOutcome::Kind::kNeedsMore:
        done_.emplace_back(KernelNeeds{attempt, outcome.need});
        break;
    }
  }
  if (first) notify_();
}

}  // namespace tegula::worker
