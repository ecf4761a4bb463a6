// Commands that speak with a scheduler.
#include <fmt/core.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "client/session.h"
#include "comm/messages.h"
#include "comm/transport.h"
#include "src/config.h"
#include "src/write_file.h"
#include "tegula/client.h"

namespace tegula::cli {
namespace {

constexpr std::chrono::seconds kPatience(60);  // for an answer; a dump takes a while

std::string scheduler_address(const Options& options, const Config& config) {
  if (!options.scheduler.empty()) return options.scheduler;
  if (const std::string& file = config.string("scheduler.file"); !file.empty()) return file;
  if (const std::string& address = config.string("scheduler.contact-address"); !address.empty()) return address;
  const std::string& host = config.string("scheduler.host");
  return to_string(Address{"tcp", host == "0.0.0.0" || host == "::" ? "127.0.0.1" : host,
                           static_cast<std::uint16_t>(config.integer("scheduler.port"))});
}

Client connect(const Options& options) {
  ClientOptions client;
  client.config_file = options.config_file;
  client.insecure = options.insecure;
  client.connect_timeout = parse_duration(options.timeout);
  client.name = fmt::format("tegula-{}-{}", options.command, getpid());
  return Client(scheduler_address(options, Config::load(options.config_file)), client);
}

int dump(const Client& client, const Options& options) {
  const std::string most = options.tasks == 0 ? "" : std::to_string(options.tasks);
  const std::string text = client.impl()->ask(msg::QueryKind::kDump, most, kPatience);
  if (options.subject == "-") {
    fmt::print("{}\n", text);
    return 0;
  }
  write_file(options.subject, text);
  const nlohmann::json json = nlohmann::json::parse(text);
  fmt::print("wrote {} ({} bytes): {} layers, {} tasks, {} workers, {} transitions\n", options.subject, text.size(),
             json.at("layers").size(), json.at("task_list").size(), json.at("workers").size(), json.at("log").size());
  if (const auto left = json.at("tasks_left_out").get<std::uint64_t>(); left != 0) {
    fmt::print("left out {} finished tasks; --tasks takes more\n", left);
  }
  return 0;
}

int ask(const Options& options, msg::QueryKind kind, std::string (*text)(const std::string&)) {
  const Client client = connect(options);
  const std::string json = client.impl()->ask(kind, options.subject, kPatience);
  fmt::print("{}\n", options.json ? json : text(json));
  return 0;
}

// What the scheduler knows of a worker, and what the worker says of itself.
int worker(const Options& options) {
  const Client client = connect(options);
  auto json = nlohmann::ordered_json::parse(client.impl()->ask(msg::QueryKind::kWorker, options.subject, kPatience));
  try {
    json["own"] =
        nlohmann::ordered_json::parse(client.impl()->ask_worker(json.at("address").get<std::string>(), kPatience));
  } catch (const Error& error) {  // it may be the reason for the question
    json["own"] = nullptr;
    json["own_error"] = error.what();
  }
  fmt::print("{}\n", options.json ? json.dump() : worker_text(json.dump()));
  return 0;
}

int order(const Options& options, msg::CommandKind kind) {
  const Client client = connect(options);
  const std::string json = client.impl()->command({0, kind, options.subject, options.copies, {}}, std::nullopt);
  fmt::print("{}\n", options.json ? json : nlohmann::json::parse(json).at("done").get<std::string>());
  return 0;
}

}  // namespace

int run_online(const Options& options) {
  const std::string& command = options.command;
  if (command == "status") return ask(options, msg::QueryKind::kStatus, status_text);
  if (command == "why") return ask(options, msg::QueryKind::kWhy, why_text);
  if (command == "story") return ask(options, msg::QueryKind::kStory, story_text);
  if (command == "task") return ask(options, msg::QueryKind::kTask, task_text);
  if (command == "worker") return worker(options);
  if (command == "dump") return dump(connect(options), options);
  if (command == "cancel") {
    // Keys end with a position in parentheses; names of clients are whatever they call themselves.
    const bool key = options.subject.ends_with(')') || options.subject.ends_with(']');
    return order(options, key ? msg::CommandKind::kCancelTask : msg::CommandKind::kCancelClient);
  }
  if (command == "retire") return order(options, msg::CommandKind::kRetire);
  if (command == "replicate") return order(options, msg::CommandKind::kReplicate);
  if (command == "rebalance") return order(options, msg::CommandKind::kRebalance);
  throw ValueError("there is no command '" + command + "'");
}

}  // namespace tegula::cli
