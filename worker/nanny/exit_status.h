// With what a worker process ends, and what its nanny makes of it.
#pragma once

namespace tegula::worker {

enum ExitStatus : int {
  kExitOrderly = 0,      // sent away by the scheduler, or asked to end
  kExitFailed = 1,       // not taken by the scheduler, or lost it for good: another process would fare no better
  kExitUsage = 2,        // wrong flag or configuration
  kExitUnexpected = 3,   // an error that nobody expected: another process may fare better
  kExitLifetime = 4,     // its lifetime is over
  kExitStuckThread = 5,  // gave up a thread whose kernel runs on beyond its time limit
};

}  // namespace tegula::worker
