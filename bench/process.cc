#include "bench/process.h"

#include <fstream>
#include <string>
#include <string_view>

namespace tegula::bench {
namespace {

std::uint64_t status_line(int pid, std::string_view name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (status >> word) {
    if (word == name) {
      std::uint64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

}  // namespace

std::uint64_t resident_bytes(int pid) { return status_line(pid, "VmRSS:"); }
std::uint64_t peak_resident_bytes(int pid) { return status_line(pid, "VmHWM:"); }
void reset_peak(int pid) { std::ofstream("/proc/" + std::to_string(pid) + "/clear_refs") << "5"; }

}  // namespace tegula::bench
