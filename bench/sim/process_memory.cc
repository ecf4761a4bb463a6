#include "bench/sim/process_memory.h"

#include <malloc.h>
#include <unistd.h>

#include <fstream>

namespace tegula::sim {

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void return_free_memory() { malloc_trim(0); }

}  // namespace tegula::sim
