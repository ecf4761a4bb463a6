// Tasks bound to the worker that makes their inputs, before those exist.
#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::uint32_t> layers_of(const std::vector<msg::Assign>& assigns) {
  std::vector<std::uint32_t> layers;
  for (const msg::Assign& assign : assigns) layers.push_back(static_cast<std::uint32_t>(layer_of(assign.task)));
  return layers;
}

// x -> y -> z, one block each.
std::vector<Layer> chain() {
  const Layer x = layer_on({1}, "x");
  const Layer y = reads(layer_on({1}, "y"), 0, x, {SameBlock{0}});
  const Layer z = reads(layer_on({1}, "z"), 1, y, {SameBlock{0}});
  return {x, y, z};
}

TEST(AheadBinding, AChainGoesToOneWorkerAtOnceAndInOrder) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(3);
  const ConnectionId c = cluster.client();
  cluster.submit(c, chain(), {{2, 0, 0, 1}});
  const auto assigns = cluster.take<msg::Assign>(w);
  ASSERT_THAT(layers_of(assigns), ElementsAre(1, 2, 3));
  EXPECT_THAT(assigns[1].holders, IsEmpty());
  for (const msg::Assign& assign : assigns) cluster.finish(w, assign);
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(2));
}

TEST(AheadBinding, ReadyTasksComeFirstWhileAThreadHasNothingToRun) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(3, {"test.nop"}, 2);
  const Layer x = layer_on({2}, "x");
  const Layer y = reads(layer_on({2}, "y"), 0, x, {SameBlock{0}});
  cluster.submit(cluster.client(), {x, y}, {{1, 0, 0, 2}});
  EXPECT_THAT(layers_of(cluster.take<msg::Assign>(w)), ElementsAre(1, 1, 2)) << "both roots before what follows";
}

// x0, x1 -> sum
struct SumOnTwo {
  SumOnTwo() {
    const Layer x = layer_on({2}, "x");
    cluster.submit(c, {x, reads(layer_on({1}, "sum"), 0, x, {AllBlocks{}})}, {{1, 0, 0, 1}});
    first = cluster.take<msg::Assign>(w1), second = cluster.take<msg::Assign>(w2);
  }
  TaskPhase phase() const { return cluster.state.task(sum).phase; }
  static SchedulerConfig config() {
    SchedulerConfig config;
    config.short_task = std::chrono::hours(1);
    return config;
  }
  FakeCluster cluster{config()};
  WorkerId w1 = cluster.worker(2), w2 = cluster.worker(2);
  ConnectionId c = cluster.client();
  std::vector<msg::Assign> first, second;
  const TaskId sum = make_task_id(LayerId{2}, 0);
};

TEST(AheadBinding, ATaskWithInputsOnTwoWorkersIsToldWhoMakesThem) {
  SumOnTwo t;
  ASSERT_THAT(layers_of(t.first), ElementsAre(1, 2));
  ASSERT_THAT(layers_of(t.second), ElementsAre(1));
  EXPECT_THAT(t.first[1].holders, IsEmpty());
  ASSERT_THAT(t.first[1].awaited, SizeIs(1)) << "the other one is made there";
  EXPECT_EQ(t.first[1].awaited[0].result.task, t.second[0].task);
  EXPECT_EQ(t.first[1].awaited[0].worker, t.w2);
  EXPECT_EQ(t.first[1].awaited[0].attempt, t.second[0].attempt);
  // The one that follows may be heard of first.
  t.cluster.finish(t.w1, t.first[0]);
  t.cluster.finish(t.w1, t.first[1]);
  EXPECT_THAT(t.cluster.take<msg::ResultReady>(t.c), SizeIs(1));
  t.cluster.finish(t.w2, t.second[0]);
  EXPECT_EQ(t.cluster.state.counters().stale_answers, 0u);
  EXPECT_EQ(t.cluster.state.counters().processing, 0u);
  t.cluster.release(t.c, {{1, 0, 0, 1}});
  EXPECT_EQ(t.cluster.state.counters().memory, 0u);
}

