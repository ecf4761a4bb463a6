// Real workers, real connections, and a scheduler that says what the test wants, over every transport.
#include "worker/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/worker/core_fixture.h"
#include "tests/worker/fake_scheduler.h"

namespace tegula::worker {
namespace {

using testing::HasSubstr;

constexpr LayerId kIndex{1}, kSum{2}, kGate{3}, kFail{4}, kReverse{5};
constexpr std::int64_t kCount = 8, kSize = 100'000;  // chunks of 800 kB

msg::DefineLayer define(LayerId id, const std::string& kernel, msg::LayerPtr like) {
  auto layer = std::make_shared<Layer>(*like);
  layer->kernel = kernel;
  return {id, layer, {0, static_cast<std::uint32_t>(id)}};
}

std::vector<msg::Message> layers() {
  const Pieces reversed{0, {0, 1}, {2}, {{kSize - 1, kSize, -1}}};
  return {define(kIndex, "test.index", make_layer("index", kCount, kSize)),
          define(kSum, "test.sum", with_input(make_layer("sum", 1, kSize), kIndex, kCount, AllBlocks{})),
          define(kGate, "test.gate", make_layer("gate", kCount, 1)),
          define(kFail, "test.fail", make_layer("fail", kCount, 1)),
          define(kReverse, "test.concat", with_input(make_layer("reverse", 1, kSize), kIndex, kCount, reversed))};
}

class ServerTest : public ::testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { open_gate(); }

  TestWorker& add_worker(const std::function<void(WorkerOptions&)>& change = {}) {
    workers.push_back(std::make_unique<TestWorker>(scheduler.address(), change));
    const std::size_t number = workers.size() - 1;
    registrations.push_back(scheduler.wait_for<msg::RegisterWorker>(number));
    scheduler.send(number, layers());
    return *workers.back();
  }

  void assign(std::size_t worker, LayerId layer, std::uint32_t index, std::vector<msg::Assign::Holder> holders = {}) {
    scheduler.send(worker, {msg::Assign{AttemptId{++attempts}, make_task_id(layer, index), 0, std::move(holders), {}}});
  }

  CommOptions peer_options() const {
    CommOptions options;
    options.name = "peer";
    return options;
  }

