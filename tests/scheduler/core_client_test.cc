// Sessions: what a submission is refused for, who may come back, and what is left when a client goes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(SchedulerClients, RefusedSubmissionsChangeNothing) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(4);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({4}, "a");
  const auto refusal = [&](std::vector<msg::LayerPtr> layers, std::vector<msg::WantRange> wants,
                           LayerNumber first = 0) -> std::string {
    cluster.from_client(c, msg::Submit{++cluster.sequence[c], first, std::move(layers), std::move(wants)});
    const auto refused = cluster.take<msg::SubmitRefused>(c);
    return refused.empty() ? "accepted" : refused.front().error.message;
  };
  EXPECT_THAT(refusal({nullptr}, {}), HasSubstr("layer 0 is empty"));
  EXPECT_THAT(refusal({shared(a)}, {{0, 0, 0, 5}}), HasSubstr("which has 4 tasks"));
  EXPECT_THAT(refusal({shared(a)}, {{0, 1, 0, 1}}), HasSubstr("wants output 1"));
  EXPECT_THAT(refusal({shared(a)}, {{0, 0, 3, 2}}), HasSubstr("tasks 3 to 2"));
  EXPECT_THAT(refusal({}, {{7, 0, 0, 1}}), HasSubstr("wants of layer 7, which is not known"));
  EXPECT_THAT(refusal({shared(a)}, {}, 0xFFFFFFFF), HasSubstr("overflow"));
  // The second layer is bad: the first is not taken either. A layer may not read itself or a later one.
  EXPECT_THAT(refusal({shared(a), shared(reads(layer_on({4}), 1, a, {SameBlock{0}}))}, {}),
              HasSubstr("layer 1, which is not known"));
  EXPECT_THAT(refusal({shared(a), shared(reads(layer_on({5}), 0, a, {SameBlock{0}}))}, {}),
              HasSubstr("reads block 4 of 4"));
  EXPECT_TRUE(cluster.state.counters().layers == 0 && cluster.take<msg::Assign>(w).empty());
  EXPECT_EQ(cluster.state.counters().submissions_refused, 8u);

  EXPECT_EQ(refusal({shared(a)}, {{0, 0, 0, 4}}), "accepted");
  EXPECT_THAT(refusal({shared(a)}, {}, 0), HasSubstr("layer number 0 is not above"));
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(4));
}

TEST(SchedulerClients, TooManyWantsAreRefused) {
  SchedulerConfig config;
  config.max_demanded_tasks = 100;
  FakeCluster cluster(config);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({60})}, {{0, 0, 0, 60}});
  EXPECT_THAT(cluster.take<msg::SubmitRefused>(c), IsEmpty());
  cluster.submit(c, {layer_on({50})}, {{1, 0, 0, 50}});
  EXPECT_THAT(cluster.take<msg::SubmitRefused>(c), SizeIs(1));
}

TEST(SchedulerClients, RepeatedMessagesAreSkippedAndMissingOnesEndTheSession) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({2})}, {{0, 0, 0, 2}});
  cluster.from_client(c, msg::Submit{1, 0, {shared(layer_on({2}))}, {{0, 0, 0, 2}}});
  EXPECT_EQ(cluster.state.task(make_task_id(LayerId{1}, 0)).outputs[0].wants, 1u);
  cluster.from_client(c, msg::ReleaseWants{2, {{0, 0, 0, 2}}});
  cluster.from_client(c, msg::ReleaseWants{2, {{0, 0, 0, 2}}});
  EXPECT_EQ(cluster.state.counters().client_anomalies, 0u);
  const auto acknowledged = cluster.take<msg::SubmitAccepted>(c);
  ASSERT_THAT(acknowledged, SizeIs(4));
  EXPECT_EQ(acknowledged.back().sequence, 2u);
  cluster.from_client(c, msg::ReleaseWants{5, {}});
  EXPECT_TRUE(cluster.closed_clients.contains(c));
  EXPECT_TRUE(cluster.state.empty());
}

TEST(SchedulerClients, AClientComesBackWithinTheGraceAndHearsWhatItMissed) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({2})}, {{0, 0, 0, 2}});
  cluster.handle(ClientLost{c});
  cluster.finish(w, cluster.assigned(w));
  cluster.fail(w, cluster.assigned(w));
  cluster.now += std::chrono::seconds(4);
  cluster.handle(Tick{});

  const auto again = ConnectionId{50};
  cluster.handle(ClientConnected{again, {1001, 78, "client"}, 1, 1});  // not its secret
  EXPECT_TRUE(cluster.closed_clients.contains(again));
  EXPECT_EQ(cluster.take<msg::ClientAttached>(again).front().session, 0u);

  const auto back = ConnectionId{51};
  cluster.handle(ClientConnected{back, {1001, 77, "client"}, 1, 1});
  const auto attached = cluster.take<msg::ClientAttached>(back);
  ASSERT_THAT(attached, SizeIs(1));
  EXPECT_EQ(attached[0].session, 1001u);
  EXPECT_EQ(attached[0].last_sequence, 1u);
  EXPECT_THAT(cluster.take<msg::ResultReady>(back), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::ResultErred>(back), SizeIs(1));
}

