#include "bench/workload.h"

namespace tegula::bench {

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all{
      {"random-sum", "x = normal(10, 1, size); (x + 1)[::2, ::2].sum()", &run_random_sum},
      {"tasks", "N empty tasks of some --pattern: what does one task cost?", &run_tasks},
  };
  return all;
}

}  // namespace tegula::bench
