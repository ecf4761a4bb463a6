// `tegula-bench metg`: how long must tasks be so that half of the cores' time goes into them?
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/cluster.h"
#include "bench/command.h"
#include "bench/interrupt.h"
#include "bench/metg_curve.h"
#include "bench/pattern_graph.h"
#include "bench/probe.h"
#include "bench/report.h"
#include "src/bytes.h"
#include "src/config.h"

namespace tegula::bench {
namespace {

struct MetgOptions {
  Options cluster;
  std::vector<std::string> patterns{"stencil_1d", "fft", "spread", "nearest"};
  std::vector<std::uint32_t> widths;  // empty: the threads, and 16 times as many
  std::uint64_t steps = 1000;
  std::string longest = "250us";  // tasks to begin with
  unsigned repeat = 3;
  bool json = false;
};

struct Curve {
  std::string pattern;
  std::uint32_t width = 0;
  std::uint64_t tasks = 0;
  double peak = 0;           // iterations per second of all threads together
  double empty_seconds = 0;  // with tasks of no iterations
  std::vector<MetgPoint> points;
};

TaskKernel busy(std::uint64_t iterations) {
  ByteWriter params;
  params.put(iterations);
  return {"tegula.busy", params.take(), DType::kFloat64};
}

sim::Pattern steps_of(const std::string& pattern, std::uint32_t width, std::uint64_t steps) {
  sim::PatternOptions how;
  how.width = width;
  how.tasks = width * steps;
  how.chunk_bytes = 1;  // an element: a float64 when it is run
  return sim::make_pattern(pattern, how);
}

class Sweep {
 public:
  Sweep(Client& client, unsigned threads, const MetgOptions& options)
      : client_(client), threads_(threads), options_(options) {}

  Curve measure(const std::string& name, std::uint32_t width) {
    const sim::Pattern pattern = steps_of(name, width, options_.steps);
    Curve curve{name, width, pattern.tasks, peak(), 0, {}};
    const auto longest = std::chrono::duration<double>(parse_duration(options_.longest)).count();
    auto iterations = std::bit_ceil(static_cast<std::uint64_t>(std::max(1.0, longest * curve.peak / threads_)));
    // Upwards only when even these tasks are too short, and not for ever: another program may have the cores. Then by
    // halves, until two sizes in a row are too short.
    const std::uint64_t most = iterations * kLongestFactor;
    while (point(curve, pattern, iterations).efficiency < 0.5 && iterations < most) iterations *= 2;
    curve.points.erase(curve.points.begin(), curve.points.end() - 1);
    for (int below = 0; iterations > 1 && below < 2;) {
      below = point(curve, pattern, iterations /= 2).efficiency < 0.5 ? below + 1 : 0;
    }
    curve.empty_seconds = seconds(pattern, 0);
    return curve;
  }

 private:
  static constexpr std::uint64_t kLongestFactor = 64;
  static constexpr std::uint64_t kLongestPeak = std::uint64_t{1} << 34;

  double seconds(const sim::Pattern& pattern, std::uint64_t iterations) {
    std::vector<double> times;
    for (unsigned i = 0; i < options_.repeat; ++i) {
      times.push_back(seconds_of(client_, fresh_graph(pattern, busy(iterations))));
    }
    return median(times);
  }

  const MetgPoint& point(Curve& curve, const sim::Pattern& pattern, std::uint64_t iterations) {
    const double time = seconds(pattern, iterations);
    const auto tasks = static_cast<double>(pattern.tasks);
    const double rate = static_cast<double>(iterations) * tasks / time;
    curve.points.push_back({iterations, time * 1e6 * threads_ / tasks, rate / curve.peak});
    return curve.points.back();
  }

  // The best rate of one long task per thread, with nothing between them to wait for.
  double peak() {
    const sim::Pattern pattern = steps_of("trivial", threads_, 1);
    double best = 0;
    std::uint64_t iterations = 1 << 16;
    for (unsigned tries = 0; tries < 5;) {
      const double time = seconds_of(client_, fresh_graph(pattern, busy(iterations)));
      best = std::max(best, static_cast<double>(iterations * threads_) / time);
      if (time < 0.05 && iterations < kLongestPeak) {
        iterations *= 2;
      } else {
        ++tries;
      }
    }
    return best;
  }

