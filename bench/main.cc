// tegula-bench: runs one workload several times and prints what it took. Exit status: 0; 1 when the job failed, with
// one line on standard error; 2 for a command line that makes no sense; 130 after ctrl-C.
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <optional>
#include <string_view>

#include "bench/cluster.h"
#include "bench/command.h"
#include "bench/interrupt.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/sim/patterns.h"
#include "bench/workload.h"

namespace tegula::bench {
namespace {

const Workload& find_workload(const std::string& name) {
  for (const Workload& workload : workloads()) {
    if (workload.name == name) return workload;
  }
  std::string known;
  for (const Workload& workload : workloads()) known += (known.empty() ? "" : ", ") + std::string(workload.name);
  for (const Command& command : commands()) known += ", " + std::string(command.name);
  throw CLI::ValidationError("WORKLOAD", "'" + name + "' is none of " + known);
}

// What is wrong with a pattern's name: nothing, or words for the user.
std::string check_pattern(const std::string& name) {
  try {
    sim::find_pattern(name);
    return "";
  } catch (const ValueError& error) {
    return error.what();
  }
}

void declare(CLI::App& app, Options& options, std::string& dtype) {
  std::string help = "one of:";
  for (const Workload& workload : workloads())
    help += "\n" + std::string(workload.name) + ": " + std::string(workload.help);
  help += "\nor, as the first word, a command with options of its own (metg --help):";
  for (const Command& command : commands()) help += "\n" + std::string(command.name) + ": " + std::string(command.help);
  app.add_option("workload", options.workload, help)->required();
  declare_cluster(app, options);
  app.add_option("--size", options.size, "shape of the array")->check(CLI::NonNegativeNumber);
  app.add_option("--chunks", options.chunks, "chunk size along each dimension")->check(CLI::PositiveNumber);
  app.add_option("--dtype", dtype, "float64 or float32");
  app.add_option("--seed", options.seed, "of the random numbers");
  app.add_option("--tasks", options.tasks, "how many, for the workload tasks")->check(CLI::PositiveNumber);
  app.add_option("--pattern", options.pattern, "their graph; `scheduler --help` lists the patterns")
      ->check(&check_pattern);
  app.add_option("--width", options.width, "of its steps, for patterns that have some; default: all threads");
  app.add_option("--fan-in", options.fan_in, "of its reductions")->check(CLI::Range(2, 1 << 20));
  app.add_flag("!--no-optimize", options.optimize, "run every operation on whole stored chunks");
  app.add_option("--repeat", options.repeat, "repetitions; the median counts")->check(CLI::Range(1, 1000));
  app.add_flag("--json", options.json, "one JSON object on standard output");
  app.add_flag("--progress", options.progress, "a progress bar on standard error");
}

Report measure(const Workload& workload, const Options& options) {
  Cluster cluster(options);
  Interrupt::watch(cluster.client());
  Report report;
  report.options = options;
  std::optional<ProgressBar> bar;
  if (options.progress) bar.emplace(cluster.client());
  for (unsigned i = 0; i < options.repeat; ++i) {
    Options this_time = options;
    this_time.seed = options.seed + i;  // results of the last repetition are not there to be reused
    const auto start = std::chrono::steady_clock::now();
    report.outcome = workload.run(cluster.client(), this_time);
    const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - start;
    report.seconds.push_back(report.outcome.seconds.value_or(whole.count()));
  }
  bar.reset();
  report.peak_rss_bytes = cluster.peak_rss_bytes();
  for (const WorkerStatus& worker : cluster.client().status().workers) {
    ++report.cluster_workers;
    report.cluster_threads += worker.threads;
  }
  Interrupt::watch(std::nullopt);
  return report;
}

int run(int argc, char** argv) {
  Options options;
  std::string dtype = "float64";
  CLI::App app("Runs one workload of Tegula several times and prints what it took.", "tegula-bench");
  declare(app, options, dtype);
  const Workload* workload = nullptr;
  try {
    app.parse(argc, argv);
    workload = &find_workload(options.workload);
    if (options.size.size() != options.chunks.size()) {
      throw CLI::ValidationError("--chunks", std::to_string(options.chunks.size()) + " numbers for a --size of " +
                                                 std::to_string(options.size.size()));
    }
    options.dtype = dtype_from_name(dtype);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "tegula-bench: " << error.what() << "\n";
    return 2;
  } catch (const Error& error) {
    std::cerr << "tegula-bench: --dtype: " << error.what() << "\n";
    return 2;
  }

  Interrupt interrupt;
  try {
    const Report report = measure(*workload, options);
    options.json ? print_json(std::cout, report) : print_text(std::cout, report);
    return 0;
  } catch (const std::exception& error) {
    Interrupt::watch(std::nullopt);
    if (Interrupt::caught()) return 130;
    std::cerr << "tegula-bench: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace
}  // namespace tegula::bench

int main(int argc, char** argv) {
  if (argc > 1) {
    for (const tegula::bench::Command& command : tegula::bench::commands()) {
      if (std::string_view(argv[1]) == command.name) return command.run(argc - 1, argv + 1);
    }
  }
  return tegula::bench::run(argc, argv);
}
