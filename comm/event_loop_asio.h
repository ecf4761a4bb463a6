// The inside of an EventLoop, for the transports. Connections and listeners hold it by shared_ptr, so that it outlives
// the EventLoop itself; the io_context in it does not: whoever keeps asio objects registers as a resident and is told
// to let go of them first.
#pragma once

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "comm/event_loop.h"

namespace tegula {

// Something that keeps asio objects of a loop.
class LoopResident {
 public:
  // The loop is being destroyed, its thread has ended: destroy every asio object now and call nobody.
  virtual void loop_gone() = 0;

 protected:
  ~LoopResident() = default;
};

struct EventLoop::Impl : std::enable_shared_from_this<EventLoop::Impl> {
  using Clock = std::chrono::steady_clock;
  using Work = std::function<void()>;

  struct TimerEntry {
    Work work;
    std::multimap<Clock::time_point, std::shared_ptr<TimerEntry>>::iterator position;
    bool queued = false;
  };

  Impl();

  asio::io_context& io() { return *io_; }
  bool in_loop() const { return thread_id_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
  bool running() const { return running_.load(std::memory_order_acquire); }

  void run();
  void about_to_run();  // before a thread that will run(): what waits for the loop from now on waits for that run
  void not_running();   // the opposite: whoever still waits is told
  void stop();
  void destroy();  // by ~EventLoop, after the thread has ended

  void post(Work work);
  // At once when called on the loop or while no thread runs it, else posted.
  void dispatch(Work work);
  // Runs `work` on the loop and waits, or at once when no thread runs the loop: for destructors of what the loop uses.
  void finish_on_loop(const Work& work);
  void at_end_of_turn(Work work) { end_of_turn_.push_back(std::move(work)); }
  void run_and_wait(const Work& work);

  std::unique_ptr<EventLoop::Timer> after(std::chrono::nanoseconds delay, Work work);
  void cancel(TimerEntry& entry);

  void add_resident(LoopResident* key, std::weak_ptr<LoopResident> resident);
  void remove_resident(LoopResident* key);

  void on_signals(const std::vector<int>& signals, std::function<void(int)> handler);

 private:
  void turn();
  bool has_posted();
  void run_due_timers();
  void run_posted();
  void run_end_of_turn();
  void wait_for_signal();

  std::unique_ptr<asio::io_context> io_;
  std::unique_ptr<asio::executor_work_guard<asio::io_context::executor_type>> guard_;
  std::unique_ptr<asio::signal_set> signals_;
  std::function<void(int)> signal_handler_;

  std::atomic<std::thread::id> thread_id_{};
  std::atomic<bool> running_{false};
  std::atomic<bool> stop_{false};

  // Loop thread only.
  std::vector<Work> end_of_turn_;
  std::multimap<Clock::time_point, std::shared_ptr<TimerEntry>> timers_;

  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;  // a run_and_wait is done, or run() has returned
  std::vector<Work> posted_;
  bool wake_sent_ = false;
  bool exited_ = false;  // run() has returned and not been called again
  bool dead_ = false;
  std::unordered_map<LoopResident*, std::weak_ptr<LoopResident>> residents_;

 public:
  std::thread thread;  // of start()
};

}  // namespace tegula
