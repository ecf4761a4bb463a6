// tegula-bench as scripts and people call it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/child_process.h"

namespace tegula {
namespace {

using test::ChildProcess;
using test::program_path;
using ::testing::HasSubstr;

struct Ended {
  int status = -1;
  std::string output;  // standard output and standard error
};

Ended bench(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program_path("tegula-bench"));
  ChildProcess process(arguments);
  const auto status = process.wait(std::chrono::seconds(120));
  return {status.value_or(-1), process.output()};
}

nlohmann::json figures(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const Ended run = bench(std::move(arguments));
  EXPECT_EQ(run.status, 0) << run.output;
  return nlohmann::json::parse(run.output);
}

void expect_one_line(const Ended& run, int status, const std::string& text) {
  EXPECT_EQ(run.status, status) << run.output;
  EXPECT_EQ(std::count(run.output.begin(), run.output.end(), '\n'), 1) << run.output;
  EXPECT_THAT(run.output, HasSubstr("tegula-bench: "));
  EXPECT_THAT(run.output, HasSubstr(text));
}

const std::vector<std::string> kSmall = {"random-sum", "--size", "300",      "200", "--chunks",
                                         "100",        "70",     "--repeat", "2"};

std::vector<std::string> small_with(std::vector<std::string> more) {
  std::vector<std::string> arguments = kSmall;
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(TegulaBench, RandomSumGivesTheSameBitsHoweverItIsRun) {
  const auto embedded = figures(small_with({"--in-process", "--threads", "2", "--workers", "1"}));
  EXPECT_EQ(embedded.at("workload"), "random-sum");
  EXPECT_EQ(embedded.at("seconds").size(), 2u);
  EXPECT_EQ(embedded.at("elements"), 60000);
  EXPECT_EQ(embedded.at("tasks"), 9);
  EXPECT_EQ(embedded.at("optimize"), true);
  EXPECT_EQ(embedded.at("threads"), 2);
  for (const char* field : {"median_s", "us_per_task", "elements_per_s", "bytes_per_s", "peak_rss_bytes"}) {
    EXPECT_GT(embedded.at(field).get<double>(), 0) << field;
  }
  // 15,000 numbers of mean 11 and deviation 1.
  EXPECT_NEAR(embedded.at("result").get<double>(), 15000 * 11.0, 6 * 123);

  const auto unfused = figures(small_with({"--in-process", "--no-optimize"}));
  EXPECT_EQ(unfused.at("result"), embedded.at("result"));
  EXPECT_EQ(unfused.at("optimize"), false);
  const auto processes = figures(small_with({"--workers", "2"}));
  EXPECT_EQ(processes.at("result"), embedded.at("result"));
  EXPECT_EQ(processes.at("workers"), 2);
  EXPECT_NE(figures(small_with({"--in-process", "--seed", "7"})).at("result"), embedded.at("result"));
}

TEST(TegulaBench, EmptyTasks) {
  const auto report = figures({"tasks", "--tasks", "500", "--repeat", "3", "--in-process"});
  EXPECT_EQ(report.at("tasks"), 500);
  EXPECT_EQ(report.at("seconds").size(), 3u);
  EXPECT_GT(report.at("us_per_task").get<double>(), 0);
}

TEST(TegulaBench, TheSchedulerAlone) {
  const auto report =
      figures({"scheduler", "--pattern", "tree", "--tasks", "500", "--workers", "5", "--threads", "2", "--codec"});
  EXPECT_EQ(report.at("workload"), "scheduler");
  EXPECT_EQ(report.at("tasks"), 500);
  EXPECT_EQ(report.at("workers"), 5);
  EXPECT_EQ(report.at("threads"), 2);
  for (const char* field : {"tasks_per_s", "bytes_per_task", "makespan", "lower_bound", "peak_memory", "bytes_moved"}) {
    EXPECT_GT(report.at(field).get<double>(), 0) << field;
  }
  EXPECT_GE(report.at("makespan").get<double>(), report.at("lower_bound").get<double>());
  const auto compared = figures({"scheduler", "--tasks", "100", "--virtual-only", "--baselines", "--repeat", "2"});
  EXPECT_FALSE(compared.contains("tasks_per_s"));
  EXPECT_EQ(compared.at("baselines").size(), 4u);
  const Ended text = bench({"scheduler", "--tasks", "100", "--repeat", "1"});
  EXPECT_EQ(text.status, 0) << text.output;
  EXPECT_THAT(text.output, HasSubstr("core alone"));
  EXPECT_THAT(text.output, HasSubstr("lower bound"));
}

TEST(TegulaBench, TextForPeople) {
  const Ended run = bench(small_with({"--in-process"}));
  EXPECT_EQ(run.status, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("result"));
  EXPECT_THAT(run.output, HasSubstr("elements/s"));
}

TEST(TegulaBench, CommandLinesThatMakeNoSense) {
  expect_one_line(bench({"no-such-workload"}), 2, "no-such-workload");
  expect_one_line(bench({}), 2, "workload");
  expect_one_line(bench({"tasks", "--no-such-flag"}), 2, "--no-such-flag");
  expect_one_line(bench({"tasks", "--tasks", "0"}), 2, "--tasks");
  expect_one_line(bench({"random-sum", "--size", "10", "10", "--chunks", "5"}), 2, "--chunks");
  expect_one_line(bench({"random-sum", "--dtype", "float99"}), 2, "float99");
  expect_one_line(bench({"scheduler", "--pattern", "stencl"}), 2, "'stencl'");
  expect_one_line(bench({"scheduler", "--tasks", "0"}), 2, "--tasks");
  expect_one_line(bench({"scheduler", "--core-only", "--baselines"}), 2, "--core-only");
  expect_one_line(bench({"scheduler", "--duration", "fast"}), 2, "fast");
  expect_one_line(bench({"scheduler", "--join", "soon"}), 2, "'soon'");
  expect_one_line(bench({"tasks", "--in-process", "--scheduler", "tcp://127.0.0.1:1"}), 2, "--in-process");
}

TEST(TegulaBench, FailuresAreOneLine) {
  expect_one_line(bench({"tasks", "--scheduler", "tcp://127.0.0.1:1"}), 1, "127.0.0.1:1");
  expect_one_line(bench({"tasks", "--scheduler", "/no/such/file.json"}), 1, "/no/such/file.json");
  expect_one_line(bench(small_with({"--in-process", "--dtype", "int32"})), 1, "int32");
}

TEST(TegulaBench, CtrlCEndsItInOrder) {
  ChildProcess process({program_path("tegula-bench"), "random-sum", "--size", "400000", "400000", "--chunks", "10000",
                        "10000", "--workers", "2", "--progress"});
  ASSERT_TRUE(process.wait_for_output("tasks")) << process.output();
  process.signal(SIGINT);
  EXPECT_EQ(process.wait(), 130) << process.output();
}

}  // namespace
}  // namespace tegula
