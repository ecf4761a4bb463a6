// The network between daemons is cut, in one direction or both, and heals. Skipped where this machine does not permit
// network namespaces.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "bench/chaos/network.h"
#include "tests/faults/daemons.h"

namespace tegula::test {
namespace {

// Host 0 is the client's, 1 the scheduler's, those after it the workers' w2, w3, w4.
constexpr unsigned kScheduler = 1;

class NetworkLoss : public testing::Test {
 protected:
  void SetUp() override {
    try {
      network.emplace(5);
    } catch (const chaos::NetworkUnavailable& error) {
      GTEST_SKIP() << error.what();
    }
    daemons.start_scheduler(network->address(kScheduler), on(kScheduler));
    for (const unsigned host : {2u, 3u, 4u}) daemons.start_worker(name(host), on(host));
    client.emplace(daemons.file());
    client->wait_for_workers(3);
  }
  void TearDown() override {
    if (HasFailure() && network) std::cerr << daemons.story();
  }
  Place on(unsigned host) {
    return [this, host](std::vector<std::string> command) { return network->on(host, std::move(command)); };
  }
  static std::string name(unsigned host) { return "w" + std::to_string(host); }
  bool all_are_there() {
    return eventually([&] { return there_are(*client, {"w2", "w3", "w4"}); });
  }

  std::optional<chaos::Network> network;
  // The scheduler gives a silent worker up after a second, workers and clients a silent peer after two.
  Daemons daemons{{"TEGULA_SCHEDULER__WORKER_TTL=1s", "TEGULA_WORKER__HEARTBEAT_INTERVAL=100ms",
                   "TEGULA_COMM__IDLE_TIMEOUT=2s", "TEGULA_COMM__CONNECT_TIMEOUT=500ms"}};
  std::optional<Client> client;
};

TEST_F(NetworkLoss, AWorkerCutOffIsReplacedAndComesBackWhenTheNetworkHeals) {
  const Job job(1);
  const Array stored = job.source.persist(*client);
  ASSERT_TRUE(eventually([&] { return counter(*client, "tasks_finished") > 20; }));
  for (const unsigned host : {0u, kScheduler, 3u, 4u}) network->cut_both(2, host);
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_TRUE(eventually([&] { return there_are(*client, {"w3", "w4"}); }));
  for (const unsigned host : {0u, kScheduler, 3u, 4u}) network->heal_both(2, host);
  EXPECT_TRUE(all_are_there());
  EXPECT_EQ(Job(2).answer(*client, Job(2).source.persist(*client)), Job(2).expected());
}

// The worker hears the scheduler, and works, and nobody hears of it.
TEST_F(NetworkLoss, AWorkerThatIsNotHeardIsReplacedAndComesBack) {
  const Job job(3);
  const Array stored = job.source.persist(*client);
  ASSERT_TRUE(eventually([&] { return counter(*client, "tasks_finished") > 20; }));
  network->cut(2, kScheduler);
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_TRUE(eventually([&] { return there_are(*client, {"w3", "w4"}); }));
  network->heal(2, kScheduler);
  EXPECT_TRUE(all_are_there());
}

// The scheduler hears the worker's heartbeats at first, and the worker hears nothing.
TEST_F(NetworkLoss, AWorkerThatHearsNothingIsReplacedAndComesBack) {
  const Job job(4);
  const Array stored = job.source.persist(*client);
  ASSERT_TRUE(eventually([&] { return counter(*client, "tasks_finished") > 20; }));
  network->cut(kScheduler, 2);
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_TRUE(eventually([&] { return there_are(*client, {"w3", "w4"}); }));
  network->heal(kScheduler, 2);
  EXPECT_TRUE(all_are_there());
}

// Peers still reach it; what it holds is given up all the same, and nobody waits for it.
TEST_F(NetworkLoss, AWorkerCutOffFromTheSchedulerOnly) {
  const Job job(5);
  const Array stored = job.source.persist(*client);
  stored.wait();
  network->cut_both(2, kScheduler);
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_TRUE(eventually([&] { return there_are(*client, {"w3", "w4"}); }));
  network->heal_both(2, kScheduler);
  EXPECT_TRUE(all_are_there());
}

// Both are well and neither is lost: what one can't get from the other it gets in another way.
TEST_F(NetworkLoss, WorkersThatDoNotReachEachOther) {
  const Job job(6, 600, 200);
  const Array stored = job.source.persist(*client);
  stored.wait();
  network->cut_both(2, 3);
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_EQ(counter(*client, "workers_lost"), 0u);
  network->heal_both(2, 3);
}

TEST_F(NetworkLoss, ASlowLinkIsNoLoss) {
  const Job job(7, 1000, 125);  // 8 MB, half of them or so from afar
  const Array stored = job.source.persist(*client);
  stored.wait();
  try {
    network->limit(2, 2'000'000);
  } catch (const chaos::NetworkUnavailable& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_EQ(counter(*client, "workers_lost"), 0u);
}

}  // namespace
}  // namespace tegula::test
