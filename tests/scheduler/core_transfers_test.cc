// What transfers cost between which workers, and where tasks go for it.
#include "scheduler/core/link_cost.h"
#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint64_t kValue = 10'000'000;  // bytes

class Transfers : public testing::Test {
 protected:
  // Two large values and one task that reads both.
  Transfers() { cluster.submit(client, {source, sink}, {{1, 0, 0, 1}}); }
  void report(WorkerId to, WorkerId from, double bytes_per_second) {
    msg::WorkerHeartbeat beat;
    beat.transfers = {{from, 4, 100'000, 1, static_cast<std::uint64_t>(kValue / bytes_per_second * 1e9), kValue}};
    cluster.from_worker(to, std::move(beat));
  }
  void grant(WorkerId worker, std::uint64_t slots) {
    cluster.from_worker(worker, msg::GrantCredit{cluster.granted[worker] += slots});
  }
  msg::Assign make_on(WorkerId worker) {
    grant(worker, 1);
    return cluster.assigned(worker);
  }
  void finish(WorkerId worker, const msg::Assign& assign) {
    cluster.handle(FromWorker{worker, msg::TaskFinished{assign.attempt, assign.task, {kValue}, 1'000'000}});
  }

  FakeCluster cluster;
  ConnectionId client = cluster.client();
  const Layer source = layer_on({2}, "source");
  const Layer sink = reads(layer_on({1}, "sink"), 0, source, {AllBlocks{}});
};

TEST_F(Transfers, ATaskGoesWhereTheLinkBringsItsInputsSooner) {
  const WorkerId a = cluster.worker(0), b = cluster.worker(0);
  // To a from b is slow, to b from a is fast.
  for (int i = 0; i < 20; ++i) {
    report(a, b, 1e6);
    report(b, a, 1e9);
  }
  const msg::Assign first = make_on(a), second = make_on(b);
  finish(a, first);
  finish(b, second);
  grant(a, 1);
  EXPECT_THAT(cluster.take<msg::Assign>(a), IsEmpty()) << "ten seconds for the other input";
  grant(b, 1);
  EXPECT_THAT(cluster.take<msg::Assign>(b), SizeIs(1));
}

TEST_F(Transfers, TheOtherWayRound) {
  const WorkerId a = cluster.worker(0), b = cluster.worker(0);
  for (int i = 0; i < 20; ++i) {
    report(a, b, 1e9);
    report(b, a, 1e6);
  }
  const msg::Assign first = make_on(a), second = make_on(b);
  finish(a, first);
  finish(b, second);
  grant(b, 1);
  EXPECT_THAT(cluster.take<msg::Assign>(b), IsEmpty());
  grant(a, 1);
  EXPECT_THAT(cluster.take<msg::Assign>(a), SizeIs(1));
}

TEST(LinkCosts, AreMeansThatOneReportHardlyMoves) {
  LinkCost link;
  EXPECT_FALSE(link.knows_bandwidth());
  EXPECT_FALSE(link.knows_latency());
  for (int i = 0; i < 50; ++i) link.observe({WorkerId{1}, 10, 100'000, 1, 1'100'000, 1'000'000});
  EXPECT_NEAR(link.latency_ns(), 100'000, 1);
  EXPECT_NEAR(link.ns_per_byte(), 1, 1e-6) << "beside the latency of asking";
  link.observe({WorkerId{1}, 1, 100'000, 1, 3'600'000'000'000, 1'000'000});  // an hour
  EXPECT_LT(link.ns_per_byte(), 3);
  for (int i = 0; i < 20; ++i) link.observe({WorkerId{1}, 1, 100'000, 1, 10'100'000, 1'000'000});
  EXPECT_NEAR(link.ns_per_byte(), 10, 0.5) << "a lasting change is learned";
}

TEST(LinkCosts, NonsenseIsNothing) {
  LinkCost link;
  link.observe({WorkerId{1}, 0, 5, 0, 0, 0});
  EXPECT_FALSE(link.knows_bandwidth());
  EXPECT_FALSE(link.knows_latency());
  link.observe({WorkerId{1}, 0, 0, 7, 0, ~std::uint64_t{0}});
  EXPECT_GT(link.ns_per_byte(), 0);
}

}  // namespace
}  // namespace tegula::scheduler
