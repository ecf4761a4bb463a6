// Tells the scheduler how worker processes ended, over short connections of the nanny's own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "comm/event_loop.h"
#include "comm/transport.h"

namespace tegula::worker {

// Where the scheduler is, and the token by which it knows its own.
struct SchedulerTarget {
  std::string address;
  std::string token;
  std::string file;  // that both are from, or ""
};

// Everything on the event loop.
class DeathReporter {
 public:
  // `find` is asked before each report, since a scheduler may come back elsewhere; what it throws is logged.
  DeathReporter(EventLoop& loop, CommOptions comm, std::function<SchedulerTarget()> find);
  ~DeathReporter();
  DeathReporter(const DeathReporter&) = delete;
  DeathReporter& operator=(const DeathReporter&) = delete;

  // To the scheduler of that life only: attempts have other meanings for others. One that cannot be reached does not
  // hear of it, and guesses.
  void report(msg::WorkerDied died, Incarnation incarnation);
  bool busy() const { return !reports_.empty(); }
  std::function<void()> on_idle;  // the last report is out, or has failed

 private:
  struct Report {
    ConnectionPtr connection;
    std::unique_ptr<EventLoop::Timer> timer;
  };
  void end(std::uint64_t number);

  EventLoop& loop_;
  const CommOptions comm_;
  const std::function<SchedulerTarget()> find_;
  std::map<std::uint64_t, Report> reports_;
  std::uint64_t last_report_ = 0;
  std::shared_ptr<DeathReporter*> self_;  // for handlers that may outlive this
};

}  // namespace tegula::worker
