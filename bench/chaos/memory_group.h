// A control group with little memory: who takes more in it is killed by the kernel, and nobody else is. Needs a memory
// controller (v1 or v2) in which this user may make groups.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/chaos/unavailable.h"

namespace tegula::chaos {

class MemoryGroup {
 public:
  // Throws Unavailable saying what this machine does not permit.
  explicit MemoryGroup(std::uint64_t bytes);
  ~MemoryGroup();  // when all who were in it have been killed
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  // The command line that runs this one in the group.
  std::vector<std::string> in(std::vector<std::string> command) const;
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t kills() const;  // by the kernel, so far

 private:
  std::uint64_t bytes_;
  std::string path_;
};

}  // namespace tegula::chaos
