// Workers that come back with what they hold: to the same scheduler, and to one that was started again.
#include <algorithm>
#include <set>

#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

LayerHash hash_of(const Layer& layer, std::vector<LayerHash> inputs = {}) {
  return hash_layer(layer, [&](LayerNumber number) { return inputs.at(number); });
}

msg::RegisterWorker registration(const std::string& name, std::uint64_t instance, std::uint32_t parts = 0) {
  msg::RegisterWorker about;
  about.name = name;
  about.address = "inproc://" + name;
  about.threads = 1;
  about.kernels = {"test.nop"};
  about.slots_granted = 2;
  about.instance = instance;
  about.inventory_parts = parts;
  return about;
}

class Recovery : public testing::Test {
 protected:
  // source -> sink, each with four tasks; the sink's are wanted.
  void submit(ConnectionId client) { cluster.submit(client, {source, sink}, {{1, 0, 0, 4}}); }
  WorkerId join(const std::string& name, std::uint64_t instance, std::uint32_t parts = 0) {
    const auto id = static_cast<WorkerId>(++cluster.last_worker);
    cluster.granted[id] = 2;
    cluster.handle(WorkerJoined{id, registration(name, instance, parts)});
    return id;
  }
  void bring(WorkerId worker, std::uint32_t part, std::vector<msg::Inventory::Held> results) {
    cluster.from_worker(worker, msg::Inventory{part, std::move(results)});
  }
  std::vector<std::uint32_t> taken(WorkerId worker) {
    std::vector<std::uint32_t> layers;
    for (const auto& answer : cluster.take<msg::InventoryTaken>(worker)) {
      for (const LayerId layer : answer.layers) layers.push_back(static_cast<std::uint32_t>(layer));
    }
    return layers;
  }
  void pass(std::chrono::nanoseconds time) {
    cluster.now += time;
    cluster.handle(Tick{});
  }

  FakeCluster cluster;
  const Layer source = layer_on({4}, "source");
  const Layer sink = reads(layer_on({4}, "sink"), 0, source, {SameBlock{0}});
  const LayerHash source_hash = hash_of(source), sink_hash = hash_of(sink, {source_hash});
};

TEST_F(Recovery, NothingIsComputedBeforeTheWindowCloses) {
  const WorkerId w = join("w", 1, 1);
  const ConnectionId c = cluster.client();
  submit(c);
  EXPECT_TRUE(cluster.state.recovering());
  EXPECT_THAT(cluster.take<msg::Assign>(w), IsEmpty());
  bring(w, 1,
        {{sink_hash, 0, 0, 80},
         {source_hash, 0, 0, 80},
         {source_hash, 1, 0, 80},
         {{7, 7}, 0, 0, 80},
         {sink_hash, 9, 0, 80},
         {sink_hash, 0, 1, 80}});
  EXPECT_THAT(taken(w), IsEmpty());
  pass(std::chrono::seconds(4));
  EXPECT_FALSE(cluster.state.recovering());
  // Wanted: sink 0. Read by a wanted one that is not there: source 1. Source 0 is taken and freed again, as its only
  // reader came with it. The rest is of no use.
  EXPECT_THAT(taken(w), ElementsAre(2, 1, 1, 0, 0, 0));
  const auto freed = cluster.take<msg::FreeResults>(w);
  ASSERT_THAT(freed, SizeIs(1));
  EXPECT_THAT(freed[0].results, ElementsAre(ResultId{make_task_id(LayerId{1}, 0), 0}));
  const auto ready = cluster.take<msg::ResultReady>(c);
  ASSERT_THAT(ready, SizeIs(1));
  EXPECT_EQ(ready[0].index, 0u);
  EXPECT_EQ(ready[0].nbytes, 80u);
  for (const msg::Assign& assign : cluster.take<msg::Assign>(w)) {
    EXPECT_NE(assign.task, make_task_id(LayerId{1}, 0)) << "its only reader is there already";
    EXPECT_NE(assign.task, make_task_id(LayerId{1}, 1));
    EXPECT_NE(assign.task, make_task_id(LayerId{2}, 0));
  }
  EXPECT_EQ(cluster.state.counters().inventory_kept, 3u);
}

