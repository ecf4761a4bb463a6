// `tegula replay`: goes through a record event by event with a scheduler's core, or looks into a dump.
#include <fmt/core.h>

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "scheduler/queries.h"
#include "scheduler/record.h"
#include "src/config.h"
#include "tegula/error.h"

namespace tegula::cli {
namespace {

using scheduler::Action;
using scheduler::RecordReader;
using scheduler::SchedulerState;
using scheduler::Transition;

class Replay {
 public:
  explicit Replay(const Options& options) : options_(options), reader_(options.subject), state_(reader_.config()) {}

  int run() {
    while (std::optional<RecordReader::Entry> entry = next()) {
      if (entry->event) {
        if (options_.until && events_ == *options_.until) {
          stopped_ = true;
          break;
        }
        ++events_;
        feed(std::move(*entry));
      } else {
        settle(*entry);
      }
    }
    // What came last was decided on, whether the record says so or not.
    if (unsettled_) {
      actions_.clear();
      state_.settle(last_, actions_);
      print_actions();
    }
    tell();
    return damaged_ ? kExitFailed : 0;
  }

 private:
  std::optional<RecordReader::Entry> next() {
    try {
      return reader_.next();
    } catch (const FileError& error) {
      fmt::print(stderr, "tegula: {}; what came before was replayed\n", error.what());
      damaged_ = true;
      return std::nullopt;
    }
  }

  bool printing() const { return options_.step && (!options_.from || events_ >= *options_.from); }

  void feed(RecordReader::Entry entry) {
    if (events_ == 1) first_ = entry.time;
    last_ = entry.time;
    if (printing()) {
      fmt::print("#{} +{:.6f} s  {}\n", events_, std::chrono::duration<double>(last_ - first_).count(),
                 describe(*entry.event, state_));
    }
    const std::size_t before = log_mark();
    actions_.clear();
    state_.apply(entry.time, std::move(*entry.event), actions_);
    given_ += actions_.size();
    print_transitions(before);
    print_actions();
    unsettled_ = true;
  }

  void settle(const RecordReader::Entry& entry) {
    if (given_ != entry.actions) {
      throw Error(ErrorCode::kInternal,
                  fmt::format("after event {} this core had given {} actions, the recorded one {}: it decides "
                              "differently, so it is another version",
                              events_, given_, entry.actions));
    }
    last_ = entry.time;
    const std::size_t before = log_mark();
    actions_.clear();
    state_.settle(entry.time, actions_);
    given_ += actions_.size();
    unsettled_ = false;
    print_transitions(before);
    print_actions();
    if (options_.check) state_.check_invariants();
  }

  // What the log has grown by is what the event did. (The log is a ring: its end counts.)
  std::size_t log_mark() const { return printing() ? state_.transitions() : 0; }
  void print_transitions(std::size_t before) {
    if (!printing()) return;
    const std::vector<Transition> log = state_.log();
    const std::size_t fresh = std::min<std::size_t>(state_.transitions() - before, log.size());
    for (std::size_t i = log.size() - fresh; i < log.size(); ++i) {
      const std::string key = state_.key(log[i].task);
      fmt::print("    {}{}{}\n", key, key.empty() ? "" : "  ", to_string(log[i]));
    }
  }
  void print_actions() {
    if (!printing()) return;
    std::map<std::string, std::uint64_t> sent;
    for (const Action& action : actions_) {
      if (const auto* worker = std::get_if<scheduler::SendToWorker>(&action)) {
        ++sent[fmt::format("worker {}: {}", static_cast<std::uint32_t>(worker->worker), msg::name_of(worker->message))];
      } else if (const auto* client = std::get_if<scheduler::SendToClient>(&action)) {
        ++sent[fmt::format("client connection {}: {}", static_cast<std::uint64_t>(client->connection),
                           msg::name_of(client->message))];
      } else if (const auto* report = std::get_if<scheduler::Report>(&action)) {
        fmt::print("    report: {}\n", report->text);
      } else if (const auto* worker_closed = std::get_if<scheduler::CloseWorker>(&action)) {
        fmt::print("    closes worker {}: {}\n", static_cast<std::uint32_t>(worker_closed->worker),
                   worker_closed->reason);
      } else if (const auto* client_closed = std::get_if<scheduler::CloseClient>(&action)) {
        fmt::print("    closes client connection {}: {}\n", static_cast<std::uint64_t>(client_closed->connection),
                   client_closed->reason);
      }
    }
    for (const auto& [what, count] : sent) {
      fmt::print("    to {}{}\n", what, count == 1 ? "" : fmt::format(" ({} times)", count));
    }
  }

