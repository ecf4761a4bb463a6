// What a worker decides, told as incidents.
#include "tests/worker/core_fixture.h"

namespace tegula::worker {
namespace {

using testing::Test;
using Attempts = std::vector<std::uint64_t>;

// ---- the plain course
// ------------------------------------------------------------------------------------------------

TEST_F(CoreTest, TaskWithoutInputsRunsAndIsReported) {
  start();
  assign(7, kSource, 3);
  ASSERT_EQ(started(), Attempts{7});
  EXPECT_EQ(executing[0].inputs, nullptr);
  finish(7);
  const auto finished = sent_of<msg::TaskFinished>();
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(finished[0].task, make_task_id(kSource, 3));
  EXPECT_EQ(finished[0].nbytes, std::vector<std::uint64_t>{kItems * 8});
  EXPECT_NE(state->find(result(kSource, 3)), nullptr);
  EXPECT_EQ(state->managed_bytes(), kItems * 8u);
  give(msg::FreeResults{{result(kSource, 3)}});
  EXPECT_EQ(state->find(result(kSource, 3)), nullptr);
  EXPECT_EQ(state->managed_bytes(), 0u);
}

TEST_F(CoreTest, InputThatIsHereIsUsedAndOutlivesItsRelease) {
  start();
  assign(1, kSource, 0);
  finish(1);
  assign(2, kAdd, 0);
  ASSERT_EQ(started(), (Attempts{1, 2}));
  EXPECT_TRUE(fetches.empty());
  ASSERT_EQ(executing[1].inputs->pieces.size(), 1u);
  EXPECT_EQ(executing[1].inputs->grids, std::vector<std::int64_t>{1});
  // The scheduler frees the input while the kernel reads it: the bytes stay, and are counted, until the kernel ends.
  give(msg::FreeResults{{result(kSource, 0)}});
  EXPECT_EQ(state->managed_bytes(), kItems * 8u);
  finish(2);
  executing.clear();
  EXPECT_EQ(state->managed_bytes(), kItems * 8u) << "the output only";
}

TEST_F(CoreTest, SmallerPriorityStartsFirst) {
  start();
  assign(1, kSource, 0);
  assign(2, kSource, 1, {}, 5);
  assign(3, kSource, 2, {}, -5);
  assign(4, kSource, 3, {}, 5);
  finish(1);
  finish(3);
  finish(2);
  EXPECT_EQ(started(), (Attempts{1, 3, 2, 4}));
}

TEST_F(CoreTest, FailureNamesTaskKernelAndWorker) {
  start();
  assign(1, kSource, 5);
  ErrorInfo error;
  error.code = ErrorCode::kKernelFailed;
  error.message = "no luck";
  give(KernelFailed{AttemptId{1}, error, 10});
  const auto failed = sent_of<msg::TaskFailed>();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].error.message, "no luck");
  EXPECT_EQ(failed[0].error.kernel, "test.source");
  EXPECT_EQ(failed[0].error.worker, "w");
  EXPECT_THAT(failed[0].error.key, testing::AllOf(testing::StartsWith("source-"), testing::EndsWith("(5)")));
  EXPECT_FALSE(held(1));
}

TEST_F(CoreTest, LayerIsReleasedWithItsLastTask) {
  start();
  assign(1, kSource, 0);
  give(msg::ForgetLayer{kSource});
  EXPECT_TRUE(released.empty());
  finish(1);
  EXPECT_EQ(released, std::vector<LayerId>{kSource});
  give(msg::ForgetLayer{kAdd});
  EXPECT_EQ(released, (std::vector<LayerId>{kSource, kAdd}));
}

TEST_F(CoreTest, LayerThatIsDefinedAgainIsNotForgotten) {
  start();
  assign(1, kSource, 0);
  give(msg::ForgetLayer{kSource});
  give(msg::DefineLayer{kSource, make_layer("source", kTasks, kItems), {}});
  finish(1);
  EXPECT_TRUE(released.empty());
  assign(2, kSource, 1);
  EXPECT_EQ(started(), (Attempts{1, 2}));
}

