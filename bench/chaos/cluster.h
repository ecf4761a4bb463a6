// The cluster that faults are injected into: a scheduler and workers, each a process that can be killed, stopped and
// started again, and, where this machine permits it, on a host of its own in a network that can be cut.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/chaos/network.h"
#include "client/local/processes.h"
#include "tegula/client.h"

namespace tegula::chaos {

class Cluster {
 public:
  // Returns when all workers have joined. `network`: on hosts of their own (throws NetworkUnavailable). `directory`
  // keeps the logs; "": a private one, removed at the end.
  Cluster(unsigned workers, bool network, const std::string& directory);
  ~Cluster();  // everything is killed and reaped

  unsigned workers() const { return static_cast<unsigned>(workers_.size()); }
  bool has_network() const { return network_.has_value(); }
  Network& network() { return *network_; }
  static unsigned host_of_worker(unsigned worker) { return worker + 2; }
  static constexpr unsigned kClientHost = 0, kSchedulerHost = 1;

  Client connect(const std::string& name) const;
  void signal_worker(unsigned worker, int number);
  void restart_worker(unsigned worker);  // started again where it runs no more
  // Starts those again that run no more; the story of one that had not been killed, "": there was none.
  std::string restart_ended();
  void signal_scheduler(int number);
  // Nothing is stopped or cut any more; whoever was away has yet to come back.
  void mend();
  bool complete(Client& client) const;  // all workers are there

  std::string log_directory() const { return directory_; }

 private:
  std::unique_ptr<client::Child> start(const std::string& name, unsigned host, std::vector<std::string> command);
  void start_worker(unsigned worker);
  std::string file() const { return directory_ + "/scheduler.json"; }

  std::optional<client::PrivateDirectory> own_directory_;
  std::string directory_;
  std::string scheduler_program_, worker_program_;
  std::optional<Network> network_;
  client::Spawner spawner_;
  std::unique_ptr<client::Child> scheduler_;
  std::vector<std::unique_ptr<client::Child>> workers_;
  std::vector<bool> killed_;  // workers that may be found dead
};

}  // namespace tegula::chaos
