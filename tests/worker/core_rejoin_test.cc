// The scheduler's connection was lost: what is kept, what is told to the next one, and under which names.
#include <set>

#include "tests/worker/core_fixture.h"

namespace tegula::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr LayerHash kSourceHash{1, 2}, kAddHash{3, 4};

class RejoinTest : public CoreTest {
 protected:
  void start(unsigned threads = 1, std::uint64_t memory_limit = 0) {
    CoreOptions options;
    options.threads = threads;
    options.memory_limit = memory_limit;
    options.store.spill = spill;
    options.store.smallest = 1;
    if (spill) options.first_extra_bytes = 0;
    options.worker = "w";
    state = std::make_unique<WorkerState>(options);
    give(msg::WorkerRegistered{kSelf, 500});
    define();
  }
  void define(std::uint32_t first = 1) {
    const auto source = static_cast<LayerId>(first), add = static_cast<LayerId>(first + 1);
    give(msg::WorkerAddress{kPeer, "tcp://peer:1"});
    give(msg::DefineLayer{source, make_layer("source", kTasks, kItems), kSourceHash});
    give(msg::DefineLayer{add, with_input(make_layer("add", kTasks, kItems), source, kTasks, SameBlock{0}), kAddHash});
  }
  void rejoin(std::vector<AttemptId> running = {}) {
    sent.clear();
    give(Rejoin{life++, std::move(running)});
    EXPECT_THAT(sent, IsEmpty()) << "nothing is said before the worker is registered";
    give(msg::WorkerRegistered{WorkerId{7}, 500});
  }
  std::uint64_t life = 0;
};

TEST_F(RejoinTest, ResultsAreToldByWhatTheyAreAndFoundByTheirNewNames) {
  start();
  assign(1, kSource, 3);
  finish(1);
  assign(2, kSource, 4);
  finish(2);
  const std::uint64_t bytes = state->managed_bytes();
  rejoin();
  const auto parts = sent_of<msg::Inventory>();
  ASSERT_THAT(parts, SizeIs(1));
  ASSERT_THAT(parts[0].results, SizeIs(2));
  EXPECT_EQ(parts[0].results[0].layer, kSourceHash);
  EXPECT_EQ(parts[0].results[0].index, 3u);
  EXPECT_EQ(parts[0].results[0].nbytes, 8000u);
  EXPECT_EQ(state->find(result(kSource, 3)), nullptr) << "the old name means something else now";
  EXPECT_EQ(state->managed_bytes(), bytes);

  give(msg::InventoryTaken{parts[0].part, {LayerId{9}, LayerId{}}});
  EXPECT_NE(state->find(result(LayerId{9}, 3)), nullptr);
  EXPECT_EQ(state->find(result(LayerId{9}, 4)), nullptr);
  EXPECT_EQ(state->managed_bytes(), bytes / 2) << "what nobody needs is freed";
  EXPECT_EQ(state->inventory_parts(), 0u);
}

TEST_F(RejoinTest, AttemptsThatNoThreadRunsAreDroppedWithoutAnAnswer) {
  start(1);
  assign(1, kSource, 0);  // runs
  const std::uint64_t reserved = state->reserved_bytes();
  assign(2, kAdd, 5, {{result(kSource, 5), kPeer}});  // fetches
  assign(3, kAdd, 0);                                 // ahead
  assign(4, kSource, 1);                              // ready
  ASSERT_THAT(fetches, SizeIs(1));
  rejoin({AttemptId{1}});
  EXPECT_EQ(state->attempts(), 0u);
  EXPECT_EQ(state->orphans(), 1u);
  EXPECT_THAT(sent_of<msg::TaskReturned>(), IsEmpty());
  EXPECT_EQ(state->heartbeat().attempts_hash, 0u);
  EXPECT_EQ(state->heartbeat().received, 0u);
  answer(fetches[0]);  // late, and for nobody
  EXPECT_EQ(state->reserved_bytes(), reserved) << "the orphan's";
  give(OrphanEnded{0, AttemptId{1}, {}});
  EXPECT_EQ(state->reserved_bytes(), 0u);
  EXPECT_EQ(state->managed_bytes(), 0u);
  EXPECT_EQ(state->results(), 0u);
}

TEST_F(RejoinTest, AKernelThatRunsEndsAndItsResultIsTold) {
  start(1);
  assign(1, kSource, 2);
  rejoin({AttemptId{1}});
  EXPECT_THAT(sent_of<msg::Inventory>(), IsEmpty());
  define(11);
  // The same number is another attempt in this life. It waits for the thread.
  assign(1, LayerId{11}, 8);
  EXPECT_EQ(state_of(1), TaskState::kReady);
  std::vector<Chunk> outputs;
  outputs.push_back(make_chunk(kItems));
  give(OrphanEnded{0, AttemptId{1}, std::move(outputs)});
  EXPECT_EQ(state_of(1), TaskState::kExecuting);
  const auto parts = sent_of<msg::Inventory>();
  ASSERT_THAT(parts, SizeIs(1));
  ASSERT_THAT(parts[0].results, SizeIs(1));
  EXPECT_EQ(parts[0].results[0].index, 2u);
  give(msg::InventoryTaken{parts[0].part, {LayerId{11}}});
  EXPECT_NE(state->find(result(LayerId{11}, 2)), nullptr);
  finish(1);
  EXPECT_NE(state->find(result(LayerId{11}, 8)), nullptr);
}

