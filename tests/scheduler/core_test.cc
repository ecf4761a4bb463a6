// What the scheduler decides, as short incidents: a graph, what happened, what it must do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr TaskId task_of(std::uint32_t layer, std::uint32_t index) {
  return make_task_id(static_cast<LayerId>(layer), index);
}
std::vector<TaskId> tasks_of(const std::vector<msg::Assign>& assigns) {
  std::vector<TaskId> tasks;
  for (const auto& assign : assigns) tasks.push_back(assign.task);
  return tasks;
}

TEST(SchedulerCore, OneTaskFromSubmitToFreed) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker();
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::SubmitAccepted>(c), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::DefineLayer>(w), SizeIs(1));
  const msg::Assign assign = cluster.assigned(w);
  EXPECT_EQ(cluster.state_of(assign.task), TaskState::kProcessing);

  cluster.finish(w, assign, {8});
  const auto ready = cluster.take<msg::ResultReady>(c);
  ASSERT_THAT(ready, SizeIs(1));
  EXPECT_EQ(ready[0].nbytes, 8u);
  EXPECT_THAT(ready[0].holders, ElementsAre(w));
  EXPECT_EQ(cluster.state_of(assign.task), TaskState::kMemory);

  cluster.release(c, {{0, 0, 0, 1}});
  const auto freed = cluster.take<msg::FreeResults>(w);
  ASSERT_THAT(freed, SizeIs(1));
  EXPECT_THAT(freed[0].results, ElementsAre(ResultId{assign.task, 0}));
  cluster.forget(c, {0});
  EXPECT_THAT(cluster.take<msg::ForgetLayer>(w), SizeIs(1));
  cluster.from_client(c, msg::CloseClient{});
  EXPECT_TRUE(cluster.state.empty());
}

TEST(SchedulerCore, BindsNoMoreThanTheCreditGranted) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(/*slots=*/3);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({10})}, {{0, 0, 0, 10}});
  auto assigns = cluster.take<msg::Assign>(w);
  EXPECT_THAT(tasks_of(assigns), ElementsAre(task_of(1, 0), task_of(1, 1), task_of(1, 2)));
  EXPECT_EQ(cluster.state.counters().slots_free, 0u);
  cluster.from_worker(w, msg::GrantCredit{5});
  EXPECT_THAT(tasks_of(cluster.take<msg::Assign>(w)), ElementsAre(task_of(1, 3), task_of(1, 4)));
  cluster.from_worker(w, msg::GrantCredit{4});  // older news
  EXPECT_THAT(cluster.take<msg::Assign>(w), IsEmpty());
}

TEST(SchedulerCore, RootsAreDealtOutByFreeCredit) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(4), w2 = cluster.worker(4);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({6})}, {{0, 0, 0, 6}});
  EXPECT_THAT(cluster.take<msg::Assign>(w1), SizeIs(3));
  EXPECT_THAT(cluster.take<msg::Assign>(w2), SizeIs(3));
}

TEST(SchedulerCore, ATaskFollowsItsInput) {
  //  a(i) --> b(i)     one worker made a(0), the other a(1)
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1), w2 = cluster.worker(1);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({2}, "a");
  cluster.submit(c, {a, reads(layer_on({2}, "b"), 0, a, {SameBlock{0}})}, {{1, 0, 0, 2}});
  const msg::Assign a1 = cluster.assigned(w1), a2 = cluster.assigned(w2);
  cluster.finish(w2, a2);
  const msg::Assign b2 = cluster.assigned(w2);
  EXPECT_EQ(b2.task, task_of(2, index_of(a2.task)));
  EXPECT_THAT(b2.holders, IsEmpty());
  cluster.finish(w1, a1);
  EXPECT_EQ(cluster.assigned(w1).task, task_of(2, index_of(a1.task)));
}

