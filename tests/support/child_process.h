// A program started by a test: its output is read, and it is ended and reaped however the test ends.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace tegula::test {

// The path of one of Tegula's programs in the build that is tested.
std::string program_path(const std::string& name);

// A fresh folder, removed with everything in it at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class ChildProcess {
 public:
  // Starts arguments[0]; `environment` has "NAME=value" entries that are added to this process's. Throws
  // std::runtime_error.
  explicit ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});
  ~ChildProcess();  // SIGKILL when it still runs; reaped
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number);
  // Waits for the end; the exit status, or 128 + the signal's number. Nothing when it still runs after `timeout`.
  std::optional<int> wait(std::chrono::seconds timeout = std::chrono::seconds(60));
  // Standard output and standard error together, as far as they came.
  std::string output();
  // Waits until the output contains `text`, the process ends or the time is up; whether it does.
  bool wait_for_output(const std::string& text, std::chrono::seconds timeout = std::chrono::seconds(60));

 private:
  bool read_some(std::chrono::milliseconds timeout);  // false at the end of the output

  pid_t pid_ = -1;
  int fd_ = -1;
  std::string output_;
  std::optional<int> status_;
};

void pause_between_polls();
// Waits until `condition` holds; asks again after each round of the scheduler of the machine, for at most `timeout`.
template <typename Condition>
bool eventually(Condition condition, std::chrono::seconds timeout = std::chrono::seconds(60)) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    pause_between_polls();
  }
  return true;
}

}  // namespace tegula::test
