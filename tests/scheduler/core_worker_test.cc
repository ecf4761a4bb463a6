// Workers that misbehave, fall silent or differ from each other; and the core as a value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(SchedulerWorkers, ASecondWorkerOfTheSameNameIsRefused) {
  FakeCluster cluster;
  cluster.worker();
  msg::RegisterWorker again;
  again.name = "w1";
  cluster.handle(WorkerJoined{WorkerId{9}, again});
  cluster.now += std::chrono::milliseconds(100);
  cluster.from_worker(WorkerId{1}, msg::WorkerHeartbeat{});  // the first one lives
  EXPECT_THAT(cluster.take<msg::WorkerRefused>(WorkerId{9}).front().reason, HasSubstr("'w1'"));
  EXPECT_TRUE(cluster.closed_workers.contains(WorkerId{9}));
  EXPECT_EQ(cluster.state.counters().workers, 1u);
}

TEST(SchedulerWorkers, SilenceIsALoss) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(), w2 = cluster.worker();
  const auto wait = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      cluster.now += std::chrono::seconds(1);
      cluster.handle(Tick{});
    }
  };
  wait(20);
  cluster.from_worker(w2, msg::WorkerHeartbeat{});
  wait(20);
  EXPECT_TRUE(cluster.closed_workers.contains(w1));
  EXPECT_FALSE(cluster.closed_workers.contains(w2));
  cluster.handle(WorkerLost{w1, LossReason::kConnection, ""});  // its connection, closed by us
  EXPECT_EQ(cluster.state.counters().workers_lost, 1u);
}

TEST(SchedulerWorkers, ASchedulerThatWasStoppedItselfLosesNobody) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker();
  cluster.handle(Tick{});
  cluster.now += std::chrono::hours(1);
  cluster.handle(Tick{});
  EXPECT_FALSE(cluster.closed_workers.contains(w)) << "its news of an hour may still be unread";
  for (int i = 0; i < 31; ++i) {
    cluster.now += std::chrono::seconds(1);
    cluster.handle(Tick{});
  }
  EXPECT_TRUE(cluster.closed_workers.contains(w)) << "now it had time to be heard";
}

TEST(SchedulerWorkers, NonsenseClosesTheConnectionAndTheTaskGoesOn) {
  FakeCluster cluster;
  const WorkerId liar = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  const msg::Assign assign = cluster.assigned(liar);
  cluster.from_worker(liar, msg::TaskFinished{assign.attempt, assign.task, {1, 2, 3}, 0});  // it has one output
  EXPECT_TRUE(cluster.closed_workers.contains(liar));
  EXPECT_EQ(cluster.state_of(assign.task), TaskState::kNoWorker);
  cluster.worker(1);
  EXPECT_EQ(cluster.state_of(assign.task), TaskState::kProcessing);

  const WorkerId other = cluster.worker(1);
  cluster.from_worker(other, msg::ReplicasAdded{{{make_task_id(LayerId{1}, 5), 0}}});  // the layer has one task
  EXPECT_TRUE(cluster.closed_workers.contains(other));
  const WorkerId third = cluster.worker(1);
  cluster.from_worker(third, msg::CloseClient{});
  EXPECT_TRUE(cluster.closed_workers.contains(third));
}

TEST(SchedulerWorkers, AnswersForOtherAttemptsAreCountedAndIgnored) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  const msg::Assign assign = cluster.assigned(w);
  cluster.from_worker(w, msg::TaskFailed{AttemptId{99}, assign.task, {}});
  cluster.from_worker(w, msg::TaskReturned{assign.attempt, make_task_id(LayerId{1}, 8), {}});
  EXPECT_EQ(cluster.state.counters().stale_answers, 2u);
  EXPECT_EQ(cluster.state_of(assign.task), TaskState::kProcessing);
}

TEST(SchedulerWorkers, HeartbeatsAreComparedOnlyWhenTheySpeakOfTheSameMoment) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(2);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({2})}, {{0, 0, 0, 2}});
  const auto assigns = cluster.take<msg::Assign>(w);
  ASSERT_THAT(assigns, SizeIs(2));
  msg::WorkerHeartbeat beat;
  beat.received = 1;  // the second assignment is still on its way
  beat.attempts_hash = msg::mix(assigns[0].attempt);
  cluster.from_worker(w, beat);
  beat.received = 2;
  beat.attempts_hash ^= msg::mix(assigns[1].attempt);
  cluster.from_worker(w, beat);
  EXPECT_EQ(cluster.state.counters().heartbeat_mismatches, 0u);
  beat.attempts_hash ^= 1;
  cluster.from_worker(w, beat);
  EXPECT_EQ(cluster.state.counters().heartbeat_mismatches, 1u);
  EXPECT_TRUE(cluster.closed_workers.contains(w)) << "it joins anew";
  EXPECT_EQ(cluster.state.counters().processing, 0u);
}

