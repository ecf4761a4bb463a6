// What the core does when values do not fit into memory: the store's rules, and those by which no worker stands still.
#include "tests/worker/core_fixture.h"

namespace tegula::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Attempts = std::vector<std::uint64_t>;

constexpr std::uint64_t kBytes = kItems * 8;  // of a chunk
constexpr LayerId kPair{20};                  // task i reads chunks i and i + 1 of kSource

class SpillTest : public CoreTest {
 protected:
  // Room for so many chunks.
  void start(std::uint64_t chunks, unsigned threads = 1) {
    spill = true;
    state_limit = chunks * kBytes;
    CoreTest::start(threads, state_limit);
    Pieces pairs{0, {0}, {}, {}};
    for (std::int64_t i = 0; i + 1 < kTasks; ++i) {
      pairs.block.insert(pairs.block.end(), {i, i + 1});
      pairs.box.insert(pairs.box.end(), {BoxDim{0, kItems, 1}, BoxDim{0, kItems, 1}});
      pairs.begin.push_back(static_cast<std::uint32_t>(pairs.block.size()));
    }
    auto pair = std::make_shared<Layer>(*make_layer("pair", kTasks - 1, kItems));
    pair->inputs.push_back({static_cast<LayerNumber>(kSource), 0, {kTasks}, SeparableInput{{pairs}}});
    give(msg::DefineLayer{kPair, pair, {}});
  }

  // Runs tasks of kSource one after the other, with a disk that works at once.
  void make(std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t i = first; i < first + count; ++i) {
      const std::uint64_t attempt = 1000 + i;
      assign(attempt, kSource, i);
      disk_works();
      ASSERT_EQ(state_of(attempt), TaskState::kExecuting) << i;
      finish(attempt);
      ASSERT_LE(state->managed_bytes() + state->reserved_bytes(), limit()) << i;
    }
  }
  std::uint64_t limit() const { return state_limit; }
  Place place(std::uint32_t index) const { return state->place_of(result(kSource, index)).value(); }
  std::uint32_t in_memory() const {
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < kTasks; ++i) count += state->find(result(kSource, i)) != nullptr ? 1 : 0;
    return count;
  }
  void ranks(std::vector<std::pair<std::uint32_t, std::int64_t>> of) {
    msg::NextUse answer;
    for (const auto& [index, rank] : of) answer.results.push_back({result(kSource, index), rank});
    give(std::move(answer));
  }
  std::uint64_t state_limit = 0;
};

TEST_F(SpillTest, FiveTimesTheMemoryIsKept) {
  start(10);
  make(0, 50);
  EXPECT_EQ(state->results(), 50u);
  EXPECT_LE(in_memory(), 10u);
  EXPECT_GE(state->spilled_bytes(), 40 * kBytes);
  // And read again, in any order.
  for (std::uint32_t i = 0; i < 50; ++i) {
    assign(i + 1, kAdd, i * 7 % 50);
    disk_works();
    ASSERT_EQ(state_of(i + 1), TaskState::kExecuting) << i;
    EXPECT_EQ(executing.back().inputs->pieces.size(), 1u);
    finish(i + 1);
    give(msg::FreeResults{{result(kAdd, i * 7 % 50)}});
    ASSERT_LE(state->managed_bytes() + state->reserved_bytes(), limit()) << i;
  }
  std::vector<ResultId> all;
  for (std::uint32_t i = 0; i < 50; ++i) all.push_back(result(kSource, i));
  give(msg::FreeResults{all});
  EXPECT_EQ(state->managed_bytes(), 0u);
  EXPECT_EQ(state->spilled_bytes(), 0u);
  EXPECT_EQ(dropped_files.size(), on_disk.size()) << "no file is left";
}

TEST_F(SpillTest, TellsHowLongInputsTookFromPeersAndFromDisk) {
  start(3);
  make(0, 4);
  std::uint32_t spilled = 0;  // one that is on disk, whose pair's other half is made to be at a peer
  while (place(spilled) != Place::kDisk) ASSERT_LT(++spilled, 3u);
  give(msg::FreeResults{{result(kSource, spilled + 1)}});
  assign(1, kPair, spilled, {{result(kSource, spilled + 1), kPeer}});
  for (const Spill& one : std::exchange(spills, {})) give(SpillDone{one.file});
  ASSERT_EQ(fetches.size(), 1u);
  ASSERT_EQ(unspills.size(), 1u);
  now += std::chrono::milliseconds(3);
  read_back(unspills.front());
  now += std::chrono::milliseconds(4);
  answer(fetches.front());
  ASSERT_EQ(state_of(1), TaskState::kExecuting);
  EXPECT_EQ(executing.back().read_in, std::chrono::milliseconds(3));
  EXPECT_EQ(executing.back().fetched_in, std::chrono::milliseconds(7));
}

