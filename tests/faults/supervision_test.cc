// Real daemons: workers under their nanny, and what becomes of a job when they get into trouble.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using test::ChildProcess;
using test::eventually;
using test::program_path;

bool lives(std::uint64_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return static_cast<bool>(in >> number >> name >> state) && state != "Z";
}

// A scheduler, and tegula-worker as often as a test wants.
class Supervision : public ::testing::Test {
 protected:
  void SetUp() override {
    scheduler_ = std::make_unique<ChildProcess>(std::vector<std::string>{
        program_path("tegula-scheduler"), "--port", "0", "--http-port", "-1", "--scheduler-file", file()});
    ASSERT_TRUE(scheduler_->wait_for_output("listening on")) << scheduler_->output();
    client_ = std::make_unique<Client>(file());
  }

  std::string file() const { return folder_.file("scheduler.json"); }
  std::unique_ptr<ChildProcess> start_workers(std::vector<std::string> more,
                                              const std::vector<std::string>& environment = {}) {
    std::vector<std::string> command{program_path("tegula-worker"), "--scheduler-file", file(), "--nthreads", "1"};
    command.insert(command.end(), more.begin(), more.end());
    return std::make_unique<ChildProcess>(command, environment);
  }
  std::vector<std::uint64_t> worker_pids() {
    std::vector<std::uint64_t> pids;
    for (const WorkerStatus& worker : client_->status().workers) pids.push_back(worker.pid);
    return pids;
  }
  std::uint64_t tasks_done() {
    std::uint64_t done = 0;
    for (const WorkerStatus& worker : client_->status().workers) done += worker.tasks_done;
    return done;
  }
  // Until workers whose processes are others than `before` are there.
  bool others_joined(const std::vector<std::uint64_t>& before, std::size_t count) {
    return eventually([&] {
      const auto now = worker_pids();
      return now.size() == count && std::none_of(now.begin(), now.end(), [&](std::uint64_t pid) {
               return std::find(before.begin(), before.end(), pid) != before.end();
             });
    });
  }

  test::TemporaryDirectory folder_;
  std::unique_ptr<ChildProcess> scheduler_;
  std::unique_ptr<Client> client_;
};

// A job of a few hundred tasks that keeps what it makes.
Array stored_source(std::uint64_t seed) {
  random::Options seeded;
  seeded.seed = seed;
  return sin(random::normal(0, 1, {3000, 3000}, {150, 150}, seeded));
}
std::string result_of(const Array& x, const Client& client) {
  return test::bits_of((x * 2 + 1).sum(0).compute(client));
}
std::string expected(std::uint64_t seed) {
  ClientOptions options;
  options.threads = 2;
  const Client client(options);
  return result_of(stored_source(seed).persist(client), client);
}

TEST_F(Supervision, AKilledWorkerIsStartedAgainAndTheJobEnds) {
  const auto workers = start_workers({"--name", "w"});
  client_->wait_for_workers(1);
  const auto before = worker_pids();
  const Array x = stored_source(1).persist(*client_);
  ASSERT_TRUE(eventually([&] { return tasks_done() > 20; }));
  kill(static_cast<pid_t>(before.at(0)), SIGKILL);
  ASSERT_TRUE(others_joined(before, 1)) << workers->output();
  EXPECT_EQ(client_->status().workers.at(0).name, "w") << "under its old name";
  EXPECT_EQ(result_of(x, *client_), expected(1));
  workers->signal(SIGTERM);
  EXPECT_EQ(workers->wait(), 0) << workers->output();
}

TEST_F(Supervision, AStoppedWorkerIsKilledAndStartedAgain) {
  const auto workers = start_workers({}, {"TEGULA_WORKER__HANG_TIMEOUT=1s"});
  client_->wait_for_workers(1);
  const auto before = worker_pids();
  kill(static_cast<pid_t>(before.at(0)), SIGSTOP);
  ASSERT_TRUE(others_joined(before, 1)) << workers->output();
  EXPECT_FALSE(lives(before[0]));
  EXPECT_EQ(ones({100}, {10}).sum().compute(*client_).item<double>(), 100);
  EXPECT_THAT(workers->output(), testing::HasSubstr("the process is stopped"));
}

TEST_F(Supervision, NoWorkerOutlivesItsNanny) {
  const auto workers = start_workers({"--nworkers", "2"});
  client_->wait_for_workers(2);
  const auto pids = worker_pids();
  kill(static_cast<pid_t>(pids.at(0)), SIGSTOP);  // not even one that hangs
  workers->signal(SIGKILL);
  for (const std::uint64_t pid : pids) EXPECT_TRUE(eventually([&] { return !lives(pid); }));
  EXPECT_TRUE(eventually([&] { return worker_pids().empty(); }));
}

TEST_F(Supervision, WorkersGetTheirEnvironmentAndProcessors) {
  const auto workers = start_workers({"--nworkers", "2", "--cpus", "auto", "--env", "TEST_NUMBER=<{}>"});
  client_->wait_for_workers(2);
  std::string environments;
  for (const std::uint64_t pid : worker_pids()) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/environ");
    environments.append(std::istreambuf_iterator<char>(in), {});
  }
  EXPECT_THAT(environments, testing::AllOf(testing::HasSubstr("TEST_NUMBER=<0>"), testing::HasSubstr("TEST_NUMBER=<1>"),
                                           testing::HasSubstr("OMP_NUM_THREADS=")));
}

}  // namespace
}  // namespace tegula