  FakeScheduler scheduler{GetParam()};
  std::vector<std::unique_ptr<TestWorker>> workers;
  std::vector<msg::RegisterWorker> registrations;
  std::uint64_t attempts = 0;
};

double first(const Chunk& chunk) { return *reinterpret_cast<const double*>(chunk.data()); }

TEST_P(ServerTest, JoinsComputesAndServes) {
  TestWorker& worker = add_worker([](WorkerOptions& options) {
    options.name = "alice";
    options.threads = 2;
    options.memory_limit = 1 << 30;
  });
  EXPECT_EQ(registrations[0].name, "alice");
  EXPECT_EQ(registrations[0].threads, 2u);
  EXPECT_EQ(registrations[0].memory_limit, 1u << 30);
  EXPECT_EQ(registrations[0].slots_granted, 4u);
  EXPECT_THAT(registrations[0].kernels, testing::Contains("test.nop"));
  EXPECT_EQ(registrations[0].address, worker.address());

  assign(0, kIndex, 5);
  const auto finished = scheduler.wait_for<msg::TaskFinished>(0);
  EXPECT_EQ(finished.attempt, AttemptId{1});
  EXPECT_EQ(finished.nbytes, std::vector<std::uint64_t>{kSize * 8});

  TestPeer client(worker.address(), peer_options());
  ASSERT_FALSE(client.error().has_value()) << client.error()->message;
  const auto reply = client.fetch({{result(kIndex, 5), {}},
                                   {result(kIndex, 5), {{kSize - 1, 3, -2}}},
                                   {result(kIndex, 4), {}},
                                   {result(kIndex, 5), {{kSize - 1, 3, 1}}},
                                   {result(kIndex, 5), {{0, 1, 1}, {0, 1, 1}}}});
  ASSERT_EQ(reply.items.size(), 5u);
  EXPECT_EQ(reply.items[0].status, msg::FetchStatus::kOk);
  EXPECT_EQ(reply.items[0].chunk.shape(), (Shape{kSize}));
  EXPECT_EQ(first(reply.items[0].chunk), 5.0);
  EXPECT_EQ(reply.items[1].status, msg::FetchStatus::kOk);
  EXPECT_EQ(reply.items[1].chunk.shape(), (Shape{3}));
  EXPECT_TRUE(reply.items[1].chunk.contiguous());
  EXPECT_EQ(reply.items[2].status, msg::FetchStatus::kMissing);
  EXPECT_EQ(reply.items[3].status, msg::FetchStatus::kBadBox);
  EXPECT_EQ(reply.items[4].status, msg::FetchStatus::kBadBox);

  scheduler.send(0, {msg::FreeResults{{result(kIndex, 5)}}});
  assign(0, kIndex, 6);
  scheduler.wait_for<msg::TaskFinished>(0, 1);
  EXPECT_EQ(client.fetch({{result(kIndex, 5), {}}}).items[0].status, msg::FetchStatus::kMissing);
  const std::size_t beats = scheduler.count<msg::WorkerHeartbeat>(0);
  EXPECT_EQ(scheduler.wait_for<msg::WorkerHeartbeat>(0, beats + 1).bytes_out, (kSize + 3) * 8u) << "what was sent";
}

TEST_P(ServerTest, WorkersFetchFromEachOther) {
  for (int i = 0; i < 3; ++i) add_worker();
  for (std::size_t w = 0; w < 3; ++w) {
    for (std::size_t other = 0; other < 3; ++other) {
      scheduler.send(
          w, {msg::WorkerAddress{WorkerId{static_cast<std::uint32_t>(other) + 1}, registrations[other].address}});
    }
  }
  std::vector<msg::Assign::Holder> holders;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    assign(i % 2, kIndex, i);
    holders.push_back({result(kIndex, i), WorkerId{i % 2 + 1}});
  }
  for (std::size_t w = 0; w < 2; ++w) scheduler.wait_for<msg::TaskFinished>(w, kCount / 2 - 1);
  assign(2, kSum, 0, holders);
  assign(2, kReverse, 0, {{result(kIndex, 2), WorkerId{1}}});
  scheduler.wait_for<msg::TaskFinished>(2, 1);
  TestPeer client(workers[2]->address(), peer_options());
  const auto reply = client.fetch({{result(kSum, 0), {}}, {result(kReverse, 0), {}}});
  EXPECT_EQ(first(reply.items[0].chunk), 0 + 1 + 2 + 3 + 4 + 5 + 6 + 7.0);
  EXPECT_EQ(first(reply.items[1].chunk), 2.0);
  // The fetched inputs are gone, the bytes were counted.
  const auto beat =
      scheduler.wait<msg::WorkerHeartbeat>(2, [](const auto& messages) -> std::optional<msg::WorkerHeartbeat> {
        for (const auto& message : messages) {
          const auto* one = std::get_if<msg::WorkerHeartbeat>(&message);
          if (one != nullptr && one->sent == 2) return *one;
        }
        return std::nullopt;
      });
  EXPECT_EQ(beat.managed_bytes, 2u * kSize * 8);
  EXPECT_GE(beat.bytes_in, kCount * kSize * 8u);
  EXPECT_EQ(beat.attempts_hash, 0u);
  EXPECT_GT(beat.rss_bytes, 0u);
}