TEST(AheadBinding, WhatFollowsAnAttemptOfALostWorkerIsAskedBack) {
  SumOnTwo t;
  t.cluster.handle(WorkerLost{t.w2, LossReason::kConnection, "gone"});
  const auto retracts = t.cluster.take<msg::Retract>(t.w1);
  ASSERT_THAT(retracts, SizeIs(1));
  EXPECT_EQ(retracts[0].attempt, t.first[1].attempt);
  EXPECT_FALSE(retracts[0].cancel);
  t.cluster.give_back(t.w1, t.first[1]);
  const auto again = t.cluster.take<msg::Assign>(t.w1);
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0].task, t.second[0].task);
  t.cluster.finish(t.w1, t.first[0]);
  for (const msg::Assign& assign : again) t.cluster.finish(t.w1, assign);
  for (const msg::Assign& assign : t.cluster.take<msg::Assign>(t.w1)) t.cluster.finish(t.w1, assign);
  EXPECT_THAT(t.cluster.take<msg::ResultReady>(t.c), SizeIs(1));
}

TEST(AheadBinding, OneThatHadItsInputsInTimeGoesOn) {
  SumOnTwo t;
  t.cluster.finish(t.w1, t.first[0]);
  t.cluster.handle(WorkerLost{t.w2, LossReason::kConnection, "gone"});
  EXPECT_EQ(t.phase(), TaskPhase::kRetracting);
  t.cluster.from_worker(t.w1, msg::TaskRunning{t.first[1].attempt, t.first[1].task});
  EXPECT_EQ(t.phase(), TaskPhase::kRunning);
  t.cluster.finish(t.w1, t.first[1]);
  EXPECT_THAT(t.cluster.take<msg::ResultReady>(t.c), SizeIs(1));
}

TEST(AheadBinding, AskedBackAndThenNotNeededItIsCancelled) {
  SumOnTwo t;
  t.cluster.handle(WorkerLost{t.w2, LossReason::kConnection, "gone"});
  t.cluster.take<msg::Retract>(t.w1);
  t.cluster.release(t.c, {{1, 0, 0, 1}});
  const auto retracts = t.cluster.take<msg::Retract>(t.w1);
  EXPECT_TRUE(std::any_of(retracts.begin(), retracts.end(), [&](const msg::Retract& retract) {
    return retract.attempt == t.first[1].attempt && retract.cancel;
  }));
}

TEST(AheadBinding, AfterAFailedFetchItWaitsForItsInputs) {
  SumOnTwo t;
  t.cluster.give_back(t.w1, t.first[1], {{{t.second[0].task, 0}, t.w2}});
  EXPECT_EQ(t.cluster.state_of(t.sum), TaskState::kWaiting) << "w1 does not reach w2";
  t.cluster.finish(t.w1, t.first[0]);
  EXPECT_EQ(t.cluster.state_of(t.sum), TaskState::kProcessing) << "where the other one is made it needs only w1";
  EXPECT_EQ(t.cluster.state.task(t.sum).worker, t.w2);
}

TEST(AheadBinding, WhatIsReturnedWithItsProducerWaitsAndFollowsItElsewhere) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(3);
  const ConnectionId c = cluster.client();
  cluster.submit(c, chain(), {{2, 0, 0, 1}});
  const auto assigns = cluster.take<msg::Assign>(w1);
  ASSERT_THAT(assigns, SizeIs(3));
  const auto returned = [&](const msg::Assign& assign, std::vector<msg::TaskReturned::Missing> missing) {
    cluster.from_worker(w1, msg::TaskReturned{assign.attempt, assign.task, std::move(missing)});
  };
  returned(assigns[0], {});
  EXPECT_EQ(cluster.state_of(assigns[1].task), TaskState::kProcessing) << "until its own answer";
  returned(assigns[1], {});
  EXPECT_EQ(cluster.state_of(assigns[1].task), TaskState::kWaiting);
  returned(assigns[2], {{{assigns[1].task, 0}, w1}});
  const WorkerId w2 = cluster.worker(3);
  // The worker came with fresh credit; its first messages were dropped by the helper, so look at the state.
  for (const msg::Assign& assign : assigns) {
    EXPECT_EQ(cluster.state_of(assign.task), TaskState::kProcessing);
    EXPECT_EQ(cluster.state.task(assign.task).worker, w2);
  }
}

