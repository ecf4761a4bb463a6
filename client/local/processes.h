// Daemon processes of a LocalCluster.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace tegula::client {

// A program by its name: in `directory` when that is given, else beside this program, beside the library (../bin), in
// $PATH. Throws ConnectionError that names the places.
std::string find_program(const std::string& name, const std::string& directory);

// A folder for this user only, removed with all that is in it. A program that is killed leaves its folder behind; the
// next one made by the same user removes it.
class PrivateDirectory {
 public:
  PrivateDirectory();  // in $TMPDIR. Throws FileError
  ~PrivateDirectory();
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  int lock_ = -1;  // held while the folder is in use; the kernel lets go of it when the program dies
};

// A thread that starts processes and lives as long as they: what is to die with this program is bound to the thread
// that started it (PR_SET_PDEATHSIG), and the user's threads come and go.
class Spawner {
 public:
  Spawner();
  ~Spawner();
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;

  // Starts arguments[0] with standard input from /dev/null and both outputs appended to `log`. Throws ConnectionError
  // naming the program.
  pid_t spawn(const std::vector<std::string>& arguments, const std::string& log);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool ending_ = false;
  std::thread thread_;
};

// A child process, reaped when it ends. For one thread at a time.
class Child {
 public:
  Child(std::string name, pid_t pid, std::string log) : name_(std::move(name)), pid_(pid), log_(std::move(log)) {}
  ~Child();  // SIGKILL if it still runs
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number);
  bool ended();                                                     // reaps it
  bool wait_until(std::chrono::steady_clock::time_point deadline);  // whether it ended
  // "tegula-worker 0 ended with status 1; its last lines:\n..." for error messages.
  std::string story();

 private:
  std::string name_;
  pid_t pid_;
  std::string log_;
  std::optional<int> status_;  // as waitpid gives it
};

}  // namespace tegula::client