TEST_P(ServerTest, ARequestWaitsForTheAttemptThatMakesWhatItAsksFor) {
  TestWorker& worker = add_worker();
  TestPeer peer(worker.address(), peer_options());
  close_gate();
  assign(0, kGate, 0);
  wait_until_at_gate(1);
  peer.send(msg::Fetch{101, {{result(kGate, 0), {}}}, AttemptId{1}, 0});
  peer.send(msg::Fetch{102, {{result(kGate, 1), {}}}, AttemptId{2}, 0});  // not assigned yet
  EXPECT_EQ(peer.fetch({{result(kGate, 7), {}}}).items[0].status, msg::FetchStatus::kMissing) << "others don't wait";
  open_gate();
  const auto reply = peer.receive();
  EXPECT_EQ(reply.request, 101u);
  EXPECT_EQ(reply.items[0].status, msg::FetchStatus::kOk);
  assign(0, kGate, 1);
  const auto next = peer.receive();
  EXPECT_EQ(next.request, 102u);
  EXPECT_EQ(next.items[0].status, msg::FetchStatus::kOk);
  peer.send(msg::Fetch{103, {{result(kGate, 5), {}}}, AttemptId{1}, 0});
  EXPECT_EQ(peer.receive().items[0].status, msg::FetchStatus::kMissing) << "that attempt made nothing of the kind";
  peer.send(msg::Fetch{104, {{result(kGate, 0), {}}}, AttemptId{}, 7});
  EXPECT_EQ(peer.receive().items[0].status, msg::FetchStatus::kLarge) << "it has 8 bytes";
}

TEST_P(ServerTest, RequestsThatWaitAreBounded) {
  TestWorker& worker = add_worker();
  {
    TestPeer peer(worker.address(), peer_options());
    constexpr std::uint64_t kMost = 1024;
    for (std::uint64_t i = 1; i <= kMost + 1; ++i) peer.send(msg::Fetch{i, {{result(kGate, 0), {}}}, AttemptId{1}, 0});
    const auto reply = peer.receive();
    EXPECT_EQ(reply.request, kMost + 1);
    EXPECT_EQ(reply.items[0].status, msg::FetchStatus::kBusy);
  }
  // That peer has gone; others are answered.
  TestPeer other(worker.address(), peer_options());
  other.send(msg::Fetch{1, {{result(kGate, 0), {}}}, AttemptId{1}, 0});
  assign(0, kGate, 0);
  EXPECT_EQ(other.receive().items[0].status, msg::FetchStatus::kOk);
}

TEST_P(ServerTest, TasksFollowWhatAnotherWorkerMakes) {
  const LayerId copy{6};
  for (int i = 0; i < 2; ++i) add_worker();
  scheduler.send(1, {msg::WorkerAddress{WorkerId{1}, registrations[0].address},
                     define(copy, "test.sum", with_input(make_layer("copy", kCount, 1), kGate, kCount, SameBlock{0}))});
  // The second worker has its tasks before the first one has heard of what they follow.
  scheduler.send(
      1, {msg::Assign{AttemptId{3}, make_task_id(copy, 0), 0, {}, {{result(kGate, 0), WorkerId{1}, AttemptId{1}}}},
          msg::Assign{AttemptId{4}, make_task_id(kReverse, 0), 0, {}, {{result(kIndex, 2), WorkerId{1}, AttemptId{2}}}},
          msg::Assign{AttemptId{6}, make_task_id(copy, 1), 0, {}, {{result(kGate, 1), WorkerId{1}, AttemptId{5}}}}});
  scheduler.send(0, {msg::Assign{AttemptId{1}, make_task_id(kGate, 0), 0, {}, {}},
                     msg::Assign{AttemptId{2}, make_task_id(kIndex, 2), 0, {}, {}}});
  scheduler.wait_for<msg::TaskFinished>(1, 1);
  TestPeer client(workers[1]->address(), peer_options());
  EXPECT_EQ(first(client.fetch({{result(kReverse, 0), {}}}).items[0].chunk), 2.0);
  EXPECT_EQ(scheduler.count<msg::TaskReturned>(1), 0u);
  // One that comes back takes along what follows it.
  scheduler.send(0, {msg::Assign{AttemptId{5}, make_task_id(kFail, 1), 0, {}, {}}});
  const auto returned = scheduler.wait_for<msg::TaskReturned>(1);
  EXPECT_EQ(returned.attempt, AttemptId{6});
  EXPECT_TRUE(returned.missing.empty());
}

