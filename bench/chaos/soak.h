// Rounds of a job with a known answer, each with faults. What is asked of Tegula: the answer is right, nothing stays
// behind, nothing hangs.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tegula::chaos {

struct SoakOptions {
  unsigned rounds = 20;
  std::uint64_t seed = 1;
  unsigned workers = 3;
  std::int64_t size = 2000;                // of the job's square array; its chunks are a sixteenth of it
  std::vector<std::string> kinds;          // of faults; empty: all that this machine permits
  bool nanny = false;                      // workers under nannies, which start them again
  std::chrono::seconds round_timeout{60};  // a round that takes longer hangs
  std::string directory;                   // for logs, and what the scheduler knew when something was wrong
};

struct SoakFigures {
  std::uint64_t rounds = 0;
  std::map<std::string, std::uint64_t> faults;  // injected, by kind
  // That they struck: poisoned tasks that ended in their error, workers that the kernel killed for want of memory,
  // times a worker found its disk full, journals that a scheduler which was started again has read, workers that a
  // nanny has started again.
  std::uint64_t poisoned = 0, killed_for_memory = 0, disks_full = 0, journals_read = 0, nanny_restarts = 0;
  std::uint64_t wrong = 0;       // answers that are not the bits of a quiet cluster
  std::uint64_t failed = 0;      // jobs, and poisoned tasks, that did not end as they should
  std::uint64_t leaks = 0;       // rounds after which somebody still held something
  std::uint64_t hangs = 0;       // rounds that were not over in time; the first ends the soak
  std::uint64_t recomputed = 0;  // tasks
  std::uint64_t workers_lost = 0;
  double seconds = 0;
  std::vector<std::string> stories;            // one for each thing that was wrong
  std::map<std::string, std::string> without;  // what this machine does not permit, and why: its faults were left out

  bool good() const { return wrong + failed + leaks + hangs == 0; }
};

// Throws what a cluster that does not start throws, ValueError for kinds of faults that do not exist.
SoakFigures soak(const SoakOptions& options);

}  // namespace tegula::chaos
