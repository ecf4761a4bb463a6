// The inside of an EventLoop, for the transports. Connections and listeners hold it by shared_ptr, so that it outlives
// the EventLoop itself; the io_context in it does not: whoever keeps asio objects registers as a resident and is told
// to let go of them first.
#pragma once

#include <asio/bind_executor.hpp>
#include <asio/execution/blocking.hpp>
#include <asio/execution/context.hpp>
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
#include <utility>
#include <vector>

#include "comm/event_loop.h"
#include "comm/turn_watch.h"

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

  // Asio's handlers run on the loop's thread, which waited for them without the turn: they take it first. An executor,
  // so that the steps within composed operations do so too.
  class InTurn {
   public:
    explicit InTurn(Impl& loop) : loop_(&loop) {}
    template <typename Handler>
    void execute(Handler&& handler) const {
      loop_->enter();
      std::forward<Handler>(handler)();
    }
    asio::execution_context& query(asio::execution::context_t) const noexcept { return *loop_->io_; }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
      return asio::execution::blocking.possibly;
    }
    bool operator==(const InTurn&) const noexcept = default;

   private:
    Impl* loop_;
  };

  struct TimerEntry {
    Work work;
    std::multimap<Clock::time_point, std::shared_ptr<TimerEntry>>::iterator position;
    bool queued = false;
  };

  Impl();

  asio::io_context& io() { return *io_; }
  // For every handler given to asio.
  template <typename Handler>
  auto in_turn(Handler handler) {
    return asio::bind_executor(InTurn(*this), std::move(handler));
  }
  bool in_loop() const { return holder_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
  bool running() const { return running_.load(std::memory_order_acquire); }

  void run();
  void about_to_run();  // before a thread that will run(): what waits for the loop from now on waits for that run
  void not_running();   // the opposite: whoever still waits is told
  void stop();
  void destroy();  // by ~EventLoop, after the thread has ended

  void post(Work work);
  void post_anywhere(Work work);
  void run_here_or_post(Work work);
  void help();
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
  TurnWatch& watch_turns();

 private:
  struct Posted {
    Work work;
    bool anywhere;
    bool by_lender;  // by a thread that would have run it itself if it had got the turn
  };

  // Of the loop's own thread.
  void turn();
  void enter();          // waits for the turn, unless this thread has it
  bool leave_to_wait();  // gives the turn up; false, with the turn kept: there is something to do
  void run_due_timers();
  // Of a thread that lends itself, and has the turn.
  void lend();
  bool leave_lent(int rounds);  // false, with the turn kept: there is more to do

  bool put(Posted posted);  // whether the calling thread has got the turn
  bool may_lend() const;    // mutex_ is held
  void wake();              // the loop's own thread; mutex_ is held
  void run_posted(bool lent);
  void run_end_of_turn();
  void wait_for_signal();

  std::unique_ptr<asio::io_context> io_;
  std::unique_ptr<asio::executor_work_guard<asio::io_context::executor_type>> guard_;
  std::unique_ptr<asio::signal_set> signals_;
  std::function<void(int)> signal_handler_;

  std::atomic<bool> running_{false};
  std::atomic<bool> stop_{false};
  // Who has the turn. Written under mutex_; a thread knows without whether it is itself.
  std::atomic<std::thread::id> holder_{};

  // Of whoever has the turn.
  std::vector<Work> end_of_turn_;
  std::multimap<Clock::time_point, std::shared_ptr<TimerEntry>> timers_;
  std::exception_ptr failure_;        // thrown by work on a thread that lent itself: run() throws it
  std::unique_ptr<TurnWatch> watch_;  // null: nobody wants to know

  // Nobody has the turn, and what is posted has been left to the threads that lend themselves. Written under mutex_.
  std::atomic<bool> left_to_lenders_{false};

  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;  // a run_and_wait is done, or run() has returned
  std::condition_variable turn_free_;
  std::vector<Posted> posted_;
  std::thread::id own_thread_{};
  bool own_thread_waits_ = false;                            // for the turn: it is the next to have it
  bool wake_sent_ = false;                                   // to the own thread, which has not taken the turn since
  Clock::time_point wait_until_ = Clock::time_point::max();  // how long the own thread waits at most
  bool exited_ = false;                                      // run() has returned and not been called again
  bool dead_ = false;
  std::unordered_map<LoopResident*, std::weak_ptr<LoopResident>> residents_;

 public:
  std::thread thread;  // of start()
};

}  // namespace tegula
