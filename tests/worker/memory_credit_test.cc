// What a worker offers of its memory.
#include "worker/core/memory_credit.h"

#include "tests/worker/core_fixture.h"

namespace tegula::worker {
namespace {

constexpr std::uint64_t kMib = 1024;  // KiB

TEST(MemoryCredit, IsWhatIsFreeLessWhatIsClaimed) {
  MemoryCredit credit(64 << 20, 64 << 20);
  EXPECT_EQ(credit.granted(), 64 * kMib);
  credit.receive(40 * kMib);
  EXPECT_FALSE(credit.top_up(64 << 20, 40 * kMib)) << "all that is offered is open or claimed";
  EXPECT_FALSE(credit.top_up(24 << 20, 0)) << "the task has taken its memory";
  EXPECT_TRUE(credit.top_up(64 << 20, 0)) << "and left it";
  EXPECT_EQ(credit.granted(), 104 * kMib);
}

TEST(MemoryCredit, LittleMoreIsNotTold) {
  MemoryCredit credit(64 << 20, 64 << 20);
  credit.receive(static_cast<std::uint32_t>(3 * kMib));
  EXPECT_FALSE(credit.top_up(64 << 20, 0));
  credit.receive(static_cast<std::uint32_t>(kMib));
  EXPECT_TRUE(credit.top_up(64 << 20, 0));
  credit.receive(static_cast<std::uint32_t>(70 * kMib));
  EXPECT_TRUE(credit.top_up(7 << 20, 0)) << "unless nothing is open";
  EXPECT_EQ(credit.granted() - credit.received(), 7 * kMib);
}

TEST(MemoryCredit, ALittleIsAlwaysOfferedUnlessSomethingWaits) {
  MemoryCredit credit(64 << 20, 64 << 20);
  credit.receive(static_cast<std::uint32_t>(100 * kMib));
  EXPECT_FALSE(credit.top_up(0, kMib));
  EXPECT_TRUE(credit.top_up(0, kMib - 1));
  EXPECT_EQ(credit.granted() - credit.received(), 1u);

  MemoryCredit tiny(24, 24);
  EXPECT_EQ(tiny.granted(), 1u);
  tiny.receive(1);
  EXPECT_FALSE(tiny.top_up(24, 1));
  EXPECT_TRUE(tiny.top_up(0, 0));
}

TEST(MemoryCredit, WithoutALimitThereIsNothingToTell) {
  MemoryCredit credit(0, 0);
  EXPECT_EQ(credit.granted(), msg::GrantCredit::kNoLimit);
  EXPECT_FALSE(credit.top_up(0, 0));
}

// ---- in a worker ----------------------------------------------------------------------------------------------------

class OfferedMemory : public CoreTest {
 protected:
  std::int64_t open() const { return static_cast<std::int64_t>(state->granted().kib - received); }
  void assign_of(std::uint64_t attempt, std::uint32_t index, std::uint32_t kib) {
    received += kib;
    assign(attempt, kSource, index, {}, 0, kib);
  }
  static constexpr std::uint64_t kLimit = 64 * kItems * 8;  // 500 KiB
  std::uint64_t received = 0;
};

TEST_F(OfferedMemory, AClaimLastsUntilTheTaskHasItsBytes) {
  start(1, kLimit);
  EXPECT_EQ(state->granted().kib, 500u);
  assign_of(1, 0, 200);  // it starts, and takes what it needs in fact
  EXPECT_EQ(state->reserved_bytes(), 8000u + (128u << 10));
  EXPECT_EQ(open(), 364);
  assign_of(2, 1, 200);  // waits for the thread, and claims what it will take
  EXPECT_EQ(open(), 364 - 136);
  assign_of(3, 2, 400);
  EXPECT_EQ(open(), 364 - 2 * 136);
  give(msg::Retract{AttemptId{3}, make_task_id(kSource, 2), false});
  EXPECT_EQ(open(), 364 - 136);
  finish(1);  // the other one starts
  EXPECT_EQ(open(), 356);
}

TEST_F(OfferedMemory, WhatComesBackFromTheExecutorClaimsAgain) {
  start(2, kLimit);
  assign_of(1, 0, 136);
  assign_of(2, 1, 136);
  EXPECT_EQ(open(), 500 - 2 * 136);
  ErrorInfo error;
  error.code = ErrorCode::kOutOfMemory;
  give(KernelFailed{AttemptId{1}, error, 10});  // it runs again when it is alone
  EXPECT_EQ(state->reserved_bytes() >> 10, 135u);
  EXPECT_EQ(open(), 500 - 2 * 136);
  finish(2);
  EXPECT_EQ(open(), 356);
  finish(1);
  EXPECT_EQ(open(), 484);
}

// What would go past a task that waits for the disk may be what it waits for.
TEST_F(OfferedMemory, NothingThatWaitsForAFullDiskKeepsOthersAway) {
  spill = true;
  start(1, kLimit);
  for (std::uint32_t i = 0; i < 40; ++i) {
    assign_of(i + 1, i, 8);
    finish(i + 1);
  }
  auto layer = std::make_shared<Layer>(*make_layer("large", 1, 40 * kItems));
  give(msg::DefineLayer{LayerId{60}, layer, {}});
  received += 313;
  assign(100, LayerId{60}, 0, {}, 0, 313);
  while (!spills.empty()) {
    for (const Spill& one : std::exchange(spills, {})) give(SpillFailed{one.file, SpillFailure::kNoSpace});
  }
  ASSERT_TRUE(state->disk_full());
  EXPECT_TRUE(held(100));
  EXPECT_NE(started().back(), 100u);
  assign_of(101, 41, 300);  // all that was open, and more
  EXPECT_EQ(started().back(), 101u);
  EXPECT_GT(open(), 0) << "although the large one claims more than there is";
}

TEST_F(OfferedMemory, IsWhatIsLeftWhenTheSchedulerIsJoinedAnew) {
  start(1, kLimit);
  for (std::uint32_t i = 0; i < 30; ++i) {
    assign_of(i + 1, i, 8);
    finish(i + 1);
  }
  give(Rejoin{});
  EXPECT_EQ(state->granted().kib, (kLimit - 30 * kItems * 8) >> 10);
}

TEST_F(OfferedMemory, ResultsThatStayAreNotOffered) {
  start(1, kLimit);
  for (std::uint32_t i = 0; i < 60; ++i) {
    assign_of(i + 1, i, 8);
    finish(i + 1);
  }
  EXPECT_LT(open(), 80);
  std::vector<ResultId> all;
  for (std::uint32_t i = 0; i < 60; ++i) all.push_back(result(kSource, i));
  give(msg::FreeResults{all});
  EXPECT_EQ(open(), 500);
}

TEST_F(OfferedMemory, ResultsThatMayGoToDiskAreOffered) {
  spill = true;
  start(1, kLimit);
  for (std::uint32_t i = 0; i < 60; ++i) {
    assign_of(i + 1, i, 8);
    finish(i + 1);
  }
  EXPECT_GT(open(), 450);
}

}  // namespace
}  // namespace tegula::worker
