// What the command line of tegula-bench says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tegula/dtype.h"

namespace tegula::bench {

struct Options {
  std::string workload;

  // Where it runs: an address or scheduler file, threads of this process, or (by default) worker processes on this
  // machine.
  std::string scheduler;
  bool in_process = false;
  unsigned workers = 2;
  unsigned threads = 1;  // per worker; in process: in all
  std::string memory_limit = "auto";

  std::vector<std::int64_t> size{20000, 20000};
  std::vector<std::int64_t> chunks{2000, 2000};
  DType dtype = DType::kFloat64;
  std::uint64_t seed = 0;
  std::uint64_t tasks = 100000;
  std::string pattern = "map";  // of the workload tasks, with its width (0: as many as threads) and fan-in
  std::uint32_t width = 0;
  std::uint32_t fan_in = 2;
  bool optimize = true;

  unsigned repeat = 3;
  bool json = false;
  bool progress = false;
};

}  // namespace tegula::bench
