#include "tests/support/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string_view>

namespace tegula::test {
namespace {

constexpr std::chrono::milliseconds kPoll{5};

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (std::string& string : strings) list.push_back(string.data());
  list.push_back(nullptr);
  return list;
}

// What runs in the child between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(char* const* arguments, char* const* environment, int output, pid_t parent) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execve(arguments[0], arguments, environment);
  _exit(127);
}

}  // namespace

std::string program_path(const std::string& name) {
  const char* folder = std::getenv("TEGULA_TEST_BIN_DIR");
  if (folder == nullptr) throw std::runtime_error("TEGULA_TEST_BIN_DIR is not set: run the tests with ctest");
  return std::string(folder) + "/" + name;
}

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "tegula-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern + ": " + std::strerror(errno));
  path_ = pattern;
}
TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
  std::vector<std::string> own_arguments = arguments, own_environment = environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view inherited = *entry;
    const std::string_view name = inherited.substr(0, inherited.find('=') + 1);
    const bool replaced = std::any_of(environment.begin(), environment.end(),
                                      [name](const std::string& own) { return own.starts_with(name); });
    if (!replaced) own_environment.emplace_back(inherited);
  }
  const auto argv = pointers(own_arguments), envp = pointers(own_environment);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) become(argv.data(), envp.data(), ends[1], parent);
  close(ends[1]);
  fd_ = ends[0];
  if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
}

ChildProcess::~ChildProcess() {
  if (!status_ && pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (fd_ >= 0) close(fd_);
}

void ChildProcess::signal(int number) {
  if (!status_) kill(pid_, number);
}

bool ChildProcess::read_some(std::chrono::milliseconds timeout) {
  pollfd poll_fd{fd_, POLLIN, 0};
  if (poll(&poll_fd, 1, static_cast<int>(timeout.count())) <= 0) return true;
  char buffer[4096];
  const ssize_t count = read(fd_, buffer, sizeof(buffer));
  if (count > 0) output_.append(buffer, static_cast<std::size_t>(count));
  return count > 0;
}

std::optional<int> ChildProcess::wait(std::chrono::seconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!status_) {
    read_some(kPoll);  // so that a full pipe never blocks it
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else if (std::chrono::steady_clock::now() > end) {
      break;
    }
  }
  return status_;
}

std::string ChildProcess::output() {
  while (true) {
    const std::size_t before = output_.size();
    if (!read_some(std::chrono::milliseconds(0)) || output_.size() == before) return output_;
  }
}

bool ChildProcess::wait_for_output(const std::string& text, std::chrono::seconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (output_.find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > end) return false;
    if (!read_some(kPoll)) return output_.find(text) != std::string::npos;
  }
  return true;
}

void pause_between_polls() { poll(nullptr, 0, static_cast<int>(kPoll.count())); }

}  // namespace tegula::test
