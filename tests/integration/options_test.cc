// Where and how often tasks run, as the user asked for it, on worker processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tegula/tegula.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using testing::HasSubstr;

LocalClusterOptions two_workers(std::string resources = {}) {
  LocalClusterOptions options;
  options.workers = 2;
  options.threads_per_worker = 1;
  options.program_directory = std::filesystem::path(test::program_path("tegula-worker")).parent_path();
  options.resources = std::move(resources);
  return options;
}

std::string refusal(const Client& client, const ComputeOptions& options) {
  try {
    ones({4}, {2}).compute(client, options);
  } catch (const ValueError& error) {
    return error.what();
  }
  return "taken";
}

TEST(ComputeOptionsOnProcesses, WorkersRestrictWhereTasksRun) {
  LocalCluster cluster(two_workers());
  Client client(cluster);
  const auto done_by = [&](const std::string& name) {
    for (const WorkerStatus& worker : client.status().workers) {
      if (worker.name == name) return worker.tasks_done;
    }
    ADD_FAILURE() << "no worker " << name;
    return std::uint64_t{0};
  };
  ComputeOptions options;
  options.workers = {"local-1"};
  const Array kept = random::normal(0, 1, {1000}, {10}).persist(client, options);
  kept.wait();
  EXPECT_TRUE(test::eventually([&] { return done_by("local-1") >= 100; }));
  EXPECT_EQ(done_by("local-0"), 0u);
}

TEST(ComputeOptionsOnProcesses, ResourcesOfWorkersAreOccupied) {
  LocalCluster cluster(two_workers("GPU=1"));
  Client client(cluster);
  ComputeOptions options;
  options.resources = {{"GPU", 1}};
  EXPECT_EQ(ones({100}, {10}).sum().compute(client, options).item<double>(), 100);
}

TEST(ComputeOptionsOnProcesses, MemoryIsReserved) {
  LocalClusterOptions small = two_workers();
  small.memory_limit = "512MiB";
  LocalCluster cluster(small);
  Client client(cluster);
  ComputeOptions options;
  options.resources = {{"memory", 400e6}};
  EXPECT_EQ(ones({100}, {10}).sum().compute(client, options).item<double>(), 100);
}

TEST(ComputeOptionsOnProcesses, UrgentWorkAndRetriesGiveTheSameAnswer) {
  LocalCluster cluster(two_workers());
  ClientOptions mine;
  mine.share = 3;
  Client client(cluster, mine);
  ComputeOptions options;
  options.priority = 10;
  options.retries = 2;
  options.retry_delay = std::chrono::milliseconds(5);
  EXPECT_EQ(arange(1000).rechunk({10}).sum().compute(client, options).item<std::int64_t>(), 499500);
}

TEST(ComputeOptionsOnProcesses, NonsenseIsRefusedByItsValue) {
  LocalCluster cluster(two_workers());
  Client client(cluster);
  ComputeOptions options;
  options.resources = {{"GPU", -2}};
  EXPECT_THAT(refusal(client, options), HasSubstr("-2"));
  options.resources = {{"memory", 0.5}};
  EXPECT_THAT(refusal(client, options), HasSubstr("0.5"));
  options.resources.clear();
  options.retries = 70000;
  EXPECT_THAT(refusal(client, options), HasSubstr("70000"));
  options.retries = 0;
  options.retry_delay = std::chrono::milliseconds(-1);
  EXPECT_THAT(refusal(client, options), HasSubstr("-1 ms"));
  options.retry_delay = {};
  options.workers = {""};
  EXPECT_THAT(refusal(client, options), HasSubstr("without a name"));
  ClientOptions greedy;
  greedy.share = -1;
  EXPECT_THROW(Client(cluster, greedy), ValueError);
  EXPECT_EQ(ones({4}, {2}).sum().compute(client).item<double>(), 4) << "the client goes on";
}

TEST(ComputeOptionsOnProcesses, WorkersWithBadResourcesDoNotStart) {
  for (const char* text : {"GPU", "GPU=", "=1", "GPU=x", "GPU=-1", "GPU=1,GPU=2"}) {
    EXPECT_THROW(LocalCluster{two_workers(text)}, ConnectionError) << text;
  }
}

}  // namespace
}  // namespace tegula
