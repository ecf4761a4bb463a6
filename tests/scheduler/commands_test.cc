// What operators order: cancelling, retiring workers without losing a key, copies, balance.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr TaskId task_of(std::uint32_t layer, std::uint32_t index) {
  return make_task_id(static_cast<LayerId>(layer), index);
}

class Commands : public ::testing::Test {
 protected:
  void SetUp() override { operators = cluster.client(); }

  void order(msg::CommandKind kind, const std::string& subject, std::uint64_t count = 0) {
    cluster.from_client(operators, msg::Command{++request, kind, subject, count});
  }
  // The one answer that came; "" when there is none yet.
  std::string answer() {
    const auto replies = cluster.take<msg::QueryReply>(operators);
    EXPECT_LE(replies.size(), 1u);
    if (replies.empty()) return "";
    EXPECT_EQ(replies[0].request, request);
    return replies[0].failed ? "failed: " + replies[0].error.message : replies[0].text;
  }
  std::string key(std::uint32_t layer, std::uint32_t index) { return cluster.state.key(task_of(layer, index)); }
  void beat(WorkerId worker, std::uint64_t managed) {
    msg::WorkerHeartbeat beat;
    beat.managed_bytes = managed;
    beat.sent = ~std::uint64_t{0};  // not to be compared
    cluster.from_worker(worker, beat);
  }
  // A layer of independent tasks whose results of `nbytes` are all on `w`.
  ConnectionId results_on(WorkerId w, std::int64_t count, std::uint64_t nbytes) {
    const ConnectionId c = cluster.client();
    cluster.submit(c, {layer_on({count})}, {{0, 0, 0, static_cast<std::uint32_t>(count)}});
    for (auto assigns = cluster.take<msg::Assign>(w); !assigns.empty(); assigns = cluster.take<msg::Assign>(w)) {
      for (const msg::Assign& assign : assigns) cluster.finish(w, assign, {nbytes});
    }
    cluster.take<msg::ResultReady>(c);
    return c;
  }
  // The results that `w` was asked to fetch; each is there at once.
  std::vector<ResultId> acquired(WorkerId w, bool can = true) {
    std::vector<ResultId> results;
    for (const auto& message : cluster.take<msg::AcquireReplicas>(w)) {
      for (const auto& item : message.results) results.push_back(item.result);
    }
    if (can && !results.empty()) cluster.from_worker(w, msg::ReplicasAdded{results});
    if (!can && !results.empty()) cluster.from_worker(w, msg::ReplicasDropped{results});
    return results;
  }
  std::vector<WorkerId> holders(TaskId task) { return cluster.state.task(task).outputs.at(0).holders; }

  FakeCluster cluster;
  ConnectionId operators{};
  std::uint64_t request = 0;
};

TEST_F(Commands, ACancelledTaskEndsForAllWhoWantItAndWhatNeedsIt) {
  //  a(0..1) --> b     c1 wants a and b, c2 wants b
  const WorkerId w = cluster.worker(/*slots=*/1);
  const Layer a = layer_on({2}, "a");
  const std::vector<Layer> both{a, reads(layer_on({}, "b"), 0, a, {AllBlocks{}})};
  const ConnectionId c1 = cluster.client(), c2 = cluster.client();
  cluster.submit(c1, both, {{0, 0, 0, 2}, {1, 0, 0, 1}});
  cluster.submit(c2, both, {{1, 0, 0, 1}});
  const msg::Assign assign = cluster.assigned(w);
  ASSERT_EQ(assign.task, task_of(1, 0));
  order(msg::CommandKind::kCancelTask, key(1, 0));
  EXPECT_THAT(answer(), HasSubstr("cancelled " + key(1, 0) + ", which was wanted 1 times"));
  const auto first = cluster.take<msg::ResultErred>(c1), second = cluster.take<msg::ResultErred>(c2);
  ASSERT_THAT(first, SizeIs(2));
  ASSERT_THAT(second, SizeIs(1));
  for (const auto& erred : {first[0], first[1], second[0]}) {
    EXPECT_EQ(erred.error.code, ErrorCode::kCancelled);
    EXPECT_EQ(erred.error.message, "cancelled by the operator");
    EXPECT_EQ(erred.error.key, key(1, 0));
  }
  EXPECT_THAT(cluster.take<msg::Retract>(w), SizeIs(1));
  EXPECT_EQ(cluster.state_of(task_of(2, 0)), TaskState::kErred);
  cluster.give_back(w, assign);
  EXPECT_EQ(cluster.assigned(w).task, task_of(1, 1)) << "the other one is wanted all the same";
}

