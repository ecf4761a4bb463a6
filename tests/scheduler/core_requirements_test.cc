// Restrictions, resources and retries of a submission.
#include <cmath>

#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

class Requirements : public ::testing::Test {
 protected:
  WorkerId worker(const std::string& host, std::vector<msg::Resource> resources = {}, std::uint64_t slots = 2) {
    const auto id = static_cast<WorkerId>(++cluster.last_worker);
    msg::RegisterWorker about;
    about.name = "w" + std::to_string(cluster.last_worker);
    about.address = "tcp://" + about.name + ":1";
    about.host = host;
    about.threads = 1;
    about.kernels = {"test.nop"};
    about.slots_granted = cluster.granted[id] = slots;
    about.resources = std::move(resources);
    about.memory_limit = memory_limit;
    cluster.handle(WorkerJoined{id, about});
    return id;
  }
  WorkerId worker_with_memory(std::uint64_t bytes, std::uint64_t slots = 2) {
    memory_limit = bytes;
    return worker("alpha", {}, slots);
  }
  void too_large(WorkerId w, const msg::Assign& assign) {
    ErrorInfo error;
    error.code = ErrorCode::kTaskTooLarge;
    error.message = "needs more than there is";
    cluster.handle_together({FromWorker{w, msg::GrantCredit{++cluster.granted[w]}},
                             FromWorker{w, msg::TaskFailed{assign.attempt, assign.task, error}}});
  }
  LayerNumber submit(std::int64_t tasks, msg::SubmitOptions options) {
    msg::Submit submit;
    submit.sequence = ++cluster.sequence[client];
    submit.first_layer = cluster.next_layer[client]++;
    Layer layer = layer_on({tasks});
    layer.nonce = ++nonce;
    submit.layers = {shared(layer)};
    submit.wants = {{submit.first_layer, 0, 0, static_cast<std::uint32_t>(tasks)}};
    submit.options = std::move(options);
    const LayerNumber number = submit.first_layer;
    cluster.from_client(client, std::move(submit));
    return number;
  }
  msg::SubmitOptions on(std::vector<std::string> workers, bool loose = false) {
    msg::SubmitOptions options;
    options.workers = std::move(workers);
    options.allow_other_workers = loose;
    return options;
  }
  msg::SubmitOptions with(std::vector<msg::Resource> resources) {
    msg::SubmitOptions options;
    options.resources = std::move(resources);
    return options;
  }
  std::size_t assigned(WorkerId to) { return cluster.take<msg::Assign>(to).size(); }

  FakeCluster cluster;
  ConnectionId client = cluster.client();
  std::uint64_t nonce = 0;
  std::uint64_t memory_limit = 0;
};

TEST_F(Requirements, NameAddressAndHostRestrictToWorkers) {
  const WorkerId w1 = worker("alpha", {}, 3), w2 = worker("beta", {}, 3);
  submit(1, on({"w2"}));
  submit(1, on({"tcp://w2:1"}));
  submit(1, on({"beta"}));
  EXPECT_EQ(assigned(w1), 0u);
  EXPECT_EQ(assigned(w2), 3u);
}

TEST_F(Requirements, ARestrictedTaskWaitsForItsWorkerAndKeepsNobodyElseBack) {
  const WorkerId w1 = worker("alpha", {}, 3);
  submit(2, on({"beta"}));
  EXPECT_EQ(cluster.state.counters().no_worker, 2u);
  submit(2, {});
  EXPECT_EQ(assigned(w1), 2u);
  const WorkerId w2 = worker("beta");
  EXPECT_EQ(assigned(w2), 2u);
}

TEST_F(Requirements, ARestrictedQueueIsNotServedByOthersWhoHaveCredit) {
  const WorkerId w1 = worker("alpha", {}, 8), w2 = worker("beta", {}, 1);
  submit(4, on({"beta"}));
  EXPECT_EQ(assigned(w1), 0u);
  EXPECT_EQ(assigned(w2), 1u);
  EXPECT_EQ(cluster.state.counters().queued, 3u);
}

