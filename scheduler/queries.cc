#include "scheduler/queries.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "src/version.h"
#include "tegula/dtype.h"

namespace tegula::scheduler {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostInputs = 1000;    // that the answer about a task lists
constexpr std::size_t kMostResults = 10000;  // that the answer about a worker lists
constexpr std::uint64_t kDumpTasks = 100000;
constexpr std::size_t kDumpReasons = 1000;  // tasks of a dump that come with why(), which may look at a whole queue

double seconds(Time time) { return std::chrono::duration<double>(time).count(); }
std::uint32_t number(WorkerId id) { return static_cast<std::uint32_t>(id); }

std::string id_text(TaskId task) {
  return fmt::format("{}/{}", static_cast<std::uint32_t>(layer_of(task)), index_of(task));
}

// What comes from peers need not be UTF-8.
std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

class Answer {
 public:
  Answer(const SchedulerState& state, const Surroundings& around) : state_(state), around_(around) {
    for (WorkerInfo& worker : state.workers()) workers_.emplace(worker.worker, std::move(worker));
  }

  Json status() const {
    const Counters& counters = state_.counters();
    Json json;
    json["scheduler"] = {{"address", around_.address},
                         {"incarnation", fmt::format("{:016x}", static_cast<std::uint64_t>(around_.incarnation))},
                         {"version", std::string(kVersion)},
                         {"uptime_s", seconds(around_.uptime)},
                         {"standstill_s", seconds(state_.standstill())}};
    json["tasks"] = {
        {"released", counters.released}, {"waiting", counters.waiting},       {"no-worker", counters.no_worker},
        {"queued", counters.queued},     {"processing", counters.processing}, {"memory", counters.memory},
        {"erred", counters.erred}};
    json["workers"] = Json::array();
    for (const auto& [id, worker] : workers_) json["workers"].push_back(about(worker));
    json["clients"] = Json::array();
    for (const ClientInfo& client : state_.clients()) json["clients"].push_back(about(client));
    json["deaths"] = Json::array();
    for (const WorkerDeath& death : state_.deaths()) {
      json["deaths"].push_back({{"worker", death.worker},
                                {"cause", death.cause},
                                {"certain", death.certain},
                                {"ago_s", seconds(state_.time() - death.time)}});
    }
    json["layers"] = counters.layers;
    json["counters"] = {{"tasks_finished", counters.tasks_finished},
                        {"tasks_failed", counters.tasks_failed},
                        {"tasks_returned", counters.tasks_returned},
                        {"tasks_recomputed", counters.tasks_recomputed},
                        {"assignments", counters.assignments},
                        {"retractions", counters.retractions},
                        {"results_freed", counters.results_freed},
                        {"inventory_results", counters.inventory_results},
                        {"inventory_kept", counters.inventory_kept},
                        {"surplus_dropped", counters.surplus_dropped},
                        {"compute_s", static_cast<double>(counters.compute_ns) * 1e-9},
                        {"workers_joined", counters.workers_joined},
                        {"workers_lost", counters.workers_lost},
                        {"workers_died", counters.workers_died},
                        {"sessions", counters.sessions},
                        {"submissions", counters.submissions},
                        {"submissions_refused", counters.submissions_refused},
                        {"heartbeat_mismatches", counters.heartbeat_mismatches},
                        {"stale_answers", counters.stale_answers},
                        {"client_anomalies", counters.client_anomalies}};
    return json;
  }

  Json why(TaskId task) const {
    return {{"key", state_.key(task)}, {"state", name_of(state_.state_of(task))}, {"why", state_.why(task)}};
  }

  Json story(TaskId task) const {
    Json json{{"key", state_.key(task)},
              {"state", name_of(state_.state_of(task))},
              {"now_s", seconds(state_.time())},
              {"story", Json::array()}};
    for (const Transition& entry : state_.story(task)) json["story"].push_back(transition(entry));
    return json;
  }

  Json task(TaskId id) const {
    const TaskInfo info = state_.task(id);
    Json json = about(id, info);
    json["kernel"] = info.kernel;
    json["inputs"] = Json::array();
    for (const InputInfo& input : state_.inputs(id, kMostInputs)) {
      json["inputs"].push_back({{"key", state_.key(input.result.task)},
                                {"output", input.result.output},
                                {"state", name_of(input.state)},
                                {"available", input.available}});
    }
    json["why"] = state_.why(id);
    return json;
  }

