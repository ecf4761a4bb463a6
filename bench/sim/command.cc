#include "bench/sim/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "bench/sim/options.h"
#include "bench/sim/report.h"
#include "src/config.h"
#include "tegula/error.h"

namespace tegula::sim {
namespace {

// Numbers with units, as written.
struct Texts {
  std::string chunk_bytes, memory_limit, duration, latency, bandwidth, local_bandwidth, churn, span;
  std::vector<std::string> joins, losses;
  std::uint32_t stragglers = 0;
  double straggler_factor = 10;
  bool core_only = false, virtual_only = false;
};

void declare(CLI::App& app, Options& options, Texts& texts) {
  std::string help = "one of:";
  for (const PatternInfo& pattern : patterns()) {
    help += "\n" + std::string(pattern.name) + ": " + std::string(pattern.help);
  }
  PatternOptions& graph = options.graph;
  Scenario& scenario = options.scenario;
  app.add_option("--pattern", options.pattern, help);
  app.add_option("--tasks", graph.tasks, "about how many")->check(CLI::PositiveNumber);
  app.add_option("--workers", scenario.workers, "simulated workers")->check(CLI::Range(1, 100000));
  app.add_option("--threads", scenario.threads, "of each worker")->check(CLI::Range(1, 4096));
  app.add_option("--width", graph.width, "tasks of one step of a chain or stencil; default: all threads");
  app.add_option("--fan-in", graph.fan_in, "of reductions")->check(CLI::Range(2, 1 << 20));
  app.add_option("--seed", graph.seed, "of irregular patterns, durations and random placement");
  app.add_flag("--keep", graph.keep, "want every result and keep it, instead of only the last ones, for a moment");
  app.add_option("--repeat", options.repeat, "repetitions, each with the next seed; medians count")
      ->check(CLI::Range(1, 1000));
  app.add_flag("--json", options.json, "one JSON object on standard output");

  const std::string core = "The core alone, between workers that answer at once";
  auto* core_only = app.add_flag("--core-only", texts.core_only, "no simulation in virtual time")->group(core);
  app.add_flag("--codec", options.codec, "encode and decode every message, as over TCP")->group(core);

  const std::string simulation = "In virtual time";
  app.add_flag("--virtual-only", texts.virtual_only, "no measurement of the core alone")
      ->excludes(core_only)
      ->group(simulation);
  app.add_flag("--baselines", options.baselines, "also greedy list, random, eager and clairvoyant scheduling")
      ->excludes(core_only)
      ->group(simulation);
  app.add_option("--duration", texts.duration, "of a task: 10ms, or lognormal:MEAN:DEVIATION")->group(simulation);
  app.add_option("--stragglers", texts.stragglers, "workers that are slow")->group(simulation);
  app.add_option("--straggler-factor", texts.straggler_factor, "how slow")
      ->check(CLI::Range(1.0, 1e6))
      ->group(simulation);
  app.add_option("--chunk-bytes", texts.chunk_bytes, "of one result: 1MiB")->group(simulation);
  app.add_option("--memory-limit", texts.memory_limit, "of each worker; default: none")->group(simulation);
  app.add_option("--latency", texts.latency, "of a message, one way: 100us")->group(simulation);
  app.add_option("--bandwidth", texts.bandwidth, "of a worker's link, per second: 1GB")->group(simulation);
  app.add_option("--bandwidth-spread", scenario.network.spread, "pairs have as little as bandwidth / (1 + spread)")
      ->check(CLI::NonNegativeNumber)
      ->group(simulation);
  app.add_option("--workers-per-host", scenario.network.workers_per_host, "neighbours with a faster way")
      ->check(CLI::Range(1, 100000))
      ->group(simulation);
  app.add_option("--local-bandwidth", texts.local_bandwidth, "between them: 8GB")->group(simulation);
  app.add_option("--join", texts.joins, "TIME:WORKERS, workers that come in mid-run")->group(simulation);
  app.add_option("--churn", texts.churn, "one worker comes and one leaves in each such time, every other one dies: 1s")
      ->excludes("--baselines")
      ->group(simulation);
  app.add_option("--span", texts.span, "client after client submits the graph, for so long: 24h")
      ->excludes("--baselines")
      ->group(simulation);
  app.add_option("--lose", texts.losses, "TIME:WORKERS, workers that die in mid-run")
      ->excludes("--baselines")
      ->group(simulation);
}

void read(const Texts& texts, Options& options) {
  options.core = !texts.virtual_only;
  options.virtual_time = !texts.core_only;
  Scenario& scenario = options.scenario;
  options.graph.chunk_bytes = texts.chunk_bytes.empty() ? 1u << 20 : parse_bytes(texts.chunk_bytes);
  if (!texts.memory_limit.empty()) scenario.memory_limit = parse_bytes(texts.memory_limit);
  if (!texts.duration.empty()) scenario.durations = Durations(texts.duration);
  scenario.durations.set_stragglers(texts.stragglers, texts.straggler_factor);
  if (!texts.churn.empty()) scenario.churn = parse_duration(texts.churn);
  if (!texts.span.empty()) scenario.span = parse_duration(texts.span);
  if (!texts.latency.empty()) scenario.network.latency = parse_duration(texts.latency);
  if (!texts.bandwidth.empty()) scenario.network.bandwidth = static_cast<double>(parse_bytes(texts.bandwidth));
  if (!texts.local_bandwidth.empty()) {
    scenario.network.local_bandwidth = static_cast<double>(parse_bytes(texts.local_bandwidth));
  }
  if (scenario.network.bandwidth == 0 || scenario.network.local_bandwidth == 0) {
    throw ValueError("a bandwidth of 0 bytes per second");
  }
  for (const std::string& text : texts.joins) scenario.joins.push_back(parse_change(text));
  for (const std::string& text : texts.losses) scenario.losses.push_back(parse_change(text));
  for (auto* changes : {&scenario.joins, &scenario.losses}) {
    std::sort(changes->begin(), changes->end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  }
  options.graph.cluster_threads = scenario.workers * scenario.threads;
  scenario.release = !options.graph.keep;
}

Report measure(const Options& options) {
  Report report;
  report.options = options;
  for (unsigned i = 0; i < options.repeat; ++i) {
    PatternOptions graph = options.graph;
    graph.seed += i;
    const Pattern pattern = make_pattern(options.pattern, graph);
    report.tasks = pattern.tasks;
    if (options.core) {
      CoreSpeedOptions how;
      how.workers = options.scenario.workers;
      how.threads = options.scenario.threads;
      how.codec = options.codec;
      how.release = !graph.keep;
      how.seed = graph.seed;
      report.core.push_back(measure_core(pattern, how));
    }
    if (!options.virtual_time) continue;
    Scenario scenario = options.scenario;
    scenario.seed = scenario.network.seed = graph.seed;
    scenario.durations.set_seed(graph.seed);
    report.bounds.push_back(lower_bound(pattern, scenario));  // of the first client's graph, without the churn
    for (const std::string_view policy : policy_names()) {
      if (options.baselines || policy == "tegula") report.runs[policy].push_back(simulate(policy, pattern, scenario));
    }
  }
  return report;
}

}  // namespace

int run_command(int argc, char** argv) {
  Options options;
  Texts texts;
  CLI::App app("Runs the scheduler's core between simulated workers.", "tegula-bench scheduler");
  declare(app, options, texts);
  try {
    app.parse(argc, argv);
    read(texts, options);
    const Report report = measure(options);
    options.json ? print_json(std::cout, report) : print_text(std::cout, report);
    return 0;
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

}  // namespace tegula::sim
