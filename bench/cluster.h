// The cluster that a benchmark runs on, as the command line asks for it.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/options.h"
#include "tegula/tegula.h"

namespace tegula::bench {

class Cluster {
 public:
  explicit Cluster(const Options& options);  // throws what Client and LocalCluster throw
  Client& client() { return *client_; }

  // The largest resident memory that this program and the workers that run on this machine have had so far; bytes
  // (VmHWM).
  std::uint64_t peak_rss_bytes();

 private:
  std::unique_ptr<LocalCluster> local_;
  std::unique_ptr<Client> client_;
};

}  // namespace tegula::bench