TEST(SchedulerWorkers, RestrictedKernelsDoNotHoldUpOthers) {
  FakeCluster cluster;
  const WorkerId plain = cluster.worker(1, {"test.nop"}), both = cluster.worker(1, {"test.nop", "test.rare"});
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({3}, "r", "test.rare"), layer_on({3}, "n")}, {{0, 0, 0, 3}, {1, 0, 0, 3}});
  const auto on_plain = cluster.take<msg::Assign>(plain);
  ASSERT_THAT(on_plain, SizeIs(1));
  EXPECT_EQ(layer_of(on_plain[0].task), LayerId{2});
  const auto on_both = cluster.take<msg::Assign>(both);
  ASSERT_THAT(on_both, SizeIs(1));
  EXPECT_EQ(layer_of(on_both[0].task), LayerId{1});
}

TEST(SchedulerWorkers, AReaderIsToldOfTheHoldersItDoesNotKnow) {
  //  a(0..1) --> b      made on two workers, b on one of them
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1), w2 = cluster.worker(1);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({2}, "a");
  cluster.submit(c, {a, reads(layer_on({}, "b"), 0, a, {AllBlocks{}})}, {{1, 0, 0, 1}});
  cluster.finish(w1, cluster.assigned(w1), {100});
  cluster.finish(w2, cluster.assigned(w2), {8});
  const msg::Assign b = cluster.assigned(w1);  // it holds more of b's input
  ASSERT_THAT(b.holders, SizeIs(1));
  EXPECT_EQ(b.holders[0].worker, w2);
  const auto addresses = cluster.take<msg::WorkerAddress>(w1);
  ASSERT_THAT(addresses, SizeIs(1));
  EXPECT_EQ(addresses[0].address, "inproc://w2");
}

//  a(0..1) --> b      made on two workers, b on the first of them
struct ReaderAndHolder {
  ReaderAndHolder() {
    const Layer a = layer_on({2}, "a");
    cluster.submit(c, {a, reads(layer_on({}, "b"), 0, a, {AllBlocks{}})}, {{1, 0, 0, 1}});
    cluster.finish(w1, cluster.assigned(w1), {100});
    const msg::Assign second = cluster.assigned(w2);
    fetched = {second.task, 0};
    cluster.finish(w2, second, {8});
    b = cluster.assigned(w1);
  }
  FakeCluster cluster;
  WorkerId w1 = cluster.worker(1), w2 = cluster.worker(1);
  ConnectionId c = cluster.client();
  ResultId fetched;
  msg::Assign b;
};

TEST(SchedulerWorkers, WhoKnowsALostWorkerIsTold) {
  ReaderAndHolder world;
  const WorkerId w3 = world.cluster.worker(1);
  world.cluster.handle(WorkerLost{world.w2, LossReason::kConnection, ""});
  const auto gone = world.cluster.take<msg::WorkerGone>(world.w1);
  ASSERT_THAT(gone, SizeIs(1));
  EXPECT_EQ(gone[0].worker, world.w2);
  EXPECT_THAT(world.cluster.take<msg::WorkerGone>(w3), IsEmpty()) << "it was never told of it";
}

TEST(SchedulerWorkers, OneThatCannotReachAnotherDoesNotMakeItsResultsForgotten) {
  ReaderAndHolder world;
  FakeCluster& cluster = world.cluster;
  // Neither reaches the other.
  const auto both_are_there = [&] {
    return cluster.take<msg::FreeResults>(world.w1).empty() && cluster.take<msg::FreeResults>(world.w2).empty() &&
           cluster.state.counters().tasks_recomputed == 0;
  };
  WorkerId reader = world.w1;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(both_are_there()) << i;
    ASSERT_EQ(world.b.holders.size(), 1u) << i;
    cluster.give_back(reader, world.b, {{world.b.holders[0].result, world.b.holders[0].worker, /*unreachable=*/true}});
    if (i == 2) break;
    const auto on_w1 = cluster.take<msg::Assign>(world.w1), on_w2 = cluster.take<msg::Assign>(world.w2);
    ASSERT_EQ(on_w1.size() + on_w2.size(), 1u) << i;
    reader = on_w1.empty() ? world.w2 : world.w1;
    world.b = on_w1.empty() ? on_w2[0] : on_w1[0];
  }
  // It has been tried often enough: what can't be had is made again.
  EXPECT_FALSE(both_are_there());
}

TEST(SchedulerWorkers, ATaskGoesToAWorkerThatReachesItsInputs) {
  ReaderAndHolder world;
  FakeCluster& cluster = world.cluster;
  const WorkerId w3 = cluster.worker(1);
  cluster.give_back(world.w1, world.b, {{world.fetched, world.w2, /*unreachable=*/true}});
  // Where most of its input is it has been; the holder of the rest, or somebody new, reaches both.
  EXPECT_THAT(cluster.take<msg::Assign>(world.w1), IsEmpty());
  EXPECT_EQ(cluster.take<msg::Assign>(world.w2).size() + cluster.take<msg::Assign>(w3).size(), 1u);
}

