#include "bench/sim/virtual_time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "tegula/error.h"

namespace tegula::sim {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

Pattern pattern_of(std::string_view name, std::uint64_t tasks, std::uint32_t threads, bool keep = false,
                   std::uint64_t chunk_bytes = 1 << 20) {
  PatternOptions options;
  options.tasks = tasks;
  options.cluster_threads = threads;
  options.keep = keep;
  options.chunk_bytes = chunk_bytes;
  return make_pattern(name, options);
}

Scenario cluster_of(std::uint32_t workers, unsigned threads = 1) {
  Scenario scenario;
  scenario.workers = workers;
  scenario.threads = threads;
  return scenario;
}

auto figures(const VirtualRun& run) {
  return std::tuple(run.makespan, run.peak_memory, run.peak_memory_worker, run.bytes_moved, run.events);
}

class EveryPolicy : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryPolicy, FinishesEveryPatternNotBeforeItCan) {
  for (const PatternInfo& info : patterns()) {
    SCOPED_TRACE(info.name);
    const Pattern pattern = pattern_of(info.name, 300, 8);
    Scenario scenario = cluster_of(4, 2);
    scenario.durations = Durations("lognormal:10ms:0.8");
    const VirtualRun run = simulate(GetParam(), pattern, scenario);
    EXPECT_GE(run.makespan, lower_bound(pattern, scenario).bound());
    EXPECT_GT(run.busy, 0);
    EXPECT_LE(run.busy, 1);
    EXPECT_GE(run.counts.assignments, pattern.tasks);
    EXPECT_GT(run.peak_memory, 0u);
    EXPECT_EQ(figures(simulate(GetParam(), pattern, scenario)), figures(run)) << "not the same twice";
  }
}

TEST_P(EveryPolicy, KeepsOneThreadBusy) {
  const Pattern pattern = pattern_of("map", 50, 1);
  Scenario scenario = cluster_of(1);
  scenario.network.latency = 0ns;
  EXPECT_EQ(simulate(GetParam(), pattern, scenario).makespan, 500ms);
}

TEST_P(EveryPolicy, CountsWhatIsKept) {
  const Pattern pattern = pattern_of("map", 40, 2, /*keep=*/true);
  Scenario scenario = cluster_of(2);
  scenario.release = false;
  const VirtualRun run = simulate(GetParam(), pattern, scenario);
  EXPECT_GE(run.peak_memory, 40u << 20);
  EXPECT_EQ(run.bytes_moved, 0u);
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryPolicy, ::testing::Values("tegula", "greedy", "random", "eager", "clairvoyant"),
                         [](const auto& named) { return named.param; });

TEST(VirtualTime, MergingMovesWhatOthersHold) {
  const Pattern pattern = pattern_of("merge", 11, 2);
  const VirtualRun run = simulate("tegula", pattern, cluster_of(2));
  EXPECT_EQ(run.bytes_moved % (1 << 20), 0u);
  EXPECT_GE(run.bytes_moved, 1u << 20);
  EXPECT_LE(run.bytes_moved, 5u << 20) << "the merge belongs where most of its inputs are";
}

TEST(VirtualTime, WorkersMayComeInMidRun) {
  const Pattern pattern = pattern_of("map", 400, 1);
  Scenario scenario = cluster_of(1);
  const VirtualRun alone = simulate("tegula", pattern, scenario);
  scenario.joins = {{1s, 3}};
  const VirtualRun helped = simulate("tegula", pattern, scenario);
  EXPECT_GE(helped.makespan, lower_bound(pattern, scenario).bound());
  EXPECT_LT(helped.makespan, alone.makespan / 2);
}

TEST(VirtualTime, WhatALostWorkerHeldIsComputedAgain) {
  const Pattern pattern = pattern_of("tree", 400, 8, /*keep=*/true);
  Scenario scenario = cluster_of(4, 2);
  scenario.release = false;
  scenario.losses = {{200ms, 1}, {300ms, 1}};
  const VirtualRun run = simulate("tegula", pattern, scenario);
  EXPECT_GT(run.counts.recomputed, 0u);
  EXPECT_GT(run.counts.assignments, pattern.tasks);
  EXPECT_GE(run.makespan, lower_bound(pattern, scenario).bound());
}

TEST(VirtualTime, WorkersThatComeAndGoEverySecondLeaveNothingBehind) {
  for (const char* name : {"tree", "transpose", "shuffle"}) {
    SCOPED_TRACE(name);
    const Pattern pattern = pattern_of(name, 300, 8);
    // Each worker lives for 32 s, several times as long as the job takes: of a longer job it would never have all
    // parts.
    Scenario scenario = cluster_of(32);
    scenario.durations = Durations("lognormal:500ms:1");
    scenario.churn = 1s;
    scenario.span = 10min;
    const VirtualRun run = simulate("tegula", pattern, scenario);
    EXPECT_EQ(run.left_behind, 0u);
    EXPECT_GE(run.workers, 600u);
    EXPECT_GT(run.clients, 10u);
    EXPECT_GT(run.counts.recomputed, 0u);
    EXPECT_EQ(figures(simulate("tegula", pattern, scenario)), figures(run)) << "not the same twice";
  }
}