  Json worker(WorkerId id) const {
    Json json = about(workers_.at(id));
    json["bound"] = Json::array();
    for (const auto& [task, attempt] : state_.bound_to(id)) {
      json["bound"].push_back({{"key", state_.key(task)}, {"attempt", static_cast<std::uint64_t>(attempt)}});
    }
    const std::vector<ResultId> held = state_.held_by(id);
    std::uint64_t bytes = 0;
    Json results = Json::array();
    for (const ResultId& result : held) {
      const std::uint64_t nbytes = state_.task(result.task).outputs.at(result.output).nbytes;
      bytes += nbytes;
      if (results.size() < kMostResults) {
        results.push_back({{"key", state_.key(result.task)}, {"output", result.output}, {"nbytes", nbytes}});
      }
    }
    json["results"] = held.size();
    json["result_bytes"] = bytes;
    json["has_what"] = std::move(results);
    return json;
  }

  Json dump(std::uint64_t most) const {
    Json json{{"format", "tegula-dump"}, {"format_version", 1}, {"now_s", seconds(state_.time())}};
    json.update(status());
    json["layers"] = Json::array();
    for (const LayerInfo& layer : state_.layers()) json["layers"].push_back(about(layer));
    // What is not finished first: if not all can be told, these are.
    std::vector<std::pair<int, TaskId>> order;
    for (const TaskId task : state_.tasks()) {
      const TaskState state = state_.state_of(task);
      order.emplace_back(state == TaskState::kMemory ? 1 : 0, task);
    }
    std::sort(order.begin(), order.end());
    json["tasks_left_out"] = order.size() > most ? order.size() - most : 0;
    if (order.size() > most) order.resize(most);
    json["task_list"] = Json::array();
    for (const auto& [finished, id] : order) {
      Json entry = about(id, state_.task(id));
      if (finished == 0 && json["task_list"].size() < kDumpReasons) entry["why"] = state_.why(id);
      json["task_list"].push_back(std::move(entry));
    }
    json["log"] = Json::array();
    for (const Transition& entry : state_.log()) {
      Json line = transition(entry);
      line["id"] = id_text(entry.task);
      if (std::string key = state_.key(entry.task); !key.empty()) line["key"] = std::move(key);
      json["log"].push_back(std::move(line));
    }
    return json;
  }

 private:
  std::string name(WorkerId id) const {
    const auto found = workers_.find(id);
    return found == workers_.end() ? fmt::format("worker {} (gone)", number(id)) : found->second.registration.name;
  }

  Json transition(const Transition& entry) const {
    Json json{{"time_s", seconds(entry.time)}, {"from", name_of(entry.from)}, {"to", name_of(entry.to)}};
    if (entry.worker != WorkerId{}) {
      json["worker"] = name(entry.worker);
      json["attempt"] = static_cast<std::uint64_t>(entry.attempt);
    }
    return json;
  }

  Json about(const WorkerInfo& worker) const {
    const msg::RegisterWorker& registered = worker.registration;
    const msg::WorkerHeartbeat& beat = worker.heartbeat;
    const Counters& counters = state_.counters();
    const double typical = counters.tasks_finished == 0 ? 0
                                                        : static_cast<double>(counters.compute_ns) * 1e-9 /
                                                              static_cast<double>(counters.tasks_finished);
    return {{"id", number(worker.worker)},
            {"name", registered.name},
            {"address", registered.address},
            {"host", registered.host},
            {"pid", registered.pid},
            {"threads", registered.threads},
            {"kernel_level", registered.kernel_level},
            {"memory_limit", registered.memory_limit},
            {"managed_bytes", beat.managed_bytes},
            {"reserved_bytes", beat.reserved_bytes},
            {"spilled_bytes", beat.spilled_bytes},
            {"kept_bytes", beat.kept_bytes},
            {"unmanaged_bytes", beat.rss_bytes - std::min(beat.rss_bytes, beat.managed_bytes + beat.kept_bytes)},
            {"rss_bytes", beat.rss_bytes},
            {"disk_written", beat.disk_written},
            {"disk_read", beat.disk_read},
            {"disk_full", beat.disk_full},
            {"bytes_in", beat.bytes_in},
            {"bytes_out", beat.bytes_out},
            {"tasks_done", beat.tasks_done},
            {"processing", worker.processing},
            {"retiring", worker.retiring},
            {"ends_in_s", worker.ends_at ? Json(seconds(std::max(*worker.ends_at - state_.time(), Time{}))) : Json()},
            {"executing", beat.executing},
            {"ready", beat.ready},
            {"waiting", beat.waiting},
            {"slots_granted", worker.slots_granted},
            {"slots_spent", worker.slots_spent},
            {"memory_credit", worker.memory_credit ? Json(*worker.memory_credit) : Json()},
            {"occupancy_s", typical * worker.processing},
            {"last_heard_s", seconds(state_.time() - worker.last_heard)}};
  }

