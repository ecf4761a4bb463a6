// A snapshot in words: for /health and for Prometheus.
#include <fmt/core.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "scheduler/http.h"

namespace tegula::scheduler {

namespace {

class Exposition {
 public:
  void counter(const char* name, const char* help, double value) {
    add(name, help, prometheus::MetricType::Counter, {}, value);
  }
  void gauge(const char* name, const char* help, double value,
             std::vector<prometheus::ClientMetric::Label> labels = {}) {
    add(name, help, prometheus::MetricType::Gauge, std::move(labels), value);
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  // Values of one name follow one another.
  void add(const char* name, const char* help, prometheus::MetricType type,
           std::vector<prometheus::ClientMetric::Label> labels, double value) {
    if (families_.empty() || families_.back().name != name) {
      prometheus::MetricFamily family;
      family.name = name;
      family.help = help;
      family.type = type;
      families_.push_back(std::move(family));
    }
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    if (type == prometheus::MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    families_.back().metric.push_back(std::move(metric));
  }
  std::vector<prometheus::MetricFamily> families_;
};

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

std::vector<std::pair<std::string_view, std::uint64_t>> states(const Counters& counters) {
  return {{"released", counters.released}, {"waiting", counters.waiting},       {"no-worker", counters.no_worker},
          {"queued", counters.queued},     {"processing", counters.processing}, {"memory", counters.memory},
          {"erred", counters.erred}};
}

}  // namespace

std::string health_json(const Snapshot& snapshot) {
  nlohmann::json tasks;
  for (const auto& [name, count] : states(snapshot.counters)) tasks[std::string(name)] = count;
  const nlohmann::json health = {
      {"status", "ok"},
      {"address", snapshot.address},
      {"incarnation", fmt::format("{:016x}", static_cast<std::uint64_t>(snapshot.incarnation))},
      {"uptime_s", seconds(snapshot.uptime)},
      {"workers", snapshot.counters.workers},
      {"threads", snapshot.counters.threads},
      {"clients", snapshot.counters.clients},
      {"tasks", tasks},
  };
  return health.dump() + "\n";
}

std::string metrics_text(const Snapshot& snapshot) {
  const Counters& c = snapshot.counters;
  Exposition out;
  for (const auto& [name, count] : states(c)) {
    out.gauge("tegula_scheduler_tasks", "Tasks by state", static_cast<double>(count), {{"state", std::string(name)}});
  }
  out.gauge("tegula_scheduler_workers", "Workers connected", static_cast<double>(c.workers));
  out.gauge("tegula_scheduler_threads", "Compute threads of all workers", static_cast<double>(c.threads));
  out.gauge("tegula_scheduler_clients", "Client sessions", static_cast<double>(c.clients));
  out.gauge("tegula_scheduler_layers", "Layers known", static_cast<double>(c.layers));
  out.gauge("tegula_scheduler_slots_free", "Slot credit not spent", static_cast<double>(c.slots_free));
  out.gauge("tegula_scheduler_task_record_bytes", "Memory in the tables of tasks",
            static_cast<double>(snapshot.task_record_bytes));
  out.gauge("tegula_scheduler_connections", "Open connections", static_cast<double>(snapshot.connections));
  out.gauge("tegula_scheduler_queued_bytes", "Bytes queued for peers",
            static_cast<double>(snapshot.traffic.queued_bytes));
  out.gauge("tegula_scheduler_uptime_seconds", "Time since the start", seconds(snapshot.uptime));

  out.counter("tegula_scheduler_tasks_finished_total", "Tasks that finished", static_cast<double>(c.tasks_finished));
  out.counter("tegula_scheduler_tasks_failed_total", "Tasks that failed", static_cast<double>(c.tasks_failed));
  out.counter("tegula_scheduler_tasks_returned_total", "Attempts that came back unstarted",
              static_cast<double>(c.tasks_returned));
  out.counter("tegula_scheduler_tasks_recomputed_total", "Tasks computed again after a loss",
              static_cast<double>(c.tasks_recomputed));
  out.counter("tegula_scheduler_assignments_total", "Attempts bound to workers", static_cast<double>(c.assignments));
  out.counter("tegula_scheduler_retractions_total", "Attempts asked back", static_cast<double>(c.retractions));
  out.counter("tegula_scheduler_adopted_replicas_total", "Late results taken as replicas",
              static_cast<double>(c.adopted_replicas));
  out.counter("tegula_scheduler_inventory_results_total", "Results that workers brought when they joined anew",
              static_cast<double>(c.inventory_results));
  out.counter("tegula_scheduler_inventory_kept_total", "Of these, results that were needed",
              static_cast<double>(c.inventory_kept));
  out.counter("tegula_scheduler_results_freed_total", "Results released", static_cast<double>(c.results_freed));
  out.counter("tegula_scheduler_surplus_dropped_total", "Copies let go of because nobody needed them where they were",
              static_cast<double>(c.surplus_dropped));
  out.counter("tegula_scheduler_workers_joined_total", "Workers that joined", static_cast<double>(c.workers_joined));
  out.counter("tegula_scheduler_workers_lost_total", "Workers that were lost", static_cast<double>(c.workers_lost));
  out.counter("tegula_scheduler_sessions_total", "Client sessions opened", static_cast<double>(c.sessions));
  out.counter("tegula_scheduler_submissions_total", "Graphs submitted", static_cast<double>(c.submissions));
  out.counter("tegula_scheduler_submissions_refused_total", "Graphs refused",
              static_cast<double>(c.submissions_refused));
  out.counter("tegula_scheduler_compute_seconds_total", "Time in kernels, as workers reported",
              static_cast<double>(c.compute_ns) * 1e-9);
  out.counter("tegula_scheduler_core_seconds_total", "Time in the scheduling core", seconds(snapshot.core_time));
  out.counter("tegula_scheduler_events_total", "Events given to the scheduling core",
              static_cast<double>(snapshot.events));
  out.counter("tegula_scheduler_heartbeat_mismatches_total", "Workers whose attempts differ from the scheduler's view",
              static_cast<double>(c.heartbeat_mismatches));
  out.counter("tegula_scheduler_stale_answers_total", "Answers for attempts that are not the task's",
              static_cast<double>(c.stale_answers));
  out.counter("tegula_scheduler_client_anomalies_total", "Releases of what was not wanted, unknown layers",
              static_cast<double>(c.client_anomalies));

  const auto per_worker = [&](const char* name, const char* help, auto value) {
    for (const WorkerInfo& worker : snapshot.workers) {
      out.gauge(name, help, static_cast<double>(value(worker)), {{"worker", worker.registration.name}});
    }
  };
  per_worker("tegula_worker_managed_bytes", "Values in the worker's memory",
             [](const WorkerInfo& w) { return w.heartbeat.managed_bytes; });
  per_worker("tegula_worker_reserved_bytes", "Memory set aside for running tasks and what they wait for",
             [](const WorkerInfo& w) { return w.heartbeat.reserved_bytes; });
  per_worker("tegula_worker_spilled_bytes", "Results on the worker's disk",
             [](const WorkerInfo& w) { return w.heartbeat.spilled_bytes; });
  per_worker("tegula_worker_kept_bytes", "Free memory kept for reuse",
             [](const WorkerInfo& w) { return w.heartbeat.kept_bytes; });
  per_worker("tegula_worker_disk_written_bytes", "Bytes of spilled values written",
             [](const WorkerInfo& w) { return w.heartbeat.disk_written; });
  per_worker("tegula_worker_disk_read_bytes", "Bytes of spilled values read back",
             [](const WorkerInfo& w) { return w.heartbeat.disk_read; });
  per_worker("tegula_worker_disk_full", "1 while values have no room on disk",
             [](const WorkerInfo& w) { return w.heartbeat.disk_full ? 1 : 0; });
  per_worker("tegula_worker_resident_bytes", "Resident memory of the worker",
             [](const WorkerInfo& w) { return w.heartbeat.rss_bytes; });
  per_worker("tegula_worker_processing", "Attempts bound to the worker",
             [](const WorkerInfo& w) { return w.processing; });
  per_worker("tegula_worker_executing", "Kernels that run", [](const WorkerInfo& w) { return w.heartbeat.executing; });
  return out.text();
}

}  // namespace tegula::scheduler
