#include "worker/history.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tegula::worker {
namespace {

using namespace std::chrono_literals;

Execute begun(std::uint64_t attempt, std::uint32_t index, Time fetched_in = 0ns, Time read_in = 0ns) {
  Execute execute;
  execute.attempt = AttemptId{attempt};
  execute.task = make_task_id(LayerId{7}, index);
  execute.fetched_in = fetched_in;
  execute.read_in = read_in;
  return execute;
}
KernelFinished finished(std::uint64_t attempt, std::chrono::nanoseconds took) {
  return {AttemptId{attempt}, {}, 0, static_cast<std::uint64_t>(took.count())};
}
nlohmann::json told(const History& history, Time now) {
  History::Surroundings around;
  around.fetched = {{WorkerId{3}, "tcp://peer:1", 2, 1000, 1ms}, {WorkerId{4}, "", 0, 0, 0ns}};
  around.served = {{"w5", 1, 10}};
  around.disk.bytes_written = 4096;
  around.disk.write_busy = 2ms;
  return nlohmann::json::parse(history.text(around, now));
}

TEST(History, TellsWhereATasksTimeWent) {
  History history;
  history.handed_over(begun(1, 12, 30ms, 10ms), 1s);
  history.handed_over(begun(2, 13), 1s);
  history.handed_over(begun(3, 14), 1s);
  history.heard(finished(1, 20ms), 1s + 25ms);
  history.heard(KernelFailed{AttemptId{2}, {}, 1'000'000}, 1s + 30ms);
  history.heard(Recalled{AttemptId{3}}, 1s + 30ms);
  history.heard(finished(3, 20ms), 1s + 40ms);  // it was given back: nobody's
  const auto json = told(history, 2s + 25ms);
  ASSERT_EQ(json.at("tasks").size(), 2u);
  const auto& first = json.at("tasks")[0];
  EXPECT_EQ(first.at("task"), "7/12");
  EXPECT_NEAR(first.at("ago_s").get<double>(), 1, 1e-9);
  EXPECT_NEAR(first.at("transfer_s").get<double>(), 0.03, 1e-9);
  EXPECT_NEAR(first.at("disk_s").get<double>(), 0.01, 1e-9);
  EXPECT_NEAR(first.at("queued_s").get<double>(), 0.005, 1e-9);
  EXPECT_NEAR(first.at("compute_s").get<double>(), 0.02, 1e-9);
  EXPECT_EQ(first.at("failed"), false);
  EXPECT_EQ(json.at("tasks")[1].at("failed"), true);
  EXPECT_EQ(json.at("counters").at("finished"), 1);
  EXPECT_EQ(json.at("counters").at("failed"), 1);
  EXPECT_NEAR(json.at("counters").at("disk_s").get<double>(), 0.01, 1e-9);
  EXPECT_NEAR(json.at("counters").at("compute_s").get<double>(), 0.021, 1e-9);
  EXPECT_NEAR(json.at("from_peers")[0].at("bytes_per_s").get<double>(), 1e6, 1e-3);
  EXPECT_TRUE(json.at("from_peers")[1].at("bytes_per_s").is_null()) << "it was never waited for";
  EXPECT_EQ(json.at("to_peers")[0].at("name"), "w5");
  EXPECT_EQ(json.at("disk").at("bytes_written"), 4096);
  EXPECT_NEAR(json.at("disk").at("write_busy_s").get<double>(), 0.002, 1e-9);
  EXPECT_FALSE(json.contains("turns")) << "nobody watches them";
}

TEST(History, IsBounded) {
  History history;
  for (std::uint32_t i = 0; i < 5 * History::kTasks; ++i) {
    history.handed_over(begun(i, i), 1s);
    history.heard(finished(i, 1ms), 1s);
  }
  const auto json = told(history, 1s);
  EXPECT_EQ(json.at("tasks").size(), History::kTasks);
  EXPECT_EQ(json.at("tasks").back().at("task"), "7/" + std::to_string(5 * History::kTasks - 1));
  EXPECT_EQ(json.at("counters").at("finished"), 5 * History::kTasks);
}

}  // namespace
}  // namespace tegula::worker
