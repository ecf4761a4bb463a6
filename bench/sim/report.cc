#include "bench/sim/report.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "src/config.h"

namespace tegula::sim {
namespace {

double seconds(Time time) { return std::chrono::duration<double>(time).count(); }

template <typename Item, typename Value>
double median(const std::vector<Item>& items, Value&& value) {
  std::vector<double> values;
  for (const Item& item : items) values.push_back(value(item));
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double per_task(std::chrono::nanoseconds time, const CoreSpeed& speed) {
  return static_cast<double>(time.count()) / static_cast<double>(speed.tasks);
}

// The median over repetitions of makespan / what it is compared with in the same repetition.
template <typename Other, typename Value>
double median_ratio(const std::vector<VirtualRun>& runs, const std::vector<Other>& others, Value&& value) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    ratios.push_back(seconds(runs[i].makespan) / std::max(1e-9, value(others[i])));
  }
  return median(ratios, [](double ratio) { return ratio; });
}
double over_bound(const std::vector<VirtualRun>& runs, const std::vector<LowerBound>& bounds) {
  return median_ratio(runs, bounds, [](const LowerBound& bound) { return seconds(bound.bound()); });
}

// The figures of the core alone. Memory is measured in the first repetition: later ones find what it left to malloc.
struct CoreFigures {
  explicit CoreFigures(const std::vector<CoreSpeed>& all)
      : tasks_per_s(median(all, [](const CoreSpeed& speed) { return speed.tasks_per_s(); })),
        ns(median(all, [](const CoreSpeed& speed) { return per_task(speed.scheduler_time(), speed); })),
        core_ns(median(all, [](const CoreSpeed& speed) { return per_task(speed.core, speed); })),
        codec_ns(median(all, [](const CoreSpeed& speed) { return per_task(speed.codec, speed); })),
        peers_codec_ns(median(all, [](const CoreSpeed& speed) { return per_task(speed.peers_codec, speed); })),
        first_assigned_ms(median(all, [](const CoreSpeed& speed) { return seconds(speed.first_assigned) * 1e3; })),
        bytes_per_task(static_cast<double>(all.front().rss_growth) / static_cast<double>(all.front().tasks)),
        record_bytes_per_task(static_cast<double>(all.front().record_bytes) / static_cast<double>(all.front().tasks)) {}
  double tasks_per_s, ns, core_ns, codec_ns, peers_codec_ns, first_assigned_ms, bytes_per_task, record_bytes_per_task;
};

struct RunFigures {
  explicit RunFigures(const std::vector<VirtualRun>& runs)
      : makespan(median(runs, [](const VirtualRun& run) { return seconds(run.makespan); })),
        busy(median(runs, [](const VirtualRun& run) { return run.busy; })),
        peak_memory(whole(runs, [](const VirtualRun& run) { return run.peak_memory; })),
        peak_memory_worker(whole(runs, [](const VirtualRun& run) { return run.peak_memory_worker; })),
        bytes_moved(whole(runs, [](const VirtualRun& run) { return run.bytes_moved; })) {}
  template <typename Value>
  static std::uint64_t whole(const std::vector<VirtualRun>& runs, Value&& value) {
    return static_cast<std::uint64_t>(
        median(runs, [&](const VirtualRun& run) { return static_cast<double>(value(run)); }));
  }
  double makespan, busy;
  std::uint64_t peak_memory, peak_memory_worker, bytes_moved;
};

}  // namespace

