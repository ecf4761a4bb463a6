// The cluster that a benchmark runs on, as the command line asks for it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bench/options.h"
#include "tegula/tegula.h"

namespace tegula::bench {

class Cluster {
 public:
  explicit Cluster(const Options& options);  // throws what Client and LocalCluster throw
  Client& client() { return *client_; }
  // A session of its own with the same scheduler.
  std::unique_ptr<Client> another_client(const std::string& name) const;

  // The largest resident memory that this program and the workers that run on this machine have had so far; bytes
  // (VmHWM).
  std::uint64_t peak_rss_bytes();
  // Of the scheduler; 0 where it is no process of our own.
  int scheduler_pid() const { return local_ ? local_->scheduler_pid() : 0; }
  unsigned threads();  // of all workers

 private:
  std::string scheduler_;  // as given
  std::unique_ptr<LocalCluster> local_;
  std::unique_ptr<Client> client_;
};

}  // namespace tegula::bench