TEST(SchedulerCore, IdleCreditTakesWhatAnotherWorkerCannotStart) {
  //  a --> b(0..3)     w1 has a and credit for one; w2 idles
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({}, "a");
  cluster.submit(c, {a, reads(layer_on({4}, "b"), 0, a, {})}, {{1, 0, 0, 4}});
  const msg::Assign first = cluster.assigned(w1);
  cluster.granted[w1] = 2;
  cluster.handle_together({FromWorker{w1, msg::GrantCredit{2}},
                           FromWorker{w1, msg::TaskFinished{first.attempt, first.task, {8}, 10'000'000}}});
  EXPECT_THAT(cluster.take<msg::Assign>(w1), SizeIs(1));
  const WorkerId w2 = cluster.worker(2);
  std::size_t taken = 0;
  for (std::uint32_t i = 0; i < 4; ++i) taken += cluster.state.task(task_of(2, i)).worker == w2 ? 1 : 0;
  EXPECT_EQ(taken, 2u);
  EXPECT_EQ(cluster.state.counters().queued, 1u);
  cluster.from_worker(w2, msg::GrantCredit{3});
  EXPECT_EQ(cluster.state.counters().queued, 1u) << "it would not start earlier there";
}

TEST(SchedulerCore, InputsAreFreedAfterTheirLastConsumer) {
  //  a --> b(0), b(1)     only a's consumers keep it
  FakeCluster cluster;
  const WorkerId w = cluster.worker(2);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({}, "a");
  cluster.submit(c, {a, reads(layer_on({2}, "b"), 0, a, {})}, {{1, 0, 0, 2}});
  auto both = cluster.take<msg::Assign>(w);  // a, and one of its consumers ahead of it
  ASSERT_THAT(both, SizeIs(2));
  const msg::Assign first = both.front();
  cluster.finish(w, first);
  both.front() = cluster.assigned(w);
  cluster.finish(w, both[0]);
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), IsEmpty());
  cluster.finish(w, both[1]);
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(1));
  EXPECT_EQ(cluster.state_of(first.task), TaskState::kForgotten);
}

TEST(SchedulerCore, AReductionRunsDepthFirst) {
  //  x(0..7) --> pairs(0..3) --> sum     one slot: each pair is summed before more of x is made
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  const Layer x = layer_on({8}, "x");
  const Layer pairs = reads(layer_on({4}, "pairs"), 0, x, {FanIn{0, 2}});
  cluster.submit(c, {x, pairs, reads(layer_on({}, "sum"), 1, pairs, {AllBlocks{}})}, {{2, 0, 0, 1}});
  std::vector<std::string> order;
  for (int i = 0; i < 13; ++i) {
    const msg::Assign assign = cluster.assigned(w);
    order.push_back(std::to_string(static_cast<std::uint32_t>(layer_of(assign.task))) + ":" +
                    std::to_string(index_of(assign.task)));
    cluster.finish(w, assign);
  }
  EXPECT_THAT(order,
              ElementsAre("1:0", "1:1", "2:0", "1:2", "1:3", "2:1", "1:4", "1:5", "2:2", "1:6", "1:7", "2:3", "3:0"));
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(1));
}

TEST(SchedulerCore, FirstTasksAreBoundLongBeforeAllAreExpanded) {
  SchedulerConfig config;
  config.root_margin = 4;
  FakeCluster cluster(config);
  const WorkerId w = cluster.worker(2);
  const ConnectionId c = cluster.client();
  const Layer x = layer_on({1000, 100}, "x");
  cluster.check = false;
  cluster.submit(c, {x, reads(layer_on({}, "sum"), 0, x, {AllBlocks{}, AllBlocks{}})}, {{1, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(2));
  const Counters& counters = cluster.state.counters();
  EXPECT_GT(counters.released, 99900u);
  EXPECT_LE(counters.queued, 8u);
}

TEST(SchedulerCore, ALostWorkersTaskMovesAndItsResultsAreComputedAgain) {
  //  a --> b     a is on w1 and kept for its client; w1 dies
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({}, "a")}, {{0, 0, 0, 1}});
  const msg::Assign a = cluster.assigned(w1);
  cluster.finish(w1, a);
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(1));
  const WorkerId w2 = cluster.worker(1);
  cluster.handle(WorkerLost{w1, LossReason::kConnection, "reset"});
  EXPECT_THAT(cluster.take<msg::ResultLost>(c), SizeIs(1));
  const msg::Assign again = cluster.assigned(w2);
  EXPECT_EQ(again.task, a.task);
  EXPECT_NE(again.attempt, a.attempt);
  cluster.finish(w2, again);
  const auto ready = cluster.take<msg::ResultReady>(c);
  ASSERT_THAT(ready, SizeIs(1));
  EXPECT_THAT(ready[0].holders, ElementsAre(w2));
}

