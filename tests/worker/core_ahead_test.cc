// Tasks whose inputs are made by other attempts on the same worker.
#include "tests/worker/core_fixture.h"

namespace tegula::worker {
namespace {

using Attempts = std::vector<std::uint64_t>;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr LayerId kTwice{4};  // task i reads chunk i of kAdd

class AheadTest : public CoreTest {
 protected:
  void start(unsigned threads = 1, std::uint64_t memory_limit = 0) {
    CoreTest::start(threads, memory_limit);
    give(msg::DefineLayer{kTwice, with_input(make_layer("twice", kTasks, kItems), kAdd, kTasks, SameBlock{0}), {}});
  }
  void assign_chain() {
    assign(1, kSource, 0);
    assign(2, kAdd, 0);
    assign(3, kTwice, 0);
  }
};

TEST_F(AheadTest, AChainRunsWithoutAnotherWordOfTheScheduler) {
  start();
  assign_chain();
  EXPECT_EQ(state_of(2), TaskState::kAhead);
  EXPECT_EQ(state_of(3), TaskState::kAhead);
  EXPECT_EQ(started(), Attempts{1});
  finish(1);
  EXPECT_EQ(started(), (Attempts{1, 2}));
  finish(2);
  finish(3);
  EXPECT_EQ(started(), (Attempts{1, 2, 3}));
  EXPECT_THAT(sent_of<msg::TaskFinished>(), SizeIs(3));
  EXPECT_THAT(fetches, IsEmpty());
}

TEST_F(AheadTest, OtherInputsAreFetchedWhenTheLocalOnesAreThere) {
  start();
  const LayerId pairs{5};
  give(msg::DefineLayer{pairs, with_input(make_layer("pairs", kTasks / 2, kItems), kSource, kTasks, FanIn{0, 2}), {}});
  assign(1, kSource, 1);
  assign(2, pairs, 0, {{result(kSource, 0), kPeer}});
  EXPECT_EQ(state_of(2), TaskState::kAhead);
  EXPECT_THAT(fetches, IsEmpty()) << "a task that is ahead holds a place and no bytes";
  finish(1);
  EXPECT_EQ(state_of(2), TaskState::kFetching);
  ASSERT_THAT(fetches, SizeIs(1));
  answer(fetches[0]);
  EXPECT_EQ(started(), (Attempts{1, 2}));
}

TEST_F(AheadTest, AFailureReturnsAllThatCountedOnIt) {
  start();
  assign_chain();
  give(KernelFailed{AttemptId{1}, {}, 10});
  ASSERT_THAT(sent_of<msg::TaskFailed>(), SizeIs(1));
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_THAT(returned, SizeIs(2));
  EXPECT_EQ(returned[0].attempt, AttemptId{2});
  EXPECT_EQ(returned[1].attempt, AttemptId{3});
  EXPECT_THAT(returned[0].missing, IsEmpty());
  EXPECT_EQ(state->attempts(), 0u);
}

TEST_F(AheadTest, ARetractedProducerTakesThemAlong) {
  start();
  assign(10, kSource, 5);  // keeps the thread busy
  assign_chain();
  give(msg::Retract{AttemptId{1}, make_task_id(kSource, 0)});
  EXPECT_THAT(sent_of<msg::TaskReturned>(), SizeIs(3));
  EXPECT_FALSE(held(2));
}

TEST_F(AheadTest, AnAbandonedProducerTakesThemAlongAtOnce) {
  start();
  assign_chain();
  give(msg::Retract{AttemptId{1}, make_task_id(kSource, 0)});
  EXPECT_EQ(state_of(1), TaskState::kAbandoned);
  EXPECT_THAT(sent_of<msg::TaskReturned>(), SizeIs(2)) << "without waiting for its kernel";
  finish(1);
  EXPECT_THAT(sent_of<msg::TaskReturned>(), SizeIs(3));
}

TEST_F(AheadTest, OneThatIsRetractedItselfIsForgotten) {
  start();
  assign_chain();
  give(msg::Retract{AttemptId{2}, make_task_id(kAdd, 0)});
  EXPECT_THAT(sent_of<msg::TaskReturned>(), SizeIs(2)) << "and the one after it";
  finish(1);
  EXPECT_EQ(started(), Attempts{1});
}

TEST_F(AheadTest, OneThatComesAfterItsProducerCameBackIsReported) {
  start();
  assign(1, kSource, 0);
  give(KernelFailed{AttemptId{1}, {}, 10});
  assign(2, kAdd, 0);
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_THAT(returned, SizeIs(1));
  ASSERT_THAT(returned[0].missing, SizeIs(1));
  EXPECT_EQ(returned[0].missing[0].holder, kSelf);
}

// Without the rule that a task ahead holds no bytes, the first of these would take the memory its producer needs.
TEST_F(AheadTest, TheyDontKeepMemoryFromTheirProducers) {
  start(1, 2 * kItems * 8 + (1u << 18));
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}}, 5);
  assign(2, kTwice, 0, {}, 0);  // goes first by priority, and cannot
  ASSERT_THAT(fetches, SizeIs(1));
  answer(fetches[0]);
  finish(1);
  give(msg::FreeResults{{result(kAdd, 0)}});
  EXPECT_EQ(started(), (Attempts{1, 2}));
}

TEST_F(CoreTest, AskedBackBeforeItsKernelRunsItReturns) {
  start();
  assign(1, kSource, 0);
  give(msg::Retract{AttemptId{1}, make_task_id(kSource, 0), false});
  ASSERT_THAT(recalls, SizeIs(1));
  EXPECT_FALSE(recalls[0].cancel);
  give(Recalled{AttemptId{1}});
  EXPECT_THAT(sent_of<msg::TaskReturned>(), SizeIs(1));
  EXPECT_THAT(sent_of<msg::TaskRunning>(), IsEmpty());
}

TEST_F(CoreTest, AskedBackTooLateItRunsOnAndSaysSo) {
  start();
  assign(1, kSource, 0);
  give(msg::Retract{AttemptId{1}, make_task_id(kSource, 0), false});
  give(TooLate{AttemptId{1}});
  ASSERT_THAT(sent_of<msg::TaskRunning>(), SizeIs(1));
  EXPECT_EQ(state_of(1), TaskState::kExecuting);
  finish(1);
  EXPECT_THAT(sent_of<msg::TaskFinished>(), SizeIs(1));
}

TEST_F(CoreTest, AskedBackWhileItWaitsItReturnsAtOnce) {
  start();
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}});
  give(msg::Retract{AttemptId{1}, make_task_id(kAdd, 0), false});
  EXPECT_THAT(sent_of<msg::TaskReturned>(), SizeIs(1));
}

}  // namespace
}  // namespace tegula::worker
