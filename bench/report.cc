#include "bench/report.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "src/config.h"
#include "src/shape.h"

namespace tegula::bench {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void print_text(std::ostream& out, const Report& report) {
  const double seconds = median(report.seconds);
  const Outcome& outcome = report.outcome;
  out << fmt::format("{}: {} workers x {} threads\n", report.options.workload, report.cluster_workers,
                     report.cluster_threads / std::max(1u, report.cluster_workers));
  if (outcome.elements > 0) {
    out << fmt::format("  array      {} {} in chunks of {}, {} if it existed at once\n", to_string(report.options.size),
                       name_of(report.options.dtype), to_string(report.options.chunks), format_bytes(outcome.bytes));
  }
  if (report.options.workload == "tasks") out << fmt::format("  pattern    {}\n", report.options.pattern);
  out << fmt::format("  result     {:.17g}\n", outcome.result);
  out << fmt::format("  seconds    {:.3f} (median of {:.3f})\n", seconds, fmt::join(report.seconds, ", "));
  if (outcome.elements > 0) {
    out << fmt::format("  elements/s {:.3g}\n", static_cast<double>(outcome.elements) / seconds);
  }
  out << fmt::format("  tasks      {}, {:.2f} us each\n", outcome.tasks,
                     seconds * 1e6 / static_cast<double>(outcome.tasks));
  out << fmt::format("  peak rss   {} in the largest process\n", format_bytes(report.peak_rss_bytes));
}

void print_json(std::ostream& out, const Report& report) {
  const double seconds = median(report.seconds);
  const Outcome& outcome = report.outcome;
  nlohmann::ordered_json json{
      {"workload", report.options.workload},
      {"seconds", report.seconds},
      {"median_s", seconds},
      {"tasks", outcome.tasks},
      {"us_per_task", seconds * 1e6 / static_cast<double>(outcome.tasks)},
      {"result", outcome.result},
      {"peak_rss_bytes", report.peak_rss_bytes},
      {"workers", report.cluster_workers},
      {"threads", report.cluster_threads},
      {"optimize", report.options.optimize},
  };
  if (report.options.workload == "tasks") json["pattern"] = report.options.pattern;
  if (outcome.elements > 0) {
    json["size"] = report.options.size;
    json["chunks"] = report.options.chunks;
    json["dtype"] = name_of(report.options.dtype);
    json["seed"] = report.options.seed;
    json["elements"] = outcome.elements;
    json["elements_per_s"] = static_cast<double>(outcome.elements) / seconds;
    json["bytes_per_s"] = static_cast<double>(outcome.bytes) / seconds;
  }
  out << json.dump() << "\n";
}

}  // namespace tegula::bench
