// The results that a worker keeps: in memory, on disk, or on their way between the two. Part of the state machine: no
// I/O. What has to be written, read or removed comes out as actions; how it went comes back as events.
//
// A result's place:
//   memory   its bytes are here; with a file it is clean and can leave memory at once, without one it is dirty
//   writing  its bytes are here, and on their way to a file; then it is clean
//   disk     only its file has them
//   reading  on its way back from its file, which stays: it comes back clean
//
// What somebody else holds too (a task that reads it, a peer it is being sent to) does not leave memory: nothing would
// come free. Among the others those needed last go first: by rank, the order of the next task that reads it.
//
// Invariants: a result in memory or being written has a hold in the ledger, a write has one of its own. reading_bytes()
// and writing_bytes() are the sums over what is under way. The sets of what can be evicted are complete while watching,
// which begins with the first shortage: work that fits into memory pays nothing for them.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "worker/core/events.h"
#include "worker/core/ledger.h"

namespace tegula {
class CanonicalHash;
}

namespace tegula::worker {

enum class Place : std::uint8_t { kMemory, kWriting, kDisk, kReading };

struct StoreOptions {
  bool spill = false;                    // there is a disk
  std::uint64_t smallest = 4096;         // bytes; smaller values stay in memory
  Time retry = std::chrono::seconds(5);  // after the disk refused
};

class Store {
 public:
  // The rank of what no task is known to read.
  static constexpr std::int64_t kNotNeeded = msg::NextUse::kNever;

  struct User {
    AttemptId attempt{};
    std::uint32_t slot = 0;  // which of the task's inputs
  };
  // The end of a read.
  struct ReadBack {
    ResultId result;
    Chunk chunk;  // when it succeeded
    std::vector<User> users;
    bool failed = false;
    bool lost = false;  // it failed, and was kept until now
  };

  explicit Store(StoreOptions options) : options_(options) {}

  bool contains(const ResultId& result) const { return results_.contains(result); }
  // Null when it is not in memory.
  const Chunk* find(const ResultId& result) const;
  std::optional<Place> place_of(const ResultId& result) const;
  FileId file_of(const ResultId& result) const;          // 0: none that is complete
  std::uint64_t bytes_of(const ResultId& result) const;  // 0 for what is not kept
  // Puts a result into memory, in place of what was kept under its name.
  void keep(const ResultId& result, Chunk chunk, std::vector<Action>& actions);
  void free(const ResultId& result, std::vector<Action>& actions);
  // Gives results other names, all at once, wherever they are: what is being written or read goes on, files stay, and
  // when they are needed next is not known any more. A name that is taken stays with what has it, and of two results
  // that are to have the same one the first gets it; the other is freed. Says which of the new names were given.
  struct NewName {
    ResultId from, to;
  };
  std::vector<ResultId> rename(const std::vector<NewName>& names, std::vector<Action>& actions);
  // Who waits for reads to end does not any more; the reads go on.
  void forget_users();
  std::vector<ResultId> names() const;  // of all that is kept, in no order

  // Bytes that somebody uses: counted, and kept from leaving memory.
  void hold(const Buffer& buffer);
  void drop(const Buffer& buffer);
  // The bytes are given up, but are needed again by a task of this order.
  void drop_for_later(const Buffer& buffer, std::int64_t rank);

  // Lets clean values go until `shortage` bytes are free, if there are so many: less would only be taken by others. Has
  // dirty ones written until that many and `ahead` more are free or could go.
  void evict(std::uint64_t shortage, std::uint64_t ahead, Time now, std::vector<Action>& actions);
  // Lets clean values go until `bytes` are free or none is left.
  void evict_clean(std::uint64_t bytes);
  // What can leave memory, those that would leave first in front, for the scheduler to say when they are needed.
  std::vector<ResultId> candidates(std::size_t most) const;
  void set_rank(const ResultId& result, std::int64_t rank);
  // What it would take to read the result back; 0 when it is in memory or on its way.
  std::uint64_t bytes_to_read(const ResultId& result) const;
  // For a result on disk or being read: `user` is named when it is here.
  void read_back(const ResultId& result, User user, std::vector<Action>& actions);

  void written(const SpillDone& event);
  void not_written(const SpillFailed& event, Time now);
  ReadBack read(Unspilled& event, std::vector<Action>& actions);
  ReadBack not_read(const UnspillFailed& event, std::vector<Action>& actions);

  std::uint64_t managed_bytes() const { return ledger_.bytes(); }
  // Of values in memory that nobody uses, small ones included: they can leave it, or are about to, unless the disk is
  // full.
  std::uint64_t can_leave_bytes() const {
    return options_.spill && !disk_full_ ? ledger_.idle_bytes() + writing_bytes_ : 0;
  }
  std::uint64_t reading_bytes() const { return reading_bytes_; }
  std::uint64_t writing_bytes() const { return writing_bytes_; }
  std::uint64_t clean_bytes() const { return clean_bytes_; }      // that can go at once
  std::uint64_t spilled_bytes() const { return spilled_bytes_; }  // of values whose file is complete
  bool freeing() const { return !writes_.empty(); }
  // The disk had no room when it was last asked.
  bool disk_full() const { return disk_full_; }
  // Since begin_turn() something was to go there that could not.
  bool waits_for_disk() const { return disk_full_ && wants_to_write_; }
  void begin_turn() { wants_to_write_ = false; }
  std::optional<Time> next_wakeup(Time now) const;  // when to ask the disk again, if anybody waits for it

  std::size_t size() const { return results_.size(); }
  std::size_t reads_for(AttemptId attempt) const;  // slow; for checks
  // Throws std::logic_error. `ledger` has been given the holds of tasks, which are all that others have if `complete`.
  void check_invariants(Ledger& ledger, bool complete) const;
  void canonical_hash(CanonicalHash& hash, Time now) const;

 private:
  struct Result {
    Chunk chunk;  // in memory, being written
    std::uint64_t bytes = 0;
    std::int64_t rank = kNotNeeded;
    FileId file = 0;
    Place place = Place::kMemory;
  };
  struct Write {
    ResultId result;
    Buffer buffer;
  };
  struct Read {
    ResultId result;
    std::uint64_t bytes = 0;
    std::vector<User> users;
  };
  using Results = std::unordered_map<ResultId, Result>;
  using Candidates = std::set<std::pair<std::int64_t, ResultId>>;

  bool can_leave(const Result& result) const;
  void list(const ResultId& id, const Result& result);
  void unlist(const ResultId& id, const Result& result);
  void watch();
  void release_bytes(const Buffer& buffer);  // the store's own hold
  void let_go(const Result& result, std::vector<Action>& actions);
  void forget_file(const Result& result, std::vector<Action>& actions);
  bool may_write(Time now) const;
  Result* reading(const Read& read, FileId file);

  StoreOptions options_;
  Ledger ledger_;
  Results results_;
  std::unordered_map<FileId, Write> writes_;
  std::unordered_map<FileId, Read> reads_;
  bool watching_ = false;
  Candidates dirty_, clean_;  // what can leave memory: by writing it, at once
  FileId last_file_ = 0;
  FileId last_before_full_ = 0;    // the last write that was begun when the disk refused one
  std::uint64_t clean_bytes_ = 0;  // of those in clean_
  std::uint64_t reading_bytes_ = 0, writing_bytes_ = 0, spilled_bytes_ = 0;
  std::uint64_t files_ = 0;  // complete ones
  bool disk_full_ = false;
  bool wants_to_write_ = false;  // evict() could not write since the disk refuses, in this turn
  Time no_writes_before_{0};
};

}  // namespace tegula::worker
