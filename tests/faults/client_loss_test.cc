// A client that dies takes its work with it, after the grace in which it may come back, and nobody else's.
#include <gtest/gtest.h>
#include <signal.h>

#include "tegula/tegula.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

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