TEST_F(Commands, AResultThatComesAfterTheCancellationIsFreed) {
  const WorkerId w = cluster.worker();
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  const msg::Assign assign = cluster.assigned(w);
  order(msg::CommandKind::kCancelTask, key(1, 0));
  answer();
  cluster.finish(w, assign);
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), IsEmpty());
  cluster.from_client(c, msg::CloseClient{});
  cluster.from_client(operators, msg::CloseClient{});
  EXPECT_TRUE(cluster.state.empty());
}

TEST_F(Commands, WhatIsFinishedCannotBeCancelled) {
  const WorkerId w = cluster.worker();
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  cluster.finish(w, cluster.assigned(w));
  order(msg::CommandKind::kCancelTask, key(1, 0));
  EXPECT_THAT(answer(), AllOf(HasSubstr("failed: there is nothing to cancel"), HasSubstr("in memory on w1")));
  order(msg::CommandKind::kCancelTask, "y(0)");
  EXPECT_THAT(answer(), HasSubstr("failed: no layer 'y' is known"));
}

TEST_F(Commands, AClientsUnfinishedWorkIsCancelledAndTheClientStays) {
  const WorkerId w = cluster.worker(/*slots=*/1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({3})}, {{0, 0, 0, 3}});
  cluster.finish(w, cluster.assigned(w));
  const msg::Assign running = cluster.assigned(w);
  order(msg::CommandKind::kCancelClient, "client");
  EXPECT_THAT(answer(), HasSubstr("is the name of the clients 1, 2: give a number"));
  order(msg::CommandKind::kCancelClient, "2");
  EXPECT_THAT(answer(), HasSubstr("cancelled all that client 'client' waits for: 2 of its 2 unfinished tasks"));
  const auto erred = cluster.take<msg::ResultErred>(c);
  ASSERT_THAT(erred, SizeIs(2));
  EXPECT_EQ(erred[0].error.message, "cancelled by the operator");
  EXPECT_EQ(cluster.state_of(task_of(1, 0)), TaskState::kMemory);
  cluster.give_back(w, running);
  cluster.submit(c, {layer_on({}, "y")}, {{1, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(1)) << "it may go on";
  order(msg::CommandKind::kCancelClient, "clinet");
  EXPECT_THAT(answer(), HasSubstr("failed: there is no client 'clinet'; did you mean 'client'?"));
}

TEST_F(Commands, ARetiringWorkersResultsGoToOthersBeforeItLeaves) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  const ConnectionId c = results_on(w1, 5, 100);
  const WorkerId w2 = cluster.worker(/*slots=*/4), w3 = cluster.worker(/*slots=*/4);
  order(msg::CommandKind::kRetire, "w1");
  EXPECT_EQ(answer(), "") << "not before it is done";
  EXPECT_TRUE(cluster.state.workers().front().retiring);
  std::vector<ResultId> moved = acquired(w2);
  EXPECT_FALSE(cluster.closed_workers.contains(w1)) << "w3 has not answered";
  const std::vector<ResultId> others = acquired(w3);
  moved.insert(moved.end(), others.begin(), others.end());
  EXPECT_EQ(std::set<ResultId>(moved.begin(), moved.end()).size(), 5u);
  EXPECT_FALSE(others.empty()) << "shared between them";
  EXPECT_THAT(answer(), HasSubstr("worker w1 has left; 5 results (500 B) went to others before"));
  EXPECT_THAT(cluster.take<msg::Shutdown>(w1), SizeIs(1));
  EXPECT_TRUE(cluster.closed_workers.contains(w1));
  for (std::uint32_t i = 0; i < 5; ++i) EXPECT_THAT(holders(task_of(1, i)), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::ResultLost>(c), IsEmpty());
  EXPECT_EQ(cluster.state.counters().tasks_recomputed, 0u);
  EXPECT_GE(cluster.take<msg::ResultReady>(c).size(), 5u) << "clients hear of the new holders";
}