TEST_P(ServerTest, InputOfADeadPeerIsReportedMissing) {
  add_worker();
  scheduler.send(0, {msg::WorkerAddress{WorkerId{9}, std::string(GetParam()) == "inproc://" ? "inproc://nobody"
                                                                                            : "tcp://127.0.0.1:1"}});
  assign(0, kSum, 0,
         {{result(kIndex, 0), WorkerId{9}},
          {result(kIndex, 1), WorkerId{9}},
          {result(kIndex, 2), WorkerId{9}},
          {result(kIndex, 3), WorkerId{9}},
          {result(kIndex, 4), WorkerId{9}},
          {result(kIndex, 5), WorkerId{9}},
          {result(kIndex, 6), WorkerId{9}},
          {result(kIndex, 7), WorkerId{9}}});
  const auto returned = scheduler.wait_for<msg::TaskReturned>(0);
  EXPECT_EQ(returned.missing.size(), static_cast<std::size_t>(kCount));
  EXPECT_EQ(returned.missing[0].holder, WorkerId{9});
}

TEST_P(ServerTest, FailureIsReportedWithItsStory) {
  add_worker([](WorkerOptions& options) { options.name = "bob"; });
  assign(0, kFail, 3);
  const auto failed = scheduler.wait_for<msg::TaskFailed>(0);
  EXPECT_EQ(failed.error.message, "it is task 3 that fails");
  EXPECT_EQ(failed.error.kernel, "test.fail");
  EXPECT_THAT(failed.error.worker, testing::AllOf(HasSubstr("bob"), HasSubstr(registrations[0].address)));
  EXPECT_THAT(failed.error.key, testing::EndsWith("(3)"));
}

TEST_P(ServerTest, RetractedKernelIsCancelled) {
  add_worker();
  close_gate();
  assign(0, kGate, 0);
  wait_until_at_gate(1);
  assign(0, kGate, 1);
  scheduler.send(0, {msg::Retract{AttemptId{2}, make_task_id(kGate, 1)}});
  EXPECT_EQ(scheduler.wait_for<msg::TaskReturned>(0).attempt, AttemptId{2});
  scheduler.send(0, {msg::Retract{AttemptId{1}, make_task_id(kGate, 0)}});
  EXPECT_EQ(scheduler.wait_for<msg::TaskReturned>(0, 1).attempt, AttemptId{1});
}

TEST_P(ServerTest, LostSchedulerIsJoinedAnewWithResultsAndRunningKernels) {
  TestWorker& worker = add_worker([](WorkerOptions& options) { options.name = "carol"; });
  close_gate();
  assign(0, kIndex, 0);
  scheduler.wait_for<msg::TaskFinished>(0);
  assign(0, kGate, 0);
  wait_until_at_gate(1);
  const std::string before = worker.address();
  const auto first = scheduler.wait_for<msg::RegisterWorker>(0);
  scheduler.hang_up(0);
  const auto again = scheduler.wait_for<msg::RegisterWorker>(1);
  EXPECT_EQ(again.name, "carol");
  EXPECT_EQ(again.instance, first.instance);
  EXPECT_EQ(again.inventory_parts, 1u);
  EXPECT_EQ(again.address, before) << "the same life of the scheduler: peers find it where it was";
  const auto inventory = scheduler.wait_for<msg::Inventory>(1);
  ASSERT_EQ(inventory.results.size(), 1u);
  EXPECT_EQ(inventory.results[0].index, 0u);
  scheduler.send(1, layers());
  TestPeer client(worker.address(), peer_options());
  EXPECT_EQ(client.fetch({{result(kIndex, 0), {}}}).items[0].status, msg::FetchStatus::kBusy) << "not named yet";
  scheduler.send(1, {msg::InventoryTaken{inventory.part, {kIndex}}});
  // The kernel that runs keeps the thread; its attempt's number means another task now.
  scheduler.send(1, {msg::Assign{AttemptId{2}, make_task_id(kIndex, 7), 0, {}, {}}});
  open_gate();
  const auto finished = scheduler.wait_for<msg::TaskFinished>(1);
  EXPECT_EQ(finished.task, make_task_id(kIndex, 7));
  EXPECT_EQ(client.fetch({{result(kIndex, 0), {}}}).items[0].status, msg::FetchStatus::kOk);
  const auto late = scheduler.wait_for<msg::Inventory>(1, 1);
  ASSERT_EQ(late.results.size(), 1u);
  EXPECT_EQ(scheduler.count<msg::TaskFailed>(1), 0u);
}

