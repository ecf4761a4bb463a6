// Every state that two workers and a scheduler can get into over a small graph, whatever the order in which messages
// arrive, kernels end, a worker dies and the client changes its mind. See docs/testing.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <random>

#include "tests/model/walks.h"

namespace tegula::model {
namespace {

using ::testing::HasSubstr;

struct Totals {
  std::uint64_t states = 0, transitions = 0, ends = 0;
  std::size_t depth = 0;
};

void explore_and_expect_nothing(const Scenario& scenario, Totals& totals) {
  const Exploration result = explore(scenario);
  totals.states += result.states;
  totals.transitions += result.transitions;
  totals.ends += result.ends;
  totals.depth = std::max(totals.depth, result.depth);
  if (result.wrong) ADD_FAILURE() << scenario.name << ", " << scenario.shape.name << ": " << to_string(*result.wrong);
}

void print(const Scenario& scenario, const Totals& totals) {
  std::printf("%s: %llu states, %llu transitions, %llu ends, the longest run %zu events\n", scenario.name.c_str(),
              static_cast<unsigned long long>(totals.states), static_cast<unsigned long long>(totals.transitions),
              static_cast<unsigned long long>(totals.ends), totals.depth);
}

template <typename Change>
Scenario scenario_of(const char* name, const Change& change) {
  Scenario scenario;
  scenario.name = name;
  change(scenario);
  return scenario;
}

// What else happens while a graph is computed. One at a time and the pairs that meddle with each other.
std::vector<Scenario> scenarios() {
  std::vector<Scenario> all;
  const auto add = [&](const char* name, auto change) { all.push_back(scenario_of(name, change)); };
  add("quiet", [](Scenario&) {});
  add("loss", [](Scenario& s) { s.losses = 1; });
  add("no_room_ahead", [](Scenario& s) { s.large = true, s.losses = 1, s.kernel_failures = 1; });
  add("slow_loss", [](Scenario& s) { s.losses = 1, s.slow_news = true; });
  add("client", [](Scenario& s) { s.client_steps = 2; });
  add("client_and_loss", [](Scenario& s) { s.client_steps = 1, s.losses = 1; });
  add("failure", [](Scenario& s) { s.kernel_failures = 1, s.client_steps = 1; });
  add("late_worker", [](Scenario& s) { s.late = true, s.losses = 1; });
  add("little_memory", [](Scenario& s) {
    s.threads = 2, s.memory_limit = 200u << 10, s.need = 150u << 10;
    s.client_steps = 1;
  });
  // Two inputs and an output fill it: whatever else is kept goes to disk.
  add("spilling", [](Scenario& s) { s.memory_limit = 24, s.spill = true, s.client_steps = 1, s.disk_failures = 1; });
  add("spilling_and_loss", [](Scenario& s) { s.memory_limit = 24, s.spill = true, s.threads = 2, s.losses = 1; });
  add("operator", [](Scenario& s) { s.orders = 1, s.losses = 1; });
  add("surplus", [](Scenario& s) { s.orders = 1, s.ticks = 1; });
  add("nannies", [](Scenario& s) { s.losses = 1, s.slow_news = true, s.nannies = true; });
  add("draining", [](Scenario& s) { s.drains = 1, s.client_steps = 1; });
  add("busy_peers", [](Scenario& s) { s.busy_answers = 1, s.client_steps = 1; });
  add("cut", [](Scenario& s) { s.cuts = 1; });
  add("slow_cut", [](Scenario& s) { s.cuts = 1, s.slow_news = true; });
  add("single_messages", [](Scenario& s) { s.single_messages = true, s.client_steps = 1; });
  add("long_turns", [](Scenario& s) { s.gather = true, s.client_steps = 1; });
  add("step_by_step", [](Scenario& s) { s.step_by_step = true, s.client_steps = 1; });
  return all;
}

// Sanitizers make each step ten times slower.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint32_t kMostTasks = 2;
#else
constexpr std::uint32_t kMostTasks = 3;
#endif

// What has too many states on three tasks for a test that always runs.
std::vector<Scenario> rejoining() {
  std::vector<Scenario> all;
  const auto add = [&](const char* name, auto change) { all.push_back(scenario_of(name, change)); };
  add("cut_and_client", [](Scenario& s) { s.cuts = 1, s.client_steps = 1; });
  add("cut_and_loss", [](Scenario& s) { s.cuts = 1, s.losses = 1; });
  add("restart", [](Scenario& s) { s.restarts = 1; });
  add("cut_and_spilling", [](Scenario& s) {
    s.cuts = 1, s.memory_limit = 24, s.spill = true;
    s.disk_failures = 1;
  });
  add("restart_and_spilling", [](Scenario& s) {
    s.restarts = 1, s.memory_limit = 24, s.spill = true;
    s.disk_failures = 1;
  });
  return all;
}

class AllGraphs : public testing::TestWithParam<Scenario> {};

TEST_P(AllGraphs, UpToThreeTasks) {
  Totals totals;
  for (std::uint32_t tasks = 1; tasks <= kMostTasks; ++tasks) {
    for (const Shape& shape : all_shapes(tasks)) {
      Scenario scenario = GetParam();
      scenario.shape = shape;
      for (const auto write : {&layer_per_task, &layer_per_level}) {
        scenario.write = write;
        explore_and_expect_nothing(scenario, totals);
        if (HasFailure()) return;
      }
    }
  }
  print(GetParam(), totals);
}
INSTANTIATE_TEST_SUITE_P(Model, AllGraphs, testing::ValuesIn(scenarios()),
                         [](const auto& about) { return about.param.name; });

class TwoTasks : public testing::TestWithParam<Scenario> {};

TEST_P(TwoTasks, JoinAnew) {
  Totals totals;
  for (const Shape& shape : all_shapes(2)) {
    Scenario scenario = GetParam();
    scenario.shape = shape;
    explore_and_expect_nothing(scenario, totals);
    if (HasFailure()) return;
  }
  print(GetParam(), totals);
}
INSTANTIATE_TEST_SUITE_P(Model, TwoTasks, testing::ValuesIn(rejoining()),
                         [](const auto& about) { return about.param.name; });

// All of it at once, on graphs that are small enough for that.
TEST(Model, EverythingAtOnceOnTwoTasks) {
  Scenario scenario;
  scenario.name = "everything";
  scenario.losses = 1;
  scenario.slow_news = true;
  scenario.kernel_failures = 1;
  scenario.busy_answers = 1;
  scenario.client_steps = 1;
  scenario.single_messages = true;
  scenario.gather = true;
  Totals totals;
  for (std::uint32_t tasks = 1; tasks <= 2; ++tasks) {
    for (const Shape& shape : all_shapes(tasks)) {
      scenario.shape = shape;
      explore_and_expect_nothing(scenario, totals);
    }
  }
  print(scenario, totals);
}

TEST(Model, OrdersAndChangesOfMindOnTwoTasks) {
  Scenario scenario;
  scenario.name = "orders";
  scenario.orders = 2;
  scenario.client_steps = 1;
  scenario.losses = 1;
  Totals totals;
  for (const Shape& shape : all_shapes(2)) {
    scenario.shape = shape;
    explore_and_expect_nothing(scenario, totals);
  }
  print(scenario, totals);
}

// The searches above hold only if states of one hash have the same futures.
TEST(Model, StatesOfOneHashHaveTheSameFutures) {
  std::vector<Scenario> all = scenarios(), rejoined = rejoining();
  for (Scenario& scenario : rejoined) all.push_back(std::move(scenario));
  for (Scenario& scenario : all) {
    scenario.shape = named_shape("chain", 2);
    const Exploration result = explore(scenario, /*doubt_hashes=*/true);
    EXPECT_FALSE(result.wrong) << scenario.name << ": " << to_string(*result.wrong);
  }
}

// ---- What one side has got wrong is put right.

// Every way in which the first assignment's number can get lost on its way.
TEST(Model, AttemptsThatDifferAreRepaired) {
  Scenario scenario;
  scenario.name = "repair";
  scenario.repairs = true;
  scenario.tamper = [](Frame& frame) {
    for (msg::Message& message : frame) {
      if (auto* assign = std::get_if<msg::Assign>(&message); assign && assign->attempt == AttemptId{1}) {
        assign->attempt = AttemptId{1000};
      }
    }
  };
  Totals totals;
  for (std::uint32_t tasks = 1; tasks <= 2; ++tasks) {
    for (const Shape& shape : all_shapes(tasks)) {
      scenario.shape = shape;
      explore_and_expect_nothing(scenario, totals);
    }
  }
  print(scenario, totals);
}

// ---- Values on disk are read for peers whatever there is room for (docs/memory.md, "Who gets bytes", rule 5).

// Tasks of the second level read two values of the first, which two workers have made. Two values and an output fill a
// worker's memory, so others are on disk when a task has reserved all of it and waits for a value of the other worker.
std::size_t stuck_of_walks(bool serving_needs_room) {
  Scenario scenario;
  scenario.name = "each needs what the other has on disk";
  scenario.shape = {"exchange", 8, {{0, 4}, {1, 4}, {1, 5}, {2, 5}, {2, 6}, {3, 6}, {3, 7}, {0, 7}}, {4, 5, 6, 7}};
  scenario.write = &layer_per_level;
  scenario.memory_limit = 24;
  scenario.spill = true;
  scenario.serving_needs_room = serving_needs_room;
  std::size_t stuck = 0;
  for (unsigned seed = 0; seed < 2000; ++seed) {
    Decisions decisions(seed);
    const auto wrong = walk(scenario, [&](std::size_t n) { return decisions.pick(0, n - 1); });
    if (!wrong) continue;
    ++stuck;
    EXPECT_THAT(wrong->what, HasSubstr("tasks are unfinished and nothing is under way")) << to_string(*wrong);
  }
  return stuck;
}

TEST(Model, WorkersFullOfValuesServeEachOtherFromDisk) { EXPECT_EQ(stuck_of_walks(/*serving_needs_room=*/false), 0u); }

TEST(ModelSearch, FindsWorkersThatWaitForEachOthersRoom) { EXPECT_GT(stuck_of_walks(/*serving_needs_room=*/true), 0u); }

// ---- The search itself: it must find what is wrong, and tell it in as few events as there can be.
// --------------------

Counterexample found_in(const Scenario& scenario) {
  const Exploration result = explore(scenario);
  EXPECT_TRUE(result.wrong) << "nothing was found in " << result.states << " states";
  return result.wrong.value_or(Counterexample{});
}

template <typename M>
void drop(Frame& frame) {
  std::erase_if(frame, [](const msg::Message& message) { return std::holds_alternative<M>(message); });
}

TEST(ModelSearch, FindsResultsThatAreNeverReported) {
  Scenario scenario;
  scenario.shape = named_shape("chain", 1);
  scenario.tamper = drop<msg::TaskFinished>;
  const Counterexample found = found_in(scenario);
  EXPECT_THAT(found.what, HasSubstr("unfinished and nothing is under way"));
  EXPECT_EQ(found.story.size(), 3u) << to_string(found);  // heard, executed, and only the new grant is reported
}

TEST(ModelSearch, FindsResultsThatAreNeverFreed) {
  Scenario scenario;
  scenario.shape = named_shape("chain", 2);
  scenario.tamper = drop<msg::FreeResults>;
  EXPECT_THAT(found_in(scenario).what, HasSubstr("the client left, and w1 has"));
}

TEST(ModelSearch, FindsWhatOnlyOneOrderOfEventsShows) {
  // An answer to a retraction is lost. Only if the client lets go while a task is bound there is one.
  Scenario scenario;
  scenario.shape = named_shape("chain", 2);
  scenario.tamper = drop<msg::TaskReturned>;
  EXPECT_FALSE(explore(scenario).wrong);
  scenario.client_steps = 1;
  const Counterexample found = found_in(scenario);
  EXPECT_LE(found.story.size(), 6u) << to_string(found);
}

TEST(ModelSearch, FindsHeartbeatsThatDoNotAgree) {
  Scenario scenario;
  scenario.shape = named_shape("fork", 3);
  scenario.threads = 2;
  scenario.tamper = [](Frame& frame) {
    for (msg::Message& message : frame) {
      if (auto* beat = std::get_if<msg::WorkerHeartbeat>(&message)) beat->attempts_hash ^= 1;
    }
  };
  EXPECT_THAT(found_in(scenario).what, HasSubstr("counts its attempts differently"));
}

TEST(ModelSearch, FindsMessagesThatOvertakeEachOther) {
  Scenario scenario;
  scenario.shape = named_shape("chain", 1);
  scenario.tamper = [](Frame& frame) { std::reverse(frame.begin(), frame.end()); };
  EXPECT_THAT(found_in(scenario).what, HasSubstr("an error that nobody made"));
}

TEST(ModelSearch, FindsAnswersForOtherAttempts) {
  Scenario scenario;
  scenario.shape = named_shape("fork", 3);
  scenario.tamper = [](Frame& frame) {
    for (msg::Message& message : frame) {
      if (auto* finished = std::get_if<msg::TaskFinished>(&message)) {
        finished->attempt = static_cast<AttemptId>(static_cast<std::uint64_t>(finished->attempt) + 7);
      }
    }
  };
  EXPECT_FALSE(found_in(scenario).what.empty());
}

TEST(ModelSearch, FindsRunsThatGoRoundInCircles) {
  Scenario scenario;
  scenario.shape = named_shape("chain", 1);
  scenario.threads = 2;
  // Whatever is finished comes back as returned: the task is bound again and again.
  scenario.tamper = [](Frame& frame) {
    for (msg::Message& message : frame) {
      if (const auto* finished = std::get_if<msg::TaskFinished>(&message)) {
        message = msg::TaskReturned{finished->attempt, finished->task, {}};
      }
    }
  };
  EXPECT_THAT(found_in(scenario).what, HasSubstr("never ends"));
}

// ---- Larger worlds, a few runs of each.
// ------------------------------------------------------------------------------

class Walks : public testing::TestWithParam<unsigned> {};

TEST_P(Walks, GraphsOfUpToEightTasks) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    Decisions decisions(GetParam() * 1000 + seed);
    const Scenario scenario = random_scenario(decisions);
    for (int run = 0; run < 10; ++run) {
      const auto wrong = walk(scenario, [&](std::size_t n) { return decisions.pick(0, n - 1); });
      if (wrong) FAIL() << "seed " << seed << ", " << scenario.shape.name << ": " << to_string(*wrong);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, Walks, testing::Range(0u, 4u));

// What fuzz_cores does with bytes that it makes up, done with bytes that are always the same.
TEST(Model, WalksByBytes) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::uint8_t> bytes(20 + random() % 300);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const auto wrong = walk_by(bytes);
    if (wrong) FAIL() << "seed " << seed << ": " << *wrong;
  }
}

}  // namespace
}  // namespace tegula::model
