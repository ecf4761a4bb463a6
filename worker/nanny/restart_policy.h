// Whether a worker process that ended is started again, and when. No clock and no process in here.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace tegula::worker {

using Duration = std::chrono::nanoseconds;

struct RestartOptions {
  unsigned start_attempts = 5;  // processes in a row that end before they have joined a scheduler; 0: no end of trying
  Duration first_delay = std::chrono::milliseconds(100);
  Duration longest_delay = std::chrono::seconds(30);
  Duration long_enough = std::chrono::seconds(60);  // who has lived for this long is started again after first_delay
  bool after_lifetime = false;                      // --lifetime-restart
};

// How a process ended.
struct ProcessEnd {
  int wait_status = 0;
  bool meant_to = false;  // it said that it would
  bool joined = false;    // it had been with a scheduler
  Duration lived{0};
};

class RestartPolicy {
 public:
  explicit RestartPolicy(const RestartOptions& options) : options_(options) {}

  struct Verdict {
    std::optional<Duration> restart_after;  // nothing: no further process
    std::string reason;                     // why not; empty when it ended as it should
    int status = 0;                         // and the status that the nanny ends with
  };
  Verdict judge(const ProcessEnd& end);

 private:
  RestartOptions options_;
  unsigned failed_starts_ = 0;  // in a row
  unsigned crashes_ = 0;        // in a row, of processes that did not live long
};

// "status 3", "signal 11 (Segmentation fault)"
std::string describe_wait_status(int wait_status);

}  // namespace tegula::worker