  Json about(const ClientInfo& client) const {
    return {{"id", static_cast<std::uint32_t>(client.client)},
            {"name", client.name},
            {"connected", client.connected},
            {"active", client.active},
            {"processing", client.processing},
            {"layers", client.layers},
            {"wants", client.wants}};
  }

  Json about(const LayerInfo& layer) const {
    Json json{{"id", static_cast<std::uint32_t>(layer.layer)},
              {"name", layer.description->name},
              {"hash", fmt::format("{:016x}{:016x}", layer.hash.high, layer.hash.low)},
              {"kernel", layer.description->kernel},
              {"grid", layer.description->grid},
              {"outputs", Json::array()},
              {"inputs", Json::array()},
              {"active", layer.active},
              {"records", layer.known},
              {"clients", layer.clients}};
    for (const OutputSpec& output : layer.description->outputs) json["outputs"].push_back(name_of(output.dtype));
    for (const InputRule& input : layer.description->inputs) {
      json["inputs"].push_back({{"layer", input.layer}, {"output", input.output}});
    }
    return json;
  }

  Json about(TaskId id, const TaskInfo& info) const {
    Json json{{"id", id_text(id)},
              {"key", info.key},
              {"state", name_of(info.state)},
              {"priority", info.urgency},
              {"tag", info.tag}};
    if (info.state == TaskState::kProcessing) {
      json["phase"] = info.phase == TaskPhase::kRetracting ? "retracting"
                      : info.phase == TaskPhase::kRunning  ? "running"
                                                           : "bound";
      json["worker"] = name(info.worker);
      json["attempt"] = static_cast<std::uint64_t>(info.attempt);
    }
    json["outputs"] = Json::array();
    for (const TaskInfo::Output& output : info.outputs) {
      Json holders = Json::array();
      for (const WorkerId holder : output.holders) holders.push_back(name(holder));
      json["outputs"].push_back({{"nbytes", output.nbytes},
                                 {"wants", output.wants},
                                 {"readers", output.consumers},
                                 {"who_has", std::move(holders)}});
    }
    if (info.error) {
      json["error"] = {{"message", info.error->message},
                       {"key", info.error->key},
                       {"kernel", info.error->kernel},
                       {"worker", info.error->worker},
                       {"chain", info.error->chain}};
    }
    return json;
  }

  const SchedulerState& state_;
  const Surroundings& around_;
  std::map<WorkerId, WorkerInfo> workers_;
};

std::uint64_t dump_limit(const std::string& text) {
  if (text.empty()) return kDumpTasks;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw ValueError(fmt::format("'{}' is no number of tasks", text));
  }
  return value;
}

}  // namespace

std::string answer(const SchedulerState& state, const msg::Query& query, const Surroundings& around) {
  const Answer told(state, around);
  switch (query.kind) {
    case msg::QueryKind::kStatus:
      return text_of(told.status());
    case msg::QueryKind::kWhy:
      return text_of(told.why(state.find_key(query.subject).task));
    case msg::QueryKind::kStory:
      return text_of(told.story(state.find_key(query.subject).task));
    case msg::QueryKind::kTask:
      return text_of(told.task(state.find_key(query.subject).task));
    case msg::QueryKind::kWorker:
      return text_of(told.worker(state.find_worker(query.subject)));
    case msg::QueryKind::kDump:
      return text_of(told.dump(dump_limit(query.subject)));
  }
  throw ValueError("a query of unknown kind");
}

}  // namespace tegula::scheduler
