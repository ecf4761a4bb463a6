// How many attempts a worker wants bound to it: one per thread and a prefetch that covers the round trip to the
// scheduler. Long tasks need hardly any, tasks of microseconds many. The grant is cumulative, so it can only grow; it
// shrinks by answering without granting again.
#pragma once

#include <chrono>
#include <cstdint>

namespace tegula::worker {

class SlotCredit {
 public:
  explicit SlotCredit(unsigned threads);

  // A kernel took this long.
  void observe(std::chrono::nanoseconds duration);
  // Every thread is busy and nothing has ended for this long: tasks are at least that slow.
  void observe_silence(std::chrono::nanoseconds duration);

  std::uint64_t prefetch_per_thread() const { return prefetch_; }
  std::uint64_t wanted() const { return threads_ * (1 + prefetch_); }  // attempts held or on their way
  // Attempts that are handed to the executor at a time. Short tasks are handed ahead, so that no thread waits for the
  // loop between two.
  std::uint64_t executor_depth() const;
  std::chrono::nanoseconds typical_duration() const { return std::chrono::nanoseconds(typical_ns_); }

  std::uint64_t granted() const { return granted_; }
  // Raises the grant so that held attempts and open credit make up what is wanted. True when it grew.
  bool top_up(std::uint64_t held, std::uint64_t received);

 private:
  void update();

  std::uint64_t threads_;
  std::uint64_t prefetch_ = 1;
  std::uint64_t granted_;
  std::int64_t typical_ns_ = -1;  // -1: nothing measured
};

}  // namespace tegula::worker
