// A process that a nanny looks after.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "worker/nanny/vitals.h"

namespace tegula::worker {

struct ProcessSpec {
  std::string name;
  std::vector<std::string> arguments;    // of this program; "--supervised FD" is added
  std::vector<std::string> environment;  // "NAME=value", beside what this process has; the last of a name counts
  std::vector<unsigned> cpus;            // empty: any
  std::uint64_t nanny = 0;               // by which the scheduler knows whose worker it is
};

class WorkerProcess {
 public:
  // Starts this program anew. It dies with the calling thread, is out of reach of the terminal's signals, and has
  // vitals of its own. Throws Error(kInternal). `life`: the how manieth it is.
  WorkerProcess(const ProcessSpec& spec, std::uint32_t life);
  ~WorkerProcess();  // SIGKILL when it still runs; reaped
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  pid_t pid() const { return pid_; }
  Vitals& vitals() const { return *shared_; }
  std::int64_t started() const { return started_; }  // steady clock, ns
  std::optional<int> poll();                         // its wait status once it has ended
  void signal(int number) const;
  std::uint64_t resident_bytes() const;  // 0: it has ended
  bool stopped() const;                  // by a signal or a debugger

 private:
  SharedVitals shared_;
  pid_t pid_ = -1;
  std::int64_t started_ = 0;
  std::optional<int> wait_status_;
};

}  // namespace tegula::worker
