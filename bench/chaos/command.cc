#include "bench/chaos/command.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/chaos/faults.h"
#include "bench/chaos/soak.h"
#include "src/config.h"
#include "tegula/error.h"

namespace tegula::chaos {
namespace {

void print_text(const SoakOptions& options, const SoakFigures& figures) {
  std::cout << fmt::format("chaos: {} rounds in {:.1f} s, seed {}\n", figures.rounds, figures.seconds, options.seed);
  for (const auto& [kind, count] : figures.faults) std::cout << fmt::format("  {:<20} {}\n", kind, count);
  std::cout << fmt::format("  answers wrong {}, jobs failed {}, rounds with something left behind {}, hangs {}\n",
                           figures.wrong, figures.failed, figures.leaks, figures.hangs)
            << fmt::format("  workers lost {}, tasks computed again {}\n", figures.workers_lost, figures.recomputed);
  std::cout << fmt::format(
      "  poisoned tasks in their errors {}, workers killed for want of memory {}, disks found full {}, journals read "
      "{}, "
      "workers started again by nannies {}\n",
      figures.poisoned, figures.killed_for_memory, figures.disks_full, figures.journals_read, figures.nanny_restarts);
  for (const auto& [means, why] : figures.without) std::cout << "  left out, " << means << ": " << why << "\n";
  for (const std::string& story : figures.stories) std::cout << "  " << story << "\n";
}

void print_json(const SoakOptions& options, const SoakFigures& figures) {
  std::uint64_t injected = 0;
  for (const auto& [kind, count] : figures.faults) injected += count;
  const nlohmann::ordered_json json{{"workload", "chaos"},
                                    {"seed", options.seed},
                                    {"workers", options.workers},
                                    {"nanny", options.nanny},
                                    {"rounds", figures.rounds},
                                    {"seconds", figures.seconds},
                                    {"faults", figures.faults},
                                    {"faults_injected", injected},
                                    {"answers_wrong", figures.wrong},
                                    {"jobs_failed", figures.failed},
                                    {"leaks", figures.leaks},
                                    {"hangs", figures.hangs},
                                    {"workers_lost", figures.workers_lost},
                                    {"tasks_recomputed", figures.recomputed},
                                    {"poisoned_tasks", figures.poisoned},
                                    {"killed_for_memory", figures.killed_for_memory},
                                    {"disks_full", figures.disks_full},
                                    {"journals_read", figures.journals_read},
                                    {"nanny_restarts", figures.nanny_restarts},
                                    {"without", figures.without},
                                    {"stories", figures.stories}};
  std::cout << json.dump() << "\n";
}

}  // namespace

int run_command(int argc, char** argv) {
  SoakOptions options;
  std::string timeout = "60s";
  bool json = false;
  std::string kinds = "kinds of faults, of all that this machine permits:";
  for (const FaultKind& kind : fault_kinds()) kinds += " " + std::string(kind.name);
  CLI::App app("A job with a known answer on a cluster of processes, over and over, while faults are injected.",
               "tegula-bench chaos");
  app.add_option("--rounds", options.rounds, "how many")->check(CLI::Range(1, 1000000));
  app.add_option("--seed", options.seed, "of the faults and the data");
  app.add_option("--workers", options.workers, "worker processes, each on a host of its own")->check(CLI::Range(2, 64));
  app.add_option("--size", options.size, "of the job's square array")->check(CLI::Range(16, 100000));
  app.add_option("--kinds", options.kinds, kinds)->delimiter(',');
  app.add_flag("--nanny", options.nanny, "workers under nannies, which start them again");
  app.add_option("--timeout", timeout, "after which a round hangs: 60s");
  app.add_option("--directory", options.directory, "keeps logs, and the scheduler's state when something was wrong");
  app.add_flag("--json", json, "one JSON object on standard output");
  try {
    app.parse(argc, argv);
    options.round_timeout = std::chrono::duration_cast<std::chrono::seconds>(parse_duration(timeout));
    std::cerr << "tegula-bench: seed " << options.seed << "\n";
    const SoakFigures figures = soak(options);
    json ? print_json(options, figures) : print_text(options, figures);
    return figures.good() ? 0 : 1;
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "tegula-bench: " << error.what() << "\n";
    return 2;
  } catch (const ValueError& error) {
    std::cerr << "tegula-bench: " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "tegula-bench: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace tegula::chaos