TEST(SchedulerClients, AClientThatStaysAwayIsClosedAndItsWorkReleased) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({2})}, {{0, 0, 0, 2}});
  cluster.finish(w, cluster.assigned(w));
  const msg::Assign running = cluster.assigned(w);
  cluster.handle(ClientLost{c});
  cluster.now += std::chrono::seconds(5);
  cluster.handle(Tick{});
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::Retract>(w), SizeIs(1));
  cluster.give_back(w, running);
  EXPECT_TRUE(cluster.state.empty());
  const auto late = ConnectionId{50};
  cluster.handle(ClientConnected{late, {1001, 77, "client"}, 1, 1});
  EXPECT_EQ(cluster.take<msg::ClientAttached>(late).front().session, 0u);
}

TEST(SchedulerClients, WhatIsReleasedAndWantedAgainInOneTurnIsFreedBeforeItIsMadeAgain) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(2);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({1})}, {{0, 0, 0, 1}});
  cluster.finish(w, cluster.assigned(w));
  cluster.sent_to_worker[w].clear();
  cluster.handle_together({FromClient{c, msg::ReleaseWants{++cluster.sequence[c], {{0, 0, 0, 1}}}},
                           FromClient{c, msg::Submit{++cluster.sequence[c], 1, {}, {{0, 0, 0, 1}}}}});
  // The other way round, the new result could be taken for the old one.
  const auto& sent = cluster.sent_to_worker[w];
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_TRUE(std::holds_alternative<msg::FreeResults>(sent[0]));
  EXPECT_TRUE(std::holds_alternative<msg::Assign>(sent[1]));
}

TEST(SchedulerClients, AThousandComeAndGo) {
  FakeCluster cluster;
  cluster.check = false;
  const WorkerId w = cluster.worker(1);
  for (int i = 0; i < 1000; ++i) {
    const ConnectionId c = cluster.client();
    const Layer a = layer_on({2}, "a" + std::to_string(i));
    cluster.submit(c, {a, reads(layer_on({}), 0, a, {AllBlocks{}})}, {{1, 0, 0, 1}});
    for (int task = 0; task < 3; ++task) cluster.finish(w, cluster.assigned(w));
    EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(1));
    cluster.from_client(c, msg::CloseClient{});
    cluster.sent_to_worker.clear();
    cluster.sent_to_client.clear();
  }
  EXPECT_TRUE(cluster.state.empty());
  EXPECT_EQ(cluster.state.counters().heartbeat_mismatches, 0u);
  cluster.state.check_invariants();
}

TEST(SchedulerClients, ProgressCountsWhatThisClientAskedFor) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(2);
  const ConnectionId c = cluster.client(), other = cluster.client();
  cluster.submit(other, {layer_on({10}, "elsewhere")}, {{0, 0, 0, 10}});
  cluster.take<msg::Assign>(w);
  const Layer x = layer_on({4}, "x");
  cluster.submit(c, {x, reads(layer_on({}, "sum"), 0, x, {AllBlocks{}})}, {{1, 0, 0, 1}});
  cluster.from_client(c, msg::SubscribeProgress{100});
  cluster.now += std::chrono::milliseconds(100);
  cluster.handle(Tick{});
  auto progress = cluster.take<msg::Progress>(c);
  ASSERT_THAT(progress, SizeIs(1));
  EXPECT_EQ(progress[0].total, 5u);
  EXPECT_EQ(progress[0].done, 0u);
  EXPECT_EQ(progress[0].workers, 1u);
  cluster.now += std::chrono::milliseconds(100);
  cluster.handle(Tick{});
  EXPECT_THAT(cluster.take<msg::Progress>(c), IsEmpty());  // nothing changed
}

TEST(SchedulerClients, StatusNamesWorkersAndStates) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({3})}, {{0, 0, 0, 3}});
  cluster.from_client(c, msg::QueryStatus{42});
  const auto status = cluster.take<msg::StatusReply>(c);
  ASSERT_THAT(status, SizeIs(1));
  EXPECT_EQ(status[0].request, 42u);
  ASSERT_THAT(status[0].workers, SizeIs(1));
  EXPECT_EQ(status[0].workers[0].worker, w);
  EXPECT_EQ(status[0].workers[0].processing, 1u);
  EXPECT_EQ(status[0].processing, 1u);
  EXPECT_EQ(status[0].queued, 2u);
}

TEST(SchedulerClients, AMessageThatNoClientSendsEndsTheSession) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  cluster.from_client(c, msg::GrantCredit{5});
  EXPECT_TRUE(cluster.closed_clients.contains(c));
  EXPECT_TRUE(cluster.state.empty());
}

}  // namespace
}  // namespace tegula::scheduler