TEST_F(CoreTest, NonsenseFromTheSchedulerFailsTheTaskOnly) {
  start();
  assign(1, LayerId{99}, 0);
  assign(2, kSource, kTasks);
  auto broken = std::make_shared<Layer>(*make_layer("broken", 4, 1));
  broken->inputs.push_back({static_cast<LayerNumber>(kSource), 0, {4}, SeparableInput{{SameBlock{7}}}});
  give(msg::DefineLayer{LayerId{10}, broken, {}});
  give(msg::DefineLayer{LayerId{11}, nullptr, {}});
  assign(3, LayerId{10}, 0);
  assign(4, LayerId{11}, 0);
  EXPECT_EQ(sent_of<msg::TaskFailed>().size(), 4u);
  EXPECT_TRUE(executing.empty());
  assign(5, kSource, 0);
  EXPECT_EQ(started(), Attempts{5});
}

// ---- inputs from others
// ----------------------------------------------------------------------------------------------

TEST_F(CoreTest, SeveralInputsOfOnePeerComeByOneRequest) {
  start();
  std::vector<msg::Assign::Holder> holders;
  for (std::uint32_t i = 0; i < kTasks; ++i) holders.push_back({result(kSource, i), i < 150 ? kPeer : kOther});
  assign(1, kTotal, 0, holders);
  EXPECT_EQ(state_of(1), TaskState::kFetching);
  ASSERT_EQ(fetches.size(), 2u);
  EXPECT_EQ(fetches[0].items.size() + fetches[1].items.size(), static_cast<std::size_t>(kTasks));
  const StartFetch first = fetches[0], second = fetches[1];
  answer(second);
  EXPECT_TRUE(executing.empty());
  answer(first);
  ASSERT_EQ(started(), Attempts{1});
  EXPECT_EQ(executing[0].inputs->pieces.size(), static_cast<std::size_t>(kTasks));
  finish(1, 100, 1);
  executing.clear();
  EXPECT_EQ(state->managed_bytes(), 8u) << "fetched inputs go with the task";
}

TEST_F(CoreTest, CopiesGatherTheirOwnInputs) {
  start();
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}});
  WorkerState copy = *state;  // both wait for the same piece
  const StartFetch fetch = fetches.at(0);
  answer(fetch);
  std::vector<Action> actions;
  copy.handle(msg::FetchReply{fetch.request, {{msg::FetchStatus::kOk, make_chunk(kItems)}}}, now, actions);
  copy.check_invariants();
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(std::get<Execute>(actions[0]).inputs->pieces.size(), 1u);
  EXPECT_EQ(executing.at(0).inputs->pieces.size(), 1u);
}

TEST_F(CoreTest, TwoTasksShareOneFetch) {
  start(2);
  give(msg::DefineLayer{LayerId{20}, with_input(make_layer("sub", kTasks, kItems), kSource, kTasks, SameBlock{0}), {}});
  assign(1, kAdd, 4, {{result(kSource, 4), kPeer}});
  assign(2, LayerId{20}, 4, {{result(kSource, 4), kPeer}});
  ASSERT_EQ(fetches.size(), 1u);
  ASSERT_EQ(fetches[0].items.size(), 1u);
  const StartFetch fetch = fetches[0];
  answer(fetch);
  EXPECT_EQ(started(), (Attempts{1, 2}));
  // As long as one of them is here, a third has it at once.
  give(msg::DefineLayer{LayerId{21}, with_input(make_layer("mul", kTasks, kItems), kSource, kTasks, SameBlock{0}), {}});
  finish(1);
  assign(3, LayerId{21}, 4, {{result(kSource, 4), kPeer}});
  EXPECT_EQ(fetches.size(), 1u);
  EXPECT_EQ(started(), (Attempts{1, 2, 3}));
  finish(2);
  finish(3);
  assign(4, kAdd, 4, {{result(kSource, 4), kPeer}});
  EXPECT_EQ(fetches.size(), 2u) << "nobody kept it";
}

