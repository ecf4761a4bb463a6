// Answers as text for people.
#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/commands.h"
#include "src/config.h"

namespace tegula::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string bytes(const Json& value) { return format_bytes(value.get<std::uint64_t>()); }

std::string duration(double seconds) {
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(seconds);
  if (whole < 7200) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

std::string word(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.dump();
}

// Rows under a heading, columns as wide as what is in them; numbers to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const {
    std::vector<std::size_t> width(rows_.front().size());
    for (const auto& row : rows_) {
      for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
    }
    std::string text;
    for (const auto& row : rows_) {
      std::string line = "  ";
      for (std::size_t c = 0; c < row.size(); ++c) {
        const bool number = rows_.size() > 1 && !rows_[1][c].empty() && rows_[1][c][0] >= '0' && rows_[1][c][0] <= '9';
        line += number ? fmt::format("{:>{}}  ", row[c], width[c]) : fmt::format("{:<{}}  ", row[c], width[c]);
      }
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

// When a worker's lifetime is over; "": it has none. Dumps of former versions say nothing of it.
std::string end_of(const Json& worker) {
  const Json ends = worker.value("ends_in_s", Json());
  return ends.is_null() ? "" : "ends in " + duration(ends.get<double>());
}

// The last few that died, the latest first.
std::string deaths_text(const Json& status) {
  const Json deaths = status.value("deaths", Json::array());
  if (deaths.empty()) return {};
  constexpr std::size_t kTold = 5;
  const Json& died = status.at("counters").at("workers_died");
  std::string text = fmt::format("{} worker{} died\n", word(died), died == 1 ? " has" : "s have");
  for (std::size_t i = deaths.size(); i > 0 && deaths.size() - i < kTold; --i) {
    const Json& death = deaths[i - 1];
    text += fmt::format("  {}  {} ago: {}{}\n", word(death.at("worker")), duration(death.at("ago_s").get<double>()),
                        word(death.at("cause")), death.at("certain").get<bool>() ? "" : " (not certain)");
  }
  if (deaths.size() > kTold) text += fmt::format("  and before: --json tells of the last {}\n", deaths.size());
  return text;
}

// What a worker says of itself. A dump has none of that.
std::string own_text(const Json& worker) {
  const Json& own = worker.at("own");
  if (own.is_null()) return "  it does not say more: " + word(worker.at("own_error")) + "\n";
  const Json& counters = own.at("counters");
  std::string text = fmt::format(
      "  since it joined: {} tasks finished, {} failed; {} of computing, {} of waiting for inputs, {} for the disk; {} "
      "in, {} out\n",
      word(counters.at("finished")), word(counters.at("failed")), duration(counters.at("compute_s").get<double>()),
      duration(counters.at("transfer_s").get<double>()), duration(counters.value("disk_s", 0.0)),
      bytes(counters.at("bytes_in")), bytes(counters.at("bytes_out")));
  for (const Json& peer : own.at("from_peers")) {
    const Json& rate = peer.at("bytes_per_s");
    text += fmt::format("  from worker {} at {}: {} requests, {}, {}/s\n", word(peer.at("worker")),
                        word(peer.at("address")), word(peer.at("requests")), bytes(peer.at("bytes")),
                        rate.is_null() ? "?" : format_bytes(static_cast<std::uint64_t>(rate.get<double>())));
  }
  for (const Json& peer : own.at("to_peers")) {
    text += fmt::format("  to {}: {} requests, {}\n", word(peer.at("name")), word(peer.at("requests")),
                        bytes(peer.at("bytes")));
  }
  const Json& tasks = own.at("tasks");
  constexpr std::size_t kLastTasks = 10;
  for (std::size_t i = tasks.size() > kLastTasks ? tasks.size() - kLastTasks : 0; i < tasks.size(); ++i) {
    const Json& task = tasks[i];
    const auto ms = [&](const char* field) { return task.at(field).get<double>() * 1e3; };
    text +=
        fmt::format("  did    {}  {} ago: inputs {:.1f} ms, disk {:.1f} ms, queued {:.1f} ms, computed {:.1f} ms{}\n",
                    word(task.at("task")), duration(task.at("ago_s").get<double>()), ms("transfer_s"),
                    task.value("disk_s", 0.0) * 1e3, ms("queued_s"), ms("compute_s"),
                    task.at("failed").get<bool>() ? ", failed" : "");
  }
  return text;
}

std::string without_newline(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

std::string status_text(const std::string& answer) {
  const Json json = Json::parse(answer);
  const Json& scheduler = json.at("scheduler");
  std::string text;
  if (const std::string address = word(scheduler.at("address")); !address.empty()) {
    text += fmt::format("scheduler {}, version {}, up {}\n", address, word(scheduler.at("version")),
                        duration(scheduler.at("uptime_s").get<double>()));
  }
  std::string tasks;
  for (const auto& [state, count] : json.at("tasks").items()) {
    tasks += fmt::format("{}{} {}", tasks.empty() ? "" : ", ", word(count), state);
  }
  text += fmt::format("tasks: {}; {} layers\n", tasks, word(json.at("layers")));
  if (const double idle = scheduler.at("standstill_s").get<double>(); idle > 1) {
    text += fmt::format("nothing has finished for {}\n", duration(idle));
  }
  text += fmt::format("{} workers\n", json.at("workers").size());
  Table workers({"", "name", "address", "threads", "bound", "running", "done", "values", "on disk", "unmanaged",
                 "limit", "heard"});
  for (const Json& worker : json.at("workers")) {
    workers.add({word(worker.at("id")), word(worker.at("name")), word(worker.at("address")), word(worker.at("threads")),
                 word(worker.at("processing")), word(worker.at("executing")), word(worker.at("tasks_done")),
                 bytes(worker.at("managed_bytes")),
                 bytes(worker.at("spilled_bytes")) + (worker.value("disk_full", false) ? ", full" : ""),
                 bytes(worker.at("unmanaged_bytes")),
                 worker.at("memory_limit") == 0 ? "none" : bytes(worker.at("memory_limit")),
                 duration(worker.at("last_heard_s").get<double>()) +
                     (worker.value("retiring", false) ? ", retiring" : "") +
                     (end_of(worker).empty() ? "" : ", " + end_of(worker))});
  }
  if (!json.at("workers").empty()) text += workers.text();
  text += deaths_text(json);
  text += fmt::format("{} clients\n", json.at("clients").size());
  Table clients({"", "name", "connected", "to do", "bound", "layers", "wants"});
  for (const Json& client : json.at("clients")) {
    clients.add({word(client.at("id")), word(client.at("name")), word(client.at("connected")),
                 word(client.at("active")), word(client.at("processing")), word(client.at("layers")),
                 word(client.at("wants"))});
  }
  if (!json.at("clients").empty()) text += clients.text();
  return without_newline(text);
}

std::string why_text(const std::string& answer) { return word(Json::parse(answer).at("why")); }

std::string story_text(const std::string& answer) {
  const Json json = Json::parse(answer);
  const double now = json.at("now_s").get<double>();
  std::string text = fmt::format("{} is {}\n", word(json.at("key")), word(json.at("state")));
  for (const Json& entry : json.at("story")) {
    text += fmt::format("  {:10.3f} s  {} -> {}", entry.at("time_s").get<double>() - now, word(entry.at("from")),
                        word(entry.at("to")));
    if (entry.contains("worker")) {
      text += fmt::format("  (worker {}, attempt {})", word(entry.at("worker")), word(entry.at("attempt")));
    }
    text += "\n";
  }
  if (json.at("story").empty()) text += "  the log has nothing about it\n";
  return without_newline(text);
}

std::string task_text(const std::string& answer) {
  const Json json = Json::parse(answer);
  std::string text = fmt::format("{}\nkernel {}, priority {}\n", word(json.at("why")), word(json.at("kernel")),
                                 word(json.at("priority")));
  std::size_t number = 0;
  for (const Json& output : json.at("outputs")) {
    std::string holders;
    for (const Json& holder : output.at("who_has")) holders += (holders.empty() ? "" : ", ") + word(holder);
    text +=
        fmt::format("output {}: {}, {} wants, {} readers\n", number++,
                    holders.empty() ? "held by nobody" : fmt::format("{} on {}", bytes(output.at("nbytes")), holders),
                    word(output.at("wants")), word(output.at("readers")));
  }
  if (!json.at("inputs").empty()) {
    text += "reads\n";
    Table inputs({"key", "state", "here"});
    for (const Json& input : json.at("inputs")) {
      inputs.add({word(input.at("key")), word(input.at("state")), word(input.at("available"))});
    }
    text += inputs.text();
  }
  return without_newline(text);
}

std::string worker_text(const std::string& answer) {
  const Json json = Json::parse(answer);
  std::string text =
      fmt::format("worker {} ({}) at {}: {} threads, {} bound (about {} of work), {} executing, {} results of {}\n",
                  word(json.at("name")), word(json.at("id")), word(json.at("address")), word(json.at("threads")),
                  word(json.at("processing")), duration(json.at("occupancy_s").get<double>()),
                  word(json.at("executing")), word(json.at("results")), bytes(json.at("result_bytes")));
  if (const std::string ends = end_of(json); !ends.empty()) text += fmt::format("  its lifetime {}\n", ends);
  for (const Json& bound : json.at("bound")) {
    text += fmt::format("  bound  {}  attempt {}\n", word(bound.at("key")), word(bound.at("attempt")));
  }
  for (const Json& result : json.at("has_what")) {
    text += fmt::format("  holds  {}  {}\n", word(result.at("key")), bytes(result.at("nbytes")));
  }
  if (json.at("has_what").size() < json.at("results").get<std::size_t>()) {
    text += fmt::format("  and {} more\n", json.at("results").get<std::size_t>() - json.at("has_what").size());
  }
  if (json.contains("own")) text += own_text(json);
  return without_newline(text);
}

}  // namespace tegula::cli
