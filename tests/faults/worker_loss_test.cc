// Workers die in mid-run, and the answer is the one that a quiet cluster gives, to the last bit.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using test::eventually;

std::unique_ptr<LocalCluster> cluster_of(unsigned workers) {
  LocalClusterOptions options;
  options.workers = workers;
  options.threads_per_worker = 1;
  return std::make_unique<LocalCluster>(options);
}

// Two layers that store what they make, so that a lost worker takes results with it that are needed later: the stored x
// is read by both sums.
Array stored_source(std::uint64_t seed) {
  random::Options seeded;
  seeded.seed = seed;
  return sin(random::normal(0, 1, {3000, 3000}, {150, 150}, seeded));
}

std::string expected(std::uint64_t seed) {
  ClientOptions options;
  options.threads = 2;
  const Client client(options);
  const Array x = stored_source(seed).persist(client);
  return test::bits_of((x * 2 + 1).sum(0).compute(client)) + test::bits_of(x.var().compute(client));
}

std::uint64_t tasks_done(Client& client) {
  std::uint64_t done = 0;
  for (const WorkerStatus& worker : client.status().workers) done += worker.tasks_done;
  return done;
}

TEST(WorkerLoss, KilledWhileItComputes) {
  const auto cluster = cluster_of(3);
  Client client(*cluster);
  const Array x = stored_source(1).persist(client);
  ASSERT_TRUE(eventually([&] { return tasks_done(client) > 20; }));
  kill(cluster->worker_pids().front(), SIGKILL);
  EXPECT_EQ(test::bits_of((x * 2 + 1).sum(0).compute(client)) + test::bits_of(x.var().compute(client)), expected(1));
  EXPECT_EQ(client.status().workers.size(), 2u);
}

TEST(WorkerLoss, KilledAfterItsResultsWereStored) {
  const auto cluster = cluster_of(2);
  Client client(*cluster);
  const Array x = stored_source(2).persist(client);
  x.wait();
  kill(cluster->worker_pids().back(), SIGKILL);
  EXPECT_EQ(test::bits_of((x * 2 + 1).sum(0).compute(client)) + test::bits_of(x.var().compute(client)), expected(2));
}

TEST(WorkerLoss, AllKilledAndANewOneJoins) {
  const auto cluster = cluster_of(2);
  Client client(*cluster);
  const Array x = stored_source(3).persist(client);
  const Future total = compute_async((x * 2 + 1).sum(0), client);
  ASSERT_TRUE(eventually([&] { return tasks_done(client) > 10; }));
  for (int pid : cluster->worker_pids()) kill(pid, SIGKILL);
  ASSERT_TRUE(eventually([&] { return client.status().workers.empty(); }));
  EXPECT_EQ(total.status(), FutureStatus::kPending);
  cluster->add_worker();
  EXPECT_EQ(test::bits_of(total.result()) + test::bits_of(x.var().compute(client)), expected(3));
}

TEST(WorkerLoss, OneJoinsInMidRunAndGetsWork) {
  const auto cluster = cluster_of(1);
  Client client(*cluster);
  random::Options seeded;
  seeded.seed = 4;
  // Minutes of work, ended as soon as both have done some of it.
  Future total = compute_async(sin(random::normal(0, 1, {300000, 300000}, {1000, 1000}, seeded)).sum(), client);
  cluster->add_worker();
  EXPECT_TRUE(eventually([&] {
    const ClusterStatus status = client.status();
    return status.workers.size() == 2 && std::all_of(status.workers.begin(), status.workers.end(),
                                                     [](const WorkerStatus& worker) { return worker.tasks_done > 0; });
  }));
  EXPECT_EQ(total.status(), FutureStatus::kPending);
  total.cancel();
}

TEST(WorkerLoss, NothingIsLeftWhenTheLastHandleIsDropped) {
  const auto cluster = cluster_of(2);
  Client client(*cluster);
  {
    const Array x = stored_source(5).persist(client);
    x.wait();
    ASSERT_TRUE(eventually([&] {
      std::uint64_t bytes = 0;
      for (const WorkerStatus& worker : client.status().workers) bytes += worker.managed_bytes;
      return bytes >= x.nbytes();
    }));
    EXPECT_GT(client.status().memory, 0u);
  }
  EXPECT_TRUE(eventually([&] {
    const ClusterStatus status = client.status();
    std::uint64_t bytes = 0;
    for (const WorkerStatus& worker : status.workers) bytes += worker.managed_bytes;
    return bytes == 0 && status.memory == 0;
  }));
}

}  // namespace
}  // namespace tegula
