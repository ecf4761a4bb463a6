// What workers die of, who reports it, and which tasks are to blame; workers that wish to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using msg::DeathCause;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class Blame : public ::testing::Test {
 protected:
  static SchedulerConfig config() {
    SchedulerConfig config;
    config.allowed_deaths = 2;
    return config;
  }
  // With a nanny, of the same number.
  WorkerId worker(std::uint32_t threads = 1, std::uint64_t lifetime_ms = 0) {
    const auto id = static_cast<WorkerId>(++cluster_.last_worker);
    msg::RegisterWorker about;
    about.name = "w" + std::to_string(cluster_.last_worker);
    about.address = "inproc://" + about.name;
    about.threads = threads;
    about.kernels = {"test.nop"};
    about.slots_granted = cluster_.granted[id] = 2 * threads;
    about.nanny = nanny_of(id);
    about.life = 1;
    about.lifetime_ms = lifetime_ms;
    cluster_.handle(WorkerJoined{id, about});
    return id;
  }
  static std::uint64_t nanny_of(WorkerId id) { return 100 + static_cast<std::uint64_t>(id); }
  void lose(WorkerId id, LossReason reason = LossReason::kConnection) {
    cluster_.handle(WorkerLost{id, reason, "connection reset"});
  }
  void report(WorkerId id, DeathCause cause, std::vector<AttemptId> executing,
              const std::string& detail = "signal 11") {
    cluster_.handle(DeathReported{{"w", nanny_of(id), 1, cause, detail, std::move(executing)}});
  }
  std::vector<msg::ResultErred> erred() { return cluster_.take<msg::ResultErred>(client_); }
  void submit(std::uint32_t tasks) { cluster_.submit(client_, {layer_on({tasks}, "bomb")}, {{0, 0, 0, tasks}}); }
  void after(std::chrono::nanoseconds time) {
    cluster_.now += time;
    cluster_.handle(Tick{});
  }

  FakeCluster cluster_{config()};
  ConnectionId client_ = cluster_.client();
};

TEST_F(Blame, FallsOnWhatWasExecutedByTheReportsCause) {
  submit(2);
  for (int death = 0; death < 2; ++death) {
    const WorkerId w = worker();
    const auto assigns = cluster_.take<msg::Assign>(w);  // one executes, the other waits behind it
    ASSERT_THAT(assigns, SizeIs(2));
    lose(w);
    EXPECT_THAT(erred(), IsEmpty()) << "blame waits for the report";
    report(w, DeathCause::kSignal, {assigns[0].attempt}, death == 0 ? "signal 11" : "for want of memory");
  }
  const auto errors = erred();
  ASSERT_THAT(errors, SizeIs(1)) << "the one that was only near goes on";
  EXPECT_EQ(errors[0].error.code, ErrorCode::kKilledWorker);
  EXPECT_EQ(errors[0].index, 0u);
  EXPECT_THAT(errors[0].error.message,
              AllOf(HasSubstr("w1: signal 11"), HasSubstr("w2: for want of memory"), Not(HasSubstr("not certain"))));
}

TEST_F(Blame, TheReportMayComeFirst) {
  submit(1);
  for (int death = 0; death < 2; ++death) {
    const WorkerId w = worker();
    const msg::Assign assign = cluster_.assigned(w);
    report(w, DeathCause::kHung, {assign.attempt});
    EXPECT_EQ(cluster_.state.counters().workers, 1u) << "a report alone sends nobody away";
    lose(w);
  }
  EXPECT_THAT(erred(), SizeIs(1));
}

TEST_F(Blame, TasksGoOnElsewhereMeanwhileAndAreFetchedBackWhenToBlame) {
  submit(1);
  const WorkerId first = worker();
  const msg::Assign before = cluster_.assigned(first);
  lose(first);
  const WorkerId second = worker();
  const msg::Assign again = cluster_.assigned(second);  // at once
  EXPECT_EQ(again.task, before.task);
  lose(second);
  const WorkerId third = worker();
  const msg::Assign last = cluster_.assigned(third);
  report(first, DeathCause::kOutOfMemory, {before.attempt});
  report(second, DeathCause::kOverMemory, {again.attempt});
  EXPECT_THAT(erred(), SizeIs(1));
  const auto retracts = cluster_.take<msg::Retract>(third);
  ASSERT_THAT(retracts, SizeIs(1));
  EXPECT_EQ(retracts[0].attempt, last.attempt);
  EXPECT_TRUE(retracts[0].cancel);
}

