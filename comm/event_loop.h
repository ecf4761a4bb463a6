// An event loop: one thread at a time runs it, so what lives on a loop needs no lock. The core of a process, its
// connections and timers live on one loop. Thin wrapper over asio::io_context, which stays out of this header.
//
// What runs is a turn: something ready or posted, then the work at the end of the turn. The loop's own thread is the
// one of run() or start(): it waits for sockets, timers and posts without holding the turn. Other threads may lend
// themselves for a turn of what was posted (run_here_or_post), which saves them the hop to the loop's thread and back.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tegula {

class TurnWatch;

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();  // stops and joins the thread if start() was used
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void run();  // on the calling thread, until stop()
  // On a thread of its own with all signals blocked; the library installs no signal handlers
  void start(std::string name);
  void stop();           // from any thread; run() returns after the handler that runs now
  void join();           // waits for the thread of start()
  bool in_loop() const;  // does the calling thread run the loop now?

  // From any thread: run `work` on the loop's own thread, in order of posting, never inside this call.
  void post(std::function<void()> work);
  // The same, but it may run on a thread that lends itself. So it must not wait for other threads, nor destroy what
  // waits for them.
  void post_anywhere(std::function<void()> work);
  // post_anywhere(), and when nobody runs the loop now the calling thread does, for as long as there is work that may
  // run anywhere (and not for ever: after a few rounds the loop's thread goes on). When somebody does, that thread runs
  // `work`; nobody waits for anybody. Exceptions thrown by work come out of run(), on the loop's own thread.
  void run_here_or_post(std::function<void()> work);
  // By a thread that posted so and has nothing to do now: runs what was left to such threads. Cheap when there is none.
  void help();
  // On the loop: run `work` once, after everything that is ready now. The hook for batching: whatever this turn queued
  // is flushed in one go.
  void at_end_of_turn(std::function<void()> work);
  // Runs `work` on the loop's own thread and waits for it (directly when called on the loop); exceptions come back.
  // Throws ClosedError when the loop has stopped or goes away without having run it.
  void run_and_wait(const std::function<void()>& work);

  // A one-shot timer, cancelled when its handle is destroyed. On the loop only.
  class Timer {
   public:
    virtual ~Timer() = default;
  };
  [[nodiscard]] std::unique_ptr<Timer> after(std::chrono::nanoseconds delay, std::function<void()> work);

  // Runs `handler(signal)` on the loop when the process gets one of `signals`; several of one may come as one. For
  // daemons only. The second form: SIGINT, SIGTERM.
  void on_signals(const std::vector<int>& signals, std::function<void(int)> handler);
  void on_termination_signal(std::function<void(int)> handler);

  // From now on it is noted what turns take; the same watch for everybody. On the loop, or before it runs.
  TurnWatch& watch_turns();

  struct Impl;
  Impl& impl() { return *impl_; }  // for comm/ only

 private:
  std::shared_ptr<Impl> impl_;  // connections keep it, so that posting to a loop that is gone is harmless
};

}  // namespace tegula
