#include "worker/history.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tegula::worker {
namespace {

using Json = nlohmann::ordered_json;

double seconds(Time time) { return std::chrono::duration<double>(time).count(); }

Json bandwidth(std::uint64_t bytes, Time busy) {
  return busy > Time{0} ? Json(static_cast<double>(bytes) / seconds(busy)) : Json(nullptr);
}

Json turns_json(const TurnWatch& turns, const Durations& lateness) {
  return {{"count", turns.wall().count()},
          {"longest_wall_s", seconds(turns.wall().longest())},
          {"wall_p999_s", seconds(turns.wall().quantile(0.999))},
          {"longest_cpu_s", seconds(turns.longest_cpu())},
          {"longest_own_s", seconds(turns.longest_own())},
          {"long_cpu", turns.long_cpu()},
          {"long_own", turns.long_own()},
          {"idle_thread",
           {{"count", lateness.count()},
            {"longest_late_s", seconds(lateness.longest())},
            {"late_p999_s", seconds(lateness.quantile(0.999))}}}};
}

}  // namespace

void History::handed_over(const Execute& execute, Time now) {
  running_[execute.attempt] = {execute.task, execute.fetched_in, execute.read_in, now};
}

void History::heard(const Event& event, Time now) {
  if (const auto* finished = std::get_if<KernelFinished>(&event)) {
    end(finished->attempt, finished->compute_ns, false, now);
  } else if (const auto* failed = std::get_if<KernelFailed>(&event)) {
    end(failed->attempt, failed->compute_ns, true, now);
  } else if (const auto* needs = std::get_if<KernelNeeds>(&event)) {
    running_.erase(needs->attempt);
  } else if (const auto* recalled = std::get_if<Recalled>(&event)) {
    running_.erase(recalled->attempt);
  }
}

void History::forget_running() { running_.clear(); }

void History::end(AttemptId attempt, std::uint64_t compute_ns, bool failed, Time now) {
  const auto found = running_.find(attempt);
  if (found == running_.end()) return;
  const Running& running = found->second;
  const Time computed_in(static_cast<Time::rep>(compute_ns));
  const Time queued = std::max(Time{0}, now - running.handed_over - computed_in);
  ended_.push_back({running.task, now, running.fetched_in, running.read_in, queued, computed_in, failed});
  if (ended_.size() > kTasks) ended_.pop_front();
  ++(failed ? failed_ : finished_);
  fetched_in_ += running.fetched_in;
  read_in_ += running.read_in;
  computed_in_ += computed_in;
  running_.erase(found);
}

std::string History::text(const Surroundings& around, Time now) const {
  const msg::WorkerHeartbeat& beat = around.beat;
  Json json;
  json["counters"] = {{"executing", beat.executing},
                      {"ready", beat.ready},
                      {"waiting", beat.waiting},
                      {"finished", finished_},
                      {"failed", failed_},
                      {"compute_s", seconds(computed_in_)},
                      {"transfer_s", seconds(fetched_in_)},
                      {"disk_s", seconds(read_in_)},
                      {"managed_bytes", beat.managed_bytes},
                      {"reserved_bytes", beat.reserved_bytes},
                      {"rss_bytes", beat.rss_bytes},
                      {"bytes_in", beat.bytes_in},
                      {"bytes_out", beat.bytes_out}};
  json["disk"] = {{"bytes", around.disk.bytes_on_disk},
                  {"bytes_written", around.disk.bytes_written},
                  {"bytes_read", around.disk.bytes_read},
                  {"write_busy_s", seconds(around.disk.write_busy)},
                  {"read_busy_s", seconds(around.disk.read_busy)},
                  {"failures", around.disk.failures}};
  if (around.turns != nullptr) json["turns"] = turns_json(*around.turns, around.idle_thread->lateness());
  json["tasks"] = Json::array();
  for (const Ended& task : ended_) {
    json["tasks"].push_back(
        {{"task", fmt::format("{}/{}", static_cast<std::uint32_t>(layer_of(task.task)), index_of(task.task))},
         {"ago_s", seconds(now - task.ended)},
         {"transfer_s", seconds(task.fetched_in)},
         {"disk_s", seconds(task.read_in)},
         {"queued_s", seconds(task.queued)},
         {"compute_s", seconds(task.computed_in)},
         {"failed", task.failed}});
  }
  json["from_peers"] = Json::array();
  for (const PeerFetcher::Traffic& peer : around.fetched) {
    json["from_peers"].push_back({{"worker", static_cast<std::uint32_t>(peer.peer)},
                                  {"address", peer.address},
                                  {"requests", peer.requests},
                                  {"bytes", peer.bytes},
                                  {"busy_s", seconds(peer.busy)},
                                  {"bytes_per_s", bandwidth(peer.bytes, peer.busy)}});
  }
  json["to_peers"] = Json::array();
  for (const DataServer::Traffic& peer : around.served) {
    json["to_peers"].push_back({{"name", peer.name}, {"requests", peer.requests}, {"bytes", peer.bytes}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tegula::worker
