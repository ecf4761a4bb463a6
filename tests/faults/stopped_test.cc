// Daemons that stop without dying (SIGSTOP) and wake up later.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <string>

#include "tests/faults/daemons.h"

namespace tegula::test {
namespace {

class Stopped : public testing::Test {
 protected:
  void start(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"TEGULA_SCHEDULER__WORKER_TTL=1s", "TEGULA_WORKER__HEARTBEAT_INTERVAL=100ms"});
    daemons = std::make_unique<Daemons>(more);
    daemons->start_scheduler();
    for (const char* name : {"w0", "w1", "w2"}) daemons->start_worker(name);
    client = std::make_unique<Client>(daemons->file());
    client->wait_for_workers(3);
  }
  void TearDown() override {
    if (HasFailure() && daemons) std::cerr << daemons->story();
  }

  std::unique_ptr<Daemons> daemons;
  std::unique_ptr<Client> client;
};

TEST_F(Stopped, AWorkerIsGivenUpAndComesBackWhenItWakes) {
  start();
  const Job job(11);
  const Array stored = job.source.persist(*client);
  ASSERT_TRUE(eventually([&] { return counter(*client, "tasks_finished") > 20; }));
  daemons->worker("w0").signal(SIGSTOP);
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_TRUE(eventually([&] { return there_are(*client, {"w1", "w2"}); }));
  daemons->worker("w0").signal(SIGCONT);
  // Its late news belongs to a connection that is closed; it joins anew, as another worker of the same name, and works.
  EXPECT_TRUE(eventually([&] { return there_are(*client, {"w0", "w1", "w2"}); }));
  EXPECT_EQ(counter(*client, "workers_joined"), 4u);
  EXPECT_EQ(counter(*client, "heartbeat_mismatches"), 0u);
  const Job another(12);
  EXPECT_EQ(another.answer(*client, another.source.persist(*client)), another.expected());
  EXPECT_TRUE(eventually([&] {
    for (const WorkerStatus& worker : client->status().workers) {
      if (worker.name == "w0") return worker.tasks_done > 0;
    }
    return false;
  }));
}

// Whoever waits for its chunks, other workers and the client, hears from the scheduler that it is lost and need not
// wait until the connection times out.
TEST_F(Stopped, NobodyWaitsForTheChunksOfAStoppedWorker) {
  setenv("TEGULA_COMM__IDLE_TIMEOUT", "10min", 1);  // of this test's client, and of the daemons that it starts
  start();
  const Job job(13);
  const Array stored = job.source.persist(*client);
  stored.wait();
  const std::string whole = bits_of(stored.compute(*client));
  daemons->worker("w0").signal(SIGSTOP);
  EXPECT_EQ(bits_of(stored.compute(*client)), whole);
  daemons->worker("w1").signal(SIGSTOP);
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_EQ(counter(*client, "workers_lost"), 2u);
}

TEST_F(Stopped, ASchedulerThatWasStoppedLosesNobody) {
  start();
  const Job job(14);
  const Array stored = job.source.persist(*client);
  ASSERT_TRUE(eventually([&] { return counter(*client, "tasks_finished") > 20; }));
  daemons->scheduler().signal(SIGSTOP);
  // Workers work on, fall idle, and beat on: for longer than the scheduler bears silence.
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  while (std::chrono::steady_clock::now() < end) pause_between_polls();
  daemons->scheduler().signal(SIGCONT);
  EXPECT_EQ(job.answer(*client, stored), job.expected());
  EXPECT_EQ(counter(*client, "workers_lost"), 0u);
}

}  // namespace
}  // namespace tegula::test
