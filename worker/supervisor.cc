#include "worker/supervisor.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "src/log.h"
#include "tegula/error.h"

namespace tegula::worker {

namespace {

constexpr time_t kPatienceSeconds = 10;

pid_t start(const std::vector<std::string>& arguments, const sigset_t& mask) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0)
    throw Error(ErrorCode::kInternal, std::string("cannot start a worker process: ") + std::strerror(errno));
  if (child > 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);  // it ended before prctl
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execv("/proc/self/exe", argv.data());
  _exit(127);
}

int status_of(int wait_status) { return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1; }

std::string describe(int wait_status) {
  if (WIFEXITED(wait_status)) return "ended with status " + std::to_string(WEXITSTATUS(wait_status));
  return std::string("was killed: ") + strsignal(WTERMSIG(wait_status));
}

class Children {
 public:
  void add(pid_t pid, std::string name) { names_.emplace(pid, std::move(name)); }
  bool empty() const { return names_.empty(); }
  int status() const { return status_; }

  void signal_all(int signal) const {
    for (const auto& [pid, name] : names_) kill(pid, signal);
  }

  void reap(bool expected) {
    int wait_status = 0;
    for (pid_t pid = 0; (pid = waitpid(-1, &wait_status, WNOHANG)) > 0;) {
      const auto found = names_.find(pid);
      if (found == names_.end()) continue;
      if (!expected || status_of(wait_status) != 0) {
        log::warning("worker", "worker process {} ({}) {}", found->second, pid, describe(wait_status));
      }
      if (status_ == 0) status_ = status_of(wait_status);
      names_.erase(found);
    }
  }

 private:
  std::map<pid_t, std::string> names_;
  int status_ = 0;
};

}  // namespace

int supervise(const std::vector<std::vector<std::string>>& arguments) {
  sigset_t waited, before;
  sigemptyset(&waited);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&waited, signal);
  sigprocmask(SIG_BLOCK, &waited, &before);

  Children children;
  try {
    for (std::size_t i = 0; i < arguments.size(); ++i) children.add(start(arguments[i], before), std::to_string(i));
  } catch (...) {
    children.signal_all(SIGKILL);
    while (waitpid(-1, nullptr, 0) > 0) {
    }
    throw;
  }

  bool ending = false;
  timespec deadline{};
  while (!children.empty()) {
    timespec patience{3600, 0};
    if (ending) {
      timespec time{};
      clock_gettime(CLOCK_MONOTONIC, &time);
      patience.tv_sec = deadline.tv_sec > time.tv_sec ? deadline.tv_sec - time.tv_sec : 0;
    }
    const int signal = sigtimedwait(&waited, nullptr, &patience);
    if (signal == SIGTERM || signal == SIGINT) {
      if (!ending) {
        clock_gettime(CLOCK_MONOTONIC, &deadline);
        deadline.tv_sec += kPatienceSeconds;
      }
      ending = true;
      children.signal_all(SIGTERM);
    } else if (signal < 0 && errno == EAGAIN && ending) {
      children.signal_all(SIGKILL);
      deadline.tv_sec += kPatienceSeconds;
    }
    children.reap(ending);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return children.status();
}

}  // namespace tegula::worker
