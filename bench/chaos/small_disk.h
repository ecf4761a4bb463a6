// A small disk of this process's own, which can be filled up and made free again. It is mounted nowhere, is seen
// through a descriptor of this process, and goes with it, however that ends. Needs root (or CAP_SYS_ADMIN).
#pragma once

#include <cstdint>
#include <string>

#include "bench/chaos/unavailable.h"

namespace tegula::chaos {

class SmallDisk {
 public:
  // Throws Unavailable saying what this machine does not permit.
  explicit SmallDisk(std::uint64_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  std::string path() const;  // for this process and those that may look into it
  std::uint64_t bytes() const { return bytes_; }
  void fill();   // what is free is taken by a file
  void clear();  // which goes again

 private:
  std::string ballast() const { return path() + "/ballast"; }

  std::uint64_t bytes_;
  int mount_ = -1;
};

}  // namespace tegula::chaos
