#include "worker/limits.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include "src/config.h"
#include "tegula/error.h"

namespace tegula::worker {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

// A number alone in a file; none for "max", and for the huge numbers by which cgroup v1 says the same.
std::optional<std::uint64_t> read_limit(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  if (!(in >> value) || value >= (std::uint64_t{1} << 62)) return std::nullopt;
  return value;
}

// The least limit named `file` from `group` up to `root`.
std::uint64_t least_limit(const fs::path& root, fs::path group, const std::string& file) {
  std::uint64_t least = kNoLimit;
  for (;;) {
    least = std::min(least, read_limit(root / group.relative_path() / file).value_or(kNoLimit));
    if (!group.has_relative_path()) return least;
    group = group.parent_path();
  }
}

std::uint64_t machine_memory(const fs::path& proc) {
  std::ifstream in(proc / "meminfo");
  std::string word;
  std::uint64_t kib = 0;
  while (in >> word) {
    if (word == "MemTotal:" && in >> kib) return kib << 10;
  }
  const long pages = sysconf(_SC_PHYS_PAGES);
  return pages > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : kNoLimit;
}

std::optional<double> parse_share(const std::string& text) {
  const bool percent = !text.empty() && text.back() == '%';
  if (!percent && text.find('.') == std::string::npos) return std::nullopt;
  double value = 0;
  const char* end = text.data() + text.size() - (percent ? 1 : 0);
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end) return std::nullopt;
  return percent ? value / 100 : value;
}

}  // namespace

unsigned usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(CPU_COUNT(&set), 1);
  return static_cast<unsigned>(std::max(sysconf(_SC_NPROCESSORS_ONLN), 1L));
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::uint64_t pages = 0, resident = 0;
  if (!(in >> pages >> resident)) return 0;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t usable_memory(const fs::path& proc, const fs::path& cgroup) {
  std::uint64_t memory = machine_memory(proc);
  std::ifstream in(proc / "self/cgroup");
  for (std::string line; std::getline(in, line);) {  // "0::/path" (v2), "4:memory:/path" (v1)
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) {
      memory = std::min(memory, least_limit(cgroup, group, "memory.max"));
    } else if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      memory = std::min(memory, least_limit(cgroup / "memory", group, "memory.limit_in_bytes"));
    }
  }
  return memory == kNoLimit ? 0 : memory;
}

std::uint64_t parse_memory_limit(const std::string& text, unsigned workers) {
  if (text == "none" || text == "0") return 0;
  if (text == "auto") return usable_memory() / std::max(workers, 1u);
  if (const auto share = parse_share(text)) {
    if (!(*share > 0 && *share <= 1))
      throw ConfigError("memory limit '" + text + "': a share is more than 0 and at most 1");
    return static_cast<std::uint64_t>(*share * static_cast<double>(usable_memory()));
  }
  try {
    return parse_bytes(text);
  } catch (const ValueError& error) {
    throw ConfigError("memory limit '" + text + "': " + error.what());
  }
}

}  // namespace tegula::worker
