// tegula-bench as scripts and people call it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/metg_curve.h"
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

TEST(TegulaBench, TasksOfEveryPatternOnProcesses) {
  // Two chains of 30, a tree over 32 leaves, ... and the small graphs that one process can run beside them.
  for (const std::string pattern : {"map", "merge", "tree", "chain"}) {
    const auto report = figures({"tasks", "--pattern", pattern, "--tasks", "63", "--workers", "2", "--repeat", "1"});
    EXPECT_EQ(report.at("pattern"), pattern);
    EXPECT_EQ(report.at("tasks"), pattern == "chain" ? 62 : 63) << pattern;
    EXPECT_EQ(report.at("workers"), 2);
  }
  for (const std::string pattern : {"transpose", "shuffle", "stencil", "random", "trivial", "stencil_1d", "fft",
                                    "tb_tree", "nearest", "spread", "random_nearest", "anomaly_mean"}) {
    const auto report = figures({"tasks", "--pattern", pattern, "--tasks", "200", "--width", "9", "--in-process",
                                 "--repeat", "2", "--fan-in", "3"});
    EXPECT_GT(report.at("tasks"), 40) << pattern;
    EXPECT_EQ(report.at("result"), report.at("tasks")) << pattern;
  }
}

TEST(TegulaBench, MetgHalvesIterationsUntilTwoSizesAreTooShort) {
  const auto report = figures({"metg", "--in-process", "--threads", "2", "--steps", "5", "--repeat", "1", "--longest",
                               "50us", "--pattern", "stencil_1d", "spread", "--width", "2", "8"});
  EXPECT_EQ(report.at("threads"), 2);
  EXPECT_GT(report.at("loopback_round_trip_us").get<double>(), 0);
  EXPECT_GT(report.at("futex_hop_us").get<double>(), 0);
  ASSERT_EQ(report.at("curves").size(), 4u);
  for (const auto& curve : report.at("curves")) {
    EXPECT_EQ(curve.at("tasks").get<int>(), 5 * curve.at("width").get<int>());
    for (const char* field : {"tasks_per_s", "overhead_us", "peak_iterations_per_s"}) {
      EXPECT_GT(curve.at(field).get<double>(), 0) << field << " " << curve;
    }
    std::vector<bench::MetgPoint> points;
    for (const auto& point : curve.at("points")) {
      points.push_back({point.at("iterations"), point.at("granularity_us"), point.at("efficiency")});
      if (points.size() > 1) {
        EXPECT_EQ(points[points.size() - 2].iterations, 2 * points.back().iterations) << curve;
      }
    }
    ASSERT_GE(points.size(), 2u) << curve;
    // On a machine that has no time for it there may be no crossing.
    const auto crossing = bench::metg_us(points);
    EXPECT_EQ(curve.at("metg_us").is_null(), !crossing) << curve;
    if (crossing) {
      EXPECT_DOUBLE_EQ(curve.at("metg_us").get<double>(), *crossing);
    }
    const bool ended =
        points.back().iterations == 1 || (points.back().efficiency < 0.5 && points[points.size() - 2].efficiency < 0.5);
    EXPECT_TRUE(ended) << curve;
  }
  const Ended text =
      bench({"metg", "--in-process", "--steps", "5", "--longest", "50us", "--repeat", "1", "--pattern", "fft"});
  EXPECT_EQ(text.status, 0) << text.output;
  EXPECT_THAT(text.output, HasSubstr("METG(50%)"));
  EXPECT_THAT(text.output, HasSubstr("fft"));
}

TEST(TegulaBench, OneLayerReducedAndPersisted) {
  const auto report = figures({"blockwise", "--chunks", "5000", "--fan-in", "10", "--repeat", "2"});
  EXPECT_EQ(report.at("threads"), 2);
  EXPECT_EQ(report.at("reduce").at("tasks"), 5000 + 500 + 50 + 5 + 1);
  EXPECT_EQ(report.at("persist").at("tasks"), 5000);
  for (const char* kind : {"reduce", "persist"}) {
    const auto& part = report.at(kind);
    EXPECT_EQ(part.at("seconds").size(), 2u);
    EXPECT_GT(part.at("first_finished_ms").get<double>(), 0);
    // What goes over the wire grows with the layers, not with the chunks.
    EXPECT_GT(part.at("bytes_sent").get<int>(), 100);
    EXPECT_LT(part.at("bytes_sent").get<int>(), 10000);
    EXPECT_TRUE(part.at("scheduler_growth_bytes").is_number());
  }
  const Ended text = bench({"blockwise", "--chunks", "100", "--in-process", "--repeat", "1"});
  EXPECT_EQ(text.status, 0) << text.output;
  EXPECT_THAT(text.output, HasSubstr("persist"));
}