TEST(SchedulerCore, ALossWalksBackThroughForgottenProducers) {
  //  a --> b --> c     b and c finished, a and b released and forgotten; c's holder dies
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1);
  const ConnectionId client = cluster.client();
  const Layer a = layer_on({}, "a"), b = reads(layer_on({}, "b"), 0, a, {});
  cluster.submit(client, {a, b, reads(layer_on({}, "c"), 1, b, {})}, {{2, 0, 0, 1}});
  for (int i = 0; i < 3; ++i) cluster.finish(w1, cluster.assigned(w1));
  EXPECT_EQ(cluster.state_of(task_of(1, 0)), TaskState::kForgotten);
  cluster.forget(client, {0, 1});  // their descriptions live on, for c needs them
  const WorkerId w2 = cluster.worker(1);
  cluster.handle(WorkerLost{w1, LossReason::kConnection, ""});
  for (std::uint32_t layer = 1; layer <= 3; ++layer) {
    const msg::Assign assign = cluster.assigned(w2);
    EXPECT_EQ(assign.task, task_of(layer, 0));
    cluster.finish(w2, assign);
  }
  EXPECT_EQ(cluster.state.counters().tasks_recomputed, 1u);
  EXPECT_EQ(cluster.state_of(task_of(3, 0)), TaskState::kMemory);
}

TEST(SchedulerCore, ATaskThatKillsItsWorkersIsStopped) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({}, "bomb")}, {{0, 0, 0, 1}});
  for (int death = 0; death < 3; ++death) {
    EXPECT_THAT(cluster.take<msg::ResultErred>(c), IsEmpty());
    cluster.handle(WorkerLost{cluster.worker(1), LossReason::kConnection, "signal 11"});
  }
  const auto erred = cluster.take<msg::ResultErred>(c);
  ASSERT_THAT(erred, SizeIs(1));
  EXPECT_EQ(erred[0].error.code, ErrorCode::kKilledWorker);
  EXPECT_THAT(erred[0].error.message,
              AllOf(HasSubstr("w1: signal 11"), HasSubstr("w2: "), HasSubstr("w3: "), HasSubstr("not certain")));
  EXPECT_THAT(erred[0].error.key, HasSubstr("bomb-"));
}

TEST(SchedulerCore, OrderlyLossBlamesNobody) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  for (int i = 0; i < 10; ++i) cluster.from_worker(cluster.worker(1), msg::WorkerLeaving{"scaled down"});
  EXPECT_THAT(cluster.take<msg::ResultErred>(c), IsEmpty());
  EXPECT_EQ(cluster.state_of(task_of(1, 0)), TaskState::kNoWorker);
}

TEST(SchedulerCore, AnErrorTakesItsDependentsWithTheChain) {
  //  a --> b --> c, d     a fails; the client wants c and d
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId client = cluster.client();
  const Layer a = layer_on({}, "a"), b = reads(layer_on({}, "b"), 0, a, {});
  cluster.submit(client, {a, b, reads(layer_on({}, "c"), 1, b, {}), reads(layer_on({}, "d"), 1, b, {})},
                 {{2, 0, 0, 1}, {3, 0, 0, 1}});
  cluster.fail(w, cluster.assigned(w), "division by zero");
  const auto erred = cluster.take<msg::ResultErred>(client);
  ASSERT_THAT(erred, SizeIs(2));
  for (const auto& message : erred) {
    EXPECT_THAT(message.error.message, HasSubstr("division by zero"));
    EXPECT_THAT(message.error.key, HasSubstr("a-"));
    EXPECT_THAT(message.error.kernel, "test.nop");
    EXPECT_THAT(message.error.worker, HasSubstr("w1"));
    ASSERT_THAT(message.error.chain, SizeIs(3));
    EXPECT_THAT(message.error.chain[0], HasSubstr("a-"));
    EXPECT_THAT(message.error.chain[1], HasSubstr("b-"));
  }
  EXPECT_EQ(cluster.state_of(task_of(3, 0)), TaskState::kErred);
  EXPECT_EQ(cluster.state_of(task_of(1, 0)), TaskState::kForgotten);

  // Another client that wants c tries again, and this time it works.
  const ConnectionId other = cluster.client();
  cluster.submit(other, {a, b, reads(layer_on({}, "c"), 1, b, {})}, {{2, 0, 0, 1}});
  for (int i = 0; i < 3; ++i) cluster.finish(w, cluster.assigned(w));
  EXPECT_THAT(cluster.take<msg::ResultReady>(other), SizeIs(1));
}

