// Real daemons: workers under their nanny, and what becomes of a job when they get into trouble.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tegula/tegula.h"
#include "tests/client/nop_layers.h"
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

std::uint64_t recomputed(const Client& client) {
  const std::string text = client.impl()->ask(msg::QueryKind::kStatus, "", std::chrono::seconds(60));
  return nlohmann::json::parse(text).at("counters").at("tasks_recomputed").get<std::uint64_t>();
}

TEST_F(Supervision, AWorkerThatIsAskedToEndLosesNothing) {
  const auto stays = start_workers({"--name", "stays"});
  const auto leaves = start_workers({"--name", "leaves"});
  client_->wait_for_workers(2);
  const Array x = stored_source(2).persist(*client_);
  ASSERT_TRUE(eventually([&] { return tasks_done() > 20; }));
  leaves->signal(SIGTERM);
  EXPECT_EQ(leaves->wait(), 0) << leaves->output();
  EXPECT_EQ(result_of(x, *client_), expected(2));
  EXPECT_EQ(recomputed(*client_), 0u) << leaves->output();
  EXPECT_EQ(client_->status().workers.size(), 1u);
  stays->signal(SIGTERM);
  EXPECT_EQ(stays->wait(), 0) << "with nobody to leave anything to";
}

TEST_F(Supervision, LifetimesEndAndBeginDuringAJob) {
  const auto stays = start_workers({"--name", "stays"});
  const auto comes_and_goes =
      start_workers({"--name", "mortal", "--lifetime", "1s", "--lifetime-stagger", "200ms", "--lifetime-restart"});
  client_->wait_for_workers(2);
  const auto mortal = [this] {
    for (const WorkerStatus& worker : client_->status().workers) {
      if (worker.name == "mortal") return worker.pid;
    }
    return std::uint64_t{0};
  };
  const std::uint64_t first = mortal();
  const std::string wanted = expected(3);
  const Array x = stored_source(3).persist(*client_);
  EXPECT_EQ(result_of(x, *client_), wanted);
  ASSERT_TRUE(eventually([&] { return mortal() != 0 && mortal() != first; })) << comes_and_goes->output();
  EXPECT_EQ(result_of(x, *client_), wanted);
  comes_and_goes->signal(SIGTERM);
  EXPECT_EQ(comes_and_goes->wait(), 0) << comes_and_goes->output();
}

// ---- kernels that misbehave -----------------------------------------------------------------------------------------

class Misbehaviour : public Supervision {
 protected:
  void start(std::vector<std::string> more = {}, std::vector<std::string> environment = {}) {
    environment.push_back("TEGULA_KERNELS__PATH=" TEGULA_FAULT_KERNELS);
    more.insert(more.end(), {"--name", "w"});
    workers_ = start_workers(more, environment);
    client_->wait_for_workers(1);
  }
  std::shared_ptr<ResultSet> submit(const std::string& kernel, const msg::SubmitOptions& options = {},
                                    const std::string& params = "") {
    auto layer = test::nop_layer(1, ++nonce_);
    layer->kernel = kernel;
    const auto* bytes = reinterpret_cast<const std::byte*>(params.data());
    layer->params.assign(bytes, bytes + params.size());
    Graph graph;
    graph.layers.push_back(std::move(layer));
    return client_->impl()->submit(graph, {{0, 0}}, options).front();
  }
  ErrorInfo error_of(const std::string& kernel, const msg::SubmitOptions& options = {}) {
    try {
      submit(kernel, options)->wait(std::chrono::seconds(100));
    } catch (const TaskError& error) {
      return error.info();
    }
    ADD_FAILURE() << kernel << " did not fail; " << workers_->output();
    return {};
  }
  // Three workers die of it, each of which is named with the cause; then there is another worker for others.
  void expect_killed_worker(const std::string& kernel, const std::string& cause) {
    start();
    const ErrorInfo error = error_of(kernel);
    EXPECT_EQ(error.code, ErrorCode::kKilledWorker);
    EXPECT_THAT(error.message, testing::HasSubstr(fmt::format("3 workers died of this task: {0}; {0}; {0}", cause)));
    EXPECT_THAT(error.message, testing::Not(testing::HasSubstr("not certain")));
    EXPECT_EQ(error.kernel, kernel);
    expect_that_the_worker_works();
  }
  void expect_that_the_worker_works() { EXPECT_NO_THROW(submit("test.nop")->wait()); }

  std::unique_ptr<ChildProcess> workers_;
  std::uint64_t nonce_ = 0;
};

TEST_F(Misbehaviour, ATaskThatKeepsCrashingItsWorkersIsStopped) {
  expect_killed_worker("test.segfault", "w: killed by signal 11 (Segmentation fault)");
}
TEST_F(Misbehaviour, ATaskThatKeepsAbortingItsWorkersIsStopped) {
  expect_killed_worker("test.abort", "w: killed by signal 6 (Aborted)");
}
TEST_F(Misbehaviour, ATaskThatKeepsExitingIsStopped) {
  expect_killed_worker("test.exit", "w: ended with status 0 in the middle of its work");
}

TEST_F(Misbehaviour, OneDeathIsForgiven) {
  start();
  const auto before = worker_pids();
  EXPECT_NO_THROW(submit("test.segfault_once", {}, folder_.file("mark"))->wait());
  EXPECT_TRUE(others_joined(before, 1));
}

TEST_F(Misbehaviour, MemoryThatKernelsTakeEndsTheWorkerAtLast) {
  start({"--memory-limit", "100MB"});
  const ErrorInfo error = error_of("test.eat");
  EXPECT_EQ(error.code, ErrorCode::kKilledWorker);
  EXPECT_THAT(error.message, testing::HasSubstr("are resident"));
  expect_that_the_worker_works();
}

TEST_F(Misbehaviour, ATimeLimitStopsAKernelThatListens) {
  start();
  const auto before = worker_pids();
  msg::SubmitOptions options;
  options.time_limit_ms = 100;
  const ErrorInfo error = error_of("test.until_asked", options);
  EXPECT_EQ(error.code, ErrorCode::kTimeout);
  EXPECT_THAT(error.message, testing::HasSubstr("time limit of 0.1 s"));
  expect_that_the_worker_works();
  EXPECT_EQ(worker_pids(), before);
}

TEST_F(Misbehaviour, ATimeLimitGetsTheThreadBackFromAKernelThatDoesNot) {
  start({}, {"TEGULA_WORKER__TIME_LIMIT=100ms", "TEGULA_WORKER__TIME_LIMIT_GRACE=100ms"});
  const auto before = worker_pids();
  EXPECT_EQ(error_of("test.forever").code, ErrorCode::kTimeout);
  EXPECT_TRUE(others_joined(before, 1)) << workers_->output();
  expect_that_the_worker_works();
}

TEST_F(Misbehaviour, WhatKernelsThrowIsTheTasksErrorAlone) {
  start();
  const auto before = worker_pids();
  EXPECT_THAT(error_of("test.throw").message, testing::HasSubstr("thrown by a kernel"));
  EXPECT_EQ(error_of("test.badalloc").code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(worker_pids(), before);
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
