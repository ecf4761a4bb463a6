// What a scheduler that is killed must not forget: its clients' sessions with their layers, wants and releases. Never
// what has been computed: that is what workers hold. docs/journal.md has the format and what is guaranteed.
//
// Entries are appended on the event loop and written by a thread of the journal's own, all that are waiting in one
// record with one fdatasync. A segment begins with a snapshot, and a new one replaces it when it has grown.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "comm/messages.h"
#include "comm/session_contents.h"
#include "scheduler/core/actions.h"
#include "scheduler/core/events.h"

namespace tegula::scheduler {

// What entries come to, session by session.
class JournalState {
 public:
  void apply(const Persist& entry);
  std::vector<Persist> entries() const;           // that lead from nothing to this
  std::vector<SessionRestored> sessions() const;  // the same, one event each
  std::size_t size() const { return sessions_.size(); }

 private:
  struct Stored {
    msg::AttachClient about;
    std::uint64_t last_sequence = 0;
    std::deque<msg::SubmitRefused> refusals;  // the last few
    SessionContents contents;
  };
  std::map<std::uint64_t, Stored> sessions_;
};

struct Segment {
  JournalState state;
  std::optional<std::uint64_t> torn_at;  // the byte at which an incomplete last record begins
};
// Throws FileError that names the byte where the file is damaged.
Segment read_segment(const std::string& path);

struct JournalOptions {
  std::string directory;
  std::uint64_t least_growth = 4u << 20;  // bytes after which a segment may be replaced by a snapshot
};

class Journal {
 public:
  // Takes the directory (made when missing), reads what is there and begins a new segment with it. `post` runs its
  // argument on the loop, from any thread. Throws FileError: another scheduler has the directory; an entry is damaged
  // that later ones follow; it cannot be written.
  Journal(JournalOptions options, std::function<void(std::function<void()>)> post);
  ~Journal();  // writes what was committed
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // What the last life of the scheduler left, for the core of this one.
  std::vector<SessionRestored> restored() const { return state_.sessions(); }

  // All of these on the loop.
  void append(const Persist& entry);
  // Hands over what was appended since the last call. True: there was something, and `on_committed` will be called.
  bool commit();
  std::uint64_t last_commit() const { return last_commit_; }  // its number
  bool has_pending() const { return !pending_.empty(); }      // appended since
  // Told when commits up to a number are on the disk.
  std::function<void(std::uint64_t number)> on_committed;
  // Why a message of so many bytes can't be taken now; "": it can.
  std::string no_room_for(std::uint64_t bytes);

 private:
  void lock_directory();
  void load();
  // A new segment with all that is there, in place of the last one. False: there is no room for it.
  bool begin_segment();
  bool replace_segment();
  void work();  // the thread's
  bool write_record(std::span<const std::byte> payload);
  std::string path_of(std::uint64_t segment) const;

  const JournalOptions options_;
  const std::function<void(std::function<void()>)> post_;
  int lock_ = -1;
  int directory_ = -1;

  // The loop's own.
  JournalState state_;
  std::vector<std::byte> pending_;  // appended, not committed
  std::uint64_t last_commit_ = 0;
  bool reserves_ = true;  // the file system can set space aside

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::byte> queue_;     // committed, to be written
  std::uint64_t queued_commit_ = 0;  // the last one in it
  bool ending_ = false;
  int file_ = -1;  // the segment
  std::uint64_t segment_ = 0;
  std::uint64_t used_ = 0;        // bytes written to it, and queued
  std::uint64_t reserved_ = 0;    // bytes that are set aside for it
  std::uint64_t first_size_ = 0;  // of it when it began, or could not be replaced
  std::string trouble_;           // why the last write failed; "": it did not
  bool writing_ = false;          // the thread has taken the queue and uses file_

  std::uint64_t written_ = 0;  // the thread's: where the next record goes
  std::uint64_t number_ = 0;   // of the next record; the thread's
  std::thread thread_;
};

}  // namespace tegula::scheduler
