// A record of all that happened to a scheduler's core: every event, in order, with its time. Feeding it to a core again
// gives the same decisions, so what went wrong once can be looked at step by step (`tegula replay`).
//
// The file: a header (magic, then the core's settings as JSON), then one entry per event or settle(), each with a
// checksum. A record that ends in the middle of an entry, as that of a scheduler that was killed, is good up to there.
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

#include "scheduler/core/state.h"

namespace tegula::scheduler {

class EventRecorder {
 public:
  // Begins a new record (mode 0600: sessions' secrets are in it). Ends by itself after `limit` bytes; 0: never. Throws
  // FileError.
  EventRecorder(const std::string& path, const SchedulerConfig& config, std::uint64_t limit);

  // Each before the core is called; `actions`: how many the core has given so far, which a replay compares.
  void apply(Time now, const Event& event);
  void settle(Time now, std::uint64_t actions);
  void flush();
  // Why nothing is recorded any more: the limit, or a write that failed; "" while all is well.
  const std::string& ended() const { return ended_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  void write(const void* data, std::size_t size);

  std::string path_;
  std::ofstream file_;
  std::uint64_t limit_;
  std::uint64_t bytes_ = 0;
  std::string ended_;
};

class RecordReader {
 public:
  explicit RecordReader(const std::string& path);  // throws FileError, also for a file that is no record

  const SchedulerConfig& config() const { return config_; }
  struct Entry {
    Time time{};
    std::optional<Event> event;  // none: settle()
    std::uint64_t actions = 0;   // of a settle()
  };
  // The next entry, or nothing at the end. Throws FileError that says where the file is damaged.
  std::optional<Entry> next();
  // The record ended in the middle of an entry.
  bool truncated() const { return truncated_; }

 private:
  std::string path_;
  std::ifstream file_;
  std::uint64_t size_ = 0, at_ = 0;
  SchedulerConfig config_;
  bool truncated_ = false;
};

// Whether the file begins as a record does. Throws FileError when it cannot be read.
bool is_record(const std::string& path);

// One line for people: "worker 3: TaskFinished of sum-1a2b3c4d(0)". `state` names keys and workers.
std::string describe(const Event& event, const SchedulerState& state);

}  // namespace tegula::scheduler