TEST_F(RejoinTest, WhatIsToldAsLostAndThenFoundIsToldAgain) {
  start(1);
  assign(1, kSource, 2);
  rejoin({AttemptId{1}});
  define(11);
  std::vector<Chunk> outputs;
  outputs.push_back(make_chunk(kItems));
  give(OrphanEnded{0, AttemptId{1}, std::move(outputs)});
  const auto parts = sent_of<msg::Inventory>();
  ASSERT_THAT(parts, SizeIs(1));
  // The scheduler, which has not heard of that yet, wants a copy of the same result, and there is none to be had.
  give(msg::AcquireReplicas{{{result(LayerId{11}, 2), kPeer}}});
  ASSERT_THAT(fetches, SizeIs(1));
  answer(fetches[0], msg::FetchStatus::kMissing);
  EXPECT_THAT(sent_of<msg::ReplicasDropped>(), SizeIs(1));
  give(msg::InventoryTaken{parts[0].part, {LayerId{11}}});
  EXPECT_NE(state->find(result(LayerId{11}, 2)), nullptr);
  const auto added = sent_of<msg::ReplicasAdded>();
  ASSERT_THAT(added, SizeIs(1)) << "it would stay here for ever, known to nobody";
  EXPECT_THAT(added[0].results, testing::ElementsAre(result(LayerId{11}, 2)));
}

TEST_F(RejoinTest, PeersDoNotWaitForWhatTheFormerConnectionDidNotBring) {
  start(1);
  assign(1, kSource, 0);
  give(Rejoin{life++, {}, true});
  give(msg::WorkerRegistered{WorkerId{7}, 500});
  define(11);
  give(Await{AttemptId{2}});  // by a peer that has not heard of the new connection
  EXPECT_THAT(ended, IsEmpty()) << "it may come";
  assign(3, LayerId{11}, 1);
  EXPECT_THAT(ended, testing::ElementsAre(2u));
}

TEST_F(RejoinTest, AnAbandonedKernelsResultIsWantedByNobody) {
  start(1);
  assign(1, kSource, 2);
  give(msg::Retract{AttemptId{1}, make_task_id(kSource, 2)});
  rejoin({AttemptId{1}});
  std::vector<Chunk> outputs;
  outputs.push_back(make_chunk(kItems));
  give(OrphanEnded{0, AttemptId{1}, std::move(outputs)});
  EXPECT_EQ(state->results(), 0u);
  EXPECT_THAT(sent_of<msg::Inventory>(), IsEmpty());
}

TEST_F(RejoinTest, AnInventoryThatNobodyAnsweredIsToldAgain) {
  start();
  assign(1, kSource, 3);
  finish(1);
  rejoin();
  const std::uint32_t first = sent_of<msg::Inventory>().at(0).part;
  rejoin();  // that scheduler did not live long
  const auto parts = sent_of<msg::Inventory>();
  ASSERT_THAT(parts, SizeIs(1));
  EXPECT_NE(parts[0].part, first);
  EXPECT_EQ(parts[0].results.at(0).layer, kSourceHash);
  give(msg::InventoryTaken{first, {LayerId{5}}});  // of the one before
  EXPECT_EQ(state->find(result(LayerId{5}, 3)), nullptr);
  give(msg::InventoryTaken{parts[0].part, {LayerId{6}}});
  EXPECT_NE(state->find(result(LayerId{6}, 3)), nullptr);
}

TEST_F(RejoinTest, WhatTheExecutorHadNotBegunIsNoOrphan) {
  start(1);
  assign(1, kSource, 1);
  finish(1, 1000);  // so short that several are handed at a time
  for (std::uint64_t attempt = 2; attempt <= 5; ++attempt) {
    assign(attempt, kSource, static_cast<std::uint32_t>(attempt));
  }
  ASSERT_EQ(state->heartbeat().executing, 4u);
  rejoin({AttemptId{2}});
  EXPECT_EQ(state->orphans(), 1u);
  EXPECT_EQ(state->heartbeat().executing, 1u);
}

// Chunks 0 and 3 in memory, 1 being written, 2 on disk.
class RejoinWithDiskTest : public RejoinTest {
 protected:
  void SetUp() override {
    spill = true;
    start(1, 3 * 8 * kItems);
    for (std::uint32_t i = 0; i < 4; ++i) {
      assign(i + 1, kSource, i);
      if (i < 3) finish(i + 1);
    }
    ASSERT_THAT(spills, SizeIs(2));
    on_disk_file = spills[0].file;
    writing_file = spills[1].file;
    give(SpillDone{on_disk_file});
    finish(4);
    ASSERT_EQ(state->place_of(result(kSource, 1)), Place::kWriting);
    ASSERT_EQ(state->place_of(result(kSource, 2)), Place::kDisk);
  }
  FileId on_disk_file = 0, writing_file = 0;
};

