// `tegula-bench clients`: clients that connect, compute and leave, one after the other. Does the scheduler grow?
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/cluster.h"
#include "bench/command.h"
#include "bench/interrupt.h"
#include "bench/pattern_graph.h"
#include "bench/process.h"
#include "src/config.h"

namespace tegula::bench {
namespace {

struct ClientsOptions {
  Options cluster;
  unsigned clients = 1000;
  bool json = false;
};

struct Figures {
  double seconds = 0;
  // Of the scheduler, after the first tenth of the clients and after the last; 0 where it is no process of our own.
  std::uint64_t early_bytes = 0, late_bytes = 0;
  std::uint64_t tasks_left = 0;  // known to the scheduler when all have left
};

std::uint64_t known_tasks(const ClusterStatus& status) {
  return status.released + status.waiting + status.no_worker + status.queued + status.processing + status.memory +
         status.erred;
}

Figures measure_clients(Cluster& cluster, const ClientsOptions& options) {
  sim::PatternOptions how;
  how.tasks = options.cluster.tasks;
  how.chunk_bytes = 1;
  const sim::Pattern pattern = sim::make_pattern("map", how);
  const auto resident = [&] { return cluster.scheduler_pid() == 0 ? 0 : resident_bytes(cluster.scheduler_pid()); };
  Figures figures;
  const auto start = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < options.clients; ++i) {
    const auto client = cluster.another_client("tegula-bench-" + std::to_string(i));
    seconds_of(*client, fresh_graph(pattern));
    if (i == options.clients / 10) figures.early_bytes = resident();
  }
  figures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  // The last one's leave is news that may still be under way, and so may be what it let go of.
  for (int tries = 0; tries < 2000; ++tries) {
    figures.tasks_left = known_tasks(cluster.client().status());
    if (figures.tasks_left == 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  figures.late_bytes = resident();
  return figures;
}

void measure(const ClientsOptions& options) {
  Cluster cluster(options.cluster);
  Interrupt::watch(cluster.client());
  const Figures figures = measure_clients(cluster, options);
  const auto growth = static_cast<std::int64_t>(figures.late_bytes) - static_cast<std::int64_t>(figures.early_bytes);
  const bool own = cluster.scheduler_pid() != 0;
  if (options.json) {
    nlohmann::ordered_json json{{"workload", "clients"},
                                {"clients", options.clients},
                                {"tasks", options.cluster.tasks},
                                {"seconds", figures.seconds},
                                {"ms_per_client", figures.seconds * 1e3 / options.clients},
                                {"tasks_left", figures.tasks_left},
                                {"scheduler_growth_bytes", nullptr}};
    if (own) json["scheduler_growth_bytes"] = growth;
    std::cout << json.dump() << "\n";
  } else {
    std::cout << fmt::format("clients: {} clients, {} tasks each\n", options.clients, options.cluster.tasks)
              << fmt::format("  {:.2f} s, {:.2f} ms per client\n", figures.seconds,
                             figures.seconds * 1e3 / options.clients)
              << fmt::format("  tasks left on the scheduler: {}\n", figures.tasks_left);
    if (own) {
      std::cout << fmt::format("  scheduler: {} after the first tenth, {} after the last\n",
                               format_bytes(figures.early_bytes), format_bytes(figures.late_bytes));
    }
  }
  Interrupt::watch(std::nullopt);
}

}  // namespace

int run_clients(int argc, char** argv) {
  ClientsOptions options;
  options.cluster.tasks = 100;
  CLI::App app("Clients that connect, run a few empty tasks and leave.", "tegula-bench clients");
  declare_cluster(app, options.cluster);
  app.add_option("--clients", options.clients, "how many, one after the other")->check(CLI::Range(1, 1000000));
  app.add_option("--tasks", options.cluster.tasks, "of each")->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json, "one JSON object on standard output");
  return run_command(app, argc, argv, [&] { measure(options); });
}

}  // namespace tegula::bench
