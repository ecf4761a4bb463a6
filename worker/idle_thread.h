// A thread that does nothing but sleep for a millisecond at a time and see how late it wakes. What happens to it is
// what the machine does to any thread of this process, the event loop's too.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "src/durations.h"

namespace tegula::worker {

class IdleThread {
 public:
  IdleThread();
  ~IdleThread();
  IdleThread(const IdleThread&) = delete;
  IdleThread& operator=(const IdleThread&) = delete;

  Durations lateness() const;

 private:
  void run();

  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  Durations lateness_;
  std::thread thread_;
};

}  // namespace tegula::worker
