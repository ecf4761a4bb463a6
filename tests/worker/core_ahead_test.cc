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
  static constexpr LayerId kPairs{5};  // task i reads chunks 2i and 2i + 1 of kSource
  static constexpr std::uint64_t kSmall = kItems * 8, kLarge = kSmall - 1;
  // Tasks ahead take pieces of at most so many bytes.
  void start_pairs(std::uint64_t ahead_bytes, unsigned awaited_per_peer = 100, std::uint64_t memory_limit = 0) {
    CoreOptions options;
    options.threads = 1;
    options.worker = "w";
    options.memory_limit = memory_limit;
    options.fetch.ahead_bytes = ahead_bytes;
    options.fetch.awaited_per_peer = awaited_per_peer;
    begin(options);
    give(msg::DefineLayer{
        kPairs, with_input(make_layer("pairs", kTasks / 2, kItems), kSource, kTasks, FanIn{0, 2}), {}});
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
  start_pairs(kLarge, 100, 2 * kItems * 8 - 1 + (256u << 10));
  assign(1, kSource, 1);  // takes more than half of the memory
  assign(2, kPairs, 0, {{result(kSource, 0), kPeer}});
  EXPECT_EQ(state_of(2), TaskState::kAhead);
  EXPECT_THAT(fetches, IsEmpty()) << "a task that is ahead holds a place and no bytes";
  finish(1);
  EXPECT_EQ(state_of(2), TaskState::kFetching);
  ASSERT_THAT(fetches, SizeIs(1));
  EXPECT_EQ(fetches[0].at_most, 0u);
  answer(fetches[0]);
  EXPECT_EQ(started(), (Attempts{1, 2}));
}

TEST_F(AheadTest, SmallOnesComeMeanwhile) {
  start_pairs(kSmall);
  assign(1, kSource, 1);
  assign(2, kPairs, 0, {{result(kSource, 0), kPeer}});
  ASSERT_THAT(fetches, SizeIs(1));
  EXPECT_EQ(fetches[0].attempt, AttemptId{}) << "it is there, as far as the scheduler knows";
  EXPECT_EQ(fetches[0].at_most, kSmall) << "no room is reserved for it";
  answer(fetches[0]);
  EXPECT_EQ(state_of(2), TaskState::kAhead);
  finish(1);
  EXPECT_EQ(started(), (Attempts{1, 2}));
}

TEST_F(AheadTest, WhatAPeerIsToMakeIsAskedForAtOnce) {
  start_pairs(kSmall);
  assign_ahead(5, kPairs, 0, {{result(kSource, 0), kPeer, AttemptId{3}}, {result(kSource, 1), kOther, AttemptId{4}}});
  EXPECT_EQ(state_of(5), TaskState::kAhead);
  ASSERT_THAT(fetches, SizeIs(2));
  EXPECT_EQ(fetches[0].attempt, AttemptId{3});
  EXPECT_EQ(fetches[1].attempt, AttemptId{4});
  EXPECT_EQ(state->reserved_bytes(), 0u);
  answer(fetches[0]);
  EXPECT_EQ(state_of(5), TaskState::kAhead);
  answer(fetches[1]);
  EXPECT_EQ(started(), Attempts{5});
  finish(5);
  EXPECT_THAT(sent_of<msg::TaskFinished>(), SizeIs(1));
}

