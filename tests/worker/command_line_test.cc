// tegula-worker's flags, and its supervisor of several processes.
#include "worker/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/support/child_process.h"
#include "worker/daemon.h"
#include "worker/supervisor.h"

namespace tegula::worker {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

CommandLine parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "tegula-worker");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(WorkerCommandLine, FlagsBecomeSettings) {
  const CommandLine line =
      parse({"tcp://somewhere:8786", "--nthreads", "3", "--name", "w", "--port", "9000:9010", "--memory-limit", "1GB",
             "--insecure", "--config", "/etc/t.yaml", "--nworkers", "4", "--death-timeout", "5s"});
  EXPECT_FALSE(line.exit.has_value());
  EXPECT_EQ(line.scheduler, "tcp://somewhere:8786");
  EXPECT_EQ(line.processes, 4u);
  EXPECT_EQ(line.config_file, "/etc/t.yaml");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"worker.threads", "3"},        {"worker.name", "w"},           {"worker.port", "9000:9010"},
      {"worker.memory-limit", "1GB"}, {"worker.death-timeout", "5s"}, {"comm.insecure", "true"}};
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
  EXPECT_EQ(run(quiet({"--scheduler-file", "/nowhere/file.json", "--death-timeout", "100ms"}), text), 1);
  EXPECT_THAT(text, HasSubstr("/nowhere/file.json"));
}

// ---- several processes
// -----------------------------------------------------------------------------------------------

constexpr const char* kMark = "TEGULA_TEST_SUPERVISED";  // for a child: the folder in which it says that it lives

// What supervised processes do: they are this program, called for this test alone.
TEST(SupervisedProcess, LivesUntilItIsTerminated) {
  const char* folder = std::getenv(kMark);
  if (folder == nullptr) GTEST_SKIP() << "for the tests of the supervisor";
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, nullptr);
  std::ofstream(fs::path(folder) / std::to_string(getpid())).flush();
  int signal = 0;
  sigwait(&terminate, &signal);
}

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv(kMark, folder_.path().c_str(), 1);
    supervisor_ = fork();
    ASSERT_GE(supervisor_, 0);
    if (supervisor_ == 0) {
      const std::vector<std::string> child = {"test", "--gtest_filter=SupervisedProcess.*", "--gtest_brief=1"};
      _exit(supervise({child, child}));
    }
    unsetenv(kMark);
    ASSERT_TRUE(test::eventually([this] { return children().size() == 2; }));
  }
  void TearDown() override {
    if (supervisor_ > 0) {
      kill(supervisor_, SIGKILL);
      waitpid(supervisor_, nullptr, 0);
    }
    for (const pid_t child : children()) kill(child, SIGKILL);
  }

  std::vector<pid_t> children() const {
    std::vector<pid_t> pids;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      pids.push_back(std::stoi(entry.path().filename().string()));
    return pids;
  }
  static bool lives(pid_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string number, name, state;
    return static_cast<bool>(in >> number >> name >> state) && state != "Z";
  }
  int wait_for_supervisor() {
    int status = 0;
    waitpid(std::exchange(supervisor_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  test::TemporaryDirectory folder_;
  pid_t supervisor_ = -1;
};

TEST_F(SupervisorTest, HandsTheSignalOnAndWaits) {
  kill(supervisor_, SIGINT);
  EXPECT_EQ(wait_for_supervisor(), 0);
  for (const pid_t child : children()) EXPECT_FALSE(lives(child));
}

TEST_F(SupervisorTest, OneThatDiesLeavesTheOthersAlone) {
  const std::vector<pid_t> pids = children();
  kill(pids[0], SIGKILL);
  ASSERT_TRUE(test::eventually([&] { return !lives(pids[0]); }));
  EXPECT_TRUE(lives(pids[1]));
  EXPECT_TRUE(lives(supervisor_));
  kill(supervisor_, SIGTERM);
  EXPECT_EQ(wait_for_supervisor(), 1) << "a killed process is told by the status";
  EXPECT_FALSE(lives(pids[1]));
}

TEST_F(SupervisorTest, NothingOutlivesAKilledSupervisor) {
  kill(supervisor_, SIGKILL);
  EXPECT_EQ(wait_for_supervisor(), 128 + SIGKILL);
  for (const pid_t child : children()) EXPECT_TRUE(test::eventually([child] { return !lives(child); }));
}

}  // namespace
}  // namespace tegula::worker
