#include "worker/daemon.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <thread>

#include "comm/event_loop.h"
#include "comm/options.h"
#include "comm/transport.h"
#include "src/config.h"
#include "src/log.h"
#include "worker/addresses.h"
#include "worker/command_line.h"
#include "worker/limits.h"
#include "worker/server.h"
#include "worker/supervisor.h"

namespace tegula {

namespace {

using worker::CommandLine;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr auto kFilePoll = std::chrono::milliseconds(100);

struct Target {
  std::string address;
  std::string token;
};

// A scheduler that starts at the same time writes its file a little later.
SchedulerFile wait_for_file(const std::string& path, std::chrono::nanoseconds patience) {
  const auto begin = std::chrono::steady_clock::now();
  for (bool told = false; !std::filesystem::exists(path);) {
    if (!std::exchange(told, true)) log::info("worker", "waiting for the scheduler file {}", path);
    const auto waited = std::chrono::steady_clock::now() - begin;
    if (patience.count() > 0 && waited >= patience) throw ConnectionError("there is no scheduler file " + path);
    std::this_thread::sleep_for(kFilePoll);
  }
  return read_scheduler_file(path);
}

Target find_scheduler(const CommandLine& line, const Config& config) {
  const bool is_path = line.scheduler.ends_with(".json") && line.scheduler.find("://") == std::string::npos;
  const std::string path = is_path ? line.scheduler : line.scheduler.empty() ? config.string("scheduler.file") : "";
  if (!path.empty()) {
    const SchedulerFile file = wait_for_file(path, config.duration("worker.death-timeout"));
    return {file.address, file.token};
  }
  // --insecure does without the token of the environment, as it does for the scheduler.
  Target target{line.scheduler, config.boolean("comm.insecure") ? std::string() : token_from_environment()};
  if (target.address.empty()) {
    const auto port = static_cast<std::uint16_t>(config.integer("scheduler.port"));
    target.address = to_string(Address{"tcp", config.string("scheduler.host"), port});
  }
  target.address = to_string(parse_address(target.address, kDefaultSchedulerPort));
  return target;
}

// The arguments of worker process i: those of this one, and what differs after them, where it counts.
std::vector<std::string> arguments_of(int argc, char** argv, const Config& config, unsigned processes, unsigned i) {
  std::vector<std::string> arguments(argv, argv + argc);
  const auto add = [&arguments](const char* flag, std::string value) {
    arguments.emplace_back(flag);
    arguments.push_back(std::move(value));
  };
  const std::string& name = config.string("worker.name");
  const std::string own_name = (name.empty() ? worker::default_worker_name() : name) + "-" + std::to_string(i);
  add("--nworkers", "1");
  add("--name", own_name);
  const std::uint64_t limit = worker::parse_memory_limit(config.string("worker.memory-limit"), processes);
  add("--memory-limit", limit == 0 ? "none" : std::to_string(limit));
  if (config.integer("worker.threads") == 0) {
    add("--nthreads", std::to_string(std::max(1u, worker::usable_cores() / processes)));
  }
  if (const std::string& directory = config.string("worker.local-directory"); !directory.empty()) {
    add("--local-directory", (std::filesystem::path(directory) / own_name).string());
  }
  return arguments;
}

int run_one(const CommandLine& line, const Config& config) {
  worker::WorkerOptions options = worker::worker_options(config, 1);
  const Target target = find_scheduler(line, config);
  options.scheduler_address = target.address;
  options.comm.token = target.token;

  EventLoop loop;
  worker::WorkerServer server(loop, std::move(options));
  std::optional<worker::WorkerExit> outcome;
  server.on_exit = [&](const worker::WorkerExit& ended) {
    outcome = ended;
    loop.stop();
  };
  bool asked = false;
  loop.on_termination_signal([&](int) {
    if (std::exchange(asked, true)) return loop.stop();  // asked twice: at once
    server.stop();
  });
  loop.post([&server] { server.start(); });
  loop.run();
  if (outcome && !outcome->ok()) {
    fmt::print(stderr, "tegula-worker: {}\n", outcome->reason);
    return kExitFailed;
  }
  return 0;
}

int run(const CommandLine& line, int argc, char** argv) {
  Config config = Config::load(line.config_file);
  for (const auto& [key, value] : line.settings) config.set(key, value);
  log::configure(config.string("logging.level"), config.string("logging.file"));
  worker::raise_descriptor_limit();
  if (line.processes == 1) return run_one(line, config);

  std::vector<std::vector<std::string>> arguments;
  const std::string shared_name =
      config.string("worker.name").empty() ? worker::default_worker_name() : config.string("worker.name");
  config.set("worker.name", shared_name);
  for (unsigned i = 0; i < line.processes; ++i) {
    arguments.push_back(arguments_of(argc, argv, config, line.processes, i));
  }
  return worker::supervise(arguments);
}

}  // namespace

int worker_main(int argc, char** argv) {
  const CommandLine line = worker::parse_command_line(argc, argv);
  if (line.exit) return *line.exit;
  try {
    return run(line, argc, argv);
  } catch (const ConfigError& error) {
    fmt::print(stderr, "tegula-worker: {}\n", error.what());
    return kExitUsage;
  } catch (const ValueError& error) {  // a malformed address
    fmt::print(stderr, "tegula-worker: {}\n", error.what());
    return kExitUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "tegula-worker: {}\n", error.what());
    return kExitFailed;
  }
}

}  // namespace tegula