TEST(VirtualTime, WorkersKeepTheirMemoryLimit) {
  const Pattern pattern = pattern_of("tree", 500, 4);
  Scenario scenario = cluster_of(4);
  scenario.memory_limit = 24 << 20;
  EXPECT_LE(simulate("tegula", pattern, scenario).peak_memory_worker, scenario.memory_limit);
}

TEST(VirtualTime, EagerAssignmentFillsMemoryWithWhatNobodyCanUseYet) {
  const Pattern pattern = pattern_of("tree", 1000, 8);
  const std::uint64_t late = simulate("tegula", pattern, cluster_of(4, 2)).peak_memory;
  EXPECT_GT(simulate("eager", pattern, cluster_of(4, 2)).peak_memory, 5 * late);
}

TEST(VirtualTime, BaselinesSayThatTheyDoNotOutliveALoss) {
  Scenario scenario = cluster_of(2);
  scenario.losses = {{50ms, 1}};
  EXPECT_THROW(simulate("greedy", pattern_of("map", 100, 2), scenario), ValueError);
  EXPECT_THROW(simulate("best", pattern_of("map", 100, 2), cluster_of(2)), ValueError);
}

TEST(LowerBound, IsTheLongestPathOrTheWork) {
  const Scenario scenario = cluster_of(2);
  EXPECT_EQ(lower_bound(pattern_of("chain", 40, 2), scenario).critical_path, 200ms);
  EXPECT_NEAR(static_cast<double>(lower_bound(pattern_of("map", 40, 2), scenario).work_over_threads.count()), 200e6,
              10);
}

TEST(LowerBound, KnowsWhoIsThereAndHowFast) {
  const Pattern pattern = pattern_of("map", 100, 2);  // one second of work
  const auto bound = [&](const Scenario& scenario) {
    return std::chrono::duration<double>(lower_bound(pattern, scenario).bound()).count();
  };
  Scenario slow = cluster_of(2);
  slow.durations.set_stragglers(1, 4);
  EXPECT_NEAR(bound(slow), 0.8, 1e-6);
  EXPECT_EQ(lower_bound(pattern, slow).critical_path, 10ms);
  Scenario joined = cluster_of(1);
  joined.joins = {{500ms, 4}};
  EXPECT_NEAR(bound(joined), 0.6, 1e-6);
  Scenario lost = cluster_of(2);
  lost.losses = {{250ms, 1}};
  EXPECT_NEAR(bound(lost), 0.75, 1e-6);
}

TEST(Network, LinksCarryOneTransferAfterAnother) {
  NetworkOptions options;
  options.bandwidth = 1e6;
  options.latency = 1ms;
  Network network(options);
  EXPECT_EQ(network.transfer(0, 1, 1000, 0ns), 2ms);
  EXPECT_EQ(network.transfer(0, 2, 1000, 0ns), 3ms) << "the sender's link is busy";
  EXPECT_EQ(network.transfer(3, 2, 1000, 0ns), 4ms) << "the receiver's link is busy";
  EXPECT_EQ(network.transfer(4, 5, 1000, 10ms), 12ms);
  EXPECT_EQ(network.bytes_moved(), 4000u);
}

TEST(Network, PairsDifferAndHostsAreNear) {
  NetworkOptions options;
  options.workers_per_host = 2;
  options.spread = 1;
  const Network network(options);
  EXPECT_EQ(network.bandwidth(0, 1), options.local_bandwidth);
  EXPECT_EQ(network.bandwidth(0, 2), network.bandwidth(3, 1));
  EXPECT_NE(network.bandwidth(0, 2), network.bandwidth(0, 4));
  EXPECT_LE(network.bandwidth(0, 2), options.bandwidth);
  EXPECT_GE(network.bandwidth(0, 2), options.bandwidth / 2);
}

TEST(Durations, FollowTheirDistribution) {
  Durations durations("lognormal:10ms:0.5");
  double sum = 0;
  for (std::uint32_t i = 0; i < 20000; ++i) sum += static_cast<double>(durations.of(3, i).count());
  EXPECT_NEAR(sum / 20000, 10e6, 0.2e6);
  EXPECT_EQ(durations.of(1, 2), durations.of(1, 2));
  durations.set_stragglers(1, 10);
  EXPECT_NEAR(static_cast<double>(durations.of(1, 2, 0).count()),
              10 * static_cast<double>(durations.of(1, 2, 1).count()), 10);
  EXPECT_EQ(Durations("3ms").of(1, 2), 3ms);
}

TEST(Durations, NonsenseIsNamed) {
  for (const char* text : {"", "fast", "lognormal:", "lognormal:10ms", "lognormal:10ms:", "lognormal:10ms:-1",
                           "lognormal:10ms:0.5x", "lognormal:10ms:nan", "100h"}) {
    EXPECT_THROW(Durations{text}, ValueError) << text;
  }
  for (const char* text : {"", "2s", "2s:", "2s:0", "2s:x", ":5", "2:s"}) {
    EXPECT_THROW(parse_change(text), ValueError) << text;
  }
  EXPECT_EQ(parse_change("2s:5").workers, 5u);
}

}  // namespace
}  // namespace tegula::sim