TEST_F(Requirements, ALooseRestrictionHoldsOnlyWhileItsWorkersAreThere) {
  const WorkerId w1 = worker("alpha", {}, 1);
  submit(3, on({"beta"}, true));
  EXPECT_EQ(assigned(w1), 1u) << "nobody else is there";
  const WorkerId w2 = worker("beta", {}, 1);
  EXPECT_EQ(assigned(w2), 1u);
  cluster.from_worker(w1, msg::GrantCredit{5});
  EXPECT_EQ(assigned(w1), 0u) << "now somebody is";
  cluster.handle(WorkerLost{w2, LossReason::kOrderly, "left"});
  EXPECT_EQ(assigned(w1), 2u);
}

TEST_F(Requirements, ResourcesArePackedAndGivenBack) {
  const WorkerId w = worker("alpha", {{"GPU", 2}}, 8);
  submit(3, with({{"GPU", 1}}));
  auto assigns = cluster.take<msg::Assign>(w);
  ASSERT_THAT(assigns, SizeIs(2));
  submit(3, {});
  EXPECT_EQ(assigned(w), 3u) << "those that need no GPU go on";
  cluster.finish(w, assigns[0]);
  EXPECT_EQ(assigned(w), 1u);
}

TEST_F(Requirements, FractionsAddUp) {
  const WorkerId w = worker("alpha", {{"LICENSE", 1}}, 32);
  submit(20, with({{"LICENSE", 0.1}}));
  EXPECT_EQ(assigned(w), 10u);
}

TEST_F(Requirements, TwoResourcesAreTakenTogetherOrNotAtAll) {
  const WorkerId w = worker("alpha", {{"A", 1}, {"B", 1}}, 8);
  submit(1, with({{"A", 1}, {"B", 1}}));
  submit(1, with({{"A", 1}}));
  submit(1, with({{"B", 1}}));
  EXPECT_EQ(assigned(w), 1u);
}

TEST_F(Requirements, MoreThanAnyWorkerHasIsNoWorker) {
  worker("alpha", {{"GPU", 1}}, 8);
  submit(1, with({{"GPU", 2}}));
  submit(1, with({{"TPU", 1}}));
  EXPECT_EQ(cluster.state.counters().no_worker, 2u);
  const WorkerId big = worker("beta", {{"GPU", 2}, {"TPU", 1}}, 8);
  EXPECT_EQ(assigned(big), 2u);
  EXPECT_EQ(cluster.state.counters().no_worker, 0u);
}

TEST_F(Requirements, AWorkersLossGivesItsTasksToAnother) {
  const WorkerId w1 = worker("alpha", {{"GPU", 1}}, 8), w2 = worker("beta", {{"GPU", 1}}, 8);
  submit(3, with({{"GPU", 1}}));
  EXPECT_EQ(assigned(w1), 1u);
  const auto second = cluster.take<msg::Assign>(w2);
  ASSERT_THAT(second, SizeIs(1));
  cluster.handle(WorkerLost{w1, LossReason::kConnection, "gone"});
  EXPECT_EQ(assigned(w2), 0u);
  cluster.finish(w2, second[0]);
  EXPECT_EQ(assigned(w2), 1u);
}

TEST_F(Requirements, BadResourcesAreRefusedByName) {
  const auto refused = [&](msg::SubmitOptions options) {
    submit(1, std::move(options));
    --cluster.next_layer[client];
    const auto refusals = cluster.take<msg::SubmitRefused>(client);
    return refusals.empty() ? std::string("taken") : refusals[0].error.message;
  };
  EXPECT_THAT(refused(with({{"GPU", 0}})), HasSubstr("'GPU' must be between"));
  EXPECT_THAT(refused(with({{"GPU", -1}})), HasSubstr("-1"));
  EXPECT_THAT(refused(with({{"GPU", 1}, {"GPU", 2}})), HasSubstr("given twice"));
  EXPECT_THAT(refused(with({{"", 1}})), HasSubstr("needs a name"));
  EXPECT_THAT(refused(on({""})), HasSubstr("without a name"));
  const WorkerId w = worker("alpha", {{"GPU", 1e30}});
  EXPECT_TRUE(cluster.closed_workers.contains(w));
}

