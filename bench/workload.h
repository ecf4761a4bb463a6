// A workload: one job that is run and timed. Each lives in a file of its own, named as on the command line, and is
// listed in workload.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "bench/options.h"
#include "tegula/tegula.h"

namespace tegula::bench {

// What one repetition gave.
struct Outcome {
  double result = 0;              // the job's answer: equal in every repetition
  std::uint64_t tasks = 0;        // empty tasks, or chunks of the array
  std::uint64_t elements = 0;     // of the arrays as written (not those that an optimizer left); 0: no arrays
  std::uint64_t bytes = 0;        // of the same
  std::optional<double> seconds;  // what counts, where it is not all of the call
};

struct Workload {
  std::string_view name;
  std::string_view help;
  Outcome (*run)(const Client& client,
                 const Options& options);  // one repetition, from writing the expression to holding the result
};
const std::vector<Workload>& workloads();

Outcome run_random_sum(const Client& client, const Options& options);
Outcome run_tasks(const Client& client, const Options& options);

}  // namespace tegula::bench
