// `tegula-bench blockwise`: one layer of very many chunks, reduced to one value and kept as it is. What does it take
// until the first kernel starts, until the end, of the scheduler's memory and of the client's connection?
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/cluster.h"
#include "bench/command.h"
#include "bench/interrupt.h"
#include "bench/pattern_graph.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/sim/graph_builder.h"
#include "client/traffic.h"
#include "src/config.h"

namespace tegula::bench {
namespace {

struct BlockwiseOptions {
  Options cluster;
  std::int64_t fan_in = 16;
  unsigned repeat = 3;
  bool json = false;
};

struct Figures {
  std::vector<double> first_ms, seconds;
  std::uint64_t tasks = 0;
  std::uint64_t bytes_sent = 0;        // the most of a repetition, as the rest
  std::uint64_t scheduler_growth = 0;  // peak above what it had before
};

sim::Pattern chunks(std::uint64_t count, std::int64_t fan_in, bool reduce) {
  sim::PatternOptions how;
  how.chunk_bytes = 1;
  sim::GraphBuilder graph(how);
  LayerNumber last = graph.layer("blockwise", {static_cast<std::int64_t>(count)});
  for (auto blocks = static_cast<std::int64_t>(count); reduce && blocks > 1;) {
    blocks = (blocks + fan_in - 1) / fan_in;
    const LayerNumber step = graph.layer("reduce", {blocks});
    graph.reads(last, {FanIn{0, fan_in}});
    last = step;
  }
  graph.want(last);
  return graph.finish();
}

// Asks the scheduler again and again until a task has finished, which is somewhat later than its kernel started.
class FirstFinished {
 public:
  using Clock = std::chrono::steady_clock;
  explicit FirstFinished(Client& client) : thread_([this, &client] { watch(client); }) {}
  ~FirstFinished() {
    over_ = true;
    thread_.join();
  }
  FirstFinished(const FirstFinished&) = delete;
  FirstFinished& operator=(const FirstFinished&) = delete;
  // Once the work is done.
  double milliseconds_since(Clock::time_point start) {
    seen_.wait(false);
    return std::chrono::duration<double, std::milli>(when_ - start).count();
  }

 private:
  void watch(Client& client) {
    try {
      while (!over_ && client.status().memory == 0) continue;
    } catch (const Error&) {
      // The client was closed; whoever waits for the work hears of it.
    }
    when_ = Clock::now();
    seen_ = true;
    seen_.notify_all();
  }
  std::atomic<bool> over_{false}, seen_{false};
  Clock::time_point when_;
  std::thread thread_;
};

// A result's release takes its time.
void wait_until_empty(Client& client) {
  while (true) {
    const ClusterStatus status = client.status();
    if (status.memory + status.processing + status.queued + status.waiting + status.released == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void measure_once(Cluster& cluster, const sim::Pattern& pattern, Figures& figures) {
  Client& client = cluster.client();
  wait_until_empty(client);
  const int scheduler = cluster.scheduler_pid();
  if (scheduler != 0) reset_peak(scheduler);
  const std::uint64_t resident = scheduler == 0 ? 0 : resident_bytes(scheduler);
  const PatternGraph graph = fresh_graph(pattern);
  const std::uint64_t sent = client::traffic_of(*client.impl()).bytes_out;
  const auto start = FirstFinished::Clock::now();
  const auto results = client.impl()->submit(graph.graph, graph.wants);
  const std::uint64_t submitted = client::traffic_of(*client.impl()).bytes_out;
  {
    FirstFinished first(client);
    for (const auto& result : results) result->wait();
    figures.seconds.push_back(std::chrono::duration<double>(FirstFinished::Clock::now() - start).count());
    figures.first_ms.push_back(first.milliseconds_since(start));
  }
  figures.tasks = graph.tasks;
  figures.bytes_sent = std::max(figures.bytes_sent, submitted - sent);
  if (scheduler != 0) {
    const std::uint64_t peak = peak_resident_bytes(scheduler);
    figures.scheduler_growth = std::max(figures.scheduler_growth, peak - std::min(peak, resident));
  }
}

nlohmann::ordered_json as_json(const Figures& figures, bool own_scheduler) {
  nlohmann::ordered_json json{{"tasks", figures.tasks},
                              {"seconds", figures.seconds},
                              {"median_s", median(figures.seconds)},
                              {"first_finished_ms", median(figures.first_ms)},
                              {"bytes_sent", figures.bytes_sent},
                              {"scheduler_growth_bytes", nullptr}};
  if (own_scheduler) json["scheduler_growth_bytes"] = figures.scheduler_growth;
  return json;
}

void print_text(const char* name, const Figures& figures, bool own_scheduler) {
  std::cout << fmt::format("  {:<8} {} tasks in {:.3f} s, the first finished after {:.1f} ms; {} sent", name,
                           figures.tasks, median(figures.seconds), median(figures.first_ms),
                           format_bytes(figures.bytes_sent));
  if (own_scheduler) std::cout << fmt::format("; scheduler grows by {}", format_bytes(figures.scheduler_growth));
  std::cout << "\n";
}

void measure(const BlockwiseOptions& options) {
  const sim::Pattern reduced = chunks(options.cluster.tasks, options.fan_in, true);
  const sim::Pattern kept = chunks(options.cluster.tasks, options.fan_in, false);
  Cluster cluster(options.cluster);
  Interrupt::watch(cluster.client());
  Figures reduce, persist;
  for (unsigned i = 0; i < options.repeat; ++i) {
    measure_once(cluster, reduced, reduce);
    measure_once(cluster, kept, persist);
  }
  const bool own = cluster.scheduler_pid() != 0;
  if (options.json) {
    std::cout << nlohmann::ordered_json{{"workload", "blockwise"},
                                        {"chunks", options.cluster.tasks},
                                        {"threads", cluster.threads()},
                                        {"reduce", as_json(reduce, own)},
                                        {"persist", as_json(persist, own)}}
                     .dump()
              << "\n";
  } else {
    std::cout << fmt::format("blockwise: {} chunks, {} threads\n", options.cluster.tasks, cluster.threads());
    print_text("reduce", reduce, own);
    print_text("persist", persist, own);
  }
  Interrupt::watch(std::nullopt);
}

}  // namespace

int run_blockwise(int argc, char** argv) {
  BlockwiseOptions options;
  options.cluster.tasks = 1000000;
  CLI::App app("One layer of empty tasks, reduced to one value and persisted.", "tegula-bench blockwise");
  declare_cluster(app, options.cluster);
  app.add_option("--chunks", options.cluster.tasks, "tasks of the layer")->check(CLI::PositiveNumber);
  app.add_option("--fan-in", options.fan_in, "of the reduction")->check(CLI::Range(2, 1 << 20));
  app.add_option("--repeat", options.repeat, "repetitions; medians count")->check(CLI::Range(1, 1000));
  app.add_flag("--json", options.json, "one JSON object on standard output");
  return run_command(app, argc, argv, [&] { measure(options); });
}

}  // namespace tegula::bench