TEST_F(RejoinWithDiskTest, ValuesStayWhereTheyAreUnderOtherNames) {
  const std::uint64_t bytes = state->managed_bytes();
  rejoin();
  const auto parts = sent_of<msg::Inventory>();
  ASSERT_THAT(parts, SizeIs(1));
  ASSERT_THAT(parts[0].results, SizeIs(4));
  for (const auto& held : parts[0].results) EXPECT_EQ(held.nbytes, 8000u);
  EXPECT_EQ(state->managed_bytes(), bytes);
  EXPECT_EQ(state->spilled_bytes(), 8000u);
  give(SpillDone{writing_file});
  const LayerId now_called{9};
  give(msg::InventoryTaken{parts[0].part, {now_called, now_called, now_called, LayerId{}}});
  EXPECT_EQ(state->place_of(result(now_called, 0)), Place::kMemory);
  EXPECT_EQ(state->file_of(result(now_called, 1)), writing_file);
  EXPECT_EQ(state->place_of(result(now_called, 2)), Place::kDisk);
  EXPECT_EQ(state->file_of(result(now_called, 2)), on_disk_file);
  EXPECT_EQ(state->results(), 3u);
  EXPECT_THAT(dropped_files, IsEmpty());
  give(msg::FreeResults{{result(now_called, 2)}});
  EXPECT_THAT(dropped_files, ElementsAre(on_disk_file));
}

TEST_F(RejoinWithDiskTest, WhatCannotBeReadIsToldWhenItHasAName) {
  give(msg::FreeResults{{result(kSource, 0), result(kSource, 1), result(kSource, 3)}});
  give(SpillDone{writing_file});
  assign(5, kAdd, 2);
  ASSERT_THAT(unspills, ElementsAre(on_disk_file));
  rejoin();
  const auto parts = sent_of<msg::Inventory>();
  ASSERT_THAT(parts, SizeIs(1));
  ASSERT_THAT(parts[0].results, SizeIs(1));
  give(UnspillFailed{on_disk_file});
  EXPECT_THAT(sent_of<msg::ReplicasDropped>(), IsEmpty());
  EXPECT_EQ(state->reserved_bytes(), 0u);
  give(msg::InventoryTaken{parts[0].part, {LayerId{9}}});
  const auto dropped = sent_of<msg::ReplicasDropped>();
  ASSERT_THAT(dropped, SizeIs(1));
  EXPECT_THAT(dropped[0].results, ElementsAre(result(LayerId{9}, 2)));
  EXPECT_EQ(state->results(), 0u);
}

// The number of an attempt that waited for a read means another one in the next life.
TEST_F(RejoinWithDiskTest, AReadOfAFormerLifeIsForNobody) {
  give(msg::FreeResults{{result(kSource, 0), result(kSource, 1), result(kSource, 3)}});
  give(SpillDone{writing_file});
  assign(5, kAdd, 2);
  ASSERT_THAT(unspills, ElementsAre(on_disk_file));
  rejoin();
  define(11);
  assign(5, LayerId{12}, 6, {{result(LayerId{11}, 6), kPeer}});
  ASSERT_EQ(state_of(5), TaskState::kFetching);
  read_back(on_disk_file);
  EXPECT_EQ(state_of(5), TaskState::kFetching);
  give(msg::InventoryTaken{sent_of<msg::Inventory>().at(0).part, {LayerId{11}}});
  EXPECT_EQ(state->place_of(result(LayerId{11}, 2)), Place::kMemory);
}

TEST_F(RejoinTest, LargeInventoriesComeInParts) {
  start();
  give(msg::DefineLayer{LayerId{5}, make_layer("many", 40000, 1), {9, 9}});
  std::vector<msg::Assign::Holder> none;
  for (std::uint32_t i = 0; i < 40000; ++i) {
    std::vector<Action> actions;
    state->handle(msg::Assign{AttemptId{i + 1}, make_task_id(LayerId{5}, i), 0, none}, now, actions);
    std::vector<Chunk> outputs;
    outputs.push_back(make_chunk(1));
    state->handle(KernelFinished{AttemptId{i + 1}, std::move(outputs), 8, 1000}, now, actions);
  }
  rejoin();
  const auto parts = sent_of<msg::Inventory>();
  ASSERT_THAT(parts, SizeIs(3));
  EXPECT_EQ(state->inventory_parts(), 3u);
  std::set<std::uint32_t> indices;
  for (const auto& part : parts) {
    for (const auto& held : part.results) EXPECT_TRUE(indices.insert(held.index).second);
  }
  EXPECT_THAT(indices, SizeIs(40000));
  give(msg::InventoryTaken{parts[1].part, {}});  // too short: the rest is not kept
  EXPECT_EQ(state->results(), 40000u - parts[1].results.size());
}

}  // namespace
}  // namespace tegula::worker
