// tegula-worker's flags.
#include "worker/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "worker/daemon.h"

namespace tegula::worker {
namespace {

using testing::HasSubstr;

CommandLine parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "tegula-worker");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(WorkerCommandLine, FlagsBecomeSettings) {
  const CommandLine line =
      parse({"tcp://somewhere:8786", "--nthreads", "3",          "--name",   "w",           "--port",     "9000:9010",
             "--memory-limit",       "1GB",        "--insecure", "--config", "/etc/t.yaml", "--nworkers", "4",
             "--death-timeout",      "5s",         "--no-nanny", "--env",    "A=1",         "--env",      "B=",
             "--watch-turns"});
  EXPECT_FALSE(line.exit.has_value());
  EXPECT_EQ(line.scheduler, "tcp://somewhere:8786");
  EXPECT_EQ(line.processes, 4u);
  EXPECT_THAT(line.environment, testing::ElementsAre("A=1", "B="));
  EXPECT_EQ(line.config_file, "/etc/t.yaml");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"worker.threads", "3"},        {"worker.name", "w"},           {"worker.port", "9000:9010"},
      {"worker.memory-limit", "1GB"}, {"worker.death-timeout", "5s"}, {"comm.insecure", "true"},
      {"worker.nanny", "false"},      {"worker.watch-turns", "true"}};
  EXPECT_THAT(line.settings, testing::UnorderedElementsAreArray(expected));
}

TEST(WorkerCommandLine, TheLastOfAFlagCounts) {
  const CommandLine line = parse({"--nworkers", "4", "--name", "a", "--nworkers", "1", "--name", "b"});
  EXPECT_FALSE(line.exit.has_value());
  EXPECT_EQ(line.processes, 1u);
  ASSERT_EQ(line.settings.size(), 1u);
  EXPECT_EQ(line.settings[0].second, "b");
}

TEST(WorkerCommandLine, WhatIsWrongIsSaidInOneLine) {
  const auto said = [](std::vector<const char*> arguments) {
    testing::internal::CaptureStderr();
    const CommandLine line = parse(std::move(arguments));
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(line.exit, 2) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    return text;
  };
  EXPECT_THAT(said({"--nthread", "2"}), testing::AllOf(HasSubstr("'--nthread'"), HasSubstr("--nthreads")));
  EXPECT_THAT(said({"--nworkers", "0"}), HasSubstr("--nworkers"));
  EXPECT_THAT(said({"--nworkers", "many"}), HasSubstr("--nworkers"));
  EXPECT_THAT(said({"--name"}), HasSubstr("--name"));
  EXPECT_THAT(said({"--env", "PATH"}), HasSubstr("'PATH'"));
  EXPECT_THAT(said({"tcp://a:1", "tcp://b:2"}), HasSubstr("tcp://b:2"));
}

TEST(WorkerCommandLine, BadSettingsAreStatusTwoAndUnreachableSchedulersStatusOne) {
  const auto run = [](std::vector<std::string> arguments, std::string& text) {
    arguments.insert(arguments.begin(), "tegula-worker");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    testing::internal::CaptureStderr();
    const int status = worker_main(static_cast<int>(arguments.size()), argv.data());
    text = testing::internal::GetCapturedStderr();
    return status;
  };
  const auto quiet = [](std::vector<std::string> more) {
    more.insert(more.end(), {"--log-level", "off"});
    return more;
  };
  std::string text;
  EXPECT_EQ(run(quiet({"--memory-limit", "lots"}), text), 2);
  EXPECT_THAT(text, HasSubstr("'lots'"));
  EXPECT_EQ(run(quiet({"--port", "9100:9000"}), text), 2);
  EXPECT_EQ(run(quiet({"--nthreads", "-3"}), text), 2);
  EXPECT_EQ(run(quiet({"tcp://::1:3"}), text), 2);
  EXPECT_EQ(run(quiet({"--config", "/nowhere.yaml"}), text), 2);
  EXPECT_EQ(run(quiet({"--no-nanny", "--nworkers", "2"}), text), 2);
  EXPECT_THAT(text, HasSubstr("--nworkers"));
  EXPECT_EQ(run(quiet({"--cpus", "0-"}), text), 2);
  EXPECT_EQ(run(quiet({"--cpus", "100000"}), text), 2);
  EXPECT_THAT(text, HasSubstr("may be used here"));
  EXPECT_EQ(run(quiet({"--scheduler-file", "/nowhere/file.json", "--death-timeout", "100ms"}), text), 1);
  EXPECT_THAT(text, HasSubstr("/nowhere/file.json"));
}

}  // namespace
}  // namespace tegula::worker