TEST_F(SpillTest, WorkThatFitsTouchesNoDisk) {
  start(100);
  make(0, 90);
  EXPECT_EQ(on_disk.size(), 0u);
  EXPECT_THAT(sent_of<msg::QueryNextUse>(), IsEmpty());
}

TEST_F(SpillTest, WhatIsNeededLastGoesFirst) {
  start(6);
  make(0, 6);
  assign(1, kSource, 10);
  ASSERT_THAT(sent_of<msg::QueryNextUse>(), SizeIs(1));
  disk_works();
  finish(1);
  ranks({{0, 7}, {1, 3}, {2, 9}, {3, 1}, {4, 5}, {10, 2}});
  for (std::uint32_t i = 11; i < 13; ++i) {  // a clean value may go before without being written again
    assign(i, kSource, i);
    disk_works();
    finish(i);
  }
  EXPECT_EQ(place(2), Place::kDisk) << "it was needed last";
  EXPECT_NE(state->find(result(kSource, 3)), nullptr) << "it is needed next";
}

TEST_F(SpillTest, ValuesThatARunningTaskReadsStay) {
  start(4, 2);
  make(0, 1);
  assign(1, kAdd, 0);
  disk_works();
  ASSERT_EQ(state_of(1), TaskState::kExecuting);
  assign(2, kSource, 1);
  assign(3, kSource, 2);
  disk_works();
  EXPECT_EQ(place(0), Place::kMemory) << "nothing would come free";
  finish(1);
  give(msg::FreeResults{{result(kAdd, 0)}});
}

TEST_F(SpillTest, ValuesThatAreBeingSentStay) {
  for (const bool lent : {true, false}) {
    start(3);
    make(0, 4);
    ASSERT_EQ(place(0), Place::kMemory);
    const Buffer buffer = state->find(result(kSource, 0))->buffer();
    if (lent) state->lend(buffer);
    ranks({{0, msg::NextUse::kNever}, {1, 1}, {2, 1}, {3, 1}});
    make(4, 1);
    ranks({{4, 1}});
    make(5, 1);
    EXPECT_EQ(place(0), lent ? Place::kMemory : Place::kDisk);
    if (lent) give(LoanEnded{buffer});
  }
}

TEST_F(SpillTest, FreedWhileItIsSentItIsStillCounted) {
  start(3);
  make(0, 1);
  const Buffer sent_one = state->find(result(kSource, 0))->buffer();
  state->lend(sent_one);
  give(msg::FreeResults{{result(kSource, 0)}});
  EXPECT_EQ(state->managed_bytes(), kBytes);
  give(LoanEnded{sent_one});
  EXPECT_EQ(state->managed_bytes(), 0u);
}

TEST_F(SpillTest, FreedWhileItIsWrittenItsFileGoes) {
  start(1);
  assign(1, kSource, 0);
  finish(1);
  assign(2, kSource, 1);
  ASSERT_THAT(spills, SizeIs(1));
  give(msg::FreeResults{{result(kSource, 0)}});
  EXPECT_EQ(state_of(2), TaskState::kReady) << "its bytes are there until it is written";
  EXPECT_THAT(dropped_files, ElementsAre(spills[0].file));
  give(SpillDone{spills[0].file});
  EXPECT_EQ(state->spilled_bytes(), 0u);
  EXPECT_EQ(state_of(2), TaskState::kExecuting);
}

TEST_F(SpillTest, ReadBackOnceForAllWhoWait) {
  start(8, 3);
  make(0, 20);
  std::uint32_t spilled = 0;
  while (place(spilled) != Place::kDisk) ++spilled;
  const LayerId other{30};
  give(msg::DefineLayer{other, with_input(make_layer("other", kTasks, 1), kSource, kTasks, SameBlock{0}), {}});
  assign(1, kAdd, spilled);
  disk_works();
  const auto reads = unspills.size();
  EXPECT_EQ(reads, 0u) << "it is here";
  EXPECT_EQ(state_of(1), TaskState::kExecuting);
  assign(2, other, spilled);
  EXPECT_THAT(unspills, IsEmpty());
}

TEST_F(SpillTest, ALostFileIsReportedAndItsTasksComeBack) {
  start(6);
  make(0, 20);
  std::uint32_t spilled = 0;
  while (place(spilled) != Place::kDisk) ++spilled;
  assign(1, kAdd, spilled);
  while (unspills.empty()) {
    ASSERT_FALSE(spills.empty());
    for (const Spill& one : std::exchange(spills, {})) give(SpillDone{one.file});
  }
  give(UnspillFailed{unspills[0]});
  const auto dropped = sent_of<msg::ReplicasDropped>();
  ASSERT_THAT(dropped, SizeIs(1));
  EXPECT_EQ(dropped[0].results[0], result(kSource, spilled));
  const auto returned = sent_of<msg::TaskReturned>();
  ASSERT_THAT(returned, SizeIs(1));
  EXPECT_EQ(returned[0].missing[0].result, result(kSource, spilled));
  EXPECT_FALSE(state->keeps(result(kSource, spilled)));
}

