// The wall clock jumps by days while a job runs. Nothing that is decided depends on it.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/faults/daemons.h"

namespace tegula::test {
namespace {

TEST(ClockJump, NothingDependsOnTheWallClock) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's runtime does not let others come before it";
#endif
  Daemons daemons({"LD_PRELOAD=" TEGULA_JUMPING_CLOCK, "TEGULA_SCHEDULER__WORKER_TTL=2s",
                   "TEGULA_SCHEDULER__CLIENT_GRACE=2s", "TEGULA_WORKER__HEARTBEAT_INTERVAL=100ms",
                   "TEGULA_COMM__IDLE_TIMEOUT=3s", "TEGULA_COMM__WRITE_TIMEOUT=3s"});
  daemons.start_scheduler();
  daemons.start_worker("w0");
  daemons.start_worker("w1");
  Client client(daemons.file());
  client.wait_for_workers(2);
  const Job job(21);
  EXPECT_EQ(job.answer(client, job.source.persist(client)), job.expected());
  EXPECT_EQ(counter(client, "workers_lost"), 0u);
  EXPECT_EQ(counter(client, "workers_joined"), 2u);

  // It did jump: the dates in the log differ.
  std::set<std::string> dates;
  std::istringstream lines(daemons.scheduler().output());
  for (std::string line; std::getline(lines, line);) dates.insert(line.substr(0, line.find(' ')));
  EXPECT_GT(dates.size(), 1u) << daemons.story();
}

}  // namespace
}  // namespace tegula::test