TEST(SchedulerWorkers, AHolderThatIsGoneIsNobodysFailure) {
  ReaderAndHolder world;
  FakeCluster& cluster = world.cluster;
  // Its return and the loss of what it waited for cross each other, however often.
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(cluster.state_of(world.b.task), TaskState::kProcessing) << i;
    cluster.give_back(world.w1, world.b, {{world.fetched, WorkerId{1000}, /*unreachable=*/true}});
    world.b = cluster.assigned(world.w1);
  }
}

TEST(SchedulerState, ACopyDecidesAsTheOriginal) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(3);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({6}, "a");
  cluster.submit(c, {a, reads(layer_on({3}, "b"), 0, a, {FanIn{0, 2}})}, {{1, 0, 0, 3}});
  const auto assigns = cluster.take<msg::Assign>(w);
  SchedulerState copy = cluster.state;
  copy.check_invariants();
  const auto play = [&](SchedulerState& state) {
    std::vector<Action> actions;
    for (const auto& assign : assigns) {
      state.handle({}, FromWorker{w, msg::TaskFinished{assign.attempt, assign.task, {8}, 1}}, actions);
    }
    state.handle({}, FromWorker{w, msg::GrantCredit{6}}, actions);
    state.check_invariants();
    std::vector<std::pair<TaskId, AttemptId>> bound;
    for (const Action& action : actions) {
      const auto* send = std::get_if<SendToWorker>(&action);
      if (send == nullptr) continue;
      if (const auto* assign = std::get_if<msg::Assign>(&send->message))
        bound.emplace_back(assign->task, assign->attempt);
    }
    return bound;
  };
  const auto first = play(copy), second = play(cluster.state);
  EXPECT_THAT(first, SizeIs(3));
  EXPECT_EQ(first, second);
}

TEST(SchedulerState, TellsATasksStory) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({3, 4}, "x")}, {{0, 0, 5, 6}});
  const msg::Assign assign = cluster.assigned(w);
  cluster.finish(w, assign);
  std::vector<TaskState> states;
  for (const Transition& entry : cluster.state.story(assign.task)) states.push_back(entry.to);
  EXPECT_THAT(states, ElementsAre(TaskState::kQueued, TaskState::kProcessing, TaskState::kMemory));
  const TaskInfo info = cluster.state.task(assign.task);
  EXPECT_THAT(info.key, HasSubstr("(1,1)"));
  EXPECT_EQ(info.kernel, "test.nop");
  EXPECT_THAT(info.outputs.at(0).holders, ElementsAre(w));
  EXPECT_EQ(cluster.state.task(TaskId{}).state, TaskState::kForgotten);
}

TEST(SchedulerState, RecordsStaySmall) {
  FakeCluster cluster;
  cluster.check = false;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  constexpr std::uint32_t kTasks = 20000;
  cluster.submit(c, {layer_on({kTasks})}, {{0, 0, 0, kTasks}});
  std::uint64_t granted = 1;
  for (std::uint32_t done = 0; done < kTasks;) {
    std::vector<Event> events;
    for (const msg::Assign& assign : cluster.take<msg::Assign>(w)) {
      events.push_back(FromWorker{w, msg::GrantCredit{granted += 1 + (done == 0 ? 99 : 0)}});
      events.push_back(FromWorker{w, msg::TaskFinished{assign.attempt, assign.task, {8}, 1}});
      ++done;
    }
    ASSERT_FALSE(events.empty());
    cluster.handle_together(std::move(events));
  }
  EXPECT_EQ(cluster.state.counters().memory, kTasks);
  EXPECT_LE(cluster.state.task_record_bytes(), 200 * kTasks);
  cluster.from_client(c, msg::CloseClient{});
  EXPECT_LT(cluster.state.task_record_bytes(), 50000u);
  EXPECT_TRUE(cluster.state.empty());
}

TEST(SchedulerWorkers, WhoTakesALostWorkersPlaceIsIntroducedToo) {
  //  x0 --> y    x0 on w1, which holds most; x1 on w2, whose place w3 takes before the second round
  //  x1 -/
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  const WorkerId w1 = cluster.worker();
  WorkerId other = cluster.worker();
  for (std::uint64_t round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    Layer x = layer_on({2}, "x");
    x.nonce = round;
    const LayerNumber first = cluster.next_layer[c];
    const Layer y = reads(layer_on({1}, "y"), first, x, {AllBlocks{}});
    cluster.submit(c, {x, y}, {{first + 1, 0, 0, 1}});
    const msg::Assign here = cluster.assigned(w1), there = cluster.assigned(other);
    cluster.finish(w1, here, {1000});
    cluster.finish(other, there, {8});
    const auto addresses = cluster.take<msg::WorkerAddress>(w1);
    ASSERT_EQ(addresses.size(), 1u);
    EXPECT_EQ(addresses.front().worker, other);
    cluster.finish(w1, cluster.assigned(w1));
    cluster.handle(WorkerLost{other, LossReason::kOrderly, ""});
    other = cluster.worker();
  }
}

}  // namespace
}  // namespace tegula::scheduler