// ---- a full disk ----------------------------------------------------------------------------------------------------

TEST_F(SpillTest, AFullDiskStopsAdmissionAndNothingIsLost) {
  start(4);
  for (std::uint64_t i = 0; i < 3; ++i) {
    assign(i + 1, kSource, static_cast<std::uint32_t>(i));
    disk_works();
    finish(i + 1);
  }
  on_disk.clear();
  assign(10, kSource, 10);
  while (!spills.empty()) {
    for (const Spill& one : std::exchange(spills, {})) give(SpillFailed{one.file, SpillFailure::kNoSpace});
  }
  const bool waits = state_of(10) == TaskState::kReady;
  if (!waits) finish(10);  // it still fitted
  for (std::uint32_t next = 11; next < 14; ++next) {
    assign(next, kSource, next);
    for (const Spill& one : std::exchange(spills, {})) give(SpillFailed{one.file, SpillFailure::kNoSpace});
    if (state_of(next) == TaskState::kExecuting) finish(next);
  }
  EXPECT_TRUE(state->disk_full());
  EXPECT_TRUE(state->heartbeat().disk_full);
  EXPECT_LE(state->managed_bytes() + state->reserved_bytes(), limit());
  EXPECT_EQ(state_of(13), TaskState::kReady) << "it waits for room";
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(state->keeps(result(kSource, i)));
  EXPECT_THAT(spills, IsEmpty()) << "the disk is left alone for a while";
  // It is asked again by one value, and goes on.
  const auto wakeup = state->next_wakeup(now);
  ASSERT_TRUE(wakeup.has_value());
  now = *wakeup;
  give(Tick{});
  EXPECT_THAT(spills, SizeIs(1));
  for (int i = 0; i < 10 && state->attempts() > 0; ++i) {
    disk_works();
    for (std::uint64_t attempt = 10; attempt < 14; ++attempt) {
      if (held(attempt) && state_of(attempt) == TaskState::kExecuting) finish(attempt);
    }
  }
  EXPECT_EQ(state->attempts(), 0u);
  EXPECT_FALSE(state->disk_full());
}

// ---- liveness -------------------------------------------------------------------------------------------------------

// Inputs, outputs and scratch at once: two tasks that each had half of what they need would wait for each other.
TEST_F(SpillTest, InputsAreNotFetchedWithoutRoomForTheOutput) {
  start(4, 2);
  const auto from_peer = [](std::uint32_t first) {
    return std::vector<msg::Assign::Holder>{{result(kSource, first), kPeer}, {result(kSource, first + 1), kPeer}};
  };
  assign(1, kPair, 0, from_peer(0));
  assign(2, kPair, 10, from_peer(10));
  // Two inputs and an output each: four inputs would fit, and no output.
  EXPECT_EQ(state_of(1), TaskState::kFetching);
  EXPECT_EQ(state_of(2), TaskState::kWaiting);
  for (const StartFetch& fetch : std::exchange(fetches, {})) answer(fetch);
  EXPECT_EQ(state_of(1), TaskState::kExecuting);
  EXPECT_LE(state->managed_bytes() + state->reserved_bytes(), limit());
  finish(1);
  disk_works();
  for (const StartFetch& fetch : std::exchange(fetches, {})) answer(fetch);
  EXPECT_EQ(state_of(2), TaskState::kExecuting);
  EXPECT_LE(state->managed_bytes() + state->reserved_bytes(), limit());
}

// What waits with its inputs in memory does not keep these from those before it.
TEST_F(SpillTest, LaterTasksGiveTheirInputsBack) {
  start(6, 1);
  make(0, 5);
  disk_works();
  // Tasks that hold inputs while the thread is busy elsewhere.
  assign(1, kSource, 50, {}, -10);
  disk_works();
  ASSERT_EQ(state_of(1), TaskState::kExecuting);
  for (std::uint64_t i = 0; i < 2; ++i) assign(10 + i, kAdd, static_cast<std::uint32_t>(i), {}, 100);
  disk_works();
  // One that is needed before them and needs nearly everything.
  give(msg::DefineLayer{LayerId{40}, make_layer("big", 4, 5 * kItems), {}});
  assign(2, LayerId{40}, 0, {}, 0);
  finish(1);
  disk_works();
  EXPECT_EQ(state_of(2), TaskState::kExecuting);
  EXPECT_LE(state->managed_bytes() + state->reserved_bytes(), limit());
  EXPECT_TRUE(held(11)) << "those wait again";
  finish(2, 100'000'000, 5 * kItems);
  for (int i = 0; i < 20; ++i) {
    disk_works();
    for (std::uint64_t attempt = 10; attempt < 14; ++attempt) {
      if (held(attempt) && state_of(attempt) == TaskState::kExecuting) finish(attempt);
    }
  }
  EXPECT_EQ(state->attempts(), 0u);
}

