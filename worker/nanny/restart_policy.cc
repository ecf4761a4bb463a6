#include "worker/nanny/restart_policy.h"

#include <fmt/core.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "worker/nanny/exit_status.h"

namespace tegula::worker {

std::string describe_wait_status(int wait_status) {
  if (WIFEXITED(wait_status)) return fmt::format("status {}", WEXITSTATUS(wait_status));
  const int signal = WTERMSIG(wait_status);
  return fmt::format("signal {} ({})", signal, strsignal(signal));
}

RestartPolicy::Verdict RestartPolicy::judge(const ProcessEnd& end) {
  // A kernel may call exit() as well: who had joined says so before it ends on purpose.
  if (WIFEXITED(end.wait_status) && (end.meant_to || !end.joined)) {
    switch (const int status = WEXITSTATUS(end.wait_status)) {
      case kExitOrderly:
        return {};
      case kExitFailed:
      case kExitUsage:
        return {std::nullopt, "it ended for a reason that another process would meet as well", status};
      case kExitLifetime:
        crashes_ = 0;
        if (!options_.after_lifetime) return {};
        return {Duration{0}, {}, 0};
      case kExitStuckThread:
        return {Duration{0}, {}, 0};
      default:
        break;
    }
  }
  if (end.joined) {
    failed_starts_ = 0;
  } else if (++failed_starts_ == options_.start_attempts) {
    return {std::nullopt,
            fmt::format("{} processes in a row ended before they had joined a scheduler, the last one with {}",
                        failed_starts_, describe_wait_status(end.wait_status)),
            kExitFailed};
  }
  crashes_ = end.lived >= options_.long_enough ? 0 : crashes_ + 1;
  const auto doublings = std::min(crashes_ == 0 ? 0u : crashes_ - 1, 20u);
  return {std::min(options_.first_delay * (std::int64_t{1} << doublings), options_.longest_delay), {}, 0};
}

}  // namespace tegula::worker