TEST(TegulaBench, AFewTasksEndBeforeAnotherClientsMany) {
  const auto report = figures({"fairness", "--tasks", "500000", "--small", "10", "--repeat", "3"});
  EXPECT_EQ(report.at("beside_s").size(), 3u);
  EXPECT_EQ(report.at("before_the_large"), 3);
  EXPECT_GT(report.at("worst_beside_s").get<double>(), 0);
}

TEST(TegulaBench, ClientsComeAndGo) {
  const auto report = figures({"clients", "--clients", "50", "--tasks", "20"});
  EXPECT_EQ(report.at("clients"), 50);
  EXPECT_EQ(report.at("tasks_left"), 0);
  // Nothing that 45 clients leave behind; what malloc does is not theirs.
  EXPECT_LT(report.at("scheduler_growth_bytes").get<std::int64_t>(), 4 << 20);
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
  for (const char* known : {"'mapp'", "merge", "tree", "chain", "anomaly_mean"}) {
    expect_one_line(bench({"tasks", "--pattern", "mapp"}), 2, known);
  }
  expect_one_line(bench({"metg", "--in-process", "--pattern", "fftt"}), 2, "stencil_1d");
  expect_one_line(bench({"metg", "--longest", "soon"}), 2, "soon");
  expect_one_line(bench({"metg", "--width", "0"}), 2, "--width");
  expect_one_line(bench({"blockwise", "--fan-in", "1"}), 2, "--fan-in");
  expect_one_line(bench({"fairness", "--tasks", "0"}), 2, "--tasks");
  expect_one_line(bench({"clients", "--in-process", "--scheduler", "tcp://127.0.0.1:1"}), 2, "--in-process");
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

TEST(TegulaBench, MoreThanMemoryBesideTheDisk) {
  const std::vector<std::string> arguments = {"out-of-core", "--memory-limit", "128MB", "--factor",
                                              "2",           "--repeat",       "1",     "--json"};
  const Ended run = bench(arguments);
  if (run.output.find("cannot be measured by direct transfers") != std::string::npos) GTEST_SKIP() << run.output;
  ASSERT_EQ(run.status, 0) << run.output;
  const auto report = nlohmann::json::parse(run.output);
  for (const char* field :
       {"spill_to_disk_write_rate", "queued_to_disk_write_rate", "queued_to_disk_write_rate_while_stored",
        "queued_to_disk_read_rate", "job_to_disk_time", "turn_longest_cpu_s", "turn_wall_p999_s", "idle_late_p999_s"}) {
    EXPECT_GT(report.at(field).get<double>(), 0) << field;
  }
  EXPECT_GE(report.at("turn_longest_own_s"), report.at("turn_longest_cpu_s"));
  EXPECT_GE(report.at("turns_over_10ms_own"), report.at("turns_over_10ms_cpu"));
  const auto& job = report.at("rounds").at(0).at("job");
  EXPECT_GT(job.at("when_stored").at("written"), 0);
  EXPECT_GE(job.at("at_end").at("written"), job.at("when_stored").at("written"));
  EXPECT_GT(job.at("at_end").at("read"), 0);
}

TEST(TegulaBench, ChunksGoStraightFromSocketToMemory) {
  const auto report = figures({"transfer", "--repeat", "1", "--bytes", "32MiB"});
  ASSERT_EQ(report.at("chunks").size(), 3u);
  for (const auto& size : report.at("chunks")) {
    EXPECT_GT(size.at("bytes_per_s").get<double>(), 0);
    EXPECT_GT(size.at("bare_bytes_per_s").get<double>(), 0);
    EXPECT_LT(size.at("copied").get<double>(), 0.01) << size;
  }
  EXPECT_EQ(report.at("pieces").at("count"), 1000);
  EXPECT_LE(report.at("pieces").at("requests"), 4);
  EXPECT_LE(report.at("pieces").at("frames"), 8);
}

}  // namespace
}  // namespace tegula