TEST(SchedulerCore, ALongChainOfErrorsStaysReadable) {
  FakeCluster cluster;
  cluster.check = false;
  const WorkerId w = cluster.worker(1);
  const ConnectionId client = cluster.client();
  std::vector<Layer> layers{layer_on({}, "first")};
  for (LayerNumber i = 1; i < 5000; ++i)
    layers.push_back(reads(layer_on({}, "l" + std::to_string(i)), i - 1, layers.back(), {}));
  cluster.submit(client, layers, {{4999, 0, 0, 1}});
  cluster.fail(w, cluster.assigned(w));
  const auto erred = cluster.take<msg::ResultErred>(client);
  ASSERT_THAT(erred, SizeIs(1));
  EXPECT_LE(erred[0].error.chain.size(), 40u);
  EXPECT_THAT(erred[0].error.chain.front(), HasSubstr("first-"));
  EXPECT_THAT(erred[0].error.chain.back(), HasSubstr("l4999-"));
}

TEST(SchedulerCore, AKernelThatNoWorkerHasIsAnErrorThatNamesTheNearest) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({}, "x", "test.nap")}, {{0, 0, 0, 1}});
  EXPECT_EQ(cluster.state_of(task_of(1, 0)), TaskState::kNoWorker);  // nobody has joined: wait
  cluster.worker(1, {"other.kernel", "test.nop"});
  const auto erred = cluster.take<msg::ResultErred>(c);
  ASSERT_THAT(erred, SizeIs(1));
  EXPECT_EQ(erred[0].error.code, ErrorCode::kKernelNotFound);
  EXPECT_THAT(erred[0].error.message, HasSubstr("'test.nap'; did you mean 'test.nop'?"));
}

TEST(SchedulerCore, ATaskWaitsForAWorkerWithItsKernelToComeBack) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  const WorkerId plain = cluster.worker(1, {"test.nop"});
  const WorkerId special = cluster.worker(1, {"test.rare"});
  cluster.submit(c, {layer_on({2}, "x", "test.rare")}, {{0, 0, 0, 2}});
  EXPECT_THAT(cluster.take<msg::Assign>(plain), IsEmpty());
  EXPECT_THAT(cluster.take<msg::Assign>(special), SizeIs(1));
  cluster.handle(WorkerLost{special, LossReason::kConnection, ""});
  EXPECT_EQ(cluster.state.counters().no_worker, 2u);
  EXPECT_THAT(cluster.take<msg::ResultErred>(c), IsEmpty());
  cluster.worker(2, {"test.rare"});
  EXPECT_EQ(cluster.state.counters().processing, 2u);
}

TEST(SchedulerCore, EqualWorkOfTwoClientsIsDoneOnce) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(4);
  const ConnectionId c1 = cluster.client(), c2 = cluster.client();
  cluster.submit(c1, {layer_on({2})}, {{0, 0, 0, 2}});
  cluster.submit(c2, {layer_on({3}, "other"), layer_on({2})}, {{1, 0, 0, 2}});
  auto assigns = cluster.take<msg::Assign>(w);
  ASSERT_THAT(assigns, SizeIs(2));
  for (const auto& assign : assigns) cluster.finish(w, assign);
  EXPECT_THAT(cluster.take<msg::ResultReady>(c1), SizeIs(2));
  const auto ready = cluster.take<msg::ResultReady>(c2);
  ASSERT_THAT(ready, SizeIs(2));
  EXPECT_EQ(ready[0].layer, 1u);  // by this client's own number
  cluster.from_client(c1, msg::CloseClient{});
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), IsEmpty());
  cluster.from_client(c2, msg::CloseClient{});
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(1));
  EXPECT_TRUE(cluster.state.empty());
}

