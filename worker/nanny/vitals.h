// Memory that a worker process and its nanny both have mapped. The worker writes into it without asking anybody, so the
// nanny finds there what was going on when the process had no time for last words.
//
// Every field has one writer. The nanny reads a field of a process that died, or believes one that may be stale: each
// is good by itself, and none says anything about another.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "src/ids.h"

namespace tegula::worker {

// What the nanny wants of the worker; it only ever rises.
enum class Order : std::uint32_t { kNone, kDrain, kHurry, kLeave };
inline constexpr std::chrono::nanoseconds kHurryTime = std::chrono::seconds(5);  // for an orderly end in a hurry

struct Vitals {
  static constexpr std::size_t kMostThreads = 4096;
  struct alignas(64) Slot {                 // a line of the cache each: written for every task
    std::atomic<std::uint64_t> attempt{0};  // that the compute thread executes; 0: none
  };

  // ---- by the worker ----
  std::atomic<std::int64_t> beat{0};            // when its event loop ran last: steady clock, ns
  std::atomic<std::uint64_t> incarnation{0};    // of the scheduler that numbered the attempts; 0: never joined
  std::atomic<std::uint64_t> own_bytes{0};      // of results, and reserved for tasks
  std::atomic<std::uint64_t> initial_bytes{0};  // resident when it joined first
  std::atomic<std::uint32_t> ending{0};         // ends because it wants to
  std::array<Slot, kMostThreads> slots;
  // ---- by the nanny ----
  alignas(64) std::atomic<Order> order{Order::kNone};
  std::uint64_t nanny = 0;  // these two before the worker starts
  std::uint32_t life = 0;

  std::vector<AttemptId> executing() const;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<Order>::is_always_lock_free);

// The mapping. Neither side can make the other fault: its size is sealed.
class SharedVitals {
 public:
  SharedVitals();                           // fresh. Throws Error(kInternal)
  explicit SharedVitals(int inherited_fd);  // of the nanny; closes it. Throws ConfigError: it is no such mapping
  ~SharedVitals();
  SharedVitals(const SharedVitals&) = delete;
  SharedVitals& operator=(const SharedVitals&) = delete;

  Vitals& operator*() const { return *vitals_; }
  Vitals* operator->() const { return vitals_; }
  int fd() const { return fd_; }  // close-on-exec

 private:
  void map();
  int fd_ = -1;
  Vitals* vitals_ = nullptr;
};

std::int64_t steady_ns();

}  // namespace tegula::worker
