// The scheduler is killed in mid-run and started again: workers bring back what they hold, clients say again what they
// want (or the journal knows), and the answers are those of a quiet cluster, to the last bit.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/child_process.h"
#include "tests/support/proxy.h"

namespace tegula {
namespace {

using test::eventually;

Array stored_source(std::uint64_t seed) {
  random::Options seeded;
  seeded.seed = seed;
  return sin(random::normal(0, 1, {3000, 3000}, {150, 150}, seeded));
}

std::string answers(const Array& x, Client& client) {
  return test::bits_of((x * 2 + 1).sum(0).compute(client)) + test::bits_of(x.var().compute(client));
}

std::string expected(std::uint64_t seed) {
  ClientOptions options;
  options.threads = 2;
  Client client(options);
  return answers(stored_source(seed).persist(client), client);
}

// Daemons that find each other by a scheduler file, so that a scheduler that is started again may have another port.
class Cluster {
 public:
  explicit Cluster(unsigned workers, std::vector<std::string> scheduler_arguments = {})
      : arguments_(std::move(scheduler_arguments)) {
    start_scheduler();
    for (unsigned i = 0; i < workers; ++i) {
      workers_.push_back(std::make_unique<test::ChildProcess>(
          std::vector<std::string>{test::program_path("tegula-worker"), "--scheduler-file", file(), "--no-nanny",
                                   "--nthreads", "1", "--name", "w" + std::to_string(i)},
          std::vector<std::string>{"TEGULA_WORKER__DEATH_TIMEOUT=30s"}));
    }
  }
  void start_scheduler() {
    std::vector<std::string> arguments{test::program_path("tegula-scheduler"), "--port", "0", "--scheduler-file",
                                       file()};
    arguments.insert(arguments.end(), arguments_.begin(), arguments_.end());
    scheduler_ = std::make_unique<test::ChildProcess>(
        arguments, std::vector<std::string>{"TEGULA_SCHEDULER__INVENTORY_WINDOW=2s"});
    ASSERT_TRUE(scheduler_->wait_for_output("listening on")) << scheduler_->output();
  }
  void restart_scheduler() {
    scheduler_->signal(SIGKILL);
    ASSERT_TRUE(scheduler_->wait());
    start_scheduler();
  }
  std::string file() const { return folder_.file("scheduler.json"); }
  // Where the scheduler is, and a file that tells clients that it is behind `proxy`.
  std::uint16_t port() const {
    const std::string address = Client(file()).scheduler_address();
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }
  std::string file_behind(test::Proxy& proxy) const {
    const std::uint16_t here = port();
    proxy.retarget(here);
    std::ifstream in(file());
    std::string text(std::istreambuf_iterator<char>(in), {});
    const std::string address = fmt::format("tcp://127.0.0.1:{}", here);
    text.replace(text.find(address), address.size(), proxy.address());
    const std::string behind = folder_.file("behind.json"), beside = behind + ".new";
    std::ofstream(beside) << text;
    std::filesystem::rename(beside, behind);
    return behind;
  }
  test::ChildProcess& scheduler() { return *scheduler_; }
  test::ChildProcess& worker(std::size_t i) { return *workers_[i]; }