  Client& client_;
  unsigned threads_;
  const MetgOptions& options_;
};

double overhead_us(const Curve& curve, unsigned threads) {
  return curve.empty_seconds * 1e6 * threads / static_cast<double>(curve.tasks);
}
double tasks_per_s(const Curve& curve) { return static_cast<double>(curve.tasks) / curve.empty_seconds; }

void print_text(const Probe& probe, unsigned threads, const std::vector<Curve>& curves) {
  std::cout << fmt::format("metg: {} threads; loopback round trip {:.1f} us, futex hop {:.1f} us\n", threads,
                           probe.loopback_round_trip_us, probe.futex_hop_us);
  std::cout << "  pattern     width   tasks/s  overhead per task    METG(50%)\n";
  for (const Curve& curve : curves) {
    const auto metg = metg_us(curve.points);
    std::cout << fmt::format("  {:<10} {:>6} {:>9.0f} {:>15.2f} us {:>12}\n", curve.pattern, curve.width,
                             tasks_per_s(curve), overhead_us(curve, threads),
                             metg ? fmt::format("{:.1f} us", *metg) : "none");
  }
}

void print_json(const MetgOptions& options, const Probe& probe, unsigned threads, const std::vector<Curve>& curves) {
  nlohmann::ordered_json json{{"workload", "metg"},
                              {"threads", threads},
                              {"steps", options.steps},
                              {"loopback_round_trip_us", probe.loopback_round_trip_us},
                              {"futex_hop_us", probe.futex_hop_us}};
  for (const Curve& curve : curves) {
    const auto metg = metg_us(curve.points);
    nlohmann::ordered_json one{{"pattern", curve.pattern},
                               {"width", curve.width},
                               {"tasks", curve.tasks},
                               {"metg_us", nullptr},
                               {"tasks_per_s", tasks_per_s(curve)},
                               {"overhead_us", overhead_us(curve, threads)},
                               {"peak_iterations_per_s", curve.peak}};
    if (metg) one["metg_us"] = *metg;
    for (const MetgPoint& point : curve.points) {
      one["points"].push_back({{"iterations", point.iterations},
                               {"granularity_us", point.granularity_us},
                               {"efficiency", point.efficiency}});
    }
    json["curves"].push_back(std::move(one));
  }
  std::cout << json.dump() << "\n";
}

void measure(MetgOptions& options) {
  for (const std::string& pattern : options.patterns) sim::find_pattern(pattern);
  parse_duration(options.longest);
  const Probe probe = probe_machine();
  Cluster cluster(options.cluster);
  Interrupt::watch(cluster.client());
  const unsigned threads = cluster.threads();
  if (options.widths.empty()) options.widths = {threads, 16 * threads};
  Sweep sweep(cluster.client(), threads, options);
  std::vector<Curve> curves;
  for (const std::string& pattern : options.patterns) {
    for (const std::uint32_t width : options.widths) curves.push_back(sweep.measure(pattern, width));
  }
  options.json ? print_json(options, probe, threads, curves) : print_text(probe, threads, curves);
  Interrupt::watch(std::nullopt);
}

}  // namespace

int run_metg(int argc, char** argv) {
  MetgOptions options;
  CLI::App app("Task Bench's METG(50%): the shortest tasks with which half of the peak rate is reached.",
               "tegula-bench metg");
  declare_cluster(app, options.cluster);
  app.add_option("--pattern", options.patterns, "one or more; `scheduler --help` lists them");
  app.add_option("--width", options.widths, "tasks of a step; default: the threads, and 16 times as many")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--steps", options.steps, "of each graph")->check(CLI::Range(1, 1 << 20));
  app.add_option("--longest", options.longest, "tasks to begin with: 250us; up to 64 times as long where needed");
  app.add_option("--repeat", options.repeat, "repetitions of each size; medians count")->check(CLI::Range(1, 1000));
  app.add_flag("--json", options.json, "one JSON object on standard output");
  return run_command(app, argc, argv, [&] { measure(options); });
}

}  // namespace tegula::bench
