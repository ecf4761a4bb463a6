#include "tests/model/walks.h"

#include <set>

namespace tegula::model {
namespace {

Shape random_shape(Decisions& decisions) {
  Shape shape;
  shape.tasks = static_cast<std::uint32_t>(decisions.pick(1, 8));
  shape.name = std::to_string(shape.tasks) + " tasks";
  const std::size_t one_in = decisions.pick(1, 4);
  std::set<std::uint32_t> read;
  for (std::uint32_t to = 1; to < shape.tasks; ++to) {
    for (std::uint32_t from = 0; from < to; ++from) {
      if (!decisions.chance(one_in)) continue;
      shape.edges.emplace_back(from, to);
      shape.name += " " + std::to_string(from) + ">" + std::to_string(to);
      read.insert(from);
    }
  }
  for (std::uint32_t task = 0; task < shape.tasks; ++task) {
    if (!read.contains(task) || decisions.chance(4)) shape.wanted.push_back(task);
  }
  return shape;
}

}  // namespace

Scenario random_scenario(Decisions& decisions) {
  Scenario scenario;
  scenario.name = "walk";
  scenario.shape = random_shape(decisions);
  scenario.write = decisions.chance(2) ? &layer_per_task : &layer_per_level;
  scenario.workers = static_cast<unsigned>(decisions.pick(1, 3));
  scenario.threads = static_cast<unsigned>(decisions.pick(1, 2));
  if (decisions.chance(3)) {
    scenario.memory_limit = 200u << 10;
    scenario.need = decisions.chance(2) ? 8 : 150u << 10;
  }
  if (decisions.chance(3)) {
    scenario.memory_limit = decisions.pick(80, 120);  // the inputs of any task, and something beside
    scenario.need = 8;
    scenario.spill = true;
    scenario.disk_failures = static_cast<unsigned>(decisions.pick(0, 3));
  }
  scenario.late = decisions.chance(2);
  scenario.large = decisions.chance(3);
  scenario.short_tasks = !decisions.chance(4);
  scenario.losses = static_cast<unsigned>(decisions.pick(0, scenario.workers - 1));
  scenario.slow_news = decisions.chance(2);
  scenario.kernel_failures = static_cast<unsigned>(decisions.chance(4) ? 1 : 0);
  scenario.busy_answers = static_cast<unsigned>(decisions.pick(0, 2));
  scenario.client_steps = static_cast<unsigned>(decisions.pick(0, 4));
  scenario.orders = static_cast<unsigned>(decisions.chance(3) ? decisions.pick(1, 3) : 0);
  scenario.drains = static_cast<unsigned>(decisions.chance(4) ? decisions.pick(1, 2) : 0);
  scenario.nannies = decisions.chance(3);
  scenario.cuts = static_cast<unsigned>(decisions.chance(3) ? decisions.pick(1, 3) : 0);
  scenario.restarts = static_cast<unsigned>(decisions.chance(4) ? decisions.pick(1, 2) : 0);
  scenario.ticks = static_cast<unsigned>(decisions.pick(0, 2));
  scenario.single_messages = decisions.chance(2);
  scenario.gather = decisions.chance(3);
  scenario.step_by_step = decisions.chance(3);
  return scenario;
}

std::optional<std::string> walk_by(std::span<const std::uint8_t> bytes) {
  Decisions decisions(bytes.size(), bytes);
  const Scenario scenario = random_scenario(decisions);
  const auto wrong = walk(scenario, [&](std::size_t n) { return decisions.pick(0, n - 1); });
  if (!wrong) return std::nullopt;
  return scenario.shape.name + ": " + to_string(*wrong);
}

}  // namespace tegula::model
