// What has not started goes from busy workers to idle ones.
#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

class Moving : public ::testing::Test {
 protected:
  // Two tasks on w1, which has one thread, while nobody else is there; then w2 comes.
  void SetUp() override {
    w1 = cluster.worker(2);
    client = cluster.client();
    cluster.submit(client, {layer_on({2})}, {{0, 0, 0, 2}});
    bound = cluster.take<msg::Assign>(w1);
    ASSERT_THAT(bound, SizeIs(2));
    w2 = cluster.worker(2);
  }
  void pass(std::chrono::nanoseconds time) {
    cluster.now += time;
    cluster.handle(Tick{});
  }

  FakeCluster cluster;
  WorkerId w1{}, w2{};
  ConnectionId client{};
  std::vector<msg::Assign> bound;
};

TEST_F(Moving, TheLastOneBehindALongTaskIsAskedForAndGoesToTheIdleWorker) {
  EXPECT_THAT(cluster.take<msg::Retract>(w1), IsEmpty()) << "nothing is known to be slow";
  pass(100ms);
  const auto retracts = cluster.take<msg::Retract>(w1);
  ASSERT_THAT(retracts, SizeIs(1));
  EXPECT_EQ(retracts[0].attempt, bound[1].attempt);
  EXPECT_FALSE(retracts[0].cancel);
  EXPECT_THAT(cluster.take<msg::Assign>(w2), IsEmpty()) << "not before the answer";
  cluster.give_back(w1, bound[1]);
  const auto moved = cluster.take<msg::Assign>(w2);
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_EQ(moved[0].task, bound[1].task);
  EXPECT_EQ(cluster.state.counters().tasks_moved, 1u);
  pass(10s);
  EXPECT_THAT(cluster.take<msg::Retract>(w2), IsEmpty()) << "and does not come back";
}

TEST_F(Moving, ATaskThatRunsAlreadyStays) {
  pass(100ms);
  cluster.take<msg::Retract>(w1);
  cluster.from_worker(w1, msg::TaskRunning{bound[1].attempt, bound[1].task});
  EXPECT_EQ(cluster.state.task(bound[1].task).phase, TaskPhase::kRunning);
  pass(10s);
  const auto retracts = cluster.take<msg::Retract>(w1);
  ASSERT_THAT(retracts, SizeIs(1)) << "the other one may not have started";
  EXPECT_EQ(retracts[0].attempt, bound[0].attempt);
}

TEST_F(Moving, WhatAHeartbeatCallsRunningIsNotAskedFor) {
  msg::WorkerHeartbeat beat;
  beat.received = 2;
  beat.attempts_hash = msg::mix(bound[0].attempt) ^ msg::mix(bound[1].attempt);
  beat.running = {bound[1].attempt};
  cluster.from_worker(w1, beat);
  EXPECT_EQ(cluster.state.task(bound[1].task).phase, TaskPhase::kRunning);
  pass(100ms);
  const auto retracts = cluster.take<msg::Retract>(w1);
  ASSERT_THAT(retracts, SizeIs(1));
  EXPECT_EQ(retracts[0].attempt, bound[0].attempt);
}

TEST_F(Moving, ATaskReleasedWhileItIsAskedForIsCancelled) {
  pass(100ms);
  ASSERT_THAT(cluster.take<msg::Retract>(w1), SizeIs(1));
  cluster.release(client, {{0, 0, 1, 2}});
  const auto retracts = cluster.take<msg::Retract>(w1);
  ASSERT_THAT(retracts, SizeIs(1));
  EXPECT_TRUE(retracts[0].cancel);
  cluster.give_back(w1, bound[1]);
  EXPECT_THAT(cluster.take<msg::Assign>(w2), IsEmpty());
}

TEST_F(Moving, TheIdleWorkersLossLeavesTheTaskToOthers) {
  pass(100ms);
  cluster.take<msg::Retract>(w1);
  cluster.handle(WorkerLost{w2, LossReason::kConnection, "gone"});
  cluster.give_back(w1, bound[1]);
  EXPECT_THAT(cluster.take<msg::Assign>(w1), SizeIs(1));
}

TEST_F(Moving, TheBusyWorkersLossEndsTheAsking) {
  pass(100ms);
  cluster.handle(WorkerLost{w1, LossReason::kConnection, "gone"});
  EXPECT_THAT(cluster.take<msg::Assign>(w2), SizeIs(2));
}

TEST_F(Moving, AFinishedTaskAnswersToo) {
  pass(100ms);
  ASSERT_THAT(cluster.take<msg::Retract>(w1), SizeIs(1));
  cluster.finish(w1, bound[1]);
  EXPECT_EQ(cluster.state_of(bound[1].task), TaskState::kMemory);
  EXPECT_THAT(cluster.take<msg::Assign>(w2), IsEmpty());
}

TEST(MovingCosts, AnInputTooLargeToFetchKeepsTheTaskWhereItIs) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(3);
  const Layer x = layer_on({1}, "x");
  const Layer y = reads(layer_on({2}, "y"), 0, x, {ConstantBlock{0}});
  cluster.submit(cluster.client(), {x, y}, {{1, 0, 0, 2}});
  const auto first = cluster.take<msg::Assign>(w1);
  ASSERT_FALSE(first.empty());
  cluster.finish(w1, first[0], {100'000'000'000});  // 100 s at the assumed bandwidth
  const WorkerId w2 = cluster.worker(3);
  cluster.now += 1s;
  cluster.handle(Tick{});
  EXPECT_THAT(cluster.take<msg::Retract>(w1), IsEmpty());
  cluster.now += 200s;
  cluster.from_worker(w2, msg::WorkerHeartbeat{});
  cluster.from_worker(w1, msg::WorkerHeartbeat{});
  cluster.handle(Tick{});
  EXPECT_THAT(cluster.take<msg::Retract>(w1), SizeIs(1)) << "now it is worth it";
}

// Found in simulation: the last task and what followed it went between two workers for ever.
TEST(MovingCosts, WhatFollowsATaskIsNoReasonToMoveIt) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(2);
  const Layer x = layer_on({1}, "x");
  cluster.submit(cluster.client(), {x, reads(layer_on({1}, "y"), 0, x, {SameBlock{0}})}, {{1, 0, 0, 1}});
  ASSERT_THAT(cluster.take<msg::Assign>(w1), SizeIs(2));
  cluster.worker(2);
  cluster.now += 1s;
  cluster.handle(Tick{});
  EXPECT_THAT(cluster.take<msg::Retract>(w1), IsEmpty());
}

}  // namespace
}  // namespace tegula::scheduler
