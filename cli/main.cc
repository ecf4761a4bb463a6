// tegula: what operators ask a scheduler and tell it. Exit status: 0; 1 when it did not work, with one line on standard
// error; 2 for a command line that makes no sense.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "src/config.h"
#include "src/version.h"

namespace tegula::cli {
namespace {

using Run = std::function<int(const Options&)>;

struct Command {
  const char* name;
  const char* subject;  // what it takes: "KEY", or null
  const char* help;
  Run run;
};

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"status", nullptr, "workers, clients and tasks by state", run_online},
      {"why", "KEY", "why this task isn't running, in one sentence", run_online},
      {"story", "KEY", "the transitions of this task, as far back as the log goes", run_online},
      {"task", "KEY", "state, size and holders of this task, and what it reads", run_online},
      {"worker", "WORKER", "what this worker holds and what is bound to it", run_online},
      {"dump", "FILE", "write the state of the cluster to a file (JSON; - for standard output)", run_online},
      {"cancel", "KEY|CLIENT", "end this task, or all that this client waits for, as cancelled", run_online},
      {"retire", "WORKER", "move a worker's results to others, then send it away", run_online},
      {"replicate", "KEY", "have this result on as many workers as --count says", run_online},
      {"rebalance", nullptr, "move results from workers that hold more than others", run_online},
      {"replay", "FILE", "go through a record (tegula-scheduler --record), or look into a dump", run_replay},
  };
  return all;
}

void declare(CLI::App& app, Options& options) {
  app.set_version_flag("--version", "tegula " + std::string(kVersion));
  app.require_subcommand(1);
  app.fallthrough();  // the common options may follow the command
  const auto text = [](CLI::Option* option) { option->type_name("")->take_last(); };
  text(app.add_option("--scheduler", options.scheduler, "the scheduler's address (tcp://host:8786) or scheduler file"));
  text(app.add_option("--scheduler-file", options.scheduler, "the scheduler's file, with its address and token"));
  text(app.add_option("--timeout", options.timeout, "how long to try to connect (3s)"));
  text(app.add_option("--config", options.config_file, "a configuration file (YAML)"));
  app.add_flag("--insecure", options.insecure, "do without a cluster token, also beyond loopback");
  app.add_flag("--json", options.json, "print the scheduler's answer as it is");
  for (const Command& command : commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.help);
    if (command.subject != nullptr) {
      sub->add_option(command.subject, options.subject)->required()->type_name("");
    }
    if (std::string(command.name) == "replicate") {
      sub->add_option("--count,-n", options.copies, "how many workers shall hold it (2)")
          ->check(CLI::PositiveNumber)
          ->type_name("");
    }
    if (std::string(command.name) == "dump") {
      sub->add_option("--tasks", options.tasks, "the most tasks to write, unfinished ones first (100000)")
          ->type_name("");
    }
    if (std::string(command.name) == "replay") {
      text(sub->add_option("--until", options.until, "stop after so many events"));
      sub->add_flag("--step", options.step, "print each event and the transitions that it caused");
      text(sub->add_option("--from", options.from, "begin to print with this event"));
      sub->add_flag("--check", options.check, "check the core's invariants after each event");
      text(sub->add_option("--why", options.why, "the sentence about this key, at the end"));
      text(sub->add_option("--story", options.story, "the transitions of this key"));
      sub->add_flag("--status", options.status, "workers, clients and tasks by state, at the end");
    }
  }
}

// CLI11 says of a wrong command only that some command is needed.
std::string explain(const CLI::ParseError& error, int argc, char** argv) {
  std::vector<std::string> known;
  for (const Command& command : commands()) known.emplace_back(command.name);
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with("-")) {
      if (word.find('=') == std::string::npos) ++i;  // its value
      continue;
    }
    for (const std::string& name : known) {
      if (word == name) return error.what();
    }
    const std::string near = nearest(word, known);
    return fmt::format("there is no command '{}'{}", word,
                       near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
  }
  return error.what();
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Asks and tells the scheduler of a Tegula cluster.", "tegula");
  declare(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    fmt::print(stderr, "tegula: {}\n", explain(error, argc, argv));
    return kExitUsage;
  }
  options.command = app.get_subcommands().front()->get_name();
  for (const Command& command : commands()) {
    if (options.command == command.name) return command.run(options);
  }
  return kExitUsage;
}

}  // namespace
}  // namespace tegula::cli

int main(int argc, char** argv) {
  using namespace tegula;
  try {
    return cli::run(argc, argv);
  } catch (const ConfigError& error) {
    fmt::print(stderr, "tegula: {}\n", error.what());
    return cli::kExitUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "tegula: {}\n", error.what());
    return cli::kExitFailed;
  }
}
