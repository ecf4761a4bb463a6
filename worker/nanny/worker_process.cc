#include "worker/nanny/worker_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "tegula/error.h"
#include "worker/nanny/cpus.h"
#include "worker/nanny/exit_status.h"

namespace tegula::worker {

namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (std::string& string : strings) list.push_back(string.data());
  list.push_back(nullptr);
  return list;
}

// This process's environment with `more` in place of what has the same name.
std::vector<std::string> environment_with(const std::vector<std::string>& more) {
  std::vector<std::string> all;
  const auto put = [&all](const std::string& entry) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    for (std::string& other : all) {
      if (other.starts_with(name)) {
        other = entry;
        return;
      }
    }
    all.push_back(entry);
  };
  for (char** entry = environ; *entry != nullptr; ++entry) all.emplace_back(*entry);
  for (const std::string& entry : more) put(entry);
  return all;
}

struct Plan {
  char* const* arguments;
  char* const* environment;
  const std::vector<unsigned>* cpus;
  int vitals;
  pid_t parent;
  sigset_t mask;
};

// Between fork and exec: calls nothing but what is safe there.
[[noreturn]] void become(const Plan& plan) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != plan.parent) _exit(kExitUnexpected);  // it ended before the line above
  setpgid(0, 0);  // a Ctrl-C at the terminal is for the nanny, which says what is to be done
  // The nanny's handlers write to a pipe that both have now.
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) ::signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &plan.mask, nullptr);
  if (!bind_to(*plan.cpus)) {
    constexpr char kText[] = "tegula-worker: cannot be bound to its processors\n";
    (void)!write(STDERR_FILENO, kText, sizeof(kText) - 1);
    _exit(kExitFailed);
  }
  fcntl(plan.vitals, F_SETFD, 0);
  execve("/proc/self/exe", plan.arguments, plan.environment);
  _exit(kExitUnexpected);
}

// The letter of /proc/PID/stat; a space when there is no such process.
char state_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text);
  const std::size_t name_end = text.rfind(") ");
  return name_end == std::string::npos || name_end + 2 >= text.size() ? ' ' : text[name_end + 2];
}

}  // namespace

WorkerProcess::WorkerProcess(const ProcessSpec& spec, std::uint32_t life) : started_(steady_ns()) {
  shared_->nanny = spec.nanny;
  shared_->life = life;
  std::vector<std::string> arguments = spec.arguments, environment = environment_with(spec.environment);
  arguments.insert(arguments.end(), {"--supervised", std::to_string(shared_.fd())});
  const auto argv = pointers(arguments), envp = pointers(environment);
  Plan plan{argv.data(), envp.data(), &spec.cpus, shared_.fd(), getpid(), {}};
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &plan.mask);
  pid_ = fork();
  if (pid_ == 0) become(plan);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &plan.mask, nullptr);
  if (pid_ < 0)
    throw Error(ErrorCode::kInternal, std::string("cannot start a worker process: ") + std::strerror(error));
}

WorkerProcess::~WorkerProcess() {
  if (poll()) return;
  signal(SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

std::optional<int> WorkerProcess::poll() {
  int status = 0;
  if (!wait_status_ && waitpid(pid_, &status, WNOHANG) == pid_) wait_status_ = status;
  return wait_status_;
}

void WorkerProcess::signal(int number) const {
  if (!wait_status_) kill(pid_, number);
}

std::uint64_t WorkerProcess::resident_bytes() const {
  std::ifstream in("/proc/" + std::to_string(pid_) + "/statm");
  std::uint64_t pages = 0, resident = 0;
  if (!(in >> pages >> resident)) return 0;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

bool WorkerProcess::stopped() const {
  const char state = state_of(pid_);
  return state == 'T' || state == 't';
}

}  // namespace tegula::worker
