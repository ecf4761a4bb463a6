// Looks after worker processes: starts them, starts them again when they die, ends the ones that hang or that eat the
// machine's memory, and ends with them. It runs no kernel and holds no result, so little can happen to it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "comm/transport.h"
#include "worker/nanny/reporter.h"
#include "worker/nanny/restart_policy.h"
#include "worker/nanny/worker_process.h"

namespace tegula::worker {

struct NannyOptions {
  std::vector<ProcessSpec> workers;
  std::function<SchedulerTarget()> find_scheduler;  // for reports of deaths; empty: there are none
  CommOptions comm;
  RestartOptions restart;
  Duration hang_timeout{0};   // a worker whose event loop has not run for this long is killed; 0: never
  Duration drain_timeout{0};  // that a worker has to end in order when it is asked to
  Duration last_patience = std::chrono::seconds(5);  // beyond that, until it is killed
  std::uint64_t memory_limit = 0;                    // of each worker, bytes; 0: none
  double terminate_fraction = 0;  // of it: a worker is killed when more is resident, because of its kernels; 0: never
};

// Starts the workers and returns when all have ended for good. SIGTERM and SIGINT ask them to end (SIGINT: soon; a
// second signal: at once); who has not ended when its time is up is killed. Workers never outlive this process. Returns
// 0 when all ended in order, else the first other status. To be called on the main thread.
int run_nanny(NannyOptions options);

}  // namespace tegula::worker
