#include "worker/idle_thread.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <chrono>

namespace tegula::worker {

IdleThread::IdleThread() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "idle");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

IdleThread::~IdleThread() {
  stop_ = true;
  thread_.join();
}

void IdleThread::run() {
  prctl(PR_SET_TIMERSLACK, 1);  // ns; by default the kernel may add 50 us to a sleep
  while (!stop_) {
    const auto wanted = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    std::this_thread::sleep_until(wanted);
    const auto late = std::chrono::steady_clock::now() - wanted;
    const std::lock_guard lock(mutex_);
    lateness_.add(late);
  }
}

Durations IdleThread::lateness() const {
  const std::lock_guard lock(mutex_);
  return lateness_;
}

}  // namespace tegula::worker
