// The threads that run kernels. Jobs go in in the order in which they should begin; what they ended with is collected
// and handed over in batches.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "src/buffer.h"
#include "worker/core/events.h"
#include "worker/layer_run.h"

namespace tegula::worker {

struct Vitals;

struct Job {
  AttemptId attempt{};
  TaskId task{};
  std::shared_ptr<LayerRun> layer;
  TaskInputsPtr inputs;
  std::uint64_t granted = 0;
  std::uint64_t life = 0;  // the executor's to fill in
};

class Executor {
 public:
  // What a thread does that has no job.
  struct Idling {
    // It looks out for jobs for so long before it parks; not at all where threads are more than cores.
    std::chrono::nanoseconds spin{0};
    std::function<void()> meanwhile;  // called every microsecond or so; may be empty
  };

  // `notify` is called on a compute thread when there is something to collect after there was nothing: once until
  // collect() is called. It may submit; when it returns, its thread takes the next job. The threads have all signals
  // blocked and are named `name`-0, `name`-1, ... What they execute is written into `vitals` when there are any.
  Executor(unsigned threads, const std::string& name, std::shared_ptr<BufferPool> pool, std::function<void()> notify,
           Idling idling, Vitals* vitals = nullptr);
  // Drops what has not begun, asks running kernels to stop and waits for them. Not within `notify` or `meanwhile`.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Takes the jobs out of the vector and leaves it empty.
  void submit(std::vector<Job>& jobs);
  // True when the attempt had not begun: it is gone then. Else, with `cancel`, its kernel is asked to stop; its end
  // comes as always.
  bool recall(AttemptId attempt, bool cancel);
  // What the threads run right now.
  std::vector<AttemptId> running();
  // The ends of jobs since the last call: KernelFinished, KernelFailed, KernelNeeds, OrphanEnded.
  void collect(std::vector<Event>& events);
  // Ends a life and begins another: what has not begun is dropped, what runs goes on and ends as OrphanEnded. Appends
  // the ends that were not collected yet to `ended`.
  Rejoin begin_life(std::vector<Event>& ended);
  // Drops what has not begun and asks what runs to stop; what it ends with, and what was not collected yet, is for
  // nobody. Does not wait: attempts submitted later queue behind kernels that still run.
  void abandon_all();
  // Asks kernels to stop whose task has had its time. Such a task fails, however its kernel ends; when that has not
  // happened `grace` later, the task fails without it, and the thread is lost until it does.
  struct Overdue {
    bool limited = false;  // there is a job with a limit
    unsigned stuck = 0;    // threads lost since the last call
  };
  Overdue check_limits(std::chrono::nanoseconds grace);
  unsigned threads() const { return static_cast<unsigned>(threads_.size()); }

 private:
  // One compute thread's own.
  struct Slot {
    AttemptId attempt{};     // that it runs; guarded by mutex_
    std::uint64_t life = 0;  // of the attempt; guarded by mutex_
    bool running = false;    // guarded by mutex_
    std::atomic<bool> cancelled{false};
    // Of a job with a time limit; guarded by mutex_.
    std::chrono::nanoseconds limit{0};
    std::chrono::steady_clock::time_point since{};
    bool over_time = false;
    bool given_up = false;                            // the task has failed already
    std::atomic<std::uint64_t> own{0};                // where there is no nanny to look
    std::atomic<std::uint64_t>* executing = nullptr;  // for the nanny; written under mutex_ but when a kernel ends
  };

  void work(Slot& slot);
  bool take(Slot& slot, Job& job);  // waits; false: the end
  void finish(Job& job, RunOutcome outcome);
  bool look_out(std::chrono::steady_clock::time_point until) const;  // whether there were jobs
  void park(std::unique_lock<std::mutex>& lock);
  bool note_time(Slot& slot, RunOutcome& outcome);  // false: the task has failed already
  void deliver(std::uint64_t life, Event event);

  const std::shared_ptr<BufferPool> pool_;
  const std::function<void()> notify_;
  const Idling idling_;

  // A thread runs a kernel, is idle or is parked. Idle ones look at the queue before they park, so a job needs a parked
  // thread woken only when there are more jobs than idle threads.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  unsigned parked_ = 0;
  unsigned called_ = 0;            // of the idle: to be woken, but not awake yet
  std::atomic<unsigned> idle_{0};  // grows without the lock when a kernel ends
  bool stopping_ = false;
  std::atomic<std::size_t> queued_{0};  // queue_.size(), to look at without the lock

  std::mutex done_mutex_;
  std::vector<Event> done_;
  // Attempt numbers may come again in another life of the scheduler, so what ends is told apart by this. What is of a
  // life before first_life_ is for nobody. Written under both locks.
  std::uint64_t life_ = 0, first_life_ = 0;

  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::thread> threads_;
};

}  // namespace tegula::worker
