// The tests, or with `explore` a search by hand: test_model explore --help.
#include <gmock/gmock.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "tests/model/explorer.h"

namespace tegula::model {
namespace {

struct Command {
  Scenario scenario;
  std::string shape = "all";
  std::uint32_t tasks = 3;
  bool levels = false;
  bool doubt_hashes = false;
};

void add_options(CLI::App& app, Command& command) {
  Scenario& scenario = command.scenario;
  app.add_option("--shape", command.shape, "chain, fork, join, diamond, tree, or all graphs")->capture_default_str();
  app.add_option("--tasks", command.tasks)->capture_default_str();
  app.add_flag("--levels", command.levels, "Tasks equally far from the sources in one layer, else one task a layer");
  app.add_flag("--doubt-hashes", command.doubt_hashes, "Compare the futures of states that have one hash");
  app.add_option("--workers", scenario.workers)->capture_default_str();
  app.add_option("--threads", scenario.threads, "Of each worker")->capture_default_str();
  app.add_option("--memory-limit", scenario.memory_limit, "Of each worker, bytes")->capture_default_str();
  app.add_option("--need", scenario.need, "Bytes that a kernel's plan asks for")->capture_default_str();
  app.add_flag("--spill", scenario.spill, "Workers have disks");
  app.add_option("--disk-failures", scenario.disk_failures, "Values that find no room, files that are lost")
      ->capture_default_str();
  app.add_flag("--late", scenario.late, "The last worker joins at any time, or never");
  app.add_flag("!--long-tasks", scenario.short_tasks, "They are bound ahead of one worker's attempts only");
  app.add_flag("--large", scenario.large, "A task ahead has no room for its inputs");
  app.add_option("--losses", scenario.losses, "Workers that may be lost")->capture_default_str();
  app.add_option("--cuts", scenario.cuts, "Connections of workers that break")->capture_default_str();
  app.add_option("--restarts", scenario.restarts, "Of the scheduler")->capture_default_str();
  app.add_flag("--slow-news", scenario.slow_news, "Scheduler and peers hear of a loss at different times");
  app.add_option("--kernel-failures", scenario.kernel_failures)->capture_default_str();
  app.add_option("--busy-answers", scenario.busy_answers)->capture_default_str();
  app.add_option("--client-steps", scenario.client_steps, "Releases, cancels, wants again, leaves")
      ->capture_default_str();
  app.add_option("--orders", scenario.orders, "Copies, retirements, rebalancings")->capture_default_str();
  app.add_option("--ticks", scenario.ticks, "Of the scheduler's clock")->capture_default_str();
  app.add_flag("--single-messages", scenario.single_messages, "Each message travels alone");
  app.add_flag("--gather", scenario.gather, "Several frames may reach the scheduler before it settles");
  app.add_flag("--step-by-step", scenario.step_by_step, "The scheduler expands one step at a time");
}

int run(Command command) {
  command.scenario.write = command.levels ? &layer_per_level : &layer_per_task;
  std::vector<Shape> shapes = {};
  if (command.shape == "all") {
    shapes = all_shapes(command.tasks);
  } else {
    shapes = {named_shape(command.shape, command.tasks)};
  }
  for (const Shape& shape : shapes) {
    command.scenario.shape = shape;
    const auto start = std::chrono::steady_clock::now();
    const Exploration result = explore(command.scenario, command.doubt_hashes);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("%s: %llu states, %llu transitions, %llu ends, the longest run %zu events, %.1f s\n",
                shape.name.c_str(), static_cast<unsigned long long>(result.states),
                static_cast<unsigned long long>(result.transitions), static_cast<unsigned long long>(result.ends),
                result.depth, took.count());
    if (!result.wrong) continue;
    std::printf("%s", to_string(*result.wrong).c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace tegula::model

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "explore") {
    CLI::App app("Visits every state that a small cluster can get into over a small graph");
    tegula::model::Command command;
    tegula::model::add_options(app, command);
    CLI11_PARSE(app, argc - 1, argv + 1);
    try {
      return tegula::model::run(command);
    } catch (const tegula::Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 2;
    }
  }
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