TEST_F(CoreTest, HolderThatLacksItIsReportedAndTheNextOneAsked) {
  start();
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}, {result(kSource, 0), kOther}});
  ASSERT_EQ(fetches.size(), 1u);
  const StartFetch first = fetches[0];
  answer(first, msg::FetchStatus::kMissing);
  ASSERT_EQ(fetches.size(), 2u);
  EXPECT_NE(fetches[1].peer, first.peer);
  const StartFetch second = fetches[1];
  answer(second, msg::FetchStatus::kMissing);
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_EQ(returned.size(), 1u);
  EXPECT_EQ(returned[0].attempt, AttemptId{1});
  EXPECT_EQ(returned[0].missing.size(), 2u);
}

TEST_F(CoreTest, InputThatNobodyWasNamedForIsReportedAsMissingHere) {
  start();
  assign(1, kAdd, 0);
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_EQ(returned.size(), 1u);
  ASSERT_EQ(returned[0].missing.size(), 1u);
  EXPECT_EQ(returned[0].missing[0].holder, kSelf);
  EXPECT_EQ(returned[0].missing[0].result, result(kSource, 0));
}

TEST_F(CoreTest, LostConnectionIsTriedAgainLaterAndNotForEver) {
  start();
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}});
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(fetches.size(), 1u) << "round " << round;
    const StartFetch fetch = fetches[0];
    fetches.clear();
    give(FetchFailed{fetch.request});
    if (round == 2) break;
    EXPECT_TRUE(fetches.empty()) << "not at once";
    const auto wakeup = state->next_wakeup(now);
    ASSERT_TRUE(wakeup.has_value());
    now = *wakeup;
    give(Tick{});
  }
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_EQ(returned.size(), 1u);
  ASSERT_EQ(returned[0].missing.size(), 1u);
  EXPECT_EQ(returned[0].missing[0].holder, kPeer);
  EXPECT_TRUE(returned[0].missing[0].unreachable);
}

TEST_F(CoreTest, BusyPeerIsAskedAgainAsOftenAsItTakes) {
  start();
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}});
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(fetches.size(), 1u);
    const StartFetch fetch = fetches[0];
    fetches.clear();
    answer(fetch, msg::FetchStatus::kBusy);
    const auto wakeup = state->next_wakeup(now);
    ASSERT_TRUE(wakeup.has_value());
    EXPECT_LE(*wakeup - now, std::chrono::milliseconds(500));
    now = *wakeup;
    give(Tick{});
  }
  const StartFetch fetch = fetches[0];
  answer(fetch);
  EXPECT_EQ(started(), Attempts{1});
}

TEST_F(CoreTest, OnePeersTroubleDoesNotTouchWhatOthersSend) {
  start(2);
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}});
  assign(2, kAdd, 1, {{result(kSource, 1), kOther}});
  ASSERT_EQ(fetches.size(), 2u);
  const StartFetch bad = fetches[0], good = fetches[1];
  give(FetchFailed{bad.request});
  answer(good);
  EXPECT_EQ(started(), Attempts{2});
  EXPECT_EQ(state_of(1), TaskState::kFetching);
}

TEST_F(CoreTest, WhatALostPeerWasToSendComesFromAnotherAtOnce) {
  start();
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}, {result(kSource, 0), kOther}});
  ASSERT_EQ(fetches.size(), 1u);
  const StartFetch lost = fetches[0];
  give(msg::WorkerGone{lost.peer});
  EXPECT_EQ(closed, std::vector<WorkerId>{lost.peer});
  ASSERT_EQ(fetches.size(), 2u);
  EXPECT_NE(fetches[1].peer, lost.peer);
  answer(lost);  // was under way
  EXPECT_EQ(state_of(1), TaskState::kFetching);
  answer(fetches[1]);
  EXPECT_EQ(started(), Attempts{1});
}

