// The worker's disk: writes values to files, reads them back and removes them, on threads of its own. The folder is
// made when the first value comes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "src/buffer.h"
#include "src/chunk.h"
#include "worker/core/events.h"
#include "worker/store/spill_directory.h"
#include "worker/store/spill_file.h"

namespace tegula::worker {

struct SpillerOptions {
  std::string base;         // where the worker's folder is made
  std::uint64_t limit = 0;  // bytes on disk; 0: as many as there is room for
  SpillFileOptions file;
  std::string worker;  // its name, for logs
};

class Spiller {
 public:
  // `notify` is called on an I/O thread when there is something to collect after there was nothing: once until
  // collect() is called. Folders of dead workers are removed meanwhile.
  Spiller(SpillerOptions options, std::shared_ptr<BufferPool> pool, std::function<void()> notify);
  // Drops what has not begun, waits for the rest, removes the folder.
  ~Spiller();
  Spiller(const Spiller&) = delete;
  Spiller& operator=(const Spiller&) = delete;

  void write(Spill spill);
  void read(FileId file);
  void drop(FileId file);
  // Reads a file for somebody outside; `done` is called on an I/O thread, with nothing when it can't be read.
  void fetch(FileId file, std::function<void(std::optional<Chunk>)> done);
  void trim();  // free memory goes back to the system
  // The ends since the last call: SpillDone, SpillFailed, Unspilled, UnspillFailed.
  void collect(std::vector<Event>& events);
  // All files go; numbers may come again. What is under way is not reported any more.
  void abandon_all();

  struct Counters {
    std::uint64_t bytes_on_disk = 0;
    std::uint64_t bytes_written = 0, bytes_read = 0;  // of files, since start
    std::uint64_t busy_ns = 0;                        // threads' time in reads and writes
    // Time in which at least one write was queued or under way; the same for reads.
    std::chrono::nanoseconds write_busy{0}, read_busy{0};
    std::uint64_t failures = 0;  // files that could not be written (but for room) or read back
  };
  Counters counters() const;

 private:
  struct Job {
    enum class Kind { kWrite, kRead, kFetch, kRemove, kTrim, kClean, kRemoveAll };
    Kind kind = Kind::kRead;
    FileId file = 0;
    std::uint64_t life = 0;
    Chunk chunk;
    std::function<void(std::optional<Chunk>)> done;
  };
  using Clock = std::chrono::steady_clock;
  // Jobs of a kind that are queued or under way, of whatever life, and for how long there have been any.
  struct Pending {
    std::size_t jobs = 0;
    Clock::time_point since;
    Clock::duration before{0};

    void add(Clock::time_point now);
    void remove(Clock::time_point now);
    Clock::duration busy(Clock::time_point now) const { return before + (jobs > 0 ? now - since : Clock::duration{0}); }
  };

  void submit(Job job);
  bool take(bool prefers_writes, Job& job);  // waits; false: the end
  void work(bool prefers_writes);
  void carry_out(Job& job, Staging& staging);
  Event write_file(const Job& job, Staging& staging);
  std::optional<Chunk> read_file(const Job& job, Staging& staging);
  void remove_file(FileId file, std::uint64_t life);
  void finish(const Job& job, Event event);
  std::string path_of(FileId file, std::uint64_t life);  // the folder is there then
  bool is_current(const Job& job) const;
  Pending* pending_of(const Job& job);     // null: nobody asks for how long
  void no_longer_pending(const Job& job);  // it has ended or will not begin; mutex_ is held
  bool take_room(std::uint64_t bytes);     // of the limit
  void disk_is_full(const std::string& why);
  void disk_has_room();
  bool disk_is_told_full() const;

  const SpillerOptions options_;
  const std::shared_ptr<BufferPool> pool_;
  const std::function<void()> notify_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> writes_, others_;
  std::unordered_set<FileId> running_writes_, dropped_;  // dropped_: of those, to be removed when they end
  std::unordered_map<FileId, std::uint64_t> sizes_;      // of this life's files
  std::vector<Event> done_;
  std::uint64_t life_ = 0;
  std::uint64_t promised_ = 0;  // bytes of the limit for writes under way
  Counters counters_;
  Pending pending_writes_, pending_reads_;
  bool told_full_ = false;
  bool stopping_ = false;

  std::mutex directory_mutex_;
  std::unique_ptr<SpillDirectory> directory_;

  std::vector<std::thread> threads_;
};

}  // namespace tegula::worker