TEST_F(Blame, WhyTellsOfWorkersThatDiedWithATask) {
  submit(1);
  const WorkerId first = worker();
  const msg::Assign before = cluster_.assigned(first);
  lose(first);
  EXPECT_THAT(cluster_.state.why(before.task), HasSubstr("w1 is gone, which had it, and its nanny is yet to say"));
  report(first, DeathCause::kSignal, {before.attempt}, "signal 11");
  EXPECT_THAT(cluster_.state.why(before.task),
              AllOf(HasSubstr("is ready, but no worker is connected"),
                    HasSubstr("1 worker died with it before: w1: signal 11, of the 2 after which it would fail")));
  const WorkerId second = worker();
  EXPECT_THAT(cluster_.state.why(before.task), AllOf(HasSubstr("is bound to worker w2"), HasSubstr("w1: signal 11")));
  cluster_.finish(second, cluster_.assigned(second));
  EXPECT_THAT(cluster_.state.why(before.task), Not(HasSubstr("died")));
}

// ---- what status tells ----

TEST_F(Blame, DeathsAreToldWithWhatTheNannySays) {
  const WorkerId w = worker();
  cluster_.now += std::chrono::seconds(5);
  const Time then = cluster_.now;
  lose(w);
  ASSERT_THAT(cluster_.state.deaths(), SizeIs(1));
  EXPECT_EQ(cluster_.state.deaths()[0].cause, "connection reset");
  EXPECT_FALSE(cluster_.state.deaths()[0].certain);
  cluster_.now += std::chrono::seconds(1);
  report(w, DeathCause::kOutOfMemory, {}, "killed for want of memory");
  const std::vector<WorkerDeath> deaths = cluster_.state.deaths();
  ASSERT_THAT(deaths, SizeIs(1));
  EXPECT_EQ(deaths[0].worker, "w1");
  EXPECT_EQ(deaths[0].cause, "killed for want of memory");
  EXPECT_TRUE(deaths[0].certain);
  EXPECT_EQ(deaths[0].time, then);
  EXPECT_EQ(cluster_.state.counters().workers_died, 1u);
}

TEST_F(Blame, OnlyDeathsAreToldAsSuch) {
  lose(worker(), LossReason::kOrderly);
  const WorkerId ended = worker();
  lose(ended);
  report(ended, DeathCause::kOrderly, {});
  const WorkerId tired = worker(1, /*lifetime_ms=*/1000);
  EXPECT_EQ(cluster_.state.workers().at(0).ends_at, cluster_.now + std::chrono::seconds(1));
  cluster_.now += std::chrono::seconds(2);
  lose(tired);
  EXPECT_THAT(cluster_.state.deaths(), IsEmpty());
  EXPECT_EQ(cluster_.state.counters().workers_died, 0u);
}

TEST_F(Blame, AWorkerThatTurnsUpAgainHadNotDied) {
  msg::RegisterWorker about;
  about.name = "back";
  about.threads = 1;
  about.instance = 77;
  cluster_.handle(WorkerJoined{WorkerId{50}, about});
  lose(WorkerId{50});
  EXPECT_EQ(cluster_.state.counters().workers_died, 1u);
  cluster_.handle(WorkerJoined{WorkerId{51}, about});
  EXPECT_EQ(cluster_.state.counters().workers_died, 0u);
  EXPECT_THAT(cluster_.state.deaths(), IsEmpty());
}

