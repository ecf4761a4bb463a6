// An event loop: one thread runs everything posted to it, so what lives on a loop needs no lock. The core of a process,
// its connections and timers live on one loop. Thin wrapper over asio::io_context, which stays out of this header.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tegula {

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
  bool in_loop() const;  // is the calling thread the loop's?

  // From any thread: run `work` on the loop, in order of posting, never inside this call.
  void post(std::function<void()> work);
  // On the loop: run `work` once, after everything that is ready now. The hook for batching: whatever this turn queued
  // is flushed in one go.
  void at_end_of_turn(std::function<void()> work);
  // Runs `work` on the loop and waits for it (directly when called on the loop); exceptions come back to the caller.
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

  struct Impl;
  Impl& impl() { return *impl_; }  // for comm/ only

 private:
  std::shared_ptr<Impl> impl_;  // connections keep it, so that posting to a loop that is gone is harmless
};

}  // namespace tegula