TEST_F(Commands, ARetiringWorkerGetsNothingNewAndFinishesWhatItHas) {
  const WorkerId w1 = cluster.worker(/*slots=*/1);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({4}, "a");
  cluster.submit(c, {a, reads(layer_on({4}, "b"), 0, a, {SameBlock{0}})}, {{1, 0, 0, 4}});
  const msg::Assign running = cluster.assigned(w1);
  order(msg::CommandKind::kRetire, "inproc://w1");
  const WorkerId w2 = cluster.worker(/*slots=*/1);
  EXPECT_THAT(cluster.take<msg::Assign>(w2), IsEmpty()) << "taken by the helper when it joined";
  cluster.finish(w1, running, {64});
  EXPECT_THAT(cluster.take<msg::Assign>(w1), IsEmpty());
  EXPECT_THAT(acquired(w2), ElementsAre(ResultId{task_of(1, 0), 0})) << "what it made goes too";
  EXPECT_THAT(answer(), HasSubstr("worker w1 has left; 1 result (64 B)"));
  EXPECT_THAT(holders(task_of(1, 0)), ElementsAre(w2));
}

TEST_F(Commands, AWorkerThatCannotGetACopyIsPassedOver) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  results_on(w1, 1, 100);
  const WorkerId w2 = cluster.worker(), w3 = cluster.worker();
  beat(w3, 1000);
  order(msg::CommandKind::kRetire, "1");
  EXPECT_THAT(acquired(w3), IsEmpty()) << "the emptier one is asked first";
  EXPECT_THAT(acquired(w2, /*can=*/false), SizeIs(1));
  EXPECT_THAT(acquired(w3), SizeIs(1));
  EXPECT_THAT(answer(), HasSubstr("has left"));
  EXPECT_THAT(holders(task_of(1, 0)), ElementsAre(w3));
}

TEST_F(Commands, AWorkerWhoseResultsNobodyTakesStays) {
  const WorkerId w1 = cluster.worker(/*slots=*/2);
  results_on(w1, 2, 100);
  order(msg::CommandKind::kRetire, "w1");
  EXPECT_THAT(answer(), AllOf(HasSubstr("failed: worker w1 stays: no worker but it takes x-"), HasSubstr("(100 B)")));
  const WorkerId w2 = cluster.worker();
  order(msg::CommandKind::kRetire, "w1");
  order(msg::CommandKind::kRetire, "w1");
  EXPECT_THAT(cluster.take<msg::QueryReply>(operators), SizeIs(1)) << "refused: it is retiring already";
  acquired(w2, /*can=*/false);
  --request;
  EXPECT_THAT(answer(), HasSubstr("w1 stays"));
  cluster.handle(WorkerLost{w2});
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({}, "more")}, {{0, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::Assign>(w1), SizeIs(1)) << "and works on";
}

TEST_F(Commands, AReceiverThatDiesIsReplaced) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  results_on(w1, 3, 100);
  const WorkerId w2 = cluster.worker();
  order(msg::CommandKind::kRetire, "w1");
  const WorkerId w3 = cluster.worker();
  cluster.handle(WorkerLost{w2});
  EXPECT_THAT(acquired(w3), SizeIs(3));
  EXPECT_THAT(answer(), HasSubstr("has left; 3 results"));
}

TEST_F(Commands, AReceiverThatRetiresItselfKeepsNobodyWaiting) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  results_on(w1, 1, 100);
  const WorkerId w2 = cluster.worker(/*slots=*/4);
  order(msg::CommandKind::kRetire, "w1");  // to w2, which has not answered when it leaves
  order(msg::CommandKind::kRetire, "w2");
  EXPECT_TRUE(cluster.closed_workers.contains(w2));
  const auto replies = cluster.take<msg::QueryReply>(operators);
  ASSERT_THAT(replies, SizeIs(2));
  EXPECT_NE(replies[0].failed, replies[1].failed) << "w2 has left, w1 stays";
}