TEST_P(ServerTest, AnotherLifeOfTheSchedulerIsJoinedWithAllThatIsHeld) {
  if (std::string(GetParam()) == "inproc://") GTEST_SKIP() << "an address within the process is of one scheduler";
  auto one = std::make_unique<FakeScheduler>(GetParam(), "", 5);
  const std::string where = one->address();
  TestWorker worker(where);
  one->wait_for<msg::RegisterWorker>(0);
  one->send(0, layers());
  one->send(0, {msg::Assign{AttemptId{1}, make_task_id(kIndex, 3), 0, {}}});
  one->wait_for<msg::TaskFinished>(0);
  one.reset();
  FakeScheduler two(where, "", 6);
  EXPECT_EQ(two.wait_for<msg::RegisterWorker>(0).inventory_parts, 1u);
  const auto inventory = two.wait_for<msg::Inventory>(0);
  two.send(0, {msg::InventoryTaken{inventory.part, {LayerId{70}}}});
  TestPeer client(worker.address(), two.options());
  EXPECT_EQ(client.fetch({{{make_task_id(LayerId{70}, 3), 0}, {}}}).items[0].status, msg::FetchStatus::kOk);
}

TEST_P(ServerTest, LeavesInOrder) {
  TestWorker& worker = add_worker();
  worker.stop();
  EXPECT_EQ(worker.wait_for_exit().kind, WorkerExit::Kind::kStopped);
  scheduler.wait_for<msg::WorkerLeaving>(0);
  scheduler.wait_until_gone(0);
}

TEST_P(ServerTest, DrainsUntilItIsSentAwayOrItsTimeIsUp) {
  TestWorker& first = add_worker();
  scheduler.wait_for<msg::WorkerHeartbeat>(0);  // it knows that it was taken; before, it would just end
  first.drain(std::chrono::hours(1));
  scheduler.wait_for<msg::WorkerDraining>(0);
  scheduler.send(0, {msg::Shutdown{"all is elsewhere"}});
  EXPECT_EQ(first.wait_for_exit().kind, WorkerExit::Kind::kShutdown);
  TestWorker& second = add_worker();
  scheduler.wait_for<msg::WorkerHeartbeat>(1);
  second.drain(std::chrono::hours(1));
  second.drain(std::chrono::milliseconds(1));  // in more of a hurry
  const WorkerExit exit = second.wait_for_exit();
  EXPECT_EQ(exit.kind, WorkerExit::Kind::kStopped);
  scheduler.wait_for<msg::WorkerLeaving>(1);
}

TEST_P(ServerTest, IsSentAway) {
  TestWorker& worker = add_worker();
  close_gate();
  assign(0, kGate, 0);
  wait_until_at_gate(1);
  scheduler.send(0, {msg::Shutdown{"the party is over"}});
  const WorkerExit exit = worker.wait_for_exit();
  EXPECT_EQ(exit.kind, WorkerExit::Kind::kShutdown);
  EXPECT_TRUE(exit.ok());
  EXPECT_EQ(exit.reason, "the party is over");
  scheduler.wait_until_gone(0);
}

