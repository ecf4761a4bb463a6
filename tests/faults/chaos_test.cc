// A few rounds of the soak, and of each kind of fault that takes more than a signal or a cut; `tegula-bench chaos
// --rounds N --seed S` goes on for as long as one likes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/child_process.h"

namespace tegula::test {
namespace {

nlohmann::json report_of(const std::string& output) {
  const std::size_t begin = output.find('{');
  return begin == std::string::npos ? nlohmann::json() : nlohmann::json::parse(output.substr(begin), nullptr, false);
}

struct Outcome {
  nlohmann::json report;
  std::string impossible;  // why this machine does not permit it; "": it does
};

// A soak after which nothing was wrong.
Outcome soak(const std::vector<std::string>& arguments) {
  std::vector<std::string> command{program_path("tegula-bench"), "chaos", "--json"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  ChildProcess process(command);
  const auto status = process.wait(std::chrono::seconds(250));
  const std::size_t impossible = process.output().find("no kind of fault is possible here");
  if (status == 2 && impossible != std::string::npos) return {{}, process.output().substr(impossible)};
  EXPECT_EQ(status, 0) << process.output();
  Outcome outcome{report_of(process.output()), ""};
  if (!outcome.report.is_object()) {
    ADD_FAILURE() << process.output();
    outcome.report = nlohmann::json::object({{"faults", nlohmann::json::object()}});
    return outcome;
  }
  for (const char* bad : {"answers_wrong", "jobs_failed", "leaks", "hangs"}) {
    EXPECT_EQ(outcome.report.at(bad), 0) << outcome.report;
  }
  for (const auto& [means, why] : outcome.report.at("without").items()) {
    std::cout << "left out, " << means << ": " << why << "\n";
  }
  return outcome;
}

TEST(Chaos, ShortSoak) {
  const nlohmann::json report = soak({"--rounds", "4", "--seed", "20", "--size", "1000", "--timeout", "120s"}).report;
  EXPECT_EQ(report.value("rounds", 0), 4);
  EXPECT_GE(report.value("faults_injected", 0), 1);
}

// One kind of fault, and the figure that grows only when it strikes. "": it is counted only when it does.
struct Kind {
  std::string name, figure;
  std::vector<std::string> more = {};
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }  // ctest's names have it

class ChaosKind : public testing::TestWithParam<Kind> {};

TEST_P(ChaosKind, StrikesAndIsSurvived) {
  std::vector<std::string> arguments{"--rounds", "1", "--seed", "2", "--workers", "2", "--timeout", "120s", "--kinds"};
  arguments.push_back(GetParam().name);
  arguments.insert(arguments.end(), GetParam().more.begin(), GetParam().more.end());
  const Outcome outcome = soak(arguments);
  if (!outcome.impossible.empty()) GTEST_SKIP() << outcome.impossible;
  EXPECT_GE(outcome.report.at("faults").value(GetParam().name, 0), 1) << outcome.report;
  if (GetParam().figure.empty()) return;
  EXPECT_GE(outcome.report.value(GetParam().figure, 0), 1) << outcome.report;
}

INSTANTIATE_TEST_SUITE_P(Faults, ChaosKind,
                         testing::Values(Kind{"kill-scheduler", ""},
                                         Kind{"kill-scheduler-with-journal", "journals_read"},
                                         Kind{"fill-disk", "disks_full"}, Kind{"out-of-memory", "poisoned_tasks"},
                                         Kind{"kill-by-memory", "killed_for_memory"},
                                         Kind{"kill-worker", "nanny_restarts", {"--nanny"}},
                                         Kind{"kill-nanny", "", {"--nanny"}}),
                         [](const auto& about) {
                           std::string name = about.param.name;
                           for (char& letter : name) letter = letter == '-' ? '_' : letter;
                           return name;
                         });

TEST(Chaos, BadCommandLinesAreNamed) {
  ChildProcess unknown({program_path("tegula-bench"), "chaos", "--rounds", "1", "--kinds", "earthquake"});
  EXPECT_EQ(unknown.wait(), 2);
  EXPECT_NE(unknown.output().find("'earthquake'"), std::string::npos) << unknown.output();
  ChildProcess impossible({program_path("tegula-bench"), "chaos", "--rounds", "1", "--kinds", "kill-nanny"});
  EXPECT_EQ(impossible.wait(), 2);
  EXPECT_NE(impossible.output().find("--nanny"), std::string::npos) << impossible.output();
}

}  // namespace
}  // namespace tegula::test
