// The figures of a workload, for people or as one line of JSON.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <vector>

#include "bench/options.h"
#include "bench/workload.h"

namespace tegula::bench {

struct Report {
  Options options;
  std::vector<double> seconds;  // one per repetition
  Outcome outcome;              // of the last one
  std::uint64_t peak_rss_bytes = 0;
  unsigned cluster_workers = 0, cluster_threads = 0;
};

double median(std::vector<double> values);
void print_text(std::ostream& out, const Report& report);
void print_json(std::ostream& out, const Report& report);

}  // namespace tegula::bench