TEST_F(AheadTest, WhatIsLargeIsFetchedOnceAllIsThereIfMemoryIsShort) {
  start_pairs(kSmall, 100, 360'000);
  assign(1, kSource, 9);
  give(KernelNeeds{AttemptId{1}, 200'000});  // more than half of the memory
  assign_ahead(5, kPairs, 0, {{result(kSource, 0), kPeer, AttemptId{3}}, {result(kSource, 1), kOther, AttemptId{4}}});
  const std::uint64_t reserved = state->reserved_bytes();
  answer(fetches[0], msg::FetchStatus::kLarge);
  EXPECT_EQ(state_of(5), TaskState::kAhead);
  EXPECT_EQ(state->reserved_bytes(), reserved);
  answer(fetches[1]);
  ASSERT_THAT(fetches, SizeIs(3));
  EXPECT_EQ(fetches[2].peer, kPeer);
  EXPECT_EQ(fetches[2].attempt, AttemptId{});
  EXPECT_EQ(fetches[2].at_most, 0u);
  EXPECT_EQ(state->reserved_bytes(), reserved + 2 * kItems * 8 + (128u << 10)) << "with what it will put out";
  finish(1);
  answer(fetches[2]);
  EXPECT_EQ(started(), (Attempts{1, 1, 5}));
}

TEST_F(AheadTest, ElseItIsFetchedAsSoonAsItIsThere) {
  start_pairs(kSmall);
  assign_ahead(5, kPairs, 0, {{result(kSource, 0), kPeer, AttemptId{3}}, {result(kSource, 1), kOther, AttemptId{4}}});
  answer(fetches[0], msg::FetchStatus::kLarge);
  EXPECT_EQ(state_of(5), TaskState::kAhead);
  ASSERT_THAT(fetches, SizeIs(3));
  EXPECT_EQ(fetches[2].at_most, 0u);
  EXPECT_EQ(state->reserved_bytes(), kItems * 8u);
  answer(fetches[2]);
  answer(fetches[1]);
  EXPECT_EQ(started(), Attempts{5});
}

TEST_F(AheadTest, WhatWasFetchedEarlyGoesWhenOthersNeedTheRoom) {
  constexpr std::uint64_t kNeed = kItems * 8 + (128u << 10);  // of the first task of a layer
  start_pairs(kLarge, 100, kNeed + kItems * 8 - 1);
  assign_ahead(5, kPairs, 0, {{result(kSource, 0), kPeer, AttemptId{3}}}, {{result(kSource, 1), kOther}});
  ASSERT_THAT(fetches, SizeIs(2)) << "half of the memory is free";
  EXPECT_EQ(fetches[0].attempt, AttemptId{3});
  EXPECT_EQ(state->reserved_bytes(), kItems * 8u);
  answer(fetches[1]);
  EXPECT_EQ(state->managed_bytes(), kItems * 8u);
  assign(6, kSource, 9);
  EXPECT_EQ(started(), Attempts{6});
  EXPECT_EQ(state->managed_bytes(), 0u);
  finish(6);
  give(msg::FreeResults{{result(kSource, 9)}});
  answer(fetches[0], msg::FetchStatus::kLarge);
  ASSERT_THAT(fetches, SizeIs(3));
  answer(fetches[2]);
  ASSERT_THAT(fetches, SizeIs(4)) << "what was given up, in its time";
  EXPECT_EQ(fetches[3].peer, kOther);
  answer(fetches[3]);
  EXPECT_EQ(started(), (Attempts{6, 5}));
}

TEST_F(AheadTest, APeersAttemptThatEndsWithoutAResultReturnsIt) {
  start_pairs(kSmall);
  assign_ahead(5, kPairs, 0, {{result(kSource, 0), kPeer, AttemptId{3}}, {result(kSource, 1), kOther, AttemptId{4}}});
  answer(fetches[1], msg::FetchStatus::kMissing);
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_THAT(returned, SizeIs(1));
  EXPECT_THAT(returned[0].missing, IsEmpty()) << "which is news and no failure";
  EXPECT_EQ(state->attempts(), 0u);
  answer(fetches[0]);
  EXPECT_EQ(state->managed_bytes(), 0u) << "nobody wants it any more";
}

TEST_F(AheadTest, APeerThatIsGoneIsReported) {
  start_pairs(kSmall);
  assign_ahead(5, kPairs, 0, {{result(kSource, 0), kPeer, AttemptId{3}}, {result(kSource, 1), kPeer, AttemptId{4}}});
  for (int tries = 0; held(5) && tries < 10; ++tries) {
    for (const StartFetch& fetch : std::exchange(fetches, {})) give(FetchFailed{fetch.request});
    now += std::chrono::seconds(1);
    give(Tick{});
  }
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_THAT(returned, SizeIs(1));
  ASSERT_FALSE(returned[0].missing.empty());
  EXPECT_EQ(returned[0].missing[0].holder, kPeer);
}

TEST_F(AheadTest, RequestsThatWaitDontKeepOthersFromThePeer) {
  start_pairs(kSmall, 2);
  assign_ahead(5, kPairs, 0, {{result(kSource, 0), kPeer, AttemptId{3}}, {result(kSource, 1), kPeer, AttemptId{4}}});
  assign_ahead(6, kPairs, 1, {{result(kSource, 2), kPeer, AttemptId{3}}, {result(kSource, 3), kPeer, AttemptId{4}}});
  EXPECT_THAT(fetches, SizeIs(2)) << "as many as may wait there";
  assign(7, kAdd, 9, {{result(kSource, 9), kPeer}});
  ASSERT_THAT(fetches, SizeIs(3));
  answer(fetches[2]);
  EXPECT_EQ(started(), Attempts{7});
  answer(fetches[0]);
  ASSERT_THAT(fetches, SizeIs(4)) << "the next in order";
  EXPECT_EQ(fetches[3].items[0].result, result(kSource, 2));
}

TEST_F(AheadTest, OneThatIsFetchedForAnotherTaskTooHasRoomReserved) {
  start_pairs(kSmall);
  assign_ahead(5, kPairs, 0, {{result(kSource, 0), kPeer, AttemptId{3}}, {result(kSource, 1), kOther, AttemptId{4}}});
  assign(6, kAdd, 0, {{result(kSource, 0), kPeer}});  // it is there by now
  EXPECT_THAT(fetches, SizeIs(2)) << "it is asked for already";
  EXPECT_EQ(state->reserved_bytes(), kItems * 8u);
  answer(fetches[0], msg::FetchStatus::kLarge);
  ASSERT_THAT(fetches, SizeIs(3)) << "there is room for it now";
  answer(fetches[2]);
  EXPECT_EQ(started(), Attempts{6});
  answer(fetches[1]);
  EXPECT_EQ(state->reserved_bytes(), kItems * 8 + (128u << 10)) << "of the kernel that runs";
}

TEST_F(AheadTest, PeersHearWhenAnAttemptEnds) {
  start();
  give(Await{AttemptId{2}});
  assign_chain();
  give(Await{AttemptId{1}});
  give(Await{AttemptId{3}});
  finish(1);
  EXPECT_EQ(ended, Attempts{1});
  give(Await{AttemptId{1}});
  EXPECT_EQ(ended, (Attempts{1, 1})) << "it has ended: at once";
  give(msg::Retract{AttemptId{2}, make_task_id(kAdd, 0)});
  EXPECT_EQ(ended, (Attempts{1, 1, 2, 3})) << "it is abandoned, and the other came back for that";
  give(Await{AttemptId{2}});
  EXPECT_EQ(ended.back(), 2u);
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
