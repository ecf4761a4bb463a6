// Tasks against the memory that workers offer.
#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::int64_t kBlock = 1 << 17;  // float64: a MiB
constexpr std::uint32_t kMib = 1024;      // KiB

Layer large(std::int64_t tasks, std::string name = "x") {
  Layer layer;
  layer.name = std::move(name);
  layer.kernel = "test.nop";
  layer.outputs.push_back({DType::kFloat64, ChunkGrid({DimChunks(tasks * kBlock, kBlock)})});
  layer.grid = {tasks};
  return layer;
}

struct MemoryCredit : testing::Test {
  WorkerId worker(std::uint64_t slots, std::uint64_t kib) { return cluster.worker(slots, {"test.nop"}, 1, kib); }
  void offer(WorkerId worker, std::uint64_t kib) {
    cluster.from_worker(worker, msg::GrantCredit{cluster.granted[worker], kib});
  }
  void finish(WorkerId worker, const msg::Assign& assign) {
    cluster.handle_together({FromWorker{worker, msg::GrantCredit{++cluster.granted[worker], 0}},
                             FromWorker{worker, msg::TaskFinished{assign.attempt, assign.task, {1 << 20}, 5}}});
  }

  FakeCluster cluster;
  ConnectionId client = cluster.client();
};

TEST_F(MemoryCredit, RootsComeWhileMemoryIsOffered) {
  const WorkerId w = worker(10, 2 * kMib);
  cluster.submit(client, {large(10)}, {{0, 0, 0, 10}});
  const auto assigns = cluster.take<msg::Assign>(w);
  ASSERT_THAT(assigns, SizeIs(2));
  EXPECT_EQ(assigns[0].kib, kMib);
  EXPECT_EQ(*cluster.state.workers()[0].memory_credit, 0);
  EXPECT_THAT(cluster.state.why(make_task_id(LayerId{1}, 5)), HasSubstr("1 worker has slots, but no memory"));
  // The last one may go beyond.
  offer(w, 2 * kMib + 1);
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(1));
  EXPECT_EQ(*cluster.state.workers()[0].memory_credit, 1024 - (1 << 20));
  offer(w, 3 * kMib);
  EXPECT_THAT(cluster.take<msg::Assign>(w), IsEmpty());
  offer(w, 2 * kMib);  // older news
  EXPECT_THAT(cluster.take<msg::Assign>(w), IsEmpty());
  offer(w, 100 * kMib);
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(7));
}

TEST_F(MemoryCredit, OthersGetWhatOneHasNoMemoryFor) {
  const WorkerId full = worker(10, 1), other = worker(10, msg::GrantCredit::kNoLimit);
  cluster.submit(client, {large(10)}, {{0, 0, 0, 10}});
  EXPECT_THAT(cluster.take<msg::Assign>(full), SizeIs(1));
  const auto assigns = cluster.take<msg::Assign>(other);
  ASSERT_THAT(assigns, SizeIs(9));
  EXPECT_EQ(assigns[0].kib, 0u) << "nobody counts";
}

TEST_F(MemoryCredit, WhatReadsHeldInputsComesAllTheSame) {
  const WorkerId w = worker(3, 1);
  const Layer a = large(3, "a");
  cluster.submit(client, {a, reads(large(3, "b"), 0, a, {SameBlock{0}})}, {{1, 0, 0, 3}});
  auto assigns = cluster.take<msg::Assign>(w);
  ASSERT_THAT(assigns, SizeIs(2)) << "a root, and what follows it";
  EXPECT_EQ(assigns[0].kib, kMib);
  EXPECT_EQ(assigns[1].kib, 0u) << "bound ahead, it holds no bytes";
  finish(w, assigns[0]);
  finish(w, assigns[1]);
  EXPECT_THAT(cluster.take<msg::Assign>(w), IsEmpty()) << "roots";
}

TEST_F(MemoryCredit, InputsFromElsewhereAndMemoryThatIsAskedForCount) {
  const WorkerId w1 = worker(1, 1), w2 = worker(1, 1);
  const Layer a = large(2, "a");
  Layer both = layer_on({1}, "both");
  msg::Submit submit;
  submit.sequence = 1;
  submit.first_layer = 0;
  submit.layers = {shared(a), shared(reads(both, 0, a, {AllBlocks{}}))};
  submit.wants = {{1, 0, 0, 1}};
  submit.options.resources = {{"memory", 3.0 * (1 << 20)}};
  cluster.from_client(client, std::move(submit));
  const auto first = cluster.assigned(w1), second = cluster.assigned(w2);
  EXPECT_EQ(first.kib, 3 * kMib);
  finish(w1, first);
  finish(w2, second);
  auto assigns = cluster.take<msg::Assign>(w1);
  for (const auto& assign : cluster.take<msg::Assign>(w2)) assigns.push_back(assign);
  ASSERT_THAT(assigns, SizeIs(1));
  EXPECT_EQ(assigns[0].kib, 4 * kMib) << "one input comes from the other worker";
}

// The resource says how many there can be, and nobody else may have it.
TEST_F(MemoryCredit, WhatOccupiesResourcesComesAllTheSame) {
  msg::RegisterWorker about;
  about.name = about.address = "gpu";
  about.threads = 1;
  about.kernels = {"test.nop"};
  about.slots_granted = 4;
  about.kib_granted = 1;
  about.resources = {{"GPU", 2}};
  const WorkerId w{77};
  cluster.handle(WorkerJoined{w, about});
  msg::Submit submit;
  submit.sequence = 1;
  submit.first_layer = 0;
  submit.layers = {shared(large(3))};
  submit.wants = {{0, 0, 0, 3}};
  submit.options.resources = {{"GPU", 1}};
  cluster.from_client(client, std::move(submit));
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(2));
}

TEST_F(MemoryCredit, AnyOfferCanBeTold) {
  worker(1, msg::GrantCredit::kNoLimit / 2);
  EXPECT_GT(*cluster.state.workers()[0].memory_credit, 0);
  worker(1, msg::GrantCredit::kNoLimit - 1);
  EXPECT_TRUE(cluster.state.workers()[1].memory_credit.has_value());
}

TEST_F(MemoryCredit, IdleThreadsWithoutMemoryGetNothingFromOthers) {
  const WorkerId busy = worker(4, msg::GrantCredit::kNoLimit);
  cluster.submit(client, {large(4)}, {{0, 0, 0, 4}});
  ASSERT_THAT(cluster.take<msg::Assign>(busy), SizeIs(4));
  const WorkerId full = worker(4, 0);
  cluster.now += std::chrono::seconds(1);
  cluster.handle(Tick{});
  EXPECT_THAT(cluster.take<msg::Retract>(busy), IsEmpty());
  offer(full, 1);
  EXPECT_THAT(cluster.take<msg::Retract>(busy), SizeIs(1));
}

}  // namespace
}  // namespace tegula::scheduler