TEST_F(Commands, AWorkerThatDiesWhileRetiringIsToldAndNothingHangs) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  const ConnectionId c = results_on(w1, 3, 100);
  const WorkerId w2 = cluster.worker(/*slots=*/4);
  order(msg::CommandKind::kRetire, "w1");
  cluster.handle(WorkerLost{w1});
  acquired(w2, /*can=*/false);
  EXPECT_THAT(answer(), HasSubstr("failed: worker w1 was lost before its results were elsewhere"));
  EXPECT_THAT(cluster.take<msg::ResultLost>(c), SizeIs(3));
  EXPECT_THAT(cluster.take<msg::Assign>(w2), SizeIs(3)) << "computed again";
}

TEST_F(Commands, WhatIsReleasedMeanwhileNeedNotBeMoved) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  const ConnectionId c = results_on(w1, 3, 100);
  const WorkerId w2 = cluster.worker();
  order(msg::CommandKind::kRetire, "w1");
  cluster.release(c, {{0, 0, 0, 3}});
  EXPECT_THAT(acquired(w2), SizeIs(3)) << "they were under way";
  EXPECT_THAT(cluster.take<msg::FreeResults>(w2), SizeIs(1));
  EXPECT_THAT(answer(), HasSubstr("has left; 0 results"));
}

TEST_F(Commands, CopiesThatNobodyAskedForAreLetGoOf) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  const ConnectionId c = results_on(w1, 1, 100);
  const WorkerId w2 = cluster.worker(), w3 = cluster.worker();
  order(msg::CommandKind::kReplicate, "x(0)", 2);
  acquired(w2);
  cluster.handle(Tick{});
  EXPECT_THAT(holders(task_of(1, 0)), UnorderedElementsAre(w1, w2)) << "as many as an operator asked for";
  cluster.from_worker(w3, msg::ReplicasAdded{{{task_of(1, 0), 0}}});
  beat(w3, 1000);
  EXPECT_THAT(cluster.take<msg::FreeResults>(w3), IsEmpty()) << "time passes first";
  cluster.take<msg::ResultReady>(c);
  cluster.handle(Tick{});
  EXPECT_THAT(cluster.take<msg::FreeResults>(w3), SizeIs(1)) << "where most memory is taken";
  EXPECT_THAT(holders(task_of(1, 0)), UnorderedElementsAre(w1, w2));
  EXPECT_EQ(cluster.state.counters().surplus_dropped, 1u);
  const auto told = cluster.take<msg::ResultReady>(c);
  ASSERT_THAT(told, SizeIs(1)) << "clients must not ask the one that has it no more";
  EXPECT_THAT(told[0].holders, UnorderedElementsAre(w1, w2));
  cluster.handle(Tick{});
  EXPECT_EQ(cluster.state.counters().surplus_dropped, 1u);
}

TEST_F(Commands, CopiesStayWhileSomebodyReadsThem) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  const ConnectionId c = results_on(w1, 1, 100);
  cluster.submit(c, {reads(layer_on({}, "y"), 0, layer_on({1}), {AllBlocks{}})}, {{1, 0, 0, 1}});
  const msg::Assign reader = cluster.assigned(w1);
  const WorkerId w2 = cluster.worker();
  cluster.from_worker(w2, msg::ReplicasAdded{{{task_of(1, 0), 0}}});
  cluster.handle(Tick{});
  EXPECT_THAT(holders(task_of(1, 0)), SizeIs(2)) << "it may be fetched from either just now";
  cluster.finish(w1, reader);
  cluster.handle(Tick{});
  EXPECT_THAT(holders(task_of(1, 0)), SizeIs(1));
}

TEST_F(Commands, CopiesStayWhenTheConfigurationSaysSo) {
  SchedulerConfig config;
  config.drop_surplus_replicas = false;
  cluster.state = SchedulerState(config);
  SetUp();
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  results_on(w1, 1, 100);
  const WorkerId w2 = cluster.worker();
  cluster.from_worker(w2, msg::ReplicasAdded{{{task_of(1, 0), 0}}});
  cluster.handle(Tick{});
  EXPECT_THAT(holders(task_of(1, 0)), SizeIs(2));
}