TEST_P(ServerTest, RefusalEndsIt) {
  scheduler.answer = [](std::size_t, const auto& registration) {
    return msg::Message(msg::WorkerRefused{"there is a " + registration.name + " already"});
  };
  TestWorker worker(scheduler.address(), [](WorkerOptions& options) { options.name = "dave"; });
  const WorkerExit exit = worker.wait_for_exit();
  EXPECT_EQ(exit.kind, WorkerExit::Kind::kRefused);
  EXPECT_FALSE(exit.ok());
  EXPECT_THAT(exit.reason, HasSubstr("there is a dave already"));
}

TEST_P(ServerTest, WrongTokenEndsItAtOnce) {
  FakeScheduler guarded(GetParam(), "right");
  TestWorker worker(guarded.address(), [](WorkerOptions& options) { options.comm.token = "wrong"; });
  const WorkerExit exit = worker.wait_for_exit();
  EXPECT_EQ(exit.kind, WorkerExit::Kind::kFailed);
  EXPECT_FALSE(exit.reason.empty());
}

TEST_P(ServerTest, NobodyThereEndsItAfterTheDeathTimeout) {
  const std::string nowhere = std::string(GetParam()) == "inproc://" ? "inproc://nowhere" : "tcp://127.0.0.1:1";
  TestWorker worker(nowhere, [](WorkerOptions& options) { options.death_timeout = std::chrono::milliseconds(120); });
  const WorkerExit exit = worker.wait_for_exit();
  EXPECT_EQ(exit.kind, WorkerExit::Kind::kSchedulerLost);
  EXPECT_THAT(exit.reason, testing::AllOf(HasSubstr(nowhere), HasSubstr("0.12 s")));
}

TEST_P(ServerTest, PeerThatTalksNonsenseIsShownTheDoor) {
  TestWorker& worker = add_worker();
  TestPeer rude(worker.address(), peer_options()), polite(worker.address(), peer_options());
  rude.send(msg::Shutdown{"do it"});
  rude.wait_until_closed();
  assign(0, kIndex, 1);
  scheduler.wait_for<msg::TaskFinished>(0);
  EXPECT_EQ(polite.fetch({{result(kIndex, 1), {}}}).items[0].status, msg::FetchStatus::kOk);
}