TEST_F(SpillTest, TheOldestGetsTheNextBytesAfterSoManyBypasses) {
  start(10, 2);
  give(msg::DefineLayer{LayerId{40}, make_layer("big", 4, 8 * kItems), {}});
  assign(1, kSource, 0, {}, -10);
  give(KernelNeeds{AttemptId{1}, 3 * kBytes});
  assign(2, LayerId{40}, 0, {}, 0);
  ASSERT_EQ(state_of(2), TaskState::kReady);
  std::uint32_t passed = 0;
  for (; passed < 100; ++passed) {
    assign(10 + passed, kSource, 1 + passed, {}, 1);
    if (state_of(10 + passed) != TaskState::kExecuting) break;
    finish(10 + passed);
    give(msg::FreeResults{{result(kSource, 1 + passed)}});
    disk_works();
  }
  EXPECT_GT(passed, 8u);
  EXPECT_LT(passed, 100u);
  finish(1);
  disk_works();
  EXPECT_EQ(state_of(2), TaskState::kExecuting);
}

// Reading for others is the shell's, with bytes of its own: the core only says where it is.
TEST_F(SpillTest, WhatIsOnDiskIsServedWithoutRoom) {
  start(2);
  make(0, 5);
  std::uint32_t on_disk_one = 0;
  while (place(on_disk_one) != Place::kDisk) ++on_disk_one;
  EXPECT_NE(state->file_of(result(kSource, on_disk_one)), 0u);
  EXPECT_EQ(state->bytes_of(result(kSource, on_disk_one)), kBytes);
  EXPECT_EQ(place(on_disk_one), Place::kDisk) << "looking does not bring it back";
}

TEST_F(SpillTest, TooLargeIsSaidBeforeAnythingIsRead) {
  start(4);
  make(0, 8);
  give(msg::DefineLayer{LayerId{40}, with_input(make_layer("all", 1, 1), kSource, 8, AllBlocks{}), {}});
  assign(1, LayerId{40}, 0);
  ASSERT_THAT(sent_of<msg::TaskFailed>(), SizeIs(1));
  EXPECT_EQ(sent_of<msg::TaskFailed>()[0].error.code, ErrorCode::kTaskTooLarge);
  EXPECT_THAT(unspills, IsEmpty());
}

TEST_F(SpillTest, AKernelWithoutMemoryIsRunAgainAloneAndThenFails) {
  start(10, 2);
  make(0, 8);
  assign(1, kSource, 20);
  disk_works();
  assign(2, kSource, 21);
  disk_works();
  const auto fail = [&](std::uint64_t attempt) {
    ErrorInfo error;
    error.code = ErrorCode::kOutOfMemory;
    error.message = "out of memory";
    give(KernelFailed{AttemptId{attempt}, error, 1000});
  };
  const std::uint32_t before = in_memory();
  fail(1);
  EXPECT_EQ(trims, 1);
  EXPECT_EQ(state_of(1), TaskState::kReady) << "until it is alone";
  finish(2);
  disk_works();
  EXPECT_EQ(state_of(1), TaskState::kExecuting);
  EXPECT_LT(in_memory(), before + 1) << "values made room, for the second's result among others";
  fail(1);
  disk_works();
  EXPECT_EQ(state_of(1), TaskState::kExecuting);
  fail(1);
  ASSERT_THAT(sent_of<msg::TaskFailed>(), SizeIs(1));
  EXPECT_EQ(sent_of<msg::TaskFailed>()[0].error.code, ErrorCode::kOutOfMemory);
}

// ---- copies ---------------------------------------------------------------------------------------------------------

TEST_F(SpillTest, CopiesWaitForRoomThatTheDiskMakes) {
  start(4);
  make(0, 4);
  give(msg::AcquireReplicas{{{result(kSource, 30), kPeer}, {result(kSource, 31), kPeer}}});
  EXPECT_THAT(sent_of<msg::ReplicasDropped>(), IsEmpty());
  for (int i = 0; i < 4; ++i) {
    disk_works();
    for (const StartFetch& fetch : std::exchange(fetches, {})) answer(fetch);
  }
  EXPECT_EQ(state->acquiring(), 0u);
  EXPECT_TRUE(state->keeps(result(kSource, 30)));
  EXPECT_TRUE(state->keeps(result(kSource, 31)));
}

}  // namespace
}  // namespace tegula::worker