TEST_F(Commands, OnlySoManyCopiesAreLookedAtInOneTick) {
  constexpr std::uint32_t kMany = 600;
  const WorkerId w1 = cluster.worker(/*slots=*/kMany);
  results_on(w1, kMany, 100);
  const WorkerId w2 = cluster.worker();
  msg::ReplicasAdded added;
  for (std::uint32_t i = 0; i < kMany; ++i) added.results.push_back({task_of(1, i), 0});
  cluster.from_worker(w2, added);
  std::uint64_t before = 0;
  for (int ticks = 0; ticks < 3; ++ticks) {
    cluster.handle(Tick{});
    const std::uint64_t now = cluster.state.counters().surplus_dropped;
    EXPECT_GT(now, before);
    EXPECT_LE(now - before, 256u);
    before = now;
  }
  EXPECT_EQ(before, kMany);
}

TEST_F(Commands, AResultIsReplicatedToAsManyWorkersAsAsked) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  results_on(w1, 1, 100);
  const WorkerId w2 = cluster.worker(), w3 = cluster.worker();
  order(msg::CommandKind::kReplicate, "x(0)", 4);
  EXPECT_THAT(answer(), HasSubstr("on 4 of 3 workers"));
  order(msg::CommandKind::kReplicate, "x(0)", 3);
  acquired(w2);
  EXPECT_EQ(answer(), "");
  acquired(w3);
  EXPECT_THAT(answer(), HasSubstr("made 2 copies"));
  EXPECT_THAT(holders(task_of(1, 0)), UnorderedElementsAre(w1, w2, w3));
  order(msg::CommandKind::kReplicate, "x(0)", 2);
  EXPECT_THAT(answer(), HasSubstr("made 0 copies"));
  cluster.handle(WorkerLost{w1});
  EXPECT_EQ(cluster.state.counters().tasks_recomputed, 0u);
}

TEST_F(Commands, AClientReplicatesResultsOfItsLayers) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  const ConnectionId c = results_on(w1, 4, 100);
  const WorkerId w2 = cluster.worker();
  const auto replicate = [&](std::vector<msg::WantRange> ranges) {
    cluster.handle(FromClient{c, msg::Command{1, msg::CommandKind::kReplicate, "", 2, std::move(ranges)}});
    std::string text;
    for (const auto& reply : cluster.take<msg::QueryReply>(c)) text += reply.failed ? reply.error.message : reply.text;
    return text;
  };
  EXPECT_THAT(replicate({{9, 0, 0, 1}}), HasSubstr("layer 9 is not known"));
  EXPECT_THAT(replicate({{0, 0, 0, 5}}), HasSubstr("tasks 0 to 5"));
  EXPECT_THAT(replicate({{0, 1, 0, 1}}), HasSubstr("output 1"));
  EXPECT_THAT(replicate({{0, 0, 0, 4}, {0, 0, 0, 1}}), HasSubstr("5 results are named; there are 4 at most"));
  EXPECT_EQ(replicate({{0, 0, 1, 3}}), "") << "not yet";
  EXPECT_THAT(acquired(w2), SizeIs(2));
  std::string text;
  for (const auto& reply : cluster.take<msg::QueryReply>(c)) text += reply.text;
  EXPECT_THAT(text, HasSubstr("made 2 copies"));
  EXPECT_THAT(holders(task_of(1, 1)), UnorderedElementsAre(w1, w2));
  EXPECT_THAT(holders(task_of(1, 0)), UnorderedElementsAre(w1));
}

TEST_F(Commands, WhatIsNotThereCannotBeReplicated) {
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  order(msg::CommandKind::kReplicate, "x()", 1);
  EXPECT_THAT(answer(), AllOf(HasSubstr("failed: there is nothing to copy"), HasSubstr("no worker is connected")));
}

TEST_F(Commands, RebalancingMovesFromTheFullToTheEmpty) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  const ConnectionId c = results_on(w1, 9, 100);
  const WorkerId w2 = cluster.worker(), w3 = cluster.worker();
  order(msg::CommandKind::kRebalance, "");
  const std::size_t second = acquired(w2).size(), third = acquired(w3).size();
  EXPECT_EQ(second, 3u);
  EXPECT_EQ(third, 3u);
  EXPECT_THAT(answer(), HasSubstr("moved 6 results (600 B)"));
  std::size_t freed = 0;
  for (const auto& message : cluster.take<msg::FreeResults>(w1)) freed += message.results.size();
  EXPECT_EQ(freed, 6u);
  for (std::uint32_t i = 0; i < 9; ++i) EXPECT_THAT(holders(task_of(1, i)), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::ResultLost>(c), IsEmpty());
  order(msg::CommandKind::kRebalance, "");
  EXPECT_THAT(answer(), HasSubstr("moved 0 results")) << "nothing is gained by more";
}

