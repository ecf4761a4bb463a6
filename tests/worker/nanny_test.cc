// The nanny with worker processes that behave as a test wants: they are this program, called for one test alone.
#include "worker/nanny/nanny.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

#include "tegula/error.h"
#include "tests/support/child_process.h"
#include "worker/limits.h"
#include "worker/nanny/cpus.h"
#include "worker/nanny/exit_status.h"
#include "worker/nanny/oom_counter.h"

namespace tegula::worker {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* kBehaviour = "TEGULA_TEST_BEHAVIOUR";
constexpr const char* kFolder = "TEGULA_TEST_FOLDER";

// ---- what the worker processes do -----------------------------------------------------------------------------------

int inherited_descriptor() {
  std::ifstream in("/proc/self/cmdline");
  std::string last, argument;
  while (std::getline(in, argument, '\0')) last = argument;
  return std::stoi(last);
}

// Joins, beats, and ends when it is told to.
[[noreturn]] void live(Vitals& vitals, bool obedient = true) {
  while (!obedient || vitals.order.load() == Order::kNone) {
    vitals.beat.store(steady_ns());
    test::pause_between_polls();
  }
  vitals.ending.store(1);
  _exit(kExitOrderly);
}

TEST(WorkerOfANanny, Behaves) {
  const char* behaviour_name = std::getenv(kBehaviour);
  if (behaviour_name == nullptr) GTEST_SKIP() << "for the tests of the nanny";
  const std::string behaviour = behaviour_name;
  const fs::path folder = std::getenv(kFolder);
  signal(SIGTERM, SIG_IGN);  // the nanny's order is what counts
  const auto number = std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  SharedVitals shared(inherited_descriptor());
  Vitals& vitals = *shared;
  const auto join = [&] {
    vitals.initial_bytes.store(resident_bytes());
    vitals.beat.store(steady_ns());
    vitals.incarnation.store(1);
  };
  std::ofstream(folder / std::to_string(getpid())) << number << std::endl;
  if (behaviour == "status-3") _exit(kExitUnexpected);
  if (behaviour == "status-1") _exit(kExitFailed);
  join();
  if (behaviour == "stubborn") live(vitals, false);
  if (number > 0 && behaviour != "segfault-always") live(vitals);  // the first one is the one that gets into trouble
  if (behaviour.starts_with("segfault")) {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  }
  if (behaviour == "exit-0") _exit(0);
  if (behaviour == "lifetime") {
    vitals.ending.store(1);
    _exit(kExitLifetime);
  }
  if (behaviour == "silent") pause();
  if (behaviour == "stopped") raise(SIGSTOP);
  if (behaviour == "greedy") {
    const std::size_t size = 200u << 20;
    volatile char* memory = static_cast<char*>(malloc(size));
    for (std::size_t i = 0; i < size; i += 4096) memory[i] = 1;
    live(vitals);
  }
  live(vitals);
}

// ---- the tests ------------------------------------------------------------------------------------------------------

class NannyTest : public ::testing::Test {
 protected:
  void start(const std::string& behaviour, const std::function<void(NannyOptions&)>& adjust = {}) {
    nanny_ = fork();
    ASSERT_GE(nanny_, 0);
    if (nanny_ != 0) return;
    NannyOptions options;
    ProcessSpec spec;
    spec.name = "w";
    spec.arguments = {"test", "--gtest_filter=WorkerOfANanny.*", "--gtest_brief=1"};
    spec.environment = {kBehaviour + ("=" + behaviour), kFolder + ("=" + folder_.path())};
    options.workers = {spec};
    options.restart.first_delay = 1ms;
    options.drain_timeout = 60s;
    if (adjust) adjust(options);
    _exit(run_nanny(std::move(options)));
  }
  void TearDown() override {
    if (nanny_ > 0) {
      kill(nanny_, SIGKILL);
      waitpid(nanny_, nullptr, 0);
    }
    for (const pid_t worker : workers()) EXPECT_TRUE(test::eventually([&] { return !lives(worker); }));
  }

