// What the turns of an event loop take (EventLoop::watch_turns), for whoever suspects that one holds up the others.
#pragma once

#include <chrono>
#include <cstdint>

#include "src/durations.h"

namespace tegula {

// Used by whoever has the turn, so it needs no lock.
class TurnWatch {
 public:
  using Time = std::chrono::nanoseconds;
  static constexpr Time kLong = std::chrono::milliseconds(10);

  // Around a turn, on the thread that runs it. A turn that ends without end() (by an exception) is not counted.
  void begin();
  void end();

  const Durations& wall() const { return wall_; }
  Time longest_cpu() const { return longest_cpu_; }     // of a turn, by the thread that ran it
  std::uint64_t long_cpu() const { return long_cpu_; }  // turns of more than kLong
  // The turn's own time: without that in which its thread was ready to run and had no processor. What remains is CPU
  // and waiting in blocking calls. Where the kernel doesn't say how long that was, all of the time counts.
  Time longest_own() const { return longest_own_; }
  std::uint64_t long_own() const { return long_own_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Account {
    Time cpu{0}, ready{0};
  };
  static Account account();  // of the calling thread

  Account before_;
  Clock::time_point begun_;
  bool in_turn_ = false;
  Durations wall_;
  Time longest_cpu_{0}, longest_own_{0};
  std::uint64_t long_cpu_ = 0, long_own_ = 0;
};

}  // namespace tegula
