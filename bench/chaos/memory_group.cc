#include "bench/chaos/memory_group.h"

#include <fmt/core.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

namespace tegula::chaos {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "tegula-chaos-";
constexpr auto kPatience = std::chrono::seconds(5);  // killed processes are there until somebody has reaped them
constexpr auto kPoll = std::chrono::milliseconds(10);

// Groups are made at the top of what is seen of the hierarchy: below a group that has processes itself, as this one's
// own, v2 lets nobody have limits.
bool is_v1() { return fs::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"); }
fs::path top() { return is_v1() ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup"; }

bool put(const fs::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text << std::flush;
  return out.good();
}

// Of programs that were killed themselves. A group with processes in it stays.
void remove_leftovers() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(top(), error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    const pid_t owner = static_cast<pid_t>(std::atoi(name.c_str() + std::strlen(kPrefix)));
    if (owner > 0 && kill(owner, 0) != 0 && errno == ESRCH) rmdir(entry.path().c_str());
  }
}

}  // namespace

MemoryGroup::MemoryGroup(std::uint64_t bytes) : bytes_(bytes) {
  static std::atomic<unsigned> made{0};
  remove_leftovers();
  const fs::path path = top() / fmt::format("{}{}-{}", kPrefix, getpid(), made++);
  if (mkdir(path.c_str(), 0755) != 0) {
    throw Unavailable(fmt::format("cannot make the control group {}: {}", path.string(), std::strerror(errno)));
  }
  path_ = path;
  const std::string limit = std::to_string(bytes);
  const bool limited = put(path / (is_v1() ? "memory.limit_in_bytes" : "memory.max"), limit);
  put(path / (is_v1() ? "memory.memsw.limit_in_bytes" : "memory.swap.max"), is_v1() ? limit : "0");  // where one swaps
  if (limited) return;
  rmdir(path_.c_str());
  throw Unavailable(fmt::format("control groups at {} have no limit of memory here", top().string()));
}

MemoryGroup::~MemoryGroup() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (rmdir(path_.c_str()) != 0 && errno == EBUSY && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kPoll);
  }
}

std::vector<std::string> MemoryGroup::in(std::vector<std::string> command) const {
  command.insert(command.begin(), {"/bin/sh", "-c", "echo $$ > \"$0\" && exec \"$@\"", path_ + "/cgroup.procs"});
  return command;
}

std::uint64_t MemoryGroup::kills() const {
  std::ifstream in(path_ + (is_v1() ? "/memory.oom_control" : "/memory.events"));
  std::string name;
  for (std::uint64_t value = 0; in >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return 0;
}

}  // namespace tegula::chaos