TEST_F(Recovery, TheWindowWaitsForAnInventoryThatIsUnderWayButNotForEver) {
  join("w", 1, 2);
  submit(cluster.client());
  pass(std::chrono::seconds(4));
  EXPECT_TRUE(cluster.state.recovering());
  pass(std::chrono::seconds(4));
  EXPECT_FALSE(cluster.state.recovering());
}

TEST_F(Recovery, AClientOfAFormerLifeOpensTheWindowToo) {
  cluster.handle(ClientConnected{ConnectionId{50}, {1234, 99, "c"}, 5, 5});
  EXPECT_EQ(cluster.take<msg::ClientAttached>(ConnectionId{50}).front().session, 0u);
  EXPECT_TRUE(cluster.state.recovering());
  const WorkerId w = join("w", 1);
  submit(cluster.client());
  EXPECT_THAT(cluster.take<msg::Assign>(w), IsEmpty());
  pass(std::chrono::seconds(4));
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(2));
}

TEST_F(Recovery, AFreshClusterWaitsForNobody) {
  const WorkerId w = join("w", 1);
  submit(cluster.client());
  EXPECT_FALSE(cluster.state.recovering());
  EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(2));
}

TEST_F(Recovery, AWorkerWhoseConnectionBrokeBringsBackWhatIsNeeded) {
  cluster.handle(Tick{});
  cluster.now += std::chrono::seconds(10);  // no scheduler that was just started
  const WorkerId w = join("w", 1);
  const ConnectionId c = cluster.client();
  submit(c);
  cluster.finish(w, cluster.take<msg::Assign>(w).at(0));
  cluster.handle(WorkerLost{w, LossReason::kConnection, "reset"});
  const WorkerId again = join("w", 1, 1);
  EXPECT_FALSE(cluster.state.recovering());
  auto assigns = cluster.take<msg::Assign>(again);
  ASSERT_THAT(assigns, SizeIs(2)) << "it starts on what was lost";
  bring(again, 1, {{source_hash, 0, 0, 10}});
  EXPECT_THAT(taken(again), ElementsAre(1));
  // The attempt that makes it once more is asked back.
  EXPECT_THAT(cluster.take<msg::Retract>(again), SizeIs(1));
}

// The worker frees by name, and its attempt may end before or after it hears of that: its result is not to be had.
TEST_F(Recovery, AResultIsNotCountedOnWhenACopyOfItWasFreedMeanwhile) {
  cluster.handle(Tick{});
  cluster.now += std::chrono::seconds(10);
  const WorkerId w = join("w", 1, 1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {source}, {{0, 0, 0, 1}});
  const msg::Assign attempt = cluster.assigned(w);
  bring(w, 1, {{source_hash, 0, 0, 80}});
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(1));
  cluster.release(c, {{0, 0, 0, 1}});
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(1));
  cluster.submit(c, {}, {{0, 0, 0, 1}});
  cluster.finish(w, attempt);
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), IsEmpty());
  EXPECT_THAT(cluster.take<msg::FreeResults>(w), SizeIs(1)) << "it may be there after all";
  cluster.finish(w, cluster.assigned(w));
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(1));
  EXPECT_EQ(cluster.state.counters().stale_answers, 0u);
}

TEST_F(Recovery, AnImpureResultIsKeptWhereItIsTheOnlyOne) {
  Layer impure = layer_on({2}, "impure");
  impure.pure = false;
  impure.nonce = 5;
  const LayerHash hash = hash_of(impure);
  const WorkerId a = join("a", 1, 1), b = join("b", 2, 1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {impure}, {{0, 0, 0, 2}});
  bring(a, 1, {{hash, 0, 0, 10}});
  bring(b, 1, {{hash, 0, 0, 20}, {hash, 1, 0, 20}});
  pass(std::chrono::seconds(4));
  EXPECT_THAT(taken(a), ElementsAre(1));
  EXPECT_THAT(taken(b), ElementsAre(0, 1)) << "two versions of one result: the first is it";
}