TEST(AheadBinding, AnErrorReachesWhatWasBoundAheadOfIt) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(3);
  const ConnectionId c = cluster.client();
  cluster.submit(c, chain(), {{2, 0, 0, 1}});
  const auto assigns = cluster.take<msg::Assign>(w);
  ASSERT_THAT(assigns, SizeIs(3));
  cluster.fail(w, assigns[0], "no luck");
  EXPECT_THAT(cluster.take<msg::ResultErred>(c), IsEmpty()) << "the worker has the others still";
  cluster.give_back(w, assigns[1]);
  cluster.give_back(w, assigns[2]);
  const auto erred = cluster.take<msg::ResultErred>(c);
  ASSERT_THAT(erred, SizeIs(1));
  EXPECT_EQ(erred[0].error.message, "no luck");
  EXPECT_THAT(erred[0].error.chain, SizeIs(3));
  EXPECT_THAT(cluster.take<msg::Assign>(w), IsEmpty()) << "what failed is not tried again";
  cluster.release(c, {{2, 0, 0, 1}});
  cluster.forget(c, {0, 1, 2});
  EXPECT_EQ(cluster.state.counters().erred, 0u);
}

TEST(AheadBinding, ALostWorkersChainStartsAnewElsewhere) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(3);
  const ConnectionId c = cluster.client();
  cluster.submit(c, chain(), {{2, 0, 0, 1}});
  cluster.finish(w1, cluster.take<msg::Assign>(w1).front());
  const WorkerId w2 = cluster.worker(3);
  cluster.handle(WorkerLost{w1, LossReason::kConnection, "gone"});
  const auto assigns = cluster.take<msg::Assign>(w2);
  ASSERT_THAT(layers_of(assigns), ElementsAre(1, 2, 3)) << "the first result is gone as well";
  for (const msg::Assign& assign : assigns) cluster.finish(w2, assign);
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(1));
}

TEST(AheadBinding, ReleasedChainsAreTakenBack) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(3);
  const ConnectionId c = cluster.client();
  cluster.submit(c, chain(), {{2, 0, 0, 1}});
  const auto assigns = cluster.take<msg::Assign>(w);
  cluster.release(c, {{2, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::Retract>(w), SizeIs(3));
  for (const msg::Assign& assign : assigns) cluster.give_back(w, assign);
  cluster.forget(c, {0, 1, 2});
  EXPECT_EQ(cluster.state.counters().layers, 0u);
}

TEST(AheadBinding, AnInputLostMeanwhileIsWaitedForAgain) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1);
  const ConnectionId c = cluster.client();
  const Layer x = layer_on({1}, "x"), y = layer_on({1}, "y");
  Layer sum = reads(reads(layer_on({1}, "sum"), 0, x, {SameBlock{0}}), 1, y, {SameBlock{0}});
  cluster.submit(c, {x, y, sum}, {{2, 0, 0, 1}});
  const msg::Assign first = cluster.assigned(w1);
  const WorkerId w2 = cluster.worker(1);  // takes the other input; its credit is spent
  cluster.finish(w1, first);
  ASSERT_EQ(cluster.state_of(make_task_id(LayerId{3}, 0)), TaskState::kWaiting) << "ready to follow on w2";
  cluster.handle(WorkerLost{w1, LossReason::kConnection, "gone"});
  EXPECT_EQ(cluster.state_of(make_task_id(LayerId{3}, 0)), TaskState::kWaiting);
  cluster.from_worker(w2, msg::GrantCredit{3});
  EXPECT_THAT(cluster.take<msg::Assign>(w2), SizeIs(2)) << "the lost input, and the sum ahead of both";
}

}  // namespace
}  // namespace tegula::scheduler