  void ask(msg::QueryKind kind, const std::string& subject, std::string (*text)(const std::string&)) const {
    const std::string json = scheduler::answer(state_, msg::Query{0, kind, subject, 0}, {});
    fmt::print("{}\n", options_.json ? json : text(json));
  }

  void tell() const {
    if (reader_.truncated()) {
      fmt::print(stderr, "tegula: the record ends in the middle of what follows event {}\n", events_);
    }
    const bool asked = !options_.why.empty() || !options_.story.empty() || options_.status;
    if (!options_.json) {
      fmt::print("{} events in {:.3f} s{}\n", events_, std::chrono::duration<double>(last_ - first_).count(),
                 options_.check ? ", invariants held after each" : "");
    }
    if (options_.until && !stopped_ && events_ < *options_.until && !options_.json) {
      fmt::print("the record has no event {}\n", *options_.until);
    }
    if (!options_.why.empty()) ask(msg::QueryKind::kWhy, options_.why, why_text);
    if (!options_.story.empty()) ask(msg::QueryKind::kStory, options_.story, story_text);
    if (options_.status || !asked) ask(msg::QueryKind::kStatus, "", status_text);
  }

  const Options& options_;
  RecordReader reader_;
  SchedulerState state_;
  std::vector<Action> actions_;
  std::uint64_t events_ = 0, given_ = 0;
  scheduler::Time first_{}, last_{};
  bool unsettled_ = false, stopped_ = false, damaged_ = false;
};

// ---- dumps ----

using Json = nlohmann::ordered_json;

const Json& task_of(const Json& dump, const std::string& key) {
  std::vector<std::string> known;
  for (const Json& task : dump.at("task_list")) {
    if (task.at("key") == key || task.at("id") == key) return task;
    known.push_back(task.at("key").get<std::string>());
  }
  const std::string near = nearest(key, known);
  throw ValueError(
      fmt::format("the dump has no task '{}'{}", key, near.empty() ? "" : fmt::format("; did you mean {}?", near)));
}

std::string holders_of(const Json& task) {
  std::string text;
  for (const Json& output : task.at("outputs")) {
    for (const Json& holder : output.at("who_has")) text += (text.empty() ? "" : ", ") + holder.get<std::string>();
  }
  return text;
}

int show_dump(const Options& options) {
  std::ifstream file(options.subject, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Json dump;
  try {
    dump = Json::parse(text);
    if (dump.at("format") != "tegula-dump") throw FileError(options.subject + " is neither a record nor a dump");
    if (dump.at("format_version") != 1) {
      throw FileError(fmt::format("{} is a dump of format version {}, this program reads 1", options.subject,
                                  dump.at("format_version").dump()));
    }
    if (options.check) throw ValueError("a dump has no events to check invariants after; a record has");
    bool asked = false;
    if (!options.why.empty()) {
      asked = true;
      const Json& task = task_of(dump, options.why);
      if (task.contains("why")) {
        fmt::print("{}\n", task.at("why").get<std::string>());
      } else {
        const std::string holders = holders_of(task);
        fmt::print("{} is {}{}\n", task.at("key").get<std::string>(), task.at("state").get<std::string>(),
                   holders.empty() ? "" : " on " + holders);
      }
    }
    const auto print = [](const Json& entry) {
      std::string line = fmt::format("  {:14.6f} s  {}  {} -> {}", entry.at("time_s").get<double>(),
                                     entry.value("key", entry.at("id").get<std::string>()),
                                     entry.at("from").get<std::string>(), entry.at("to").get<std::string>());
      if (entry.contains("worker")) {
        line +=
            fmt::format("  (worker {}, attempt {})", entry.at("worker").get<std::string>(), entry.at("attempt").dump());
      }
      fmt::print("{}\n", line);
    };
    if (!options.story.empty()) {
      asked = true;
      const std::string id = task_of(dump, options.story).at("id").get<std::string>();
      for (const Json& entry : dump.at("log")) {
        if (entry.at("id") == id) print(entry);
      }
    }
    if (options.step) {
      asked = true;
      std::uint64_t number = 0;
      for (const Json& entry : dump.at("log")) {
        ++number;
        if (options.from && number < *options.from) continue;
        if (options.until && number > *options.until) break;
        print(entry);
      }
    }
    if (options.status || !asked) fmt::print("{}\n", options.json ? text : status_text(text));
  } catch (const nlohmann::json::parse_error& error) {
    throw FileError(fmt::format("{} is neither a record nor a whole dump: {}", options.subject, error.what()));
  } catch (const nlohmann::json::exception& error) {
    throw FileError(fmt::format("{} is a dump in which something is missing: {}", options.subject, error.what()));
  }
  return 0;
}

}  // namespace

int run_replay(const Options& options) {
  if (scheduler::is_record(options.subject)) return Replay(options).run();
  return show_dump(options);
}

}  // namespace tegula::cli