TEST_F(Recovery, OneOutputOfSeveralIsKeptAndTheOtherComputed) {
  Layer pair = layer_on({2}, "pair");
  pair.outputs.push_back(pair.outputs[0]);
  const LayerHash hash = hash_of(pair);
  const WorkerId w = join("w", 1, 1);
  const ConnectionId c = cluster.client();
  cluster.submit(c, {pair}, {{0, 0, 0, 2}, {0, 1, 0, 1}});
  bring(w, 1, {{hash, 0, 0, 10}, {hash, 1, 0, 10}});
  pass(std::chrono::seconds(4));
  EXPECT_THAT(taken(w), ElementsAre(1, 1));
  const msg::Assign assign = cluster.assigned(w);
  EXPECT_EQ(assign.task, make_task_id(LayerId{1}, 0)) << "its second output is wanted and nowhere";
  EXPECT_THAT(cluster.take<msg::ResultReady>(c), SizeIs(2));
  cluster.finish(w, assign, {10, 10});
  cluster.release(c, {{0, 0, 0, 2}, {0, 1, 0, 1}});
  cluster.forget(c, {0});
  EXPECT_TRUE(cluster.state.tasks().empty());
}

TEST_F(Recovery, ALostWorkersInventoryIsForgotten) {
  const WorkerId w = join("w", 1, 1);
  bring(w, 1, {{source_hash, 0, 0, 10}});
  cluster.handle(WorkerLost{w, LossReason::kConnection, ""});
  submit(cluster.client());
  pass(std::chrono::seconds(4));
  EXPECT_EQ(cluster.state.counters().inventory_kept, 0u);
}

TEST_F(Recovery, WhatIsKeptHasItsLayerDefinedBesideItsName) {
  const WorkerId w = join("w", 1, 1);
  submit(cluster.client());
  bring(w, 1, {{sink_hash, 0, 0, 80}, {{7, 7}, 0, 0, 80}});
  pass(std::chrono::seconds(4));
  const auto& sent = cluster.sent_to_worker[w];
  const auto answer = std::find_if(sent.begin(), sent.end(), [](const msg::Message& message) {
    return std::holds_alternative<msg::InventoryTaken>(message);
  });
  const bool defined = std::any_of(sent.begin(), answer, [&](const msg::Message& message) {
    const auto* define = std::get_if<msg::DefineLayer>(&message);
    return define != nullptr && define->hash == sink_hash;
  });
  EXPECT_TRUE(defined) << "it could not say another time what it holds";
}

TEST_F(Recovery, AFetchedCopysLayerIsDefinedToo) {
  const WorkerId a = join("a", 1);
  submit(cluster.client());
  cluster.finish(a, cluster.take<msg::Assign>(a).at(0));
  const auto idle = static_cast<WorkerId>(++cluster.last_worker);
  msg::RegisterWorker about = registration("idle", 2);
  about.slots_granted = 0;
  cluster.handle(WorkerJoined{idle, about});
  EXPECT_THAT(cluster.take<msg::DefineLayer>(idle), IsEmpty());
  for (int i = 0; i < 2; ++i) cluster.from_worker(idle, msg::ReplicasAdded{{{make_task_id(LayerId{1}, 0), 0}}});
  EXPECT_THAT(cluster.take<msg::DefineLayer>(idle), SizeIs(1));
}

