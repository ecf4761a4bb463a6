// Preloaded into a program (LD_PRELOAD): its wall clock jumps by a day, forth and back, each time it is read. The
// monotonic clock stays as it is.
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {

time_t jump() {
  static std::atomic<unsigned> reads{0};
  constexpr time_t kDay = 24 * 60 * 60;
  constexpr time_t kJumps[] = {0, kDay, -kDay, 0, -kDay, kDay};
  return kJumps[reads.fetch_add(1) % (sizeof(kJumps) / sizeof(kJumps[0]))];
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const long result = syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += jump();
  return static_cast<int>(result);
}

extern "C" int gettimeofday(timeval* time, void*) noexcept {
  timespec precise{};
  const int result = clock_gettime(CLOCK_REALTIME, &precise);
  *time = {precise.tv_sec, precise.tv_nsec / 1000};
  return result;
}

extern "C" time_t time(time_t* to) noexcept {
  timespec precise{};
  clock_gettime(CLOCK_REALTIME, &precise);
  if (to != nullptr) *to = precise.tv_sec;
  return precise.tv_sec;
}
