#include "comm/turn_watch.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace tegula {

namespace {

// The kernel's account of the calling thread: "<ns on a processor> <ns ready, but without one> <times on one>".
class Schedstat {
 public:
  Schedstat() : file_(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}
  ~Schedstat() {
    if (file_ >= 0) close(file_);
  }
  Schedstat(const Schedstat&) = delete;
  Schedstat& operator=(const Schedstat&) = delete;

  std::chrono::nanoseconds ready() const {
    char text[80];
    const ssize_t size = file_ < 0 ? -1 : pread(file_, text, sizeof(text) - 1, 0);
    if (size <= 0) return {};
    text[size] = '\0';
    char* rest = text;
    std::strtoull(text, &rest, 10);
    return std::chrono::nanoseconds(std::strtoull(rest, nullptr, 10));
  }

 private:
  int file_;
};

}  // namespace

TurnWatch::Account TurnWatch::account() {
  thread_local const Schedstat schedstat;
  timespec cpu{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
  return {std::chrono::seconds(cpu.tv_sec) + std::chrono::nanoseconds(cpu.tv_nsec), schedstat.ready()};
}

// The account is taken outside of the time that it is compared with: who loses the processor between the two has not
// blocked.
void TurnWatch::begin() {
  before_ = account();
  begun_ = Clock::now();
  in_turn_ = true;
}

void TurnWatch::end() {
  if (!std::exchange(in_turn_, false)) return;
  const Time wall = Clock::now() - begun_;
  const Account now = account();
  const Time cpu = now.cpu - before_.cpu;
  const Time own = std::max(cpu, wall - (now.ready - before_.ready));
  wall_.add(wall);
  longest_cpu_ = std::max(longest_cpu_, cpu);
  longest_own_ = std::max(longest_own_, own);
  if (cpu > kLong) ++long_cpu_;
  if (own > kLong) ++long_own_;
}

}  // namespace tegula