TEST_F(CoreTest, ATaskWhoseOnlyHolderIsLostIsReturnedAtOnce) {
  start(2);
  // The first is on its way, the second waits behind it, the third comes from somebody else.
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}});
  assign(2, kAdd, 1, {{result(kSource, 1), kPeer}});
  assign(3, kAdd, 2, {{result(kSource, 2), kOther}});
  const StartFetch other = fetches.back();
  ASSERT_EQ(other.peer, kOther);
  give(msg::WorkerGone{kPeer});
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_EQ(returned.size(), 2u);
  for (const auto& one : returned) {
    ASSERT_EQ(one.missing.size(), 1u);
    EXPECT_EQ(one.missing[0].holder, kPeer);
    EXPECT_TRUE(one.missing[0].unreachable);
  }
  answer(other);
  EXPECT_EQ(started(), Attempts{3});
  give(msg::WorkerGone{kPeer});  // nobody knows it any more
  EXPECT_EQ(closed, std::vector<WorkerId>{kPeer});
  assign(4, kAdd, 3, {{result(kSource, 3), kPeer}});  // a scheduler does not do that
  EXPECT_EQ(sent_of<msg::TaskReturned>().size(), 3u);
}

TEST_F(CoreTest, WrongPieceFailsTheTaskAndStaysOutOfTheKernel) {
  start();
  auto boxed = std::make_shared<Layer>(*make_layer("boxed", 1, 10));
  Pieces pieces{0, {0, 1}, {0}, {{5, 10, 1}}};
  boxed->inputs.push_back({static_cast<LayerNumber>(kSource), 0, {kTasks}, SeparableInput{{pieces}}});
  give(msg::DefineLayer{LayerId{30}, boxed, {}});
  assign(1, LayerId{30}, 0, {{result(kSource, 0), kPeer}});
  ASSERT_EQ(fetches.size(), 1u);
  ASSERT_EQ(fetches[0].items[0].box, (Box{{5, 10, 1}}));
  msg::FetchReply reply{fetches[0].request, {}};
  reply.items.push_back({msg::FetchStatus::kOk, make_chunk(11)});
  give(std::move(reply));
  EXPECT_EQ(sent_of<msg::TaskFailed>().size(), 1u);
  EXPECT_TRUE(executing.empty());
}