TEST_F(Recovery, OneThatDrainsWhileTheWindowIsOpenLosesNothing) {
  const WorkerId w = join("w", 1, 1), other = join("v", 2);
  submit(cluster.client());
  bring(w, 1, {{sink_hash, 0, 0, 80}});
  cluster.from_worker(w, msg::WorkerDraining{"its lifetime ends"});
  EXPECT_THAT(cluster.take<msg::Shutdown>(w), IsEmpty()) << "what it holds has not been looked at";
  pass(std::chrono::seconds(4));
  const auto wanted = cluster.take<msg::AcquireReplicas>(other);
  ASSERT_THAT(wanted, SizeIs(1));
  const ResultId held{make_task_id(LayerId{2}, 0), 0};
  EXPECT_EQ(wanted[0].results.at(0).result, held);
  cluster.from_worker(other, msg::ReplicasAdded{{held}});
  EXPECT_THAT(cluster.take<msg::Shutdown>(w), SizeIs(1));
}

TEST_F(Recovery, OneThatDrainsBeforeItHasToldWhatItHoldsIsHeardFirst) {
  cluster.handle(Tick{});
  cluster.now += std::chrono::seconds(10);
  const WorkerId other = join("v", 2);
  submit(cluster.client());
  const WorkerId w = join("w", 1, 1);
  cluster.from_worker(w, msg::WorkerDraining{"its lifetime ends"});
  EXPECT_THAT(cluster.take<msg::Shutdown>(w), IsEmpty());
  bring(w, 1, {{sink_hash, 3, 0, 80}});
  EXPECT_THAT(cluster.take<msg::AcquireReplicas>(other), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::Shutdown>(w), IsEmpty());
}

TEST_F(Recovery, WhatIsBroughtAndLostInOneTurnIsMade) {
  cluster.handle(Tick{});
  cluster.now += std::chrono::seconds(10);
  const ConnectionId c = cluster.client();
  submit(c);
  const WorkerId w = join("w", 1, 1);
  cluster.handle_together({FromWorker{w, msg::Inventory{1, {{sink_hash, 3, 0, 80}, {source_hash, 2, 0, 80}}}},
                           WorkerLost{w, LossReason::kConnection, "reset"}});
  const WorkerId other = join("v", 2);
  for (int turn = 0; turn < 20; ++turn) {
    for (const msg::Assign& assign : cluster.take<msg::Assign>(other)) cluster.finish(other, assign);
  }
  std::set<std::uint32_t> ready;
  for (const auto& news : cluster.take<msg::ResultReady>(c)) ready.insert(news.index);
  EXPECT_THAT(ready, SizeIs(4));
  EXPECT_EQ(cluster.state.counters().memory, 4u);
}

// ---- blame ----

TEST_F(Recovery, AProcessThatComesBackWasNotDead) {
  const ConnectionId c = cluster.client();
  submit(c);
  for (int i = 0; i < 10; ++i) {
    const WorkerId w = join("w", 1);
    EXPECT_THAT(cluster.take<msg::Assign>(w), SizeIs(2));
    cluster.handle(WorkerLost{w, LossReason::kConnection, "reset"});
    pass(std::chrono::seconds(3));
  }
  EXPECT_THAT(cluster.take<msg::ResultErred>(c), IsEmpty());
  for (std::uint64_t process = 2; process < 5; ++process) {
    const WorkerId w = join("w", process);
    cluster.handle(WorkerLost{w, LossReason::kConnection, "reset"});
  }
  EXPECT_THAT(cluster.take<msg::ResultErred>(c), testing::Not(IsEmpty())) << "these were other processes";
}

// ---- names ----

TEST_F(Recovery, AProcessDoesNotLoseItsNameToItsOwnFormerConnection) {
  const WorkerId holder = join("w", 1);
  const WorkerId first = join("w", 2), second = join("w", 2);
  EXPECT_TRUE(cluster.closed_workers.contains(first));
  pass(std::chrono::seconds(5));
  EXPECT_TRUE(cluster.closed_workers.contains(holder));
  EXPECT_THAT(cluster.take<msg::WorkerRegistered>(second), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::WorkerRefused>(second), IsEmpty());
}

TEST_F(Recovery, AProcessThatConnectsAnewReplacesItsFormerSelf) {
  const WorkerId w = join("w", 1);
  submit(cluster.client());
  const auto assigns = cluster.take<msg::Assign>(w);
  const WorkerId again = join("w", 1);
  EXPECT_TRUE(cluster.closed_workers.contains(w));
  EXPECT_THAT(cluster.take<msg::WorkerRegistered>(again), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::Assign>(again), SizeIs(assigns.size()));
}

