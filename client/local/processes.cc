#include "client/local/processes.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <string_view>
#include <utility>

#include "tegula/error.h"

namespace tegula::client {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFolderPrefix = "tegula-cluster-";
constexpr const char* kLockName = "/.lock";
constexpr std::size_t kTailLines = 12;
constexpr auto kPollInterval = std::chrono::milliseconds(5);

bool executable(const fs::path& path) { return access(path.c_str(), X_OK) == 0 && !fs::is_directory(path); }

// The folder of the shared library (or program) that this function is part of.
fs::path own_folder() {
  Dl_info info{};
  static const char kHere = 0;
  if (dladdr(&kHere, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  return fs::weakly_canonical(info.dli_fname, error).parent_path();
}

std::string last_lines(const std::string& file) {
  std::ifstream in(file);
  std::deque<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(std::move(line));
    if (lines.size() > kTailLines) lines.pop_front();
  }
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

// Makes and takes the lock of a folder just made; -1 when the folder is gone, taken for a leftover meanwhile.
int new_lock(const std::string& folder) {
  const int lock = open((folder + kLockName).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (lock < 0) {
    const int error = errno;
    if (error == ENOENT) return -1;
    rmdir(folder.c_str());
    throw FileError(fmt::format("cannot write to {}: {}", folder, std::strerror(error)));
  }
  // Where the file system has no locks, leftovers have none either and stay.
  struct stat info {};
  while (flock(lock, LOCK_EX) != 0 && errno == EINTR) {
  }
  if (fstat(lock, &info) == 0 && info.st_nlink > 0) return lock;
  close(lock);
  return -1;
}

// What programs of this user that were killed could not remove: folders whose lock nobody holds.
void remove_leftovers(const fs::path& base) {
  std::error_code error;
  for (fs::directory_iterator entry(base, error), end; !error && entry != end; entry.increment(error)) {
    const std::string folder = entry->path().string();
    struct stat info {};
    if (!entry->path().filename().string().starts_with(kFolderPrefix)) continue;
    if (lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid()) continue;
    const int lock = open((folder + kLockName).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (lock < 0) continue;  // not made yet
    std::error_code ignored;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) fs::remove_all(folder, ignored);
    close(lock);
  }
}

// Between fork and exec, in a copy of a process that may have had many threads: calls nothing but what is safe there.
[[noreturn]] void become(char* const* arguments, int log, pid_t parent, int failure) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before the line above
  const int input = open("/dev/null", O_RDONLY);
  setpgid(0, 0);  // a Ctrl-C at the terminal is for the program, which then ends the cluster in order
  if (input >= 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0) {
    execv(arguments[0], arguments);
  }
  const int error = errno;
  (void)!write(failure, &error, sizeof(error));
  _exit(127);
}

pid_t start(const std::vector<std::string>& arguments, const std::string& log_file) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) throw FileError(fmt::format("cannot write {}: {}", log_file, std::strerror(errno)));
  int report[2];  // the child's errno when it cannot become the program; closed by a successful exec
  if (pipe2(report, O_CLOEXEC) != 0) {
    close(log);
    throw ConnectionError(fmt::format("cannot start {}: {}", arguments[0], std::strerror(errno)));
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) become(pointers.data(), log, parent, report[1]);
  int error = child < 0 ? errno : 0;
  close(log);
  close(report[1]);
  if (child > 0) {
    ssize_t count;
    do count = read(report[0], &error, sizeof(error));
    while (count < 0 && errno == EINTR);
    if (count == 0) error = 0;
  }
  close(report[0]);
  if (error == 0) return child;
  if (child > 0) waitpid(child, nullptr, 0);
  throw ConnectionError(fmt::format("cannot start {}: {}", arguments[0], std::strerror(error)));
}

}  // namespace

std::string find_program(const std::string& name, const std::string& directory) {
  std::vector<fs::path> places;
  if (!directory.empty()) {
    places.emplace_back(directory);
  } else {
    std::error_code error;
    places.push_back(fs::read_symlink("/proc/self/exe", error).parent_path());
    if (const fs::path library = own_folder(); !library.empty()) {
      places.push_back(library.parent_path() / "bin");
      places.push_back(library.parent_path().parent_path() / "bin");  // lib/x86_64-linux-gnu
    }
    const char* path = std::getenv("PATH");
    std::string_view rest = path == nullptr ? "" : path;
    while (!rest.empty()) {
      const auto colon = rest.find(':');
      if (colon != 0) places.emplace_back(rest.substr(0, colon));
      rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
    }
  }
  std::string searched;
  for (const fs::path& place : places) {
    if (place.empty()) continue;
    if (executable(place / name)) return (place / name).string();
    searched += (searched.empty() ? "" : ", ") + place.string();
  }
  throw ConnectionError(fmt::format("no program {} in {}", name, searched));
}

PrivateDirectory::PrivateDirectory() {
  std::error_code error;
  fs::path base = fs::temp_directory_path(error);
  if (error) base = "/tmp";
  remove_leftovers(base);
  while (lock_ < 0) {
    path_ = (base / (std::string(kFolderPrefix) + "XXXXXX")).string();
    if (mkdtemp(path_.data()) == nullptr) {  // mode 0700
      throw FileError(fmt::format("cannot make a folder in {}: {}", base.string(), std::strerror(errno)));
    }
    lock_ = new_lock(path_);
  }
}

PrivateDirectory::~PrivateDirectory() {
  std::error_code error;
  fs::remove_all(path_, error);
  ::close(lock_);
}

Spawner::Spawner() {
  sigset_t all, before;  // signals are for the program's own threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Spawner::~Spawner() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Spawner::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !work_.empty(); });
    if (work_.empty()) return;
    const auto work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

pid_t Spawner::spawn(const std::vector<std::string>& arguments, const std::string& log) {
  auto task = std::make_shared<std::packaged_task<pid_t()>>([&] { return start(arguments, log); });
  auto result = task->get_future();
  {
    std::lock_guard lock(mutex_);
    work_.push_back([task] { (*task)(); });
    changed_.notify_all();
  }
  return result.get();
}

Child::~Child() {
  if (ended()) return;
  signal(SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

void Child::signal(int number) {
  if (!ended()) kill(pid_, number);
}

bool Child::ended() {
  if (status_) return true;
  int status = 0;
  const pid_t result = waitpid(pid_, &status, WNOHANG);
  if (result == pid_) {
    status_ = status;
  } else if (result < 0 && errno == ECHILD) {
    status_ = 0;  // the program ignores SIGCHLD, or reaped it itself
  }
  return status_.has_value();
}

bool Child::wait_until(std::chrono::steady_clock::time_point deadline) {
  while (!ended()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPollInterval);
  }
  return true;
}

std::string Child::story() {
  std::string text = name_;
  if (!ended()) {
    text += " runs";
  } else if (WIFSIGNALED(*status_)) {
    text += fmt::format(" was ended by signal {}", WTERMSIG(*status_));
  } else {
    text += fmt::format(" ended with status {}", WEXITSTATUS(*status_));
  }
  const std::string lines = last_lines(log_);
  return lines.empty() ? text + " and wrote nothing" : text + "; its last lines:" + lines;
}

}  // namespace tegula::client