TEST(SchedulerCore, ImpureLayersAreToldApartByTheirNonce) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(4);
  const ConnectionId c = cluster.client();
  Layer first = layer_on({}), second = layer_on({});
  first.pure = second.pure = false;
  second.nonce = 1;
  cluster.submit(c, {first, second}, {{0, 0, 0, 1}, {1, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(2));
}

TEST(SchedulerCore, ReleasedWorkIsRetractedAndNothingStartsBeforeTheAnswer) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  const msg::Assign assign = cluster.assigned(w1);
  cluster.release(c, {{0, 0, 0, 1}});
  const auto retracts = cluster.take<msg::Retract>(w1);
  ASSERT_THAT(retracts, SizeIs(1));
  EXPECT_EQ(retracts[0].attempt, assign.attempt);
  EXPECT_EQ(cluster.state.task(assign.task).phase, TaskPhase::kRetracting);
  // Wanted again before the answer: no second attempt yet, though another worker idles.
  const WorkerId w2 = cluster.worker(1);
  cluster.submit(c, {}, {{0, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::Assign>(w2), IsEmpty());
  cluster.give_back(w1, assign);
  EXPECT_EQ(cluster.state.counters().processing, 1u);
}

TEST(SchedulerCore, AResultThatCrossesItsRetractionIsFreed) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  const msg::Assign assign = cluster.assigned(w);
  cluster.release(c, {{0, 0, 0, 1}});
  cluster.finish(w, assign);
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(1));
  EXPECT_EQ(cluster.state_of(assign.task), TaskState::kForgotten);
}

TEST(SchedulerCore, CancelledWantsEndAtOnceAndAreCountedUntilReleased) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({3})}, {{0, 0, 0, 3}});
  cluster.finish(w, cluster.assigned(w));
  cluster.take<msg::ResultReady>(c);
  cluster.cancel(c, {{0, 0, 0, 3}});
  const auto erred = cluster.take<msg::ResultErred>(c);
  ASSERT_THAT(erred, SizeIs(2));  // the first had finished
  EXPECT_EQ(erred[0].error.code, ErrorCode::kCancelled);
  EXPECT_THAT(cluster.take<msg::Retract>(w), SizeIs(1));
  EXPECT_EQ(cluster.state_of(task_of(1, 0)), TaskState::kMemory);
  cluster.release(c, {{0, 0, 0, 3}});
  EXPECT_EQ(cluster.state.counters().client_anomalies, 0u);
  cluster.release(c, {{0, 0, 0, 1}});  // one too many
  EXPECT_EQ(cluster.state.counters().client_anomalies, 1u);
}

