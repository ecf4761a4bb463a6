// A scheduler and workers in this process, over inproc://, on one event loop: a hop between threads is what costs most
// here, so only kernels run on threads of their own.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "comm/event_loop.h"
#include "src/config.h"

namespace tegula {

namespace scheduler {
class SchedulerServer;
}
namespace worker {
class WorkerServer;
}

namespace client {

struct InProcessOptions {
  unsigned workers = 1;
  unsigned threads_per_worker = 0;  // 0: cores / workers, at least one
  std::chrono::nanoseconds start_timeout = std::chrono::seconds(30);
};

class InProcessCluster {
 public:
  // What the options don't say is as the configuration has it for schedulers and workers. Returns when every worker has
  // joined. Throws ConfigError when no kernel library is found.
  InProcessCluster(std::shared_ptr<EventLoop> loop, const Config& config, InProcessOptions options);
  ~InProcessCluster();  // not on the loop
  InProcessCluster(const InProcessCluster&) = delete;
  InProcessCluster& operator=(const InProcessCluster&) = delete;

  const std::string& address() const { return address_; }
  void add_worker();

 private:
  void end();

  std::shared_ptr<EventLoop> loop_;
  const Config config_;
  const InProcessOptions options_;
  std::string address_;
  std::unique_ptr<scheduler::SchedulerServer> scheduler_;       // loop
  std::vector<std::unique_ptr<worker::WorkerServer>> workers_;  // loop
};

}  // namespace client
}  // namespace tegula
