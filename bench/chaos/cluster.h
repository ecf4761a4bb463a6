// The cluster that faults are injected into: a scheduler and workers, each a process that can be killed, stopped and
// started again, and, where this machine permits it, on a host of its own in a network that can be cut, with a disk
// that can be filled up, and in a control group with little memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/chaos/memory_group.h"
#include "bench/chaos/network.h"
#include "bench/chaos/small_disk.h"
#include "client/local/processes.h"
#include "tegula/client.h"

namespace tegula::chaos {

// What a fault may need.
enum class Means { kNothing, kNetwork, kSmallDisk, kMemoryGroups, kNanny };
std::string_view name_of(Means means);

struct ClusterOptions {
  unsigned workers = 3;
  bool nanny = false;              // workers are started again by their nannies, not by the bench
  std::string directory;           // keeps the logs; "": a private one, removed at the end
  std::uint64_t memory_limit = 0;  // of a worker; 0: the default
  std::uint64_t disk_bytes = 0;    // of the disk that all workers spill to; 0: they have none of their own
  std::uint64_t group_bytes = 0;   // of each worker's control group; 0: none
};

class Cluster {
 public:
  // Returns when all workers have joined. What this machine does not permit is left out.
  explicit Cluster(const ClusterOptions& options);
  ~Cluster();  // everything is killed and reaped

  unsigned workers() const { return static_cast<unsigned>(workers_.size()); }
  bool has(Means means) const;
  // Why not, of what was wanted.
  const std::map<Means, std::string>& without() const { return without_; }
  Network& network() { return *network_; }
  SmallDisk& disk() { return *disk_; }
  std::uint64_t group_bytes() const { return groups_.at(0)->bytes(); }
  static unsigned host_of_worker(unsigned worker) { return worker + 2; }
  static constexpr unsigned kClientHost = 0, kSchedulerHost = 1;

  Client connect(const std::string& name) const;  // by any thread
  // These return whether there was a process to be signalled.
  bool signal_worker(unsigned worker, int number);
  bool kill_nanny(unsigned worker);  // and its worker with it
  bool signal_scheduler(int number);
  bool kill_scheduler(bool same_port);  // and where the next one listens

  void restart_worker(unsigned worker);     // started again where it runs no more; its nanny where it has one
  void restart_those_out_of_memory();       // whom the kernel killed: these alone
  std::uint64_t killed_for_memory() const;  // how many it has killed so far
  // Starts everything again that runs no more; the story of what had not been killed, "": there was none.
  std::string restart_ended();

  void restart_scheduler();  // where it runs no more
  bool has_journal() const { return !journal_.empty(); }
  void use_journal(bool wanted);  // by another scheduler, if need be: one that knows nothing

  // Nothing is stopped, cut or full any more; whoever was away has yet to come back.
  void mend();
  bool complete(Client& client) const;  // all workers are there
  // How many lines of all logs so far have this text.
  std::uint64_t lines_with(const std::string& text) const;

 private:
  std::unique_ptr<client::Child> start(const std::string& name, unsigned host, std::vector<std::string> command);
  void start_scheduler();
  void wait_for_scheduler();
  void start_worker(unsigned worker);
  pid_t process_of(unsigned worker) const;  // that computes; 0: there is none now
  bool was_out_of_memory(unsigned worker) const;
  std::string file() const { return directory_ + "/scheduler.json"; }

  ClusterOptions options_;
  std::optional<client::PrivateDirectory> own_directory_;
  std::string directory_;
  std::string scheduler_program_, worker_program_;
  std::map<Means, std::string> without_;
  std::optional<Network> network_;
  std::optional<SmallDisk> disk_;
  std::vector<std::unique_ptr<MemoryGroup>> groups_;  // of each worker
  client::Spawner spawner_;
  std::unique_ptr<client::Child> scheduler_;
  std::string port_ = "0", journal_;
  unsigned journals_ = 0;
  bool scheduler_killed_ = false;
  std::vector<std::unique_ptr<client::Child>> workers_;
  std::vector<bool> killed_;                 // workers that may be found dead
  std::vector<std::uint64_t> memory_kills_;  // of their groups, when they were started
};

}  // namespace tegula::chaos