TEST_F(Commands, RebalancingLeavesWhatCannotBeMovedWhereItIs) {
  const WorkerId w1 = cluster.worker(/*slots=*/4);
  results_on(w1, 4, 100);
  const WorkerId w2 = cluster.worker();
  order(msg::CommandKind::kRebalance, "");
  EXPECT_THAT(acquired(w2, /*can=*/false), SizeIs(2));
  EXPECT_THAT(answer(), HasSubstr("moved 0 results"));
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_THAT(holders(task_of(1, i)), ElementsAre(w1));
}

// Orders in any sequence, among workers that join and die and answer as they like. Invariants are checked after every
// event; every order is answered once; in the end all that is wanted is there, and nothing is left when it is released.
class Storm {
 public:
  explicit Storm(unsigned seed) : random_(seed), cluster_(patient()), cancels_(seed % 3 == 0) {
    operators_ = cluster_.client();
    client_ = cluster_.client();
    for (int i = 0; i < 2; ++i) join();
  }

  void run(int steps) {
    const Layer source = layer_on({12}, "a");
    cluster_.submit(client_, {source, reads(layer_on({6}, "b"), 0, source, {FanIn{0, 2}})},
                    {{0, 0, 0, 12}, {1, 0, 0, 6}});
    for (int step = 0; step < steps && !::testing::Test::HasFatalFailure(); ++step) one_step();
    while (workers_.size() < 2) join();
    for (int rounds = 0; (collect() || rounds < 3) && rounds < 1000; ++rounds) {
      cluster_.handle(Tick{});  // a job may wait for another one's end, which it sees in the next turn
      while (!assigns_.empty()) finish();
      while (!acquisitions_.empty()) acquire(/*can=*/true);
    }
    answered_ += cluster_.take<msg::QueryReply>(operators_).size();
    EXPECT_EQ(answered_, ordered_) << "every order has one answer";
    for (std::uint32_t i = 0; i < 12; ++i) {
      if (released_.contains(i) || cancels_) continue;
      EXPECT_EQ(cluster_.state_of(task_of(1, i)), TaskState::kMemory) << i;
    }
    cluster_.from_client(client_, msg::CloseClient{});
    cluster_.from_client(operators_, msg::CloseClient{});
    while (collect()) {
      while (!assigns_.empty()) finish();
      while (!acquisitions_.empty()) acquire(/*can=*/true);
    }
    EXPECT_TRUE(cluster_.state.empty());
  }

