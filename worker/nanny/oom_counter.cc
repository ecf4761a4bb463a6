#include "worker/nanny/oom_counter.h"

#include <fstream>
#include <string>
#include <utility>

namespace tegula::worker {

namespace {

// The number behind a word in a file of lines "word number".
std::optional<std::uint64_t> read_count(const std::filesystem::path& file, const std::string& word) {
  std::ifstream in(file);
  std::string name;
  for (std::uint64_t value = 0; in >> name >> value;) {
    if (name == word) return value;
  }
  return std::nullopt;
}

}  // namespace

OomCounter::OomCounter(std::filesystem::path proc, std::filesystem::path cgroup)
    : proc_(std::move(proc)), cgroup_(std::move(cgroup)) {}

std::optional<std::uint64_t> OomCounter::kills() const {
  std::ifstream in(proc_ / "self/cgroup");
  for (std::string line; std::getline(in, line);) {  // "0::/path" (v2), "4:memory:/path" (v1)
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::filesystem::path group = std::filesystem::path(line.substr(second + 1)).relative_path();
    // Within a container the group is often mounted at the root, whatever its path outside is.
    for (const std::filesystem::path& at : {group, std::filesystem::path()}) {
      std::optional<std::uint64_t> count;
      if (controllers.empty()) {
        count = read_count(cgroup_ / at / "memory.events", "oom_kill");
      } else if (("," + controllers + ",").find(",memory,") != std::string::npos) {
        count = read_count(cgroup_ / "memory" / at / "memory.oom_control", "oom_kill");
      }
      if (count) return count;
    }
  }
  return read_count(proc_ / "vmstat", "oom_kill");
}

}  // namespace tegula::worker
