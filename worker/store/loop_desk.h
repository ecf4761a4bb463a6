// Posts to an event loop from places that may outlive it, as handles do that were given to others.
#pragma once

#include <functional>
#include <mutex>
#include <utility>

#include "comm/event_loop.h"

namespace tegula::worker {

class LoopDesk {
 public:
  explicit LoopDesk(EventLoop& loop) : loop_(&loop) {}
  // From any thread. What is posted after close() is dropped.
  void post(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (loop_ != nullptr) loop_->post(std::move(work));
  }
  void close() {
    const std::lock_guard lock(mutex_);
    loop_ = nullptr;
  }

 private:
  std::mutex mutex_;
  EventLoop* loop_;
};

}  // namespace tegula::worker