TEST_F(CoreTest, BoxThatDoesNotFitWhatCameHereMeanwhileFailsTheTask) {
  start(1, 20'000);
  auto boxed = std::make_shared<Layer>(*make_layer("boxed", 1, 10));
  Pieces pieces{0, {0, 1}, {0}, {{kItems - 5, 10, 1}}};
  boxed->inputs.push_back({static_cast<LayerNumber>(kSource), 0, {kTasks}, SeparableInput{{pieces}}});
  give(msg::DefineLayer{LayerId{30}, boxed, {}});
  assign(1, kSource, 0);
  assign(2, LayerId{30}, 0, {{result(kSource, 0), kPeer}});
  ASSERT_EQ(state_of(2), TaskState::kWaiting) << "for memory";
  finish(1);
  ASSERT_EQ(sent_of<msg::TaskFailed>().size(), 1u);
  EXPECT_EQ(sent_of<msg::TaskFailed>()[0].error.code, ErrorCode::kIndex);
  EXPECT_TRUE(fetches.empty());
}

TEST_F(CoreTest, BoxOfAResultThatIsHereIsAView) {
  start();
  auto boxed = std::make_shared<Layer>(*make_layer("boxed", 1, 10));
  boxed->inputs.push_back(
      {static_cast<LayerNumber>(kSource), 0, {kTasks}, SeparableInput{{Pieces{0, {0, 1}, {0}, {{5, 10, -1}}}}}});
  boxed->inputs[0].pieces = SeparableInput{{Pieces{0, {0, 1}, {0}, {{14, 10, -1}}}}};
  give(msg::DefineLayer{LayerId{30}, boxed, {}});
  assign(1, kSource, 0);
  finish(1);
  assign(2, LayerId{30}, 0);
  ASSERT_EQ(started(), (Attempts{1, 2}));
  const Chunk& piece = executing[1].inputs->pieces[0];
  EXPECT_EQ(piece.shape(), (Shape{10}));
  EXPECT_EQ(piece.strides(), (Strides{-8}));
  EXPECT_EQ(state->managed_bytes(), kItems * 8u) << "a view costs nothing";
}

// ---- retraction
// ------------------------------------------------------------------------------------------------------

TEST_F(CoreTest, RetractBeforeTheStartIsAnsweredAtOnce) {
  start();
  assign(1, kSource, 0);
  assign(2, kSource, 1);
  assign(3, kAdd, 7, {{result(kSource, 7), kPeer}});
  give(msg::Retract{AttemptId{2}, make_task_id(kSource, 1)});
  give(msg::Retract{AttemptId{3}, make_task_id(kAdd, 7)});
  EXPECT_EQ(sent_of<msg::TaskReturned>().size(), 2u);
  // The reply to the fetch comes to nobody.
  ASSERT_EQ(fetches.size(), 1u);
  const StartFetch fetch = fetches[0];
  answer(fetch);
  EXPECT_EQ(state->managed_bytes(), 0u);
  finish(1);
  EXPECT_EQ(started(), Attempts{1});
}

TEST_F(CoreTest, RetractedWhileExecutingIsAbandonedAndItsResultDropped) {
  start();
  assign(1, kSource, 0);
  give(msg::Retract{AttemptId{1}, make_task_id(kSource, 0)});
  EXPECT_EQ(state_of(1), TaskState::kAbandoned);
  ASSERT_EQ(recalls.size(), 1u);
  EXPECT_TRUE(recalls[0].cancel);
  EXPECT_TRUE(sent_of<msg::TaskReturned>().empty()) << "no new attempt may start before the kernel has ended";
  give(msg::Retract{AttemptId{1}, make_task_id(kSource, 0)});
  EXPECT_EQ(recalls.size(), 1u);
  finish(1);
  EXPECT_EQ(sent_of<msg::TaskReturned>().size(), 1u);
  EXPECT_TRUE(sent_of<msg::TaskFinished>().empty());
  EXPECT_EQ(state->find(result(kSource, 0)), nullptr);
  EXPECT_EQ(state->managed_bytes() + state->reserved_bytes(), 0u);
}

TEST_F(CoreTest, RetractedInTheExecutorsQueueComesBackUnstarted) {
  start();
  assign(1, kSource, 0);
  finish(1, 1000);  // short tasks: several are handed ahead
  assign(2, kSource, 1);
  assign(3, kSource, 2);
  ASSERT_EQ(started(), (Attempts{1, 2, 3}));
  give(msg::Retract{AttemptId{3}, make_task_id(kSource, 2)});
  give(Recalled{AttemptId{3}});
  EXPECT_EQ(sent_of<msg::TaskReturned>().size(), 1u);
  EXPECT_FALSE(held(3));
}

TEST_F(CoreTest, NewsOfForgottenAttemptsIsIgnored) {
  start();
  finish(42);
  give(Recalled{AttemptId{42}});
  give(KernelNeeds{AttemptId{42}, 1});
  give(KernelFailed{AttemptId{42}, {}, 0});
  give(msg::Retract{AttemptId{42}, make_task_id(kSource, 0)});
  give(FetchFailed{77});
  give(msg::FetchReply{78, {}});
  EXPECT_TRUE(sent.empty());
}

// ---- memory
// ----------------------------------------------------------------------------------------------------------

TEST_F(CoreTest, TaskLargerThanTheLimitFailsAtOnceWithBothNumbers) {
  start(1, 7999);
  assign(1, kSource, 0);
  auto failed = sent_of<msg::TaskFailed>();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].error.code, ErrorCode::kTaskTooLarge);
  EXPECT_THAT(failed[0].error.message,
              testing::AllOf(testing::HasSubstr("8000 bytes"), testing::HasSubstr("7999 bytes")));
  EXPECT_TRUE(executing.empty());
}

TEST_F(CoreTest, PlanBeyondTheLimitFailsAsTooLarge) {
  start(1, 1'000'000);
  assign(1, kSource, 0);
  ASSERT_EQ(started(), Attempts{1});
  give(KernelNeeds{AttemptId{1}, 2'000'000});
  const auto failed = sent_of<msg::TaskFailed>();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].error.code, ErrorCode::kTaskTooLarge);
  EXPECT_THAT(failed[0].error.message, testing::HasSubstr("2000000 bytes"));
}

TEST_F(CoreTest, InputsCountTowardsTheLimitOfATask) {
  start(1, 12'000);
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}});
  const StartFetch fetch = fetches.at(0);
  answer(fetch);
  ASSERT_EQ(sent_of<msg::TaskFailed>().size(), 1u);
  EXPECT_EQ(sent_of<msg::TaskFailed>()[0].error.code, ErrorCode::kTaskTooLarge);
}

