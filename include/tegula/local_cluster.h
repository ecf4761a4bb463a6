// A scheduler and workers on this machine, for as long as the object lives. Its workers have no nanny: one that dies is
// not started again (add_worker() does that), and worker_pids() are the processes that compute.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tegula/error.h"

namespace tegula {

struct LocalClusterOptions {
  unsigned workers = 0;             // 0: processes: one per core, in-process: one
  unsigned threads_per_worker = 0;  // 0: cores / workers, at least one
  bool processes = true;            // daemon processes over TCP on loopback; false: threads of this process over inproc
  std::string memory_limit = "auto";  // per worker: "512MiB", "auto" (machine or cgroup / workers), "none"
  std::string resources;              // that each worker has for tasks to occupy: "GPU=1,LICENSE=0.5"
  // For workers' files; "": a fresh directory in $TMPDIR, removed at the end. What a killed program could not remove of
  // that, the next cluster of the same user does.
  std::string local_directory;
  std::string program_directory;  // where tegula-scheduler and tegula-worker are; "": beside this program, then beside
                                  // the library, then $PATH
  std::vector<std::string> worker_arguments;  // appended to each tegula-worker command line
  std::chrono::nanoseconds start_timeout = std::chrono::seconds(30);
};

class LocalCluster {
 public:
  // Returns when every worker has joined. Throws ConnectionError (with the daemons' last log lines) or TimeoutError;
  // nothing is left running.
  explicit LocalCluster(const LocalClusterOptions& options = {});
  ~LocalCluster();  // close()
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;

  void close();  // orderly, then by force after a few seconds; every process is reaped
  std::string scheduler_address() const;
  std::string token() const;
  std::vector<int> worker_pids() const;  // empty for in-process clusters
  int scheduler_pid() const;             // 0 for in-process clusters
  void add_worker();                     // starts one more and waits until it has joined

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tegula