TEST(SchedulerCore, WantsAreCountedPerClientAndResult) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  cluster.submit(c, {}, {{0, 0, 0, 1}});
  cluster.finish(w, cluster.assigned(w));
  cluster.release(c, {{0, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), IsEmpty());
  cluster.release(c, {{0, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(1));
}

TEST(SchedulerCore, MissingInputsAreComputedAgainWhereNobodyHasThem) {
  //  a --> b     w2 was told that w1 holds a, but w1 does not
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({}, "a");
  cluster.submit(c, {a, reads(layer_on({2}, "b"), 0, a, {})}, {{1, 0, 0, 2}});
  cluster.finish(w1, cluster.assigned(w1));
  const WorkerId w2 = cluster.worker(1);
  ASSERT_EQ(cluster.state.counters().processing, 2u);
  const TaskInfo on_w2 = cluster.state.task(task_of(2, 1));
  ASSERT_EQ(on_w2.worker, w2);
  cluster.give_back(w2, {on_w2.attempt, task_of(2, 1), 0, {}}, {{{task_of(1, 0), 0}, w1}});
  EXPECT_EQ(cluster.state_of(task_of(1, 0)), TaskState::kProcessing);  // on w2, whose credit came back
  EXPECT_EQ(cluster.state_of(task_of(2, 1)), TaskState::kWaiting);
  EXPECT_THAT(cluster.take<msg::FreeResults>(w1), SizeIs(1));
}

TEST(SchedulerCore, AnInputThatCanNeverBeFetchedEndsTheTask) {
  SchedulerConfig config;
  config.allowed_fetch_failures = 3;
  FakeCluster cluster(config);
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  const Layer a = layer_on({}, "a");
  cluster.submit(c, {a, reads(layer_on({}, "b"), 0, a, {})}, {{1, 0, 0, 1}});
  for (int i = 0; i < 3; ++i) {
    const msg::Assign first = cluster.assigned(w);
    ASSERT_EQ(first.task, task_of(1, 0));
    cluster.finish(w, first);
    cluster.give_back(w, cluster.assigned(w), {{{task_of(1, 0), 0}, w}});
  }
  const auto erred = cluster.take<msg::ResultErred>(c);
  ASSERT_THAT(erred, SizeIs(1));
  EXPECT_EQ(erred[0].error.code, ErrorCode::kDataLost);
  EXPECT_THAT(erred[0].error.message, HasSubstr("a-"));
}

TEST(SchedulerCore, ALateReplicaOfAPureResultSparesTheComputation) {
  FakeCluster cluster;
  const WorkerId w1 = cluster.worker(1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  const msg::Assign assign = cluster.assigned(w1);
  const WorkerId w2 = cluster.worker(1);
  cluster.from_worker(w2, msg::ReplicasAdded{{{assign.task, 0}}});
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::Retract>(w1), SizeIs(1));
  cluster.give_back(w1, assign);
  EXPECT_EQ(cluster.state_of(assign.task), TaskState::kMemory);
}

TEST(SchedulerCore, ResultsThatNobodyNeedsAreFreedWhereTheyTurnUp) {
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  cluster.from_worker(w, msg::ReplicasAdded{{{task_of(7, 3), 0}}});
  const auto freed = cluster.take<msg::FreeResults>(w);
  ASSERT_THAT(freed, SizeIs(1));
  EXPECT_THAT(freed[0].results, ElementsAre(ResultId{task_of(7, 3), 0}));
}

TEST(SchedulerCore, SeveralOutputsHaveLivesOfTheirOwn) {
  //  a[0], a[1]; the client wants a[1]; b reads a[0]
  FakeCluster cluster;
  const WorkerId w = cluster.worker(1);
  const ConnectionId c = cluster.client();
  Layer a = layer_on({}, "a");
  a.outputs.push_back(a.outputs[0]);
  a.outputs.push_back(a.outputs[0]);
  cluster.submit(c, {a, reads(layer_on({}, "b"), 0, a, {}, 0)}, {{1, 0, 0, 1}, {0, 1, 0, 1}});
  const msg::Assign first = cluster.assigned(w);
  cluster.finish(w, first, {10, 20, 30});
  auto freed = cluster.take<msg::FreeResults>(w);
  ASSERT_THAT(freed, SizeIs(1));
  EXPECT_THAT(freed[0].results, ElementsAre(ResultId{first.task, 2}));
  auto ready = cluster.take<msg::ResultReady>(c);
  ASSERT_THAT(ready, SizeIs(1));
  EXPECT_EQ(ready[0].output, 1);
  EXPECT_EQ(ready[0].nbytes, 20u);
  cluster.finish(w, cluster.assigned(w));
  freed = cluster.take<msg::FreeResults>(w);
  ASSERT_THAT(freed, SizeIs(1));
  EXPECT_THAT(freed[0].results, ElementsAre(ResultId{first.task, 0}));

  // An output that was let go is needed again: the whole task runs again, the kept output stays where it is.
  cluster.submit(c, {}, {{0, 2, 0, 1}});
  EXPECT_EQ(cluster.state_of(first.task), TaskState::kProcessing);
  EXPECT_THAT(cluster.state.task(first.task).outputs[1].holders, ElementsAre(w));
  cluster.finish(w, cluster.assigned(w), {10, 20, 30});
  ready = cluster.take<msg::ResultReady>(c);
  EXPECT_THAT(ready, SizeIs(2));  // b's, and the third output's
}

}  // namespace
}  // namespace tegula::scheduler