TEST_P(ServerTest, PeerThatTakesNoLargeAnswersHarmsNobodyElse) {
  if (std::string(GetParam()) == "inproc://") GTEST_SKIP() << "no frames, no limits";
  TestWorker& worker = add_worker();
  assign(0, kIndex, 1);
  scheduler.wait_for<msg::TaskFinished>(0);
  CommOptions narrow = peer_options();
  narrow.max_bulk_bytes = 1000;
  TestPeer small(worker.address(), narrow), greedy(worker.address(), peer_options());
  EXPECT_EQ(small.fetch({{result(kIndex, 1), {{0, 100, 1}}}}).items[0].status, msg::FetchStatus::kOk);
  small.send(msg::Fetch{2, {{result(kIndex, 1), {}}}});
  small.wait_until_closed();
  // More buffers than a frame can have.
  greedy.send(msg::Fetch{1, std::vector<msg::Fetch::Item>(70'000, {result(kIndex, 1), {{0, 1, 1}}})});
  greedy.wait_until_closed();
  TestPeer polite(worker.address(), peer_options());
  EXPECT_EQ(polite.fetch({{result(kIndex, 1), {}}}).items[0].status, msg::FetchStatus::kOk);
}

TEST_P(ServerTest, LayerForgottenAndDefinedInOneBreathIsThere) {
  add_worker();
  assign(0, kIndex, 0);
  scheduler.wait_for<msg::TaskFinished>(0);
  std::vector<msg::Message> messages = {msg::ForgetLayer{kIndex}};
  for (msg::Message& layer : layers()) messages.push_back(std::move(layer));
  messages.emplace_back(msg::Assign{AttemptId{++attempts}, make_task_id(kIndex, 1), 0, {}, {}});
  scheduler.send(0, std::move(messages));
  EXPECT_EQ(scheduler.wait_for<msg::TaskFinished>(0, 1).task, make_task_id(kIndex, 1));
}

TEST_P(ServerTest, ManyShortTasksStreamThrough) {
  add_worker([](WorkerOptions& options) { options.threads = 2; });
  scheduler.send(0, {define(LayerId{9}, "test.nop", make_layer("nop", 5000, 1))});
  // As a scheduler does: never more than granted.
  std::uint64_t granted = registrations[0].slots_granted;
  for (std::uint32_t sent = 0; sent < 5000;) {
    std::vector<msg::Message> batch;
    for (; sent < 5000 && attempts < granted; ++sent) {
      batch.emplace_back(msg::Assign{AttemptId{++attempts}, make_task_id(LayerId{9}, sent), 0, {}, {}});
    }
    if (!batch.empty()) scheduler.send(0, std::move(batch));
    if (sent == 5000) break;
    granted = scheduler.wait<std::uint64_t>(0, [&](const auto& messages) -> std::optional<std::uint64_t> {
      for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
        const auto* grant = std::get_if<msg::GrantCredit>(&*message);
        if (grant != nullptr) return grant->slots > granted ? std::optional(grant->slots) : std::nullopt;
      }
      return std::nullopt;
    });
  }
  // A worker that was slow for a while gives some back, for others to have.
  const auto answered = scheduler.wait<std::pair<int, int>>(0, [](const auto& messages) {
    int finished = 0, returned = 0;
    for (const msg::Message& message : messages) {
      finished += std::holds_alternative<msg::TaskFinished>(message) ? 1 : 0;
      returned += std::holds_alternative<msg::TaskReturned>(message) ? 1 : 0;
    }
    return finished + returned < 5000 ? std::nullopt : std::optional(std::pair(finished, returned));
  });
  EXPECT_EQ(answered.first + answered.second, 5000) << "each attempt is answered once";
  EXPECT_GT(answered.first, 0);
}

TEST_P(ServerTest, TellsWhatItsTurnsTakeWhenThatIsWanted) {
  add_worker([](WorkerOptions& options) { options.watch_turns = true; });
  add_worker();
  assign(0, kIndex, 0);
  scheduler.wait_for<msg::TaskFinished>(0);
  TestPeer peer(workers[0]->address(), peer_options());
  const auto told = [&peer] { return nlohmann::json::parse(peer.ask()).at("turns"); };
  while (told().at("idle_thread").at("count") == 0) {  // it sleeps first
  }
  const auto turns = told();
  EXPECT_GT(turns.at("count"), 0);
  EXPECT_GT(turns.at("longest_cpu_s"), 0);
  EXPECT_GE(turns.at("longest_own_s"), turns.at("longest_cpu_s"));
  EXPECT_GE(turns.at("longest_wall_s"), turns.at("wall_p999_s"));
  EXPECT_GE(turns.at("idle_thread").at("longest_late_s"), turns.at("idle_thread").at("late_p999_s"));
  TestPeer other(workers[1]->address(), peer_options());
  EXPECT_FALSE(nlohmann::json::parse(other.ask()).contains("turns"));
}

INSTANTIATE_TEST_SUITE_P(Transports, ServerTest, testing::Values("inproc://", "tcp://127.0.0.1:0"),
                         [](const auto& each) { return std::string(each.index == 0 ? "inproc" : "tcp"); });

TEST(WorkerServerTest, WhatCannotWorkIsSaidAtConstruction) {
  EventLoop loop;
  WorkerOptions options;
  options.scheduler_address = "tcp://127.0.0.1:1";
  options.kernels_path = "/nonexistent/kernels";
  EXPECT_THROW(WorkerServer(loop, options), ConfigError);
  options.kernels = test_kernels();
  options.local_directory = "/proc/nowhere";
  EXPECT_THROW(WorkerServer(loop, options), FileError);
  options.local_directory.clear();
  options.scheduler_address = "tcp://";
  EXPECT_THROW(WorkerServer(loop, options), ValueError);
}

// A port that takes connections and says nothing.
class SilentPort {
 public:
  SilentPort() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(socket_, generic, size) != 0 || ::listen(socket_, 16) != 0 || getsockname(socket_, generic, &size) != 0)
      throw std::runtime_error("no port to listen on");
    port_ = ntohs(address.sin_port);
  }
  ~SilentPort() { close(socket_); }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;
  std::string address() const { return "tcp://127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_;
  unsigned port_ = 0;
};

TEST(WorkerServerTest, DeathTimeoutCountsWithoutAConnectTimeout) {
  const SilentPort silent;
  for (const auto timeout : {std::chrono::milliseconds(0), std::chrono::milliseconds(20)}) {
    TestWorker worker(silent.address(), [&](WorkerOptions& options) {
      options.comm.connect_timeout = timeout;
      options.death_timeout = std::chrono::milliseconds(300);
    });
    EXPECT_EQ(worker.wait_for_exit().kind, WorkerExit::Kind::kSchedulerLost);
  }
}

TEST(WorkerServerTest, PortInUseIsSaid) {
  FakeScheduler scheduler("tcp://127.0.0.1:0");
  const Address taken = parse_address(scheduler.address());
  TestWorker worker(scheduler.address(), [&](WorkerOptions& options) { options.ports = {taken.port, taken.port}; });
  const WorkerExit exit = worker.wait_for_exit();
  EXPECT_EQ(exit.kind, WorkerExit::Kind::kFailed);
  EXPECT_THAT(exit.reason, HasSubstr(std::to_string(taken.port)));
}

TEST(WorkerServerTest, RangeOfPortsIsTriedInTurn) {
  FakeScheduler scheduler("tcp://127.0.0.1:0");
  const Address taken = parse_address(scheduler.address());
  if (taken.port > 65000) GTEST_SKIP() << "no ports above " << taken.port;
  const auto last = static_cast<std::uint16_t>(taken.port + 200);
  TestWorker worker(scheduler.address(), [&](WorkerOptions& options) { options.ports = {taken.port, last}; });
  const auto registration = scheduler.wait_for<msg::RegisterWorker>(0);
  const Address chosen = parse_address(registration.address);
  EXPECT_GT(chosen.port, taken.port);
  EXPECT_LE(chosen.port, last);
}

TEST(AddressesTest, PortsAndContactAddresses) {
  EXPECT_EQ(parse_ports("0").first, 0);
  EXPECT_EQ(parse_ports("9000").last, 9000);
  EXPECT_EQ(parse_ports("9000:9100").last, 9100);
  for (const char* wrong : {"", "x", "9000:", ":1", "9100:9000", "70000", "0:10", "1:2:3"}) {
    EXPECT_THROW(parse_ports(wrong), ConfigError) << wrong;
  }
  const Address scheduler = parse_address("tcp://127.0.0.1:8786");
  EXPECT_EQ(listen_address_for(scheduler), "tcp://127.0.0.1");
  EXPECT_EQ(listen_address_for(parse_address("inproc://x")), "inproc://");
  EXPECT_EQ(contact_address_of("tcp://127.0.0.1:5", "", scheduler), "tcp://127.0.0.1:5");
  EXPECT_EQ(contact_address_of("tcp://0.0.0.0:5", "", scheduler), "tcp://127.0.0.1:5");
  EXPECT_EQ(contact_address_of("tcp://0.0.0.0:5", "here.example", scheduler), "tcp://here.example:5");
  EXPECT_EQ(contact_address_of("tcp://0.0.0.0:5", "tcp://here.example:9", scheduler), "tcp://here.example:9");
}

}  // namespace
}  // namespace tegula::worker
