// `tegula-bench fairness`: what do a few tasks wait for while another client's millions are under way?
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/cluster.h"
#include "bench/command.h"
#include "bench/interrupt.h"
#include "bench/pattern_graph.h"
#include "bench/report.h"

namespace tegula::bench {
namespace {

struct FairnessOptions {
  Options cluster;
  std::uint64_t small = 10;  // tasks of the other client
  unsigned repeat = 20;
  bool json = false;
};

struct Figures {
  std::vector<double> alone, beside;  // seconds of the small graph
  unsigned before_the_large = 0;      // how many of `beside` ended while the large graph was unfinished
};

sim::Pattern map_of(std::uint64_t tasks) {
  sim::PatternOptions how;
  how.tasks = tasks;
  how.chunk_bytes = 1;
  return sim::make_pattern("map", how);
}

Figures measure_beside(Cluster& cluster, const FairnessOptions& options) {
  const auto other = cluster.another_client("tegula-bench-small");
  const sim::Pattern small = map_of(options.small);
  Figures figures;
  for (unsigned i = 0; i < options.repeat; ++i) figures.alone.push_back(seconds_of(*other, fresh_graph(small)));

  const PatternGraph large = fresh_graph(map_of(options.cluster.tasks));
  const auto results = cluster.client().impl()->submit(large.graph, large.wants);
  const ResultSet& all = *results.front();
  // Under way, not only submitted: some of it is done.
  while (all.status() == FutureStatus::kPending && cluster.client().status().memory == 0) continue;
  for (unsigned i = 0; i < options.repeat; ++i) {
    figures.beside.push_back(seconds_of(*other, fresh_graph(small)));
    if (all.status() != FutureStatus::kPending) break;
    ++figures.before_the_large;
  }
  return figures;  // the large graph's results go, and what is unfinished of it ends
}

void measure(const FairnessOptions& options) {
  map_of(options.cluster.tasks);  // says what it cannot make before anything starts
  Cluster cluster(options.cluster);
  Interrupt::watch(cluster.client());
  const Figures figures = measure_beside(cluster, options);
  const double worst = *std::max_element(figures.beside.begin(), figures.beside.end());
  if (options.json) {
    std::cout << nlohmann::ordered_json{{"workload", "fairness"},
                                        {"tasks", options.cluster.tasks},
                                        {"small", options.small},
                                        {"alone_s", figures.alone},
                                        {"beside_s", figures.beside},
                                        {"median_alone_s", median(figures.alone)},
                                        {"median_beside_s", median(figures.beside)},
                                        {"worst_beside_s", worst},
                                        {"before_the_large", figures.before_the_large}}
                     .dump()
              << "\n";
  } else {
    std::cout << fmt::format("fairness: {} tasks beside another client's {}\n", options.small, options.cluster.tasks)
              << fmt::format("  alone      {:.2f} ms (median of {})\n", median(figures.alone) * 1e3,
                             figures.alone.size())
              << fmt::format("  beside     {:.2f} ms (median of {}), {:.2f} ms at worst\n",
                             median(figures.beside) * 1e3, figures.beside.size(), worst * 1e3)
              << fmt::format("  ended before the large graph: {} of {}\n", figures.before_the_large,
                             figures.beside.size());
  }
  Interrupt::watch(std::nullopt);
}

}  // namespace

int run_fairness(int argc, char** argv) {
  FairnessOptions options;
  options.cluster.tasks = 10000000;
  CLI::App app("A few empty tasks of one client beside very many of another.", "tegula-bench fairness");
  declare_cluster(app, options.cluster);
  app.add_option("--tasks", options.cluster.tasks, "of the large graph")->check(CLI::PositiveNumber);
  app.add_option("--small", options.small, "tasks of the small one")->check(CLI::PositiveNumber);
  app.add_option("--repeat", options.repeat, "small graphs, one after the other")->check(CLI::Range(1, 100000));
  app.add_flag("--json", options.json, "one JSON object on standard output");
  return run_command(app, argc, argv, [&] { measure(options); });
}

}  // namespace tegula::bench
