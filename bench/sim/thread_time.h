// Processor time of the calling thread: what work costs, however busy the machine is.
#pragma once

#include <time.h>

#include <chrono>

namespace tegula::sim {

inline std::chrono::nanoseconds thread_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace tegula::sim