TEST_F(Recovery, ASilentWorkersNameIsTakenOver) {
  const WorkerId w = join("w", 1);
  const WorkerId other = join("w", 2);
  EXPECT_THAT(cluster.take<msg::WorkerRegistered>(other), IsEmpty());
  EXPECT_FALSE(cluster.closed_workers.contains(w));
  pass(std::chrono::seconds(5));
  EXPECT_TRUE(cluster.closed_workers.contains(w));
  EXPECT_THAT(cluster.take<msg::WorkerRegistered>(other), SizeIs(1));
}

TEST_F(Recovery, ALiveWorkerKeepsItsName) {
  const WorkerId w = join("w", 1);
  const WorkerId other = join("w", 2);
  cluster.now += std::chrono::milliseconds(200);
  cluster.from_worker(w, msg::WorkerHeartbeat{});
  EXPECT_THAT(cluster.take<msg::WorkerRefused>(other).front().reason, HasSubstr("'w'"));
  EXPECT_TRUE(cluster.closed_workers.contains(other));
  EXPECT_FALSE(cluster.closed_workers.contains(w));
}

TEST_F(Recovery, ANameIsFreeWhenItsWorkerIsLost) {
  const WorkerId w = join("w", 1);
  const WorkerId other = join("w", 2), gone = join("w", 3);
  cluster.handle(WorkerLost{gone, LossReason::kConnection, ""});
  cluster.handle(WorkerLost{w, LossReason::kConnection, ""});
  EXPECT_THAT(cluster.take<msg::WorkerRegistered>(other), SizeIs(1));
  EXPECT_THAT(cluster.take<msg::WorkerRegistered>(gone), IsEmpty());
  EXPECT_EQ(cluster.state.counters().workers, 1u);
}

// ---- attempts that differ ----

TEST_F(Recovery, AMessageThatGotLostIsNoticedWhenNothingMoves) {
  cluster.now = std::chrono::seconds(1);
  const WorkerId w = join("w", 1);
  submit(cluster.client());
  const auto assigns = cluster.take<msg::Assign>(w);
  ASSERT_THAT(assigns, SizeIs(2));
  msg::WorkerHeartbeat beat;
  beat.received = 1;  // the second never came
  beat.attempts_hash = msg::mix(assigns[0].attempt);
  for (int i = 0; i < 10; ++i) {
    cluster.from_worker(w, beat);
    cluster.now += std::chrono::seconds(1);
  }
  EXPECT_FALSE(cluster.closed_workers.contains(w));
  cluster.now += std::chrono::seconds(1);
  cluster.from_worker(w, beat);
  EXPECT_TRUE(cluster.closed_workers.contains(w));
  EXPECT_EQ(cluster.state.counters().heartbeat_mismatches, 1u);
  const WorkerId again = join("w", 1);
  EXPECT_THAT(cluster.take<msg::Assign>(again), SizeIs(2)) << "all of it is bound anew";
}

// ---- the journal ----

TEST(JournaledCore, ARefusalForWantOfRoomIsWrittenDown) {
  SchedulerConfig config;
  config.journal = true;
  FakeCluster cluster(config);
  const ConnectionId c = cluster.client();
  cluster.persisted.clear();
  cluster.handle(FromClient{c, msg::Submit{1, 0, {shared(layer_on({1}))}, {}, {}}, "no room"});
  EXPECT_THAT(cluster.take<msg::SubmitRefused>(c), SizeIs(1));
  ASSERT_THAT(cluster.persisted, SizeIs(1)) << "its number is used up, which the next life must know";
  const auto* refused = std::get_if<msg::SubmitRefused>(&cluster.persisted[0].message);
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(refused->sequence, 1u);
}

}  // namespace
}  // namespace tegula::scheduler
