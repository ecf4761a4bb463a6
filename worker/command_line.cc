#include "worker/command_line.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "src/config.h"
#include "src/version.h"

namespace tegula::worker {

namespace {
constexpr int kExitUsage = 2;
constexpr unsigned kMaxProcesses = 1024;
}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App app("A worker of a Tegula cluster: runs tasks and keeps their results.", "tegula-worker");
  app.set_version_flag("--version", "tegula-worker " + std::string(kVersion));
  app.allow_extras();  // refused below, with a suggestion
  app.add_option("ADDRESS", line.scheduler, "the scheduler: tcp://host:port, or the path of its scheduler file")
      ->type_name("");
  const auto option = [&](const char* flag, const char* key, const char* help) {
    app.add_option_function<std::string>(
           flag, [&line, key](const std::string& value) { line.settings.emplace_back(key, value); }, help)
        ->type_name("")
        ->take_last();
  };
  option("--nthreads", "worker.threads", "threads that run kernels; 0: one per core, divided by the worker processes");
  option("--name", "worker.name", "a name that no other worker has (host and process number)");
  option("--host", "worker.host", "address to listen on (the one that leads to the scheduler)");
  option("--port", "worker.port", "port to listen on, or a range 9000:9100; 0: any free one");
  option("--interface", "worker.interface", "listen on the address of this network interface");
  option("--contact-address", "worker.contact-address", "address that others are told to reach this worker by");
  option("--scheduler-file", "scheduler.file", "take the scheduler's address and token from this file");
  option("--memory-limit", "worker.memory-limit", "for chunks, per worker process: 4GB, 50%, auto, none");
  option("--resources", "worker.resources", "what tasks may occupy here: GPU=1,LICENSE=0.5");
  option("--local-directory", "worker.local-directory", "where the worker keeps its files");
  option("--death-timeout", "worker.death-timeout", "end after this long without a scheduler: 60s; 0s: never");
  option("--drain-timeout", "worker.drain-timeout", "time to finish and hand results over when asked to end: 60s");
  option("--lifetime", "worker.lifetime", "end in order after this long: 1h");
  option("--lifetime-stagger", "worker.lifetime-stagger", "by how much lifetimes differ at random, up or down: 5min");
  app.add_flag_callback(
      "--lifetime-restart", [&line] { line.settings.emplace_back("worker.lifetime-restart", "true"); },
      "start anew after the lifetime");
  app.add_flag_callback(
      "--no-nanny", [&line] { line.settings.emplace_back("worker.nanny", "false"); },
      "be the worker instead of looking after it in a process of its own");
  option("--cpus", "worker.cpus", "processors to run on, divided among the workers: 0-3,8, or auto for all");
  app.add_option("--env", line.environment,
                 "NAME=VALUE for the environment of the workers, {} for their number; repeat")
      ->type_name("")
      ->take_all();
  // For measurements.
  app.add_flag_callback("--watch-turns", [&line] { line.settings.emplace_back("worker.watch-turns", "true"); })
      ->group("");
  app.add_option("--supervised", line.supervised)->group("");  // what a nanny adds for its worker
  option("--log-level", "logging.level", "trace, debug, info, warning, error or off");
  app.add_flag_callback(
      "--insecure", [&line] { line.settings.emplace_back("comm.insecure", "true"); },
      "do without a cluster token, also beyond loopback");
  app.add_option("--config", line.config_file, "a configuration file (YAML)")->type_name("")->take_last();
  app.add_option("--nworkers", line.processes, "worker processes to run")
      ->type_name("")
      ->check(CLI::Range(1u, kMaxProcesses))
      ->take_last();
  try {
    app.parse(argc, argv);
    for (const std::string& entry : line.environment) {
      if (entry.find('=') == std::string::npos || entry.front() == '=') {
        throw CLI::ValidationError("--env", "'" + entry + "' is not NAME=VALUE");
      }
    }
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      line.exit = app.exit(error);
    } else {
      fmt::print(stderr, "tegula-worker: {}\n", error.what());
      line.exit = kExitUsage;
    }
    return line;
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty()) {
    std::vector<std::string> known;
    for (const CLI::Option* each : app.get_options()) {
      if (!each->get_lnames().empty()) known.push_back("--" + each->get_lnames().front());
    }
    const std::string suggestion = nearest(extras.front(), known);
    fmt::print(stderr, "tegula-worker: unknown argument '{}'{}\n", extras.front(),
               suggestion.empty() ? std::string() : "; did you mean " + suggestion + "?");
    line.exit = kExitUsage;
  }
  return line;
}

}  // namespace tegula::worker