 private:
  static SchedulerConfig patient() {
    SchedulerConfig config;
    config.allowed_deaths = 1000;  // workers die of nothing here
    return config;
  }
  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }

  void join() {
    if (workers_.size() == 5) return;
    // Not by cluster_.worker(), which forgets what a worker is given when it joins.
    const auto id = static_cast<WorkerId>(++cluster_.last_worker);
    msg::RegisterWorker about;
    about.name = "w" + std::to_string(cluster_.last_worker);
    about.address = "inproc://" + about.name;
    about.threads = 1;
    about.kernels = {"test.nop"};
    about.slots_granted = cluster_.granted[id] = 2;
    workers_.push_back(id);
    cluster_.handle(WorkerJoined{id, about});
  }
  void order(msg::CommandKind kind, const std::string& subject, std::uint64_t count = 0) {
    ++ordered_;
    cluster_.from_client(operators_, msg::Command{ordered_, kind, subject, count});
  }
  // What the core sent since; true when there was something to be done.
  bool collect() {
    std::erase_if(workers_, [&](WorkerId worker) { return cluster_.closed_workers.contains(worker); });
    for (const WorkerId worker : workers_) {
      for (const auto& assign : cluster_.take<msg::Assign>(worker)) assigns_.emplace_back(worker, assign);
      for (const auto& retract : cluster_.take<msg::Retract>(worker)) {
        const auto found = std::find_if(assigns_.begin(), assigns_.end(), [&](const auto& entry) {
          return entry.first == worker && entry.second.attempt == retract.attempt;
        });
        if (found == assigns_.end()) continue;
        const msg::Assign assign = found->second;
        assigns_.erase(found);
        cluster_.give_back(worker, assign);
      }
      for (const auto& message : cluster_.take<msg::AcquireReplicas>(worker)) {
        std::set<ResultId> results;
        for (const auto& item : message.results) results.insert(item.result);
        for (const ResultId& result : results) acquisitions_.emplace_back(worker, result);
      }
    }
    const auto gone = [&](const auto& entry) {
      return std::find(workers_.begin(), workers_.end(), entry.first) == workers_.end();
    };
    std::erase_if(assigns_, gone);
    std::erase_if(acquisitions_, gone);
    return !assigns_.empty() || !acquisitions_.empty();
  }
  template <typename Entry>
  Entry draw(std::vector<Entry>& entries) {
    const std::size_t at = pick(entries.size());
    Entry entry = entries[at];
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(at));
    return entry;
  }
  // One attempt ends. One that was bound ahead waits for the attempt before it, and comes back when that one is gone.
  void finish() {
    auto [worker, assign] = draw(assigns_);
    for (const InputInfo& input : cluster_.state.inputs(assign.task, 100)) {
      if (input.available) continue;
      const auto before = std::find_if(assigns_.begin(), assigns_.end(), [&, of = worker](const auto& entry) {
        return entry.first == of && entry.second.task == input.result.task;
      });
      if (before == assigns_.end()) {
        cluster_.give_back(worker, assign);
        collect();
        return;
      }
      std::swap(assign, before->second);
    }
    cluster_.finish(worker, assign, {10 + pick(100)});
    collect();
  }
  void acquire(bool can) {
    const auto [worker, result] = draw(acquisitions_);
    if (can) {
      cluster_.from_worker(worker, msg::ReplicasAdded{{result}});
    } else {
      cluster_.from_worker(worker, msg::ReplicasDropped{{result}});
    }
    collect();
  }
  void one_step() {
    collect();
    switch (pick(10)) {
      case 0:
        if (workers_.size() > 2 && pick(6) == 0) {
          return cluster_.from_worker(workers_[pick(workers_.size())], msg::WorkerDraining{"scaled down"});
        }
        return join();
      case 1:
        if (workers_.size() > 1 && pick(3) == 0) cluster_.handle(WorkerLost{draw(workers_)});
        return;
      case 2:
        if (!workers_.empty()) {
          order(msg::CommandKind::kRetire, std::to_string(static_cast<std::uint32_t>(workers_[pick(workers_.size())])));
        }
        return;
      case 3:
        if (cancels_ && pick(2) == 0) {
          const bool second = pick(3) == 0;
          return order(msg::CommandKind::kCancelTask,
                       (second ? "b(" : "a(") + std::to_string(pick(second ? 6 : 12)) + ")");
        }
        if (cancels_ && pick(10) == 0) return order(msg::CommandKind::kCancelClient, "2");
        return order(msg::CommandKind::kReplicate, "a(" + std::to_string(pick(12)) + ")", 1 + pick(3));
      case 4:
        return order(msg::CommandKind::kRebalance, "");
      case 5:
        if (const auto index = static_cast<std::uint32_t>(pick(12)); pick(4) == 0 && released_.insert(index).second) {
          cluster_.release(client_, {{0, 0, index, index + 1}});
        }
        return;
      case 6:
      case 7:
        if (!acquisitions_.empty()) acquire(pick(4) != 0);
        return;
      default:
        if (!assigns_.empty()) finish();
    }
  }

  std::mt19937 random_;
  FakeCluster cluster_;
  bool cancels_;  // some seeds
  ConnectionId operators_{}, client_{};
  std::vector<WorkerId> workers_;
  std::vector<std::pair<WorkerId, msg::Assign>> assigns_;
  std::vector<std::pair<WorkerId, ResultId>> acquisitions_;
  std::set<std::uint32_t> released_;
  std::uint64_t ordered_ = 0, answered_ = 0;
};

TEST(CommandsRandom, NoOrderLosesAResultOrAnAnswer) {
  for (unsigned seed = 1; seed <= 150 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    try {
      Storm(seed).run(200);
    } catch (const Error& error) {  // an invariant
      ADD_FAILURE() << error.what();
    }
  }
}

}  // namespace
}  // namespace tegula::scheduler
