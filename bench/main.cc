// tegula-bench: runs one workload several times and prints what it took. Exit status: 0; 1 when the job failed, with
// one line on standard error; 2 for a command line that makes no sense; 130 after ctrl-C.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>

#include "bench/cluster.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/sim/command.h"
#include "bench/workload.h"

namespace tegula::bench {
namespace {

const Workload& find_workload(const std::string& name) {
  for (const Workload& workload : workloads()) {
    if (workload.name == name) return workload;
  }
  std::string known;
  for (const Workload& workload : workloads()) known += (known.empty() ? "" : ", ") + std::string(workload.name);
  throw CLI::ValidationError("WORKLOAD", "'" + name + "' is none of " + known + ", scheduler (which comes first)");
}

void declare(CLI::App& app, Options& options, std::string& dtype) {
  std::string help = "one of:";
  for (const Workload& workload : workloads())
    help += "\n" + std::string(workload.name) + ": " + std::string(workload.help);
  help += "\nscheduler: the scheduler's core between simulated workers; has options of its own: scheduler --help";
  app.add_option("workload", options.workload, help)->required();
  auto* scheduler = app.add_option("--scheduler", options.scheduler, "address or scheduler file of a running cluster");
  auto* in_process = app.add_flag("--in-process", options.in_process, "scheduler and workers inside this process");
  scheduler->excludes(in_process);
  app.add_option("--workers", options.workers, "worker processes to start")
      ->check(CLI::Range(1, 4096))
      ->excludes(scheduler);
  app.add_option("--threads", options.threads, "threads per worker")->check(CLI::Range(1, 4096))->excludes(scheduler);
  app.add_option("--memory-limit", options.memory_limit, "per worker: 512MiB, auto, none")->excludes(scheduler);
  app.add_option("--size", options.size, "shape of the array")->check(CLI::NonNegativeNumber);
  app.add_option("--chunks", options.chunks, "chunk size along each dimension")->check(CLI::PositiveNumber);
  app.add_option("--dtype", dtype, "float64 or float32");
  app.add_option("--seed", options.seed, "of the random numbers");
  app.add_option("--tasks", options.tasks, "how many, for the workload tasks")->check(CLI::PositiveNumber);
  app.add_flag("!--no-optimize", options.optimize, "run every operation on whole stored chunks");
  app.add_option("--repeat", options.repeat, "repetitions; the median counts")->check(CLI::Range(1, 1000));
  app.add_flag("--json", options.json, "one JSON object on standard output");
  app.add_flag("--progress", options.progress, "a progress bar on standard error");
}

// Ctrl-C: a thread waits for the signal, which every other thread has blocked, and closes whichever client is open; the
// job then ends with ClosedError and everything is taken down in order.
class Interrupt {
 public:
  Interrupt() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    std::thread([signals = signals_] {
      int signal = 0;
      sigwait(&signals, &signal);
      caught_ = true;
      if (std::lock_guard lock(mutex_); client_) client_->close();
      // A second one means it: the daemons end with this process.
      sigwait(&signals, &signal);
      std::_Exit(130);
    }).detach();
  }
  static bool caught() { return caught_; }
  // The client to close, or none.
  static void watch(std::optional<Client> client) {
    std::lock_guard lock(mutex_);
    client_ = std::move(client);
  }

 private:
  sigset_t signals_;
  static inline std::atomic<bool> caught_ = false;
  static inline std::mutex mutex_;
  static inline std::optional<Client> client_;
};

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
    report.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
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
  // Needs no cluster and none of the options of those that do.
  if (argc > 1 && std::string_view(argv[1]) == "scheduler") return tegula::sim::run_command(argc - 1, argv + 1);
  return tegula::bench::run(argc, argv);
}
