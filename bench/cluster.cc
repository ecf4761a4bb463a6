#include "bench/cluster.h"

#include <unistd.h>

#include <algorithm>
#include <string>

#include "bench/process.h"

namespace tegula::bench {
namespace {

std::string this_host() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace

Cluster::Cluster(const Options& options) : scheduler_(options.scheduler) {
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

std::unique_ptr<Client> Cluster::another_client(const std::string& name) const {
  ClientOptions how;
  how.name = name;
  if (local_) return std::make_unique<Client>(*local_, how);
  return std::make_unique<Client>(scheduler_.empty() ? client_->scheduler_address() : scheduler_, how);
}

unsigned Cluster::threads() {
  unsigned threads = 0;
  for (const WorkerStatus& worker : client_->status().workers) threads += worker.threads;
  return threads;
}

std::uint64_t Cluster::peak_rss_bytes() {
  std::uint64_t peak = peak_resident_bytes(getpid());
  const std::string host = this_host();
  for (const WorkerStatus& worker : client_->status().workers) {
    if (worker.host == host) peak = std::max(peak, peak_resident_bytes(static_cast<int>(worker.pid)));
  }
  return peak;
}

}  // namespace tegula::bench