TEST_F(CoreTest, InputsThatShareABufferCountOnceTowardsTheLimit) {
  start(1, 20'000);
  auto twice = with_input(make_layer("twice", kTasks, kItems), kSource, kTasks, SameBlock{0});
  give(msg::DefineLayer{LayerId{30}, with_input(twice, kSource, kTasks, SameBlock{0}), {}});
  assign(1, LayerId{30}, 0, {{result(kSource, 0), kPeer}});
  const StartFetch fetch = fetches.at(0);
  EXPECT_EQ(fetch.items.size(), 1u);
  answer(fetch);
  EXPECT_EQ(started(), Attempts{1}) << "8,000 bytes in and 8,000 out";
  give(KernelNeeds{AttemptId{1}, 12'000});
  EXPECT_EQ(started(), (Attempts{1, 1}));
  give(KernelNeeds{AttemptId{1}, 12'001});
  ASSERT_EQ(sent_of<msg::TaskFailed>().size(), 1u);
  EXPECT_THAT(sent_of<msg::TaskFailed>()[0].error.message, testing::HasSubstr("beside 8000 bytes of inputs"));
}

TEST_F(CoreTest, PlanThatNeedsMoreThanGrantedIsStartedAgainWithEnough) {
  start(1, 100'000'000);
  assign(1, kSource, 0);
  const std::uint64_t first = executing[0].granted;
  give(KernelNeeds{AttemptId{1}, 5'000'000});
  ASSERT_EQ(started(), (Attempts{1, 1}));
  EXPECT_LT(first, 5'000'000u);
  EXPECT_EQ(executing[1].granted, 5'000'000u);
  std::vector<Chunk> outputs;
  outputs.push_back(make_chunk(kItems));
  give(KernelFinished{AttemptId{1}, std::move(outputs), 5'000'000, 100});
  // The next task of the layer is granted that much from the start.
  assign(2, kSource, 1);
  EXPECT_GE(executing.back().granted, 5'000'000u);
}

TEST_F(CoreTest, TaskWaitsForMemoryAndStartsWhenSomeIsFreed) {
  start(2, 500'000);
  assign(1, kSource, 0);
  assign(2, kSource, 1);
  give(KernelNeeds{AttemptId{1}, 400'000});
  give(KernelNeeds{AttemptId{2}, 400'000});
  EXPECT_EQ(state_of(1), TaskState::kExecuting);
  EXPECT_EQ(state_of(2), TaskState::kReady);
  EXPECT_LE(state->reserved_bytes(), 500'000u);
  finish(1);
  EXPECT_EQ(state_of(2), TaskState::kExecuting);
}

TEST_F(CoreTest, FullWorkerStillDoesOneTaskAtATime) {
  start(2, 20'000);
  assign(1, kSource, 0);
  finish(1);
  assign(2, kSource, 1);
  finish(2);
  ASSERT_GE(state->managed_bytes(), 16'000u);
  // Nothing will ever be freed; the worker goes on all the same.
  assign(3, kSource, 2);
  assign(4, kSource, 3);
  EXPECT_EQ(started(), (Attempts{1, 2, 3}));
  finish(3);
  EXPECT_EQ(started(), (Attempts{1, 2, 3, 4}));
}

TEST_F(CoreTest, BlockedTaskIsPassedBySmallerOnesButNotForEver) {
  start(2, 1'000'000);
  give(msg::DefineLayer{LayerId{40}, make_layer("big", 4, 110'000), {}});  // 880,000 bytes
  assign(1, kSource, 0, {}, -10);
  give(KernelNeeds{AttemptId{1}, 300'000});
  assign(2, LayerId{40}, 0, {}, 0);
  EXPECT_EQ(state_of(2), TaskState::kReady);
  std::uint64_t next = 10;
  int passed = 0;
  for (; passed < 100; ++passed) {
    assign(next, kSource, static_cast<std::uint32_t>(passed % kTasks), {}, 1);
    if (state_of(next) != TaskState::kExecuting) break;
    finish(next);
    give(msg::FreeResults{{result(kSource, static_cast<std::uint32_t>(passed % kTasks))}});
    ++next;
  }
  EXPECT_GT(passed, 0) << "small tasks go on meanwhile";
  EXPECT_LT(passed, 100) << "but the big one gets its turn";
  finish(1);
  EXPECT_EQ(state_of(2), TaskState::kExecuting);
}

TEST_F(CoreTest, TellsOnceWhatTransfersTook) {
  start(4);
  assign(1, kAdd, 0, {{result(kSource, 0), kPeer}});
  assign(2, kAdd, 1, {{result(kSource, 1), kPeer}});
  ASSERT_THAT(fetches, testing::SizeIs(2));
  now += std::chrono::milliseconds(3);
  answer(fetches[0]);
  answer(fetches[1], msg::FetchStatus::kBusy);
  const auto transfers = state->take_transfers();
  ASSERT_THAT(transfers, testing::SizeIs(1));
  EXPECT_EQ(transfers[0].from, kPeer);
  EXPECT_EQ(transfers[0].small, 1u) << "who was busy sent nothing";
  EXPECT_EQ(transfers[0].small_ns, 3'000'000u);
  EXPECT_EQ(transfers[0].large, 0u);
  EXPECT_THAT(state->take_transfers(), testing::IsEmpty());
}

TEST_F(CoreTest, ReservesTheMemoryThatTheSubmissionSays) {
  start(4, 1'000'000);
  give(msg::DefineLayer{LayerId{40}, make_layer("hungry", 4, 100), {}, 0, 400'000});
  for (std::uint32_t i = 0; i < 3; ++i) assign(1 + i, LayerId{40}, i);
  EXPECT_EQ(started(), (Attempts{1, 2})) << "a third would pass the limit";
  EXPECT_EQ(state->reserved_bytes(), 800'000u);
  finish(1);
  EXPECT_EQ(started(), (Attempts{1, 2, 3}));
}

TEST_F(CoreTest, MemoryOfTheWholeLimitMeansAlone) {
  start(4, 1'000'000);
  give(msg::DefineLayer{LayerId{40}, make_layer("hungry", 4, 100), {}, 0, 5'000'000});
  for (std::uint32_t i = 0; i < 2; ++i) assign(1 + i, LayerId{40}, i);
  EXPECT_EQ(started(), (Attempts{1}));
  EXPECT_EQ(state->reserved_bytes(), 1'000'000u);
  finish(1);
  give(msg::FreeResults{{result(LayerId{40}, 0)}});
  EXPECT_EQ(started(), (Attempts{1, 2}));
}

TEST_F(CoreTest, FetchesWaitForMemoryToo) {
  start(1, 20'000);
  assign(1, kSource, 0);
  assign(2, kAdd, 1, {{result(kSource, 1), kPeer}});
  assign(3, kAdd, 2, {{result(kSource, 2), kPeer}});
  EXPECT_EQ(state_of(2), TaskState::kWaiting);
  finish(1);
  EXPECT_EQ(state_of(2), TaskState::kFetching) << "nothing else goes on";
  EXPECT_EQ(state_of(3), TaskState::kWaiting);
}

TEST_F(CoreTest, SharedBufferIsCountedOnce) {
  start();
  give(msg::DefineLayer{LayerId{50},
                        [] {
                          auto two = std::make_shared<Layer>(*make_layer("two", 1, 100));
                          two->outputs.push_back(two->outputs[0]);
                          return two;
                        }(),
                        {}});
  assign(1, LayerId{50}, 0);
  const Chunk chunk = make_chunk(100);
  give(KernelFinished{AttemptId{1}, {chunk, chunk}, 800, 1});
  EXPECT_EQ(state->managed_bytes(), 800u);
  give(msg::FreeResults{{result(LayerId{50}, 0)}});
  EXPECT_EQ(state->managed_bytes(), 800u);
  give(msg::FreeResults{{ResultId{make_task_id(LayerId{50}, 0), 1}}});
  EXPECT_EQ(state->managed_bytes(), 0u);
}

// ---- slots
// -----------------------------------------------------------------------------------------------------------

TEST_F(CoreTest, LongTasksGetOneSlotAheadPerThread) {
  start(4);
  EXPECT_EQ(state->granted().slots, 8u);
  for (std::uint64_t i = 1; i <= 40; ++i) {
    assign(i, kSource, static_cast<std::uint32_t>(i));
    finish(i, 50'000'000);
  }
  EXPECT_EQ(state->granted().slots, 48u) << "one for each answer";
  EXPECT_EQ(sent_of<msg::GrantCredit>().back().slots, 48u);
}

TEST_F(CoreTest, ShortTasksGetManySlots) {
  start(2);
  for (std::uint64_t i = 1; i <= 20; ++i) {
    assign(i, kSource, static_cast<std::uint32_t>(i));
    finish(i, 2'000);
  }
  EXPECT_EQ(state->granted().slots - 20, 2u * 65);
}

TEST_F(CoreTest, WhatWasPrefetchedForShortTasksGoesBackWhenTasksTurnOutLong) {
  start(1);
  assign(1, kSource, 0);
  finish(1, 1'000);
  ASSERT_GE(state->granted().slots, 60u);
  for (std::uint64_t i = 2; i <= 60; ++i) assign(i, kSource, static_cast<std::uint32_t>(i));
  const std::size_t handed = executing.size();
  EXPECT_GT(handed, 30u);
  // The first of them goes on and on: what has not begun returns to where the scheduler can give it to others.
  const auto wakeup = state->next_wakeup(now);
  ASSERT_TRUE(wakeup.has_value());
  now = *wakeup;
  give(Tick{});
  ASSERT_FALSE(recalls.empty());
  for (const Recall& recall : std::vector<Recall>(recalls)) {
    EXPECT_FALSE(recall.cancel);
    if (recall.attempt != AttemptId{2}) give(Recalled{recall.attempt});
  }
  EXPECT_EQ(state_of(2), TaskState::kExecuting);
  EXPECT_LE(state->attempts(), 4u);
  EXPECT_EQ(sent_of<msg::TaskReturned>().size(), 59 - state->attempts());
  for (const auto& returned : sent_of<msg::TaskReturned>()) EXPECT_TRUE(returned.missing.empty());
}

TEST_F(CoreTest, OnePreemptedTaskDoesNotEndThePrefetch) {
  SlotCredit credit(1);
  for (int i = 0; i < 50; ++i) credit.observe(std::chrono::microseconds(1));
  EXPECT_EQ(credit.prefetch_per_thread(), 64u);
  credit.observe(std::chrono::milliseconds(4));
  EXPECT_EQ(credit.prefetch_per_thread(), 64u);
  for (int i = 0; i < 12; ++i) credit.observe(std::chrono::milliseconds(30));
  EXPECT_EQ(credit.prefetch_per_thread(), 1u);
}

TEST_F(CoreTest, HeartbeatSpeaksOfTheAttemptsHeld) {
  start();
  for (std::uint64_t i = 1; i <= 3; ++i) assign(i, kSource, static_cast<std::uint32_t>(i));
  auto beat = state->heartbeat();
  EXPECT_EQ(beat.attempts_hash, msg::mix(AttemptId{1}) ^ msg::mix(AttemptId{2}) ^ msg::mix(AttemptId{3}));
  EXPECT_EQ(beat.received, 3u);
  EXPECT_EQ(beat.sent, 0u);
  EXPECT_EQ(beat.executing, 1u);
  EXPECT_EQ(beat.ready, 2u);
  finish(1);
  beat = state->heartbeat();
  EXPECT_EQ(beat.attempts_hash, msg::mix(AttemptId{2}) ^ msg::mix(AttemptId{3}));
  EXPECT_EQ(beat.sent, 1u);
  EXPECT_EQ(beat.tasks_done, 1u);
}

TEST_F(CoreTest, ACopyGoesItsOwnWay) {
  start();
  assign(1, kSource, 0);
  WorkerState copy = *state;
  finish(1);
  EXPECT_EQ(state->attempts(), 0u);
  EXPECT_EQ(copy.attempts(), 1u);
  copy.check_invariants();
}

}  // namespace
}  // namespace tegula::worker