TEST_F(Requirements, EqualRequirementsComeAndGoWithTheirLayers) {
  worker("alpha"), worker("beta");
  for (int i = 0; i < 5; ++i) {
    const LayerNumber a = submit(1, on({"gamma"})), b = submit(1, with({{"GPU", 1}}));
    cluster.release(client, {{a, 0, 0, 1}, {b, 0, 0, 1}});
    cluster.forget(client, {a, b});
  }
  EXPECT_EQ(cluster.state.counters().layers, 0u);
}

// ---- retries ----

TEST_F(Requirements, AFailureIsForgivenAsOftenAsAllowed) {
  const WorkerId w = worker("alpha", {}, 1);
  msg::SubmitOptions options;
  options.retries = 2;
  submit(1, options);
  for (int i = 0; i < 2; ++i) {
    cluster.fail(w, cluster.assigned(w));
    EXPECT_THAT(cluster.take<msg::ResultErred>(client), IsEmpty());
  }
  cluster.fail(w, cluster.assigned(w), "out of luck");
  const auto erred = cluster.take<msg::ResultErred>(client);
  ASSERT_THAT(erred, SizeIs(1));
  EXPECT_EQ(erred[0].error.message, "out of luck (the last of 3 attempts)");
  EXPECT_EQ(cluster.state.counters().tasks_retried, 2u);
}

TEST_F(Requirements, RetriesWaitTheirDelayWhichDoubles) {
  const WorkerId w = worker("alpha", {}, 1);
  msg::SubmitOptions options;
  options.retries = 2;
  options.retry_delay_ms = 100;
  submit(1, options);
  cluster.fail(w, cluster.assigned(w));
  const auto pass = [&](std::chrono::nanoseconds time) {
    cluster.now += time;
    cluster.handle(Tick{});
    return cluster.take<msg::Assign>(w);
  };
  EXPECT_THAT(pass(90ms), IsEmpty());
  auto again = pass(10ms);
  ASSERT_THAT(again, SizeIs(1));
  cluster.fail(w, again[0]);
  EXPECT_THAT(pass(190ms), IsEmpty());
  again = pass(10ms);
  ASSERT_THAT(again, SizeIs(1));
  cluster.finish(w, again[0]);
  EXPECT_THAT(cluster.take<msg::ResultReady>(client), SizeIs(1));
}

TEST_F(Requirements, WhatIsReleasedIsNotTriedAgain) {
  const WorkerId w = worker("alpha", {}, 1);
  msg::SubmitOptions options;
  options.retries = 9;
  options.retry_delay_ms = 100;
  const LayerNumber layer = submit(1, options);
  cluster.fail(w, cluster.assigned(w));
  cluster.release(client, {{layer, 0, 0, 1}});
  cluster.forget(client, {layer});
  cluster.now += 1s;
  cluster.handle(Tick{});
  EXPECT_THAT(cluster.take<msg::Assign>(w), IsEmpty());
  EXPECT_EQ(cluster.state.counters().layers, 0u);
}

TEST_F(Requirements, WhatIsTooLargeIsNotTriedAgain) {
  const WorkerId w = worker("alpha", {}, 1);
  msg::SubmitOptions options;
  options.retries = 9;
  submit(1, options);
  const msg::Assign assign = cluster.assigned(w);
  ErrorInfo error;
  error.code = ErrorCode::kTaskTooLarge;
  error.message = "too large";
  cluster.from_worker(w, msg::TaskFailed{assign.attempt, assign.task, error});
  EXPECT_THAT(cluster.take<msg::ResultErred>(client), SizeIs(1));
}

TEST_F(Requirements, MemoryRestrictsToWorkersWhoseLimitAllowsIt) {
  const WorkerId small = worker_with_memory(1000, 8), large = worker_with_memory(5000, 8);
  submit(3, with({{"memory", 1001}}));
  EXPECT_EQ(assigned(small), 0u);
  EXPECT_EQ(assigned(large), 3u) << "it is not counted here: the worker reserves it";
  const auto defined = cluster.take<msg::DefineLayer>(large);
  ASSERT_THAT(defined, SizeIs(1));
  EXPECT_EQ(defined[0].memory, 1001u);
  submit(1, with({{"memory", 1000}}));
  EXPECT_EQ(assigned(small) + assigned(large), 1u);
}

