// How often the kernel has killed somebody for want of memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>

namespace tegula::worker {

// Counts of processes killed, taken before and after a death to tell what was the cause. The control group's count (v2:
// memory.events, v1: memory.oom_control) where it can be read, else the machine's (/proc/vmstat).
// The roots are for tests.
class OomCounter {
 public:
  explicit OomCounter(std::filesystem::path proc = "/proc", std::filesystem::path cgroup = "/sys/fs/cgroup");
  // Nothing: it cannot be known here.
  std::optional<std::uint64_t> kills() const;

 private:
  std::filesystem::path proc_, cgroup_;
};

}  // namespace tegula::worker