void print_text(std::ostream& out, const Report& report) {
  const Options& options = report.options;
  out << fmt::format("{}: {} tasks, {} workers x {} threads{}\n", options.pattern, report.tasks,
                     options.scenario.workers, options.scenario.threads,
                     options.graph.keep ? ", every result kept" : "");
  if (!report.core.empty()) {
    const CoreFigures core(report.core);
    out << fmt::format("  core alone     {:.0f} tasks/s, {:.0f} ns per task", core.tasks_per_s, core.ns);
    if (options.codec) {
      out << fmt::format(" ({:.0f} core, {:.0f} codec; the peers' codec: {:.0f})", core.core_ns, core.codec_ns,
                         core.peers_codec_ns);
    }
    out << fmt::format("\n  first task     assigned after {:.2f} ms\n", core.first_assigned_ms);
    out << fmt::format("  memory         {:.1f} resident bytes per task, {:.1f} of them in records\n",
                       core.bytes_per_task, core.record_bytes_per_task);
  }
  if (report.bounds.empty()) return;
  out << fmt::format("  lower bound    {:.4f} s (critical path {:.4f} s, work / threads {:.4f} s)\n",
                     median(report.bounds, [](const LowerBound& bound) { return seconds(bound.bound()); }),
                     median(report.bounds, [](const LowerBound& bound) { return seconds(bound.critical_path); }),
                     median(report.bounds, [](const LowerBound& bound) { return seconds(bound.work_over_threads); }));
  for (const auto& [policy, runs] : report.runs) {
    const RunFigures run(runs);
    out << fmt::format(
        "  {:<14} {:.4f} s, {:.3f} of the bound; threads {:.1f}% busy; peak memory {} ({} on one "
        "worker); {} moved\n",
        policy, run.makespan, over_bound(runs, report.bounds), run.busy * 100, format_bytes(run.peak_memory),
        format_bytes(run.peak_memory_worker), format_bytes(run.bytes_moved));
  }
  if (options.scenario.span > Time{}) {
    for (const VirtualRun& run : report.runs.at("tegula")) {
      out << fmt::format(
          "  in {:.0f} s: {} clients, {} workers came and {} stayed; {} tasks computed again; left behind "
          "by {}\n",
          seconds(options.scenario.span), run.clients, run.workers, options.scenario.workers, run.counts.recomputed,
          run.left_behind);
    }
  }
}

void print_json(std::ostream& out, const Report& report) {
  const Options& options = report.options;
  nlohmann::ordered_json json{
      {"workload", "scheduler"},
      {"pattern", options.pattern},
      {"tasks", report.tasks},
      {"workers", options.scenario.workers},
      {"threads", options.scenario.threads},
      {"keep", options.graph.keep},
      {"codec", options.codec},
      {"repeat", options.repeat},
  };
  if (!report.core.empty()) {
    const CoreFigures core(report.core);
    json["tasks_per_s"] = core.tasks_per_s;
    for (const CoreSpeed& one : report.core) json["tasks_per_s_each"].push_back(one.tasks_per_s());
    json["ns_per_task"] = core.ns;
    json["core_ns_per_task"] = core.core_ns;
    json["codec_ns_per_task"] = core.codec_ns;
    json["peers_codec_ns_per_task"] = core.peers_codec_ns;
    json["first_assigned_ms"] = core.first_assigned_ms;
    json["bytes_per_task"] = core.bytes_per_task;
    json["record_bytes_per_task"] = core.record_bytes_per_task;
    json["wire_bytes"] = report.core.front().wire_bytes;
  }
  if (!report.bounds.empty()) {
    const std::vector<VirtualRun>& tegula = report.runs.at("tegula");
    const RunFigures run(tegula);
    json["makespan"] = run.makespan;
    json["lower_bound"] = median(report.bounds, [](const LowerBound& bound) { return seconds(bound.bound()); });
    json["critical_path"] = median(report.bounds, [](const LowerBound& bound) { return seconds(bound.critical_path); });
    json["makespan_over_bound"] = over_bound(tegula, report.bounds);
    json["threads_busy"] = run.busy;
    json["peak_memory"] = run.peak_memory;
    json["peak_memory_worker"] = run.peak_memory_worker;
    json["bytes_moved"] = run.bytes_moved;
    json["retractions"] = tegula.front().counts.retractions;
    json["returned"] = tegula.front().counts.returned;
    json["recomputed"] = tegula.front().counts.recomputed;
    if (options.scenario.span > Time{}) {
      json["span"] = seconds(options.scenario.span);
      json["clients"] = tegula.front().clients;
      json["workers_in_all"] = tegula.front().workers;
      json["assignments"] = tegula.front().counts.assignments;
      json["left_behind"] = tegula.front().left_behind;
    }
    for (const auto& [policy, runs] : report.runs) {
      if (policy == "tegula") continue;
      const RunFigures other(runs);
      json["baselines"][std::string(policy)] = {
          {"makespan", other.makespan},
          {"makespan_over_bound", over_bound(runs, report.bounds)},
          {"tegula_over_this",
           median_ratio(tegula, runs, [](const VirtualRun& theirs) { return seconds(theirs.makespan); })},
          {"peak_memory", other.peak_memory},
          {"bytes_moved", other.bytes_moved},
      };
    }
  }
  out << json.dump() << "\n";
}

}  // namespace tegula::sim