TEST_F(Blame, TheLastDeathsAreKept) {
  for (int i = 0; i < 40; ++i) lose(worker());
  ASSERT_THAT(cluster_.state.deaths(), SizeIs(32));
  EXPECT_EQ(cluster_.state.deaths().front().worker, "w9");
  EXPECT_EQ(cluster_.state.counters().workers_died, 40u);
}

TEST_F(Blame, NobodyIsToBlameForDeathsThatOthersBrought) {
  submit(1);
  for (int death = 0; death < 20; ++death) {
    const WorkerId w = worker();
    const msg::Assign assign = cluster_.assigned(w);
    lose(w);
    report(w, DeathCause::kOrderly, {assign.attempt});
  }
  EXPECT_THAT(erred(), IsEmpty());
}

TEST_F(Blame, KilledByWhoKnowsWhomCountsForLess) {
  submit(1);
  int deaths = 0;
  for (std::vector<msg::ResultErred> errors; errors.empty() && deaths < 20; errors = erred()) {
    const WorkerId w = worker();
    const msg::Assign assign = cluster_.assigned(w);
    lose(w);
    report(w, DeathCause::kKilled, {assign.attempt}, "signal 9");
    ++deaths;
  }
  EXPECT_EQ(deaths, 6);
}

TEST_F(Blame, WithoutAReportItIsGuessedAfterAMoment) {
  submit(1);
  for (int death = 0; death < 2; ++death) {
    const WorkerId w = worker();
    cluster_.assigned(w);
    lose(w);
    after(std::chrono::seconds(1));
    EXPECT_THAT(erred(), IsEmpty());
    after(std::chrono::seconds(1));
  }
  const auto errors = erred();
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_THAT(errors[0].error.message,
              HasSubstr("w2: connection reset (whether it executed this task is not certain)"));
}

TEST_F(Blame, AMachineThatVanishedSaysLittleAboutItsTasks) {
  submit(1);
  for (int death = 0; death < 3; ++death) {
    const WorkerId w = worker();
    cluster_.assigned(w);
    lose(w, LossReason::kHeartbeat);
    after(std::chrono::seconds(3));
  }
  EXPECT_THAT(erred(), IsEmpty());
}

TEST_F(Blame, AnOverdueLifetimeIsNobodysFault) {
  submit(1);
  for (int death = 0; death < 5; ++death) {
    const WorkerId w = worker(1, /*lifetime_ms=*/1000);
    cluster_.assigned(w);
    cluster_.now += std::chrono::seconds(2);
    lose(w);
    after(std::chrono::seconds(3));
  }
  EXPECT_THAT(erred(), IsEmpty());
}

TEST_F(Blame, ReportsOfStrangersAndOldLivesChangeNothing) {
  submit(1);
  const WorkerId w = worker();
  const msg::Assign assign = cluster_.assigned(w);
  for (const std::uint64_t nanny : {std::uint64_t{0}, std::uint64_t{7}, nanny_of(w)}) {
    const std::uint32_t life = nanny == nanny_of(w) ? 2 : 1;
    for (int i = 0; i < 5; ++i)
      cluster_.handle(DeathReported{{"w", nanny, life, DeathCause::kSignal, "", {assign.attempt}}});
  }
  EXPECT_EQ(cluster_.state.counters().workers, 1u);
  cluster_.finish(w, assign);
  EXPECT_EQ(cluster_.state_of(assign.task), TaskState::kMemory);
  lose(w);
  report(w, DeathCause::kSignal, {assign.attempt});
  report(w, DeathCause::kSignal, {assign.attempt});
  EXPECT_THAT(erred(), IsEmpty());
}

