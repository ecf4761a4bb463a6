#include "bench/cluster.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace tegula::bench {
namespace {

// VmHWM of a process of this machine, 0 when there is none such.
std::uint64_t peak_of(std::uint64_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (status >> word) {
    if (word == "VmHWM:") {
      std::uint64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

std::string this_host() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace

Cluster::Cluster(const Options& options) {
  ClientOptions how;
  how.name = "tegula-bench";
  if (!options.scheduler.empty()) {
    client_ = std::make_unique<Client>(options.scheduler, how);
  } else if (options.in_process) {
    how.threads = options.workers * options.threads;
    client_ = std::make_unique<Client>(how);
  } else {
    LocalClusterOptions cluster;
    cluster.workers = options.workers;
    cluster.threads_per_worker = options.threads;
    cluster.memory_limit = options.memory_limit;
    local_ = std::make_unique<LocalCluster>(cluster);
    client_ = std::make_unique<Client>(*local_, how);
  }
}

std::uint64_t Cluster::peak_rss_bytes() {
  std::uint64_t peak = peak_of(static_cast<std::uint64_t>(getpid()));
  const std::string host = this_host();
  for (const WorkerStatus& worker : client_->status().workers) {
    if (worker.host == host) peak = std::max(peak, peak_of(worker.pid));
  }
  return peak;
}

}  // namespace tegula::bench
