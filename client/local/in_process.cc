#include "client/local/in_process.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "scheduler/server.h"
#include "tegula/error.h"
#include "worker/limits.h"
#include "worker/server.h"

namespace tegula::client {

namespace {

// What becomes of a worker that starts; shared with the loop.
struct Start {
  std::mutex mutex;
  std::condition_variable changed;
  bool joined = false;
  std::optional<std::string> failure;
};

}  // namespace

InProcessCluster::InProcessCluster(std::shared_ptr<EventLoop> loop, const Config& config, InProcessOptions options)
    : loop_(std::move(loop)), config_(config), options_(std::move(options)) {
  loop_->run_and_wait([this] {
    scheduler::SchedulerOptions scheduler_options = scheduler::scheduler_options(config_);
    scheduler_options.listen_addresses = {"inproc://"};
    scheduler_options.idle_timeout = {};
    scheduler_ = std::make_unique<scheduler::SchedulerServer>(*loop_, std::move(scheduler_options));
    address_ = scheduler_->contact_address();
  });
  try {
    for (unsigned i = 0; i < options_.workers; ++i) add_worker();
  } catch (...) {
    end();
    throw;
  }
}

void InProcessCluster::add_worker() {
  worker::WorkerOptions options = worker::worker_options(config_, options_.workers);
  options.scheduler_address = address_;
  options.threads = options_.threads_per_worker != 0
                        ? options_.threads_per_worker
                        : std::max(1u, worker::usable_cores() / std::max(1u, options_.workers));
  // What the configuration says of names and addresses is meant for daemons.
  options.name.clear();
  options.listen_address.clear();
  options.contact_address.clear();

  auto start = std::make_shared<Start>();
  loop_->run_and_wait([&] {
    auto server = std::make_unique<worker::WorkerServer>(*loop_, options);
    server->on_registered = [start] {
      std::lock_guard lock(start->mutex);
      start->joined = true;
      start->changed.notify_all();
    };
    server->on_exit = [start](const worker::WorkerExit& exit) {
      std::lock_guard lock(start->mutex);
      start->failure = exit.reason;
      start->changed.notify_all();
    };
    server->start();
    workers_.push_back(std::move(server));
  });
  std::unique_lock lock(start->mutex);
  const bool over =
      start->changed.wait_for(lock, options_.start_timeout, [&] { return start->joined || start->failure; });
  if (start->failure) throw ConnectionError("a worker in this process ended: " + *start->failure);
  if (!over) throw TimeoutError("a worker in this process did not join its scheduler in time");
}

InProcessCluster::~InProcessCluster() { end(); }

void InProcessCluster::end() {
  const auto destroy = [this] {
    workers_.clear();
    if (scheduler_) scheduler_->stop("the cluster was closed", [] {});  // clients need not look for it
    scheduler_.reset();
  };
  try {
    loop_->run_and_wait(destroy);
  } catch (const ClosedError&) {
    destroy();  // the loop has ended before
  }
}

}  // namespace tegula::client