TEST_F(Blame, ANewLifeUnderTheSameNannyTakesTheNamesPlace) {
  submit(1);
  const WorkerId before = worker();
  cluster_.assigned(before);
  msg::RegisterWorker again;
  again.name = "w1";
  again.threads = 1;
  again.kernels = {"test.nop"};
  again.slots_granted = 1;
  again.nanny = nanny_of(before);
  again.life = 2;
  const WorkerId after_it{9};
  cluster_.handle(WorkerJoined{after_it, again});
  EXPECT_TRUE(cluster_.closed_workers.contains(before));
  EXPECT_THAT(cluster_.take<msg::Assign>(after_it), SizeIs(1)) << "what the old one had";
  again.nanny = 5;
  cluster_.handle(WorkerJoined{WorkerId{10}, again});
  cluster_.now += std::chrono::milliseconds(100);
  cluster_.from_worker(after_it, msg::WorkerHeartbeat{});  // it lives
  EXPECT_THAT(cluster_.take<msg::WorkerRefused>(WorkerId{10}), SizeIs(1)) << "somebody else's name";
}

// ---- workers that wish to end ----

TEST(Draining, ResultsGoToOthersWhatRunsIsFinishedAndNothingIsComputedAgain) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  const WorkerId leaving = cluster.worker(2);
  cluster.submit(c, {layer_on({2})}, {{0, 0, 0, 2}});
  const auto assigns = cluster.take<msg::Assign>(leaving);
  ASSERT_THAT(assigns, SizeIs(2));
  const WorkerId stays = cluster.worker(1);
  cluster.from_worker(leaving, msg::TaskRunning{assigns[1].attempt, assigns[1].task});  // it executes
  cluster.take<msg::Retract>(leaving);
  cluster.finish(leaving, assigns[0]);
  cluster.from_worker(leaving, msg::WorkerDraining{"scaled down"});
  for (const msg::Assign& assign : assigns) {
    if (assign.attempt == assigns[1].attempt) {
      EXPECT_THAT(cluster.take<msg::Shutdown>(leaving), IsEmpty()) << "it has something to do";
      cluster.finish(leaving, assign);
    }
    const auto copies = cluster.take<msg::AcquireReplicas>(stays);
    ASSERT_THAT(copies, SizeIs(1));
    cluster.from_worker(stays, msg::ReplicasAdded{{{assign.task, 0}}});
  }
  EXPECT_THAT(cluster.take<msg::Shutdown>(leaving), SizeIs(1));
  EXPECT_TRUE(cluster.closed_workers.contains(leaving));
  EXPECT_EQ(cluster.state.counters().tasks_recomputed, 0u);
  for (const msg::Assign& assign : assigns) EXPECT_EQ(cluster.state_of(assign.task), TaskState::kMemory);
}

TEST(Draining, WithNobodyToLeaveItsResultsToAWorkerGoesAtOnce) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  const WorkerId first = cluster.worker(1), second = cluster.worker(1);
  cluster.submit(c, {layer_on({2})}, {{0, 0, 0, 2}});
  cluster.finish(first, cluster.assigned(first));
  cluster.from_worker(first, msg::WorkerDraining{""});
  EXPECT_FALSE(cluster.closed_workers.contains(first));
  cluster.from_worker(second, msg::WorkerDraining{""});
  EXPECT_TRUE(cluster.closed_workers.contains(first));
  EXPECT_TRUE(cluster.closed_workers.contains(second));
  EXPECT_EQ(cluster.state.counters().tasks_failed, 0u);
  EXPECT_THAT(cluster.take<msg::ResultErred>(c), IsEmpty());
}

TEST(Draining, WhatFindsNoTakerIsLeftBehind) {
  FakeCluster cluster;
  const ConnectionId c = cluster.client();
  const WorkerId leaving = cluster.worker(1);
  cluster.submit(c, {layer_on({})}, {{0, 0, 0, 1}});
  const msg::Assign assign = cluster.assigned(leaving);
  cluster.finish(leaving, assign);
  const WorkerId full = cluster.worker(1);
  cluster.from_worker(leaving, msg::WorkerDraining{""});
  ASSERT_THAT(cluster.take<msg::AcquireReplicas>(full), SizeIs(1));
  cluster.from_worker(full, msg::ReplicasDropped{{{assign.task, 0}}});
  EXPECT_TRUE(cluster.closed_workers.contains(leaving));
  EXPECT_EQ(cluster.state_of(assign.task), TaskState::kProcessing) << "it is computed again";
}

}  // namespace
}  // namespace tegula::scheduler
