// A client that dies takes its work with it, after the grace in which it may come back, and nobody else's.
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <sstream>
#include <string>

#include "comm/transport.h"
#include "tegula/tegula.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

// What the scheduler holds, as /metrics has it: "tegula_scheduler_layers" and the like.
std::map<std::string, double> held(const std::string& scheduler_file) {
  test::ChildProcess ask({"/usr/bin/curl", "-sS", read_scheduler_file(scheduler_file).http_address + "/metrics"});
  EXPECT_EQ(ask.wait(), 0) << ask.output();
  std::map<std::string, double> values;
  std::istringstream lines(ask.output());
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.rfind(' '));
    for (const char* of_interest : {"tasks{", "layers", "clients", "queued_bytes", "connections"}) {
      if (name.starts_with(std::string("tegula_scheduler_") + of_interest)) {
        values[name] = std::stod(line.substr(name.size()));
      }
    }
  }
  return values;
}

TEST(ClientLoss, NothingOfAKilledClientsLargeGraphStays) {
  test::TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  test::ChildProcess scheduler({test::program_path("tegula-scheduler"), "--port", "0", "--scheduler-file", file},
                               {"TEGULA_SCHEDULER__CLIENT_GRACE=1s"});
  ASSERT_TRUE(scheduler.wait_for_output("listening on")) << scheduler.output();
  test::ChildProcess worker({test::program_path("tegula-worker"), "--scheduler-file", file, "--nthreads", "1"});
  Client(file).wait_for_workers(1);
  std::map<std::string, double> before;
  ASSERT_TRUE(test::eventually([&] {
    before = held(file);
    return before.at("tegula_scheduler_clients") == 0;
  }));
  EXPECT_EQ(before.at("tegula_scheduler_layers"), 0);
  EXPECT_EQ(before.at("tegula_scheduler_tasks{state=\"memory\"}"), 0);

  test::ChildProcess client({test::program_path("tegula-bench"), "tasks", "--pattern", "tree", "--tasks", "3000000",
                             "--repeat", "1", "--scheduler", file});
  ASSERT_TRUE(test::eventually([&] { return held(file).at("tegula_scheduler_tasks{state=\"memory\"}") > 0; }))
      << client.output();
  client.signal(SIGKILL);
  EXPECT_TRUE(test::eventually([&] { return held(file) == before; })) << scheduler.output();
}

TEST(ClientLoss, KilledClientsWorkIsReleasedAndOthersGoOn) {
  test::TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  test::ChildProcess scheduler({test::program_path("tegula-scheduler"), "--port", "0", "--scheduler-file", file});
  ASSERT_TRUE(scheduler.wait_for_output("listening on")) << scheduler.output();
  test::ChildProcess worker({test::program_path("tegula-worker"), "--scheduler-file", file, "--nthreads", "2"});
  Client client(file);
  client.wait_for_workers(1);
  const Array mine = ones({1000, 1000}, {100, 100}).persist(client);
  mine.wait();
  const std::uint64_t stored = client.status().memory;

  // A job of hours, killed in its midst.
  test::ChildProcess other({test::program_path("tegula-bench"), "random-sum", "--scheduler", file, "--size", "2000000",
                            "2000000", "--chunks", "5000", "5000", "--repeat", "1"});
  ASSERT_TRUE(test::eventually([&] { return client.status().processing > 0; })) << other.output();
  other.signal(SIGKILL);
  EXPECT_TRUE(test::eventually([&] {
    const ClusterStatus status = client.status();
    return status.processing + status.queued + status.waiting + status.released == 0 && status.memory == stored;
  }));
  EXPECT_EQ(mine.sum().compute(client).item<double>(), 1e6);
}

}  // namespace
}  // namespace tegula
