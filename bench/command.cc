#include "bench/command.h"

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "bench/chaos/command.h"
#include "bench/interrupt.h"
#include "bench/sim/command.h"
#include "tegula/error.h"

namespace tegula::bench {

const std::vector<Command>& commands() {
  static const std::vector<Command> all{
      {"scheduler", "the scheduler's core between simulated workers", &sim::run_command},
      {"metg", "how long must tasks be to keep half of the cores busy?", &run_metg},
      {"blockwise", "one layer of a million chunks, reduced and persisted", &run_blockwise},
      {"fairness", "what a few tasks wait for beside another client's millions", &run_fairness},
      {"clients", "clients that come, compute and leave: does the scheduler grow?", &run_clients},
      {"transfer", "chunks between two processes, beside a bare socket loop", &run_transfer},
      {"chaos", "a job over and over, while workers die and networks break", &chaos::run_command},
      {"out-of-core", "a job that is larger than the workers' memory, beside the disk by itself", &run_out_of_core},
  };
  return all;
}

void declare_cluster(CLI::App& app, Options& options) {
  auto* scheduler = app.add_option("--scheduler", options.scheduler, "address or scheduler file of a running cluster");
  auto* in_process = app.add_flag("--in-process", options.in_process, "scheduler and workers inside this process");
  scheduler->excludes(in_process);
  auto* workers =
      app.add_option("--workers", options.workers, "worker processes to start; in process: 1 with --threads")
          ->check(CLI::Range(1, 4096))
          ->excludes(scheduler);
  auto* threads = app.add_option("--threads", options.threads, "threads per worker")
                      ->check(CLI::Range(1, 4096))
                      ->excludes(scheduler);
  app.add_option("--memory-limit", options.memory_limit, "per worker: 512MiB, auto, none")->excludes(scheduler);
  // In a process there is one worker; `--in-process --threads 2` is to have two threads and not two for each of two.
  app.parse_complete_callback([&options, workers, threads] {
    if (options.in_process && workers->count() == 0 && threads->count() != 0) options.workers = 1;
  });
}

int run_command(CLI::App& app, int argc, char** argv, const std::function<void()>& body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "tegula-bench: " << error.what() << "\n";
    return 2;
  }
  Interrupt interrupt;
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    Interrupt::watch(std::nullopt);
    if (Interrupt::caught()) return 130;
    std::cerr << "tegula-bench: " << error.what() << "\n";
    return dynamic_cast<const ValueError*>(&error) != nullptr ? 2 : 1;
  }
}

}  // namespace tegula::bench
