// A scheduler and workers of this process that speak TCP, on a loop of the test's own.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/make_loop.h"
#include "comm/transport.h"
#include "scheduler/server.h"
#include "worker/server.h"

namespace tegula::test {

class TcpCluster {
 public:
  explicit TcpCluster(unsigned workers, scheduler::SchedulerOptions options = {})
      : loop_(client::make_loop("cluster")), options_(std::move(options)) {
    options_.listen_addresses = {"tcp://127.0.0.1:0"};
    loop_->run_and_wait([&] { scheduler_ = std::make_unique<scheduler::SchedulerServer>(*loop_, options_); });
    options_.listen_addresses = {address()};
    for (unsigned i = 0; i < workers; ++i) add_worker();
  }
  ~TcpCluster() {
    loop_->run_and_wait([this] {
      workers_.clear();
      scheduler_.reset();
    });
  }
  TcpCluster(const TcpCluster&) = delete;
  TcpCluster& operator=(const TcpCluster&) = delete;

  const std::string& address() const { return scheduler_->contact_address(); }
  std::uint16_t port() const { return parse_address(address()).port; }

  void add_worker() {
    struct Joined {
      std::mutex mutex;
      std::condition_variable changed;
      bool yes = false;
    };
    auto joined = std::make_shared<Joined>();
    loop_->run_and_wait([&] {
      worker::WorkerOptions options;
      options.scheduler_address = address();
      options.threads = 1;
      workers_.push_back(std::make_unique<worker::WorkerServer>(*loop_, options));
      workers_.back()->on_registered = [joined] {
        std::lock_guard lock(joined->mutex);
        joined->yes = true;
        joined->changed.notify_all();
      };
      workers_.back()->start();
    });
    std::unique_lock lock(joined->mutex);
    joined->changed.wait(lock, [&] { return joined->yes; });
  }
  // As a crash looks to the others: connections end without a word.
  void kill_worker() {
    loop_->run_and_wait([this] { workers_.erase(workers_.begin()); });
  }
  // Killed, and another life of it begins at the same address.
  void restart_scheduler() {
    loop_->run_and_wait([this] {
      scheduler_.reset();
      scheduler_ = std::make_unique<scheduler::SchedulerServer>(*loop_, options_);
    });
  }
  void stop_scheduler(const std::string& reason) {
    loop_->run_and_wait([&] { scheduler_->stop(reason, [] {}); });
  }
  void kill_scheduler() {
    loop_->run_and_wait([this] { scheduler_.reset(); });
  }
  scheduler::Snapshot snapshot() {
    scheduler::Snapshot snapshot;
    loop_->run_and_wait([&] { snapshot = scheduler_->snapshot(); });
    return snapshot;
  }

 private:
  std::shared_ptr<EventLoop> loop_;
  scheduler::SchedulerOptions options_;
  std::unique_ptr<scheduler::SchedulerServer> scheduler_;
  std::vector<std::unique_ptr<worker::WorkerServer>> workers_;
};

}  // namespace tegula::test
