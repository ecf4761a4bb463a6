// A few rounds of the soak; `tegula-bench chaos --rounds N --seed S` goes on for as long as one likes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/child_process.h"

namespace tegula::test {
namespace {

nlohmann::json report_of(const std::string& output) {
  const std::size_t begin = output.find('{');
  return begin == std::string::npos ? nlohmann::json() : nlohmann::json::parse(output.substr(begin), nullptr, false);
}

TEST(Chaos, ShortSoak) {
  ChildProcess soak(
      {program_path("tegula-bench"), "chaos", "--rounds", "4", "--seed", "20", "--size", "1000", "--json"});
  EXPECT_EQ(soak.wait(std::chrono::seconds(250)), 0) << soak.output();
  const nlohmann::json report = report_of(soak.output());
  ASSERT_TRUE(report.is_object()) << soak.output();
  EXPECT_EQ(report.at("rounds"), 4);
  EXPECT_GE(report.at("faults_injected"), 1);
  for (const char* bad : {"answers_wrong", "jobs_failed", "leaks", "hangs"}) EXPECT_EQ(report.at(bad), 0) << report;
  if (!report.at("without_network").get<std::string>().empty()) {
    std::cout << "the network was left alone: " << report.at("without_network") << "\n";
  }
}

TEST(Chaos, BadCommandLinesAreNamed) {
  ChildProcess unknown({program_path("tegula-bench"), "chaos", "--rounds", "1", "--kinds", "earthquake"});
  EXPECT_EQ(unknown.wait(), 2);
  EXPECT_NE(unknown.output().find("'earthquake'"), std::string::npos) << unknown.output();
}

}  // namespace
}  // namespace tegula::test
