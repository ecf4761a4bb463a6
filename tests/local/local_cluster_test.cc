// Clusters on this machine: started whole or not at all, and nothing of them outlives their owner.
#include "tegula/local_cluster.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

#include "client/local/processes.h"
#include "tegula/client.h"
#include "tests/client/nop_layers.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using test::eventually;
using test::nop_layer;
using test::submit_one;

LocalClusterOptions processes(unsigned workers) {
  LocalClusterOptions options;
  options.workers = workers;
  options.threads_per_worker = 1;
  options.program_directory = std::filesystem::path(test::program_path("tegula-worker")).parent_path();
  return options;
}

// An environment variable, for the life of the object.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~Environment() {
    if (before_) {
      setenv(name_, before_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

bool exists(int pid) { return kill(pid, 0) == 0; }

TEST(LocalCluster, ProcessesWorkAndAreReapedAtTheEnd) {
  std::vector<int> pids;
  {
    LocalCluster cluster(processes(2));
    pids = cluster.worker_pids();
    ASSERT_EQ(pids.size(), 2u);
    pids.push_back(cluster.scheduler_pid());
    for (int pid : pids) EXPECT_TRUE(exists(pid));
    const Client client(cluster);
    submit_one(client, nop_layer(100))->wait();
    cluster.add_worker();
    EXPECT_EQ(Client(cluster).status().workers.size(), 3u);
    pids = cluster.worker_pids();
    pids.push_back(cluster.scheduler_pid());
    cluster.close();
    cluster.close();
    EXPECT_THROW(cluster.add_worker(), ClosedError);
  }
  for (int pid : pids) EXPECT_FALSE(exists(pid)) << "reaped";
}

TEST(LocalCluster, AThreadOfTheUserMayMakeItAndEnd) {
  std::unique_ptr<LocalCluster> cluster;
  std::thread([&] { cluster = std::make_unique<LocalCluster>(processes(1)); }).join();
  Client client(*cluster);
  submit_one(client, nop_layer(100))->wait();
  EXPECT_EQ(client.status().workers.size(), 1u);
}

TEST(LocalCluster, StoppedDaemonsAreEndedByForce) {
  std::vector<int> pids;
  {
    LocalCluster cluster(processes(1));
    pids = cluster.worker_pids();
    kill(pids.front(), SIGSTOP);
  }
  for (int pid : pids) EXPECT_FALSE(exists(pid));
}

std::size_t entries(const std::string& folder) {
  const std::filesystem::directory_iterator first(folder);
  return static_cast<std::size_t>(std::distance(begin(first), end(first)));
}

// The cluster's processes die with the program, however that ends. Its files are removed by the next one.
TEST(LocalCluster, NothingOutlivesAKilledProgram) {
  const test::TemporaryDirectory temporary;
  const Environment tmpdir("TMPDIR", temporary.path());
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const pid_t program = fork();
  ASSERT_GE(program, 0);
  if (program == 0) {
    LocalCluster cluster(processes(1));
    const int pids[2] = {cluster.scheduler_pid(), cluster.worker_pids().front()};
    (void)!write(report[1], pids, sizeof(pids));
    pause();
    _exit(0);
  }
  close(report[1]);
  int pids[2] = {};
  const ssize_t count = read(report[0], pids, sizeof(pids));
  close(report[0]);
  kill(program, SIGKILL);
  waitpid(program, nullptr, 0);
  ASSERT_EQ(count, static_cast<ssize_t>(sizeof(pids)));
  for (int pid : pids) EXPECT_TRUE(eventually([&] { return !exists(pid); })) << pid;
  EXPECT_EQ(entries(temporary.path()), 1u);
  {
    const client::PrivateDirectory next;
    EXPECT_TRUE(std::filesystem::exists(next.file("")));
    EXPECT_EQ(entries(temporary.path()), 1u) << "its own";
    const client::PrivateDirectory another;
    EXPECT_EQ(entries(temporary.path()), 2u) << "what is in use stays";
  }
  EXPECT_EQ(entries(temporary.path()), 0u);
}

TEST(LocalCluster, LeavesFoldersOfOthersAlone) {
  const test::TemporaryDirectory temporary;
  const Environment tmpdir("TMPDIR", temporary.path());
  std::filesystem::create_directory(temporary.file("tegula-cluster-mine"));  // no lock: not one of ours
  std::filesystem::create_directory(temporary.file("elsewhere"));
  std::ofstream(temporary.file("elsewhere/.lock")) << "";
  std::filesystem::create_directory_symlink(temporary.file("elsewhere"), temporary.file("tegula-cluster-link"));
  { const client::PrivateDirectory folder; }
  EXPECT_EQ(entries(temporary.path()), 3u);
  EXPECT_TRUE(std::filesystem::exists(temporary.file("elsewhere/.lock")));
}

// The environment's token is for daemons; within this process nobody asks for one.
TEST(LocalCluster, ThreadsOfThisProcessNeedNoToken) {
  const Environment token("TEGULA_CLUSTER_TOKEN", "0123456789abcdef");
  LocalClusterOptions options;
  options.workers = 1;
  options.processes = false;
  const LocalCluster cluster(options);
  const Client client(cluster);
  submit_one(client, nop_layer(10))->wait();
}

TEST(LocalCluster, AFailureToStartTellsWhatTheDaemonSaid) {
  LocalClusterOptions options = processes(1);
  options.worker_arguments = {"--no-such-flag"};
  try {
    LocalCluster cluster(options);
    FAIL() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_NE(std::string(error.what()).find("--no-such-flag"), std::string::npos) << error.what();
  }
  options = processes(1);
  options.program_directory = "/no/such/folder";
  try {
    LocalCluster cluster(options);
    FAIL() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_NE(std::string(error.what()).find("/no/such/folder"), std::string::npos) << error.what();
  }
}

TEST(LocalCluster, ThreadsOfThisProcess) {
  LocalClusterOptions options;
  options.workers = 2;
  options.threads_per_worker = 1;
  options.processes = false;
  options.memory_limit = "256MiB";
  LocalCluster cluster(options);
  EXPECT_TRUE(cluster.worker_pids().empty());
  EXPECT_EQ(cluster.scheduler_pid(), 0);
  Client client(cluster);
  cluster.add_worker();
  const ClusterStatus status = client.status();
  ASSERT_EQ(status.workers.size(), 3u);
  EXPECT_EQ(status.workers[0].memory_limit, 256u << 20);
  submit_one(client, nop_layer(1000))->wait();
  cluster.close();
  EXPECT_THROW(submit_one(client, nop_layer(1, 2))->wait(), ConnectionError);
}

TEST(LocalCluster, BadOptionsAreErrors) {
  LocalClusterOptions options = processes(1);
  options.memory_limit = "plenty";
  EXPECT_THROW(LocalCluster{options}, Error);
  options.processes = false;
  EXPECT_THROW(LocalCluster{options}, Error);
}

}  // namespace
}  // namespace tegula