  std::vector<pid_t> workers() const {
    std::vector<pid_t> pids;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      pids.push_back(std::stoi(entry.path().filename().string()));
    return pids;
  }
  bool eventually_started(std::size_t count) const {
    return test::eventually([&] { return workers().size() >= count; });
  }
  static bool lives(pid_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string number, name, state;
    return static_cast<bool>(in >> number >> name >> state) && state != "Z";
  }
  std::size_t living() const {
    const std::vector<pid_t> pids = workers();
    return static_cast<std::size_t>(std::count_if(pids.begin(), pids.end(), lives));
  }
  // Ended by SIGTERM, or by itself: the exit status.
  int end(std::optional<int> signal = SIGTERM) {
    if (signal) kill(nanny_, *signal);
    int status = 0;
    waitpid(std::exchange(nanny_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  test::TemporaryDirectory folder_;
  pid_t nanny_ = -1;
};

TEST_F(NannyTest, EndsWithItsWorkersWhenItIsAskedTo) {
  start("good", [](NannyOptions& options) { options.workers.push_back(options.workers.front()); });
  ASSERT_TRUE(eventually_started(2));
  EXPECT_EQ(end(SIGINT), 0);
  EXPECT_EQ(living(), 0u);
  EXPECT_EQ(workers().size(), 2u) << "none was started again";
}

TEST_F(NannyTest, StartsAWorkerAgainThatDied) {
  start("segfault");
  ASSERT_TRUE(eventually_started(2));
  EXPECT_EQ(end(), 0);
}

TEST_F(NannyTest, LeavesTheOthersAloneWhenOneIsKilled) {
  start("good", [](NannyOptions& options) { options.workers.push_back(options.workers.front()); });
  ASSERT_TRUE(eventually_started(2));
  const std::vector<pid_t> first = workers();
  kill(first[0], SIGKILL);
  ASSERT_TRUE(eventually_started(3));
  EXPECT_FALSE(lives(first[0]));
  EXPECT_TRUE(lives(first[1]));
  EXPECT_EQ(end(), 0);
}

TEST_F(NannyTest, AWorkerThatExitsInTheMiddleOfItsWorkIsACrash) {
  start("exit-0");
  ASSERT_TRUE(eventually_started(2));
  EXPECT_EQ(end(), 0);
}

TEST_F(NannyTest, DoesNotTryAgainWhatCannotSucceed) {
  start("status-1");
  EXPECT_EQ(end(std::nullopt), kExitFailed);
  EXPECT_EQ(workers().size(), 1u);
}

TEST_F(NannyTest, GivesUpAfterFailedStartsInARow) {
  start("status-3", [](NannyOptions& options) { options.restart.start_attempts = 3; });
  EXPECT_EQ(end(std::nullopt), kExitFailed);
  EXPECT_EQ(workers().size(), 3u);
}

TEST_F(NannyTest, KillsAWorkerWhoseLoopDoesNotRun) {
  start("silent", [](NannyOptions& options) { options.hang_timeout = 1s; });
  ASSERT_TRUE(eventually_started(2));
  ASSERT_TRUE(test::eventually([&] { return living() == 1; }));
  EXPECT_EQ(end(), 0);
}

TEST_F(NannyTest, KillsAWorkerThatIsStopped) {
  start("stopped", [](NannyOptions& options) { options.hang_timeout = 1s; });
  ASSERT_TRUE(eventually_started(2));
  EXPECT_EQ(end(), 0);
}

TEST_F(NannyTest, KillsAWorkerWhoseKernelsTakeTheMemory) {
  start("greedy", [](NannyOptions& options) {
    options.memory_limit = 100u << 20;
    options.terminate_fraction = 0.95;
  });
  ASSERT_TRUE(eventually_started(2));
  EXPECT_EQ(end(), 0);
}

TEST_F(NannyTest, ALifetimeEndsOrIsRenewed) {
  start("lifetime");
  EXPECT_EQ(end(std::nullopt), 0);
  EXPECT_EQ(workers().size(), 1u);
  fs::remove(folder_.file(std::to_string(workers().front())));
  start("lifetime", [](NannyOptions& options) { options.restart.after_lifetime = true; });
  ASSERT_TRUE(eventually_started(2));
  EXPECT_EQ(end(), 0);
}

TEST_F(NannyTest, NothingOutlivesAKilledNanny) {
  start("stubborn");
  ASSERT_TRUE(eventually_started(1));
  EXPECT_EQ(end(SIGKILL), 128 + SIGKILL);
  EXPECT_TRUE(test::eventually([&] { return living() == 0; }));
}

TEST_F(NannyTest, KillsWhoDoesNotEndInTime) {
  start("stubborn", [](NannyOptions& options) { options.drain_timeout = options.last_patience = 1ms; });
  ASSERT_TRUE(eventually_started(1));
  EXPECT_EQ(end(), 1);
  EXPECT_EQ(living(), 0u);
}

// ---- its parts ------------------------------------------------------------------------------------------------------

constexpr int kSegfault = SIGSEGV;  // as a wait status
constexpr int exited(int status) { return status << 8; }

TEST(RestartPolicyTest, WaitsLongerAfterEachCrashAndForgetsAfterALongLife) {
  RestartOptions options;
  options.first_delay = 100ms;
  options.longest_delay = 1s;
  RestartPolicy policy(options);
  for (const auto expected : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    EXPECT_EQ(policy.judge({kSegfault, false, true, 1s}).restart_after, expected);
  }
  EXPECT_EQ(policy.judge({kSegfault, false, true, 2min}).restart_after, 100ms);
  EXPECT_EQ(policy.judge({kSegfault, false, true, 1s}).restart_after, 100ms);
}

TEST(RestartPolicyTest, CountsFailedStartsInARow) {
  RestartOptions options;
  options.start_attempts = 2;
  RestartPolicy policy(options);
  const ProcessEnd failed_start{exited(kExitUnexpected), true, false, 1ms};
  EXPECT_TRUE(policy.judge(failed_start).restart_after);
  EXPECT_TRUE(policy.judge({kSegfault, false, true, 1ms}).restart_after) << "it had joined";
  EXPECT_TRUE(policy.judge(failed_start).restart_after);
  const RestartPolicy::Verdict last = policy.judge(failed_start);
  EXPECT_FALSE(last.restart_after);
  EXPECT_EQ(last.status, kExitFailed);
  EXPECT_THAT(last.reason, testing::HasSubstr("2 processes in a row"));
}

TEST(RestartPolicyTest, EndsOnPurposeAreNoCrashes) {
  RestartPolicy policy(RestartOptions{});
  EXPECT_FALSE(policy.judge({exited(kExitOrderly), true, true, 1s}).restart_after);
  EXPECT_FALSE(policy.judge({exited(kExitFailed), true, true, 1s}).restart_after);
  EXPECT_FALSE(policy.judge({exited(kExitUsage), false, false, 1s}).restart_after);
  EXPECT_FALSE(policy.judge({exited(kExitLifetime), true, true, 1s}).restart_after);
  EXPECT_EQ(policy.judge({exited(kExitStuckThread), true, true, 1s}).restart_after, 0ns);
}

TEST(OomCounterTest, ReadsBothKindsOfGroupsAndTheMachine) {
  test::TemporaryDirectory folder;
  const fs::path proc = folder.file("proc"), cgroup = folder.file("cgroup");
  const auto write = [](const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  };
  const OomCounter counter(proc, cgroup);
  EXPECT_FALSE(counter.kills().has_value());
  write(proc / "vmstat", "nr_free_pages 7\noom_kill 4\n");
  EXPECT_EQ(counter.kills(), 4u);
  write(proc / "self/cgroup", "5:cpu:/x\n4:memory:/jobs/1\n");
  write(cgroup / "memory/jobs/1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  EXPECT_EQ(counter.kills(), 2u);
  write(proc / "self/cgroup", "0::/pod\n");
  write(cgroup / "memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 3\n");
  EXPECT_EQ(counter.kills(), 3u) << "the group of a container, mounted at the root";
  write(cgroup / "pod/memory.events", "low 0\nmax 9\noom 1\noom_kill 1\n");
  EXPECT_EQ(counter.kills(), 1u);
}

TEST(CpusTest, AreDividedWithoutOverlap) {
  EXPECT_THAT(divide_cpus("", 2), testing::Each(testing::IsEmpty()));
  const unsigned cores = usable_cores();
  const auto halves = divide_cpus("auto", 2);
  ASSERT_EQ(halves.size(), 2u);
  if (cores >= 2) {
    EXPECT_EQ(halves[0].size() + halves[1].size(), cores);
    EXPECT_THAT(halves[0], testing::Each(testing::Not(testing::AnyOfArray(halves[1]))));
  }
  const unsigned one = halves[0].front();
  EXPECT_THAT(divide_cpus(std::to_string(one), 1), testing::ElementsAre(testing::ElementsAre(one)));
  EXPECT_THAT(divide_cpus(std::to_string(one), 3), testing::Each(testing::ElementsAre(one)));
  for (const char* wrong : {"a", "1,", "0-", "-", "99999", "0x3"}) {
    EXPECT_THROW(divide_cpus(wrong, 1), ConfigError) << wrong;
  }
}

TEST(VitalsTest, TellWhatIsExecuted) {
  const SharedVitals nannys;
  const SharedVitals workers(dup(nannys.fd()));
  EXPECT_THAT(nannys->executing(), testing::IsEmpty());
  workers->slots[0].attempt.store(7);
  workers->slots[100].attempt.store(9);
  EXPECT_THAT(nannys->executing(), testing::ElementsAre(AttemptId{7}, AttemptId{9}));
  EXPECT_THROW(SharedVitals(dup(STDIN_FILENO)), ConfigError);
}

}  // namespace
}  // namespace tegula::worker