TEST_F(Requirements, AWorkerWithoutALimitHasAllTheMemory) {
  const WorkerId w = worker_with_memory(0);
  submit(1, with({{"memory", 1e15}}));
  EXPECT_EQ(assigned(w), 1u);
}

TEST_F(Requirements, MemoryThatNobodyHasIsWaitedForAndSaid) {
  worker_with_memory(1u << 30);
  submit(1, with({{"memory", 2.0 * (1u << 30)}}));
  EXPECT_EQ(cluster.state.counters().no_worker, 1u);
  const std::string why = cluster.state.why(make_task_id(LayerId{1}, 0));
  EXPECT_THAT(why, HasSubstr("memory=2.00 GiB"));
  EXPECT_THAT(why, HasSubstr("1.00 GiB")) << "what the largest has";
  const WorkerId large = worker_with_memory(std::uint64_t{4} << 30);
  EXPECT_EQ(assigned(large), 1u);
}

TEST_F(Requirements, MemoryBesideAResource) {
  memory_limit = 1000;
  const WorkerId small = worker("alpha", {{"GPU", 2}}, 8);
  memory_limit = 2000;
  const WorkerId large = worker("alpha", {{"GPU", 1}}, 8);
  submit(3, with({{"GPU", 1}, {"memory", 1500}}));
  EXPECT_EQ(assigned(small), 0u);
  EXPECT_EQ(assigned(large), 1u) << "one GPU";
}

TEST_F(Requirements, NonsensicalMemoryIsRefused) {
  for (const double amount : {0.0, -1.0, 0.5, 1e16, std::nan("")}) {
    submit(1, with({{"memory", amount}}));
    EXPECT_THAT(cluster.take<msg::SubmitRefused>(client), SizeIs(1)) << amount;
  }
  worker("alpha", {{"memory", 1000}});
  EXPECT_THAT(cluster.closed_workers, SizeIs(1));
}

TEST_F(Requirements, WhatIsTooLargeForOneWorkerGoesToALargerOne) {
  const WorkerId small = worker_with_memory(1000, 2);
  const WorkerId large = worker_with_memory(3000, 0), middle = worker_with_memory(2000, 0);
  submit(6, {});
  auto assigns = cluster.take<msg::Assign>(small);
  ASSERT_THAT(assigns, SizeIs(2));
  too_large(small, assigns[0]);
  EXPECT_EQ(assigned(small), 0u) << "the layer's other tasks are no smaller";
  cluster.from_worker(middle, msg::GrantCredit{cluster.granted[middle] = 1});
  assigns = cluster.take<msg::Assign>(middle);
  ASSERT_THAT(assigns, SizeIs(1));
  too_large(middle, assigns[0]);
  EXPECT_EQ(assigned(middle), 0u);
  cluster.from_worker(large, msg::GrantCredit{cluster.granted[large] = 8});
  assigns = cluster.take<msg::Assign>(large);
  ASSERT_THAT(assigns, SizeIs(5)) << "all but the one that the small worker still has";
  for (const msg::Assign& assign : assigns) cluster.finish(large, assign);
  EXPECT_THAT(cluster.take<msg::ResultReady>(client), SizeIs(5));
  EXPECT_THAT(cluster.take<msg::ResultErred>(client), IsEmpty());
}

TEST_F(Requirements, WhatIsTooLargeForEveryWorkerFailsAtOnce) {
  const WorkerId small = worker_with_memory(1000, 1);
  const WorkerId large = worker_with_memory(3000, 0);
  submit(1, {});
  too_large(small, cluster.assigned(small));
  cluster.from_worker(large, msg::GrantCredit{cluster.granted[large] = 1});
  too_large(large, cluster.assigned(large));
  const auto erred = cluster.take<msg::ResultErred>(client);
  ASSERT_THAT(erred, SizeIs(1));
  EXPECT_EQ(erred[0].error.code, ErrorCode::kTaskTooLarge);
}

TEST_F(Requirements, AWorkerWithoutALimitThatFindsATaskTooLargeIsBelieved) {
  const WorkerId w = worker_with_memory(0, 1);
  submit(1, {});
  too_large(w, cluster.assigned(w));
  EXPECT_THAT(cluster.take<msg::ResultErred>(client), SizeIs(1));
}

}  // namespace
}  // namespace tegula::scheduler