 private:
  test::TemporaryDirectory folder_;
  std::vector<std::string> arguments_;
  std::unique_ptr<test::ChildProcess> scheduler_;
  std::vector<std::unique_ptr<test::ChildProcess>> workers_;
};

std::uint64_t tasks_done(Client& client) {
  std::uint64_t done = 0;
  for (const WorkerStatus& worker : client.status().workers) done += worker.tasks_done;
  return done;
}

// What a worker last said of itself may be half a second old.
std::uint64_t tasks_done_in_the_end(Client& client, unsigned workers) {
  std::uint64_t done = 0;
  EXPECT_TRUE(eventually([&] {
    const std::uint64_t now = tasks_done(client);
    const bool settled = client.status().workers.size() == workers && now == done && now > 0;
    done = now;
    if (!settled) std::this_thread::sleep_for(std::chrono::milliseconds(600));
    return settled;
  }));
  return done;
}

// Of what workers brought to the scheduler that runs now.
std::uint64_t results_kept(Client& client) {
  test::TemporaryDirectory folder;
  client.dump(folder.file("dump.json"));
  std::ifstream in(folder.file("dump.json"));
  return nlohmann::json::parse(in).at("counters").at("inventory_kept");
}

class SchedulerRestart : public testing::TestWithParam<bool> {
 protected:
  bool with_journal() const { return GetParam(); }
  std::unique_ptr<Cluster> cluster_of(unsigned workers) {
    if (!with_journal()) return std::make_unique<Cluster>(workers);
    return std::make_unique<Cluster>(workers, std::vector<std::string>{"--journal", journals_.file("j")});
  }
  test::TemporaryDirectory journals_;
};

TEST_P(SchedulerRestart, KilledWhileItComputes) {
  const auto cluster = cluster_of(2);
  Client client(cluster->file()), other(cluster->file());
  client.wait_for_workers(2);
  const Array x = stored_source(1).persist(client);                   // 400 chunks
  const Future total = compute_async(stored_source(1).var(), other);  // the same work, and one step more
  ASSERT_TRUE(eventually([&] { return client.status().memory > 200; }));
  cluster->restart_scheduler();
  const std::string got = answers(x, client);
  EXPECT_EQ(got, expected(1));
  EXPECT_EQ(test::bits_of(total.result()), test::bits_of(x.var().compute(client)));
  EXPECT_GE(results_kept(client), 200u) << "what had been computed counts";
}

TEST_P(SchedulerRestart, AWorkerOutlivesTwoOfThem) {
  const auto cluster = cluster_of(1);
  Client client(cluster->file());
  client.wait_for_workers(1);
  const Array x = stored_source(2).persist(client);
  x.wait();
  const std::uint64_t before = tasks_done_in_the_end(client, 1);
  for (int i = 0; i < 2; ++i) {
    cluster->restart_scheduler();
    x.wait();
    EXPECT_TRUE(eventually([&] { return client.status().memory == 400; })) << "all of it is there again";
  }
  EXPECT_EQ(tasks_done_in_the_end(client, 1), before) << "and nothing was computed again";
  EXPECT_EQ(answers(x, client), expected(2));
}

TEST_P(SchedulerRestart, WhatNobodyWantsIsFreed) {
  const auto cluster = cluster_of(1);
  {
    Client client(cluster->file());
    client.wait_for_workers(1);
    const Array x = stored_source(3).persist(client);
    x.wait();
    cluster->scheduler().signal(SIGKILL);
    ASSERT_TRUE(cluster->scheduler().wait());
    client.close();  // its releases reach nobody
  }
  cluster->start_scheduler();
  Client client(cluster->file());
  client.wait_for_workers(1);
  // With a journal once the client's grace is over.
  EXPECT_TRUE(eventually([&] {
    const ClusterStatus status = client.status();
    return status.memory == 0 && !status.workers.empty() && status.workers[0].managed_bytes == 0;
  }));
}

INSTANTIATE_TEST_SUITE_P(Faults, SchedulerRestart, testing::Bool(),
                         [](const auto& about) { return about.param ? "WithAJournal" : "WithoutOne"; });

TEST(SchedulerStopped, ThatIsWokenUpGoesOn) {
  Cluster cluster(2);
  Client client(cluster.file());
  client.wait_for_workers(2);
  const Array x = stored_source(4).persist(client);
  ASSERT_TRUE(eventually([&] { return tasks_done(client) > 20; }));
  cluster.scheduler().signal(SIGSTOP);
  std::this_thread::sleep_for(std::chrono::seconds(2));  // several heartbeats pile up
  cluster.scheduler().signal(SIGCONT);
  EXPECT_EQ(answers(x, client), expected(4));
  EXPECT_EQ(client.status().workers.size(), 2u);
}

TEST(SchedulerGone, WorkersEndAfterTheDeathTimeout) {
  test::TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  test::ChildProcess scheduler({test::program_path("tegula-scheduler"), "--port", "0", "--scheduler-file", file});
  ASSERT_TRUE(scheduler.wait_for_output("listening on")) << scheduler.output();
  test::ChildProcess worker(
      {test::program_path("tegula-worker"), "--scheduler-file", file, "--no-nanny", "--nthreads", "1"},
      {"TEGULA_WORKER__DEATH_TIMEOUT=1s"});
  ASSERT_TRUE(worker.wait_for_output("joined")) << worker.output();
  scheduler.signal(SIGKILL);
  EXPECT_EQ(worker.wait(), 1) << worker.output();
  EXPECT_THAT(worker.output(), testing::HasSubstr("no scheduler at"));
}

// Computes something, and then keeps something: when that is acknowledged, all that came before it is in the journal,
// and nothing more will be written by itself.
Array kept_and_written(Client& client) {
  EXPECT_EQ(ones({4}, {2}).sum().compute(client).item<double>(), 4);
  EXPECT_TRUE(eventually([&] { return client.status().memory == 0; }));
  return ones({3}, {3}).persist(client);
}

TEST(Journal, IsOneSchedulersAlone) {
  test::TemporaryDirectory folder;
  Cluster cluster(0, {"--journal", folder.path()});
  test::ChildProcess second({test::program_path("tegula-scheduler"), "--port", "0", "--journal", folder.path()});
  EXPECT_EQ(second.wait(), 1);
  EXPECT_THAT(second.output(), testing::HasSubstr("belongs to a scheduler that runs"));
}

TEST(Journal, WithoutRoomSubmissionsAreRefusedUntilThereIsSome) {
  test::TemporaryDirectory folder;
  Cluster cluster(1, {"--journal", folder.path()});
  Client client(cluster.file()), other(cluster.file());
  client.wait_for_workers(1);
  const Array kept = kept_and_written(client);
  rlimit before{};
  const rlimit full{1, RLIM_INFINITY};
  ASSERT_EQ(prlimit(cluster.scheduler().pid(), RLIMIT_FSIZE, &full, &before), 0);
  // There is room that was set aside, so this one is taken; it is not acknowledged before it is written.
  std::thread waiting([&] { EXPECT_EQ(ones({40}, {2}).sum().compute(client).item<double>(), 40); });
  ASSERT_TRUE(eventually([&] {
    return cluster.scheduler().output().find("submissions are refused until it can be written") != std::string::npos;
  }));
  EXPECT_TRUE(eventually([&] {
    try {
      EXPECT_EQ(ones({6}, {2}).sum().compute(other).item<double>(), 6);
      return false;
    } catch (const FileError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("cannot write its journal"));
      return true;
    }
  }));
  ASSERT_EQ(prlimit(cluster.scheduler().pid(), RLIMIT_FSIZE, &before, nullptr), 0);
  waiting.join();
  EXPECT_EQ(ones({6}, {2}).sum().compute(other).item<double>(), 6);
  cluster.restart_scheduler();
  EXPECT_EQ(ones({8}, {2}).sum().compute(client).item<double>(), 8);
}

TEST(Journal, AClientThatAttachesAnewHearsNothingThatIsNotWritten) {
  test::TemporaryDirectory folder;
  Cluster cluster(1, {"--journal", folder.path()});
  test::Proxy proxy(cluster.port());
  Client client(cluster.file_behind(proxy));
  client.wait_for_workers(1);
  const Array kept = kept_and_written(client);
  const rlimit full{1, RLIM_INFINITY};
  ASSERT_EQ(prlimit(cluster.scheduler().pid(), RLIMIT_FSIZE, &full, nullptr), 0);
  std::thread waiting([&] { EXPECT_EQ(ones({40}, {2}).sum().compute(client).item<double>(), 40); });
  ASSERT_TRUE(cluster.scheduler().wait_for_output("submissions are refused until it can be written"));
  const unsigned before = proxy.connections();
  proxy.cut();
  ASSERT_TRUE(cluster.scheduler().wait_for_output("attaches anew"));
  EXPECT_GT(proxy.connections(), before);
  // Were it told now that its submission was taken, it would not say again what the next scheduler knows nothing of.
  cluster.restart_scheduler();
  cluster.file_behind(proxy);
  waiting.join();
}

}  // namespace
}  // namespace tegula
