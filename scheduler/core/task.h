// What the scheduler knows of one task that it has looked at, and the table of all such records. A task that is only
// demanded, or finished and released, has no record.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "scheduler/core/containers.h"
#include "scheduler/core/state.h"
#include "src/ids.h"
#include "tegula/error.h"

namespace tegula::scheduler {

using Slot = std::uint32_t;        // of a record in TaskTable
using WorkerSlot = std::uint32_t;  // of a worker in the core's table; reused, unlike WorkerId
inline constexpr std::uint32_t kNoSlot = ~0u;

// The workers that hold a result. Most results have one or two.
class ReplicaSet {
 public:
  ReplicaSet() = default;
  ReplicaSet(const ReplicaSet& other) { assign(other.span()); }
  ReplicaSet(ReplicaSet&& other) noexcept { take(other); }
  ReplicaSet& operator=(const ReplicaSet& other) {
    if (this != &other) {
      clear();
      assign(other.span());
    }
    return *this;
  }
  ReplicaSet& operator=(ReplicaSet&& other) noexcept {
    if (this != &other) {
      clear();
      take(other);
    }
    return *this;
  }
  ~ReplicaSet() { clear(); }

  std::span<const WorkerSlot> span() const { return {data(), size_}; }
  bool empty() const { return size_ == 0; }
  bool contains(WorkerSlot worker) const;
  bool add(WorkerSlot worker);     // false: it was there
  bool remove(WorkerSlot worker);  // false: it was not there
  void clear();

 private:
  static constexpr std::uint32_t kInline = 2;
  const WorkerSlot* data() const { return capacity_ > kInline ? heap_ : inline_; }
  WorkerSlot* data() { return capacity_ > kInline ? heap_ : inline_; }
  void assign(std::span<const WorkerSlot> workers) {
    for (WorkerSlot worker : workers) add(worker);
  }
  void take(ReplicaSet& other) noexcept;

  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = kInline;
  union {
    WorkerSlot inline_[kInline] = {};
    WorkerSlot* heap_;
  };
};

struct Output {
  std::uint64_t nbytes = 0;
  std::uint32_t wants = 0;      // live wants of all sessions
  std::uint32_t consumers = 0;  // active tasks that read it, expanded or not, once for each of their rules
  ReplicaSet replicas;          // not empty: available

  bool available() const { return !replicas.empty(); }
  bool needed() const { return wants != 0 || consumers != 0; }
};

// Why a task erred: the error of the first task that failed, and the way from there to this one.
struct Failure {
  std::shared_ptr<const ErrorInfo> error;
  std::shared_ptr<const Failure> cause;  // null: this task failed itself
  TaskId task{};
  std::uint32_t depth = 0;
};

// Where a task waits to be bound: ready ones for any worker that may run them or for a certain one, and waiting ones
// whose missing inputs are all bound, for the worker where most of the bytes are or will be.
enum class QueueKind : std::uint8_t { kNone, kAny, kWorker, kAhead, kDelayed };

struct Task {
  TaskId id{};                  // 0: a free record
  AttemptId attempt{};          // kProcessing
  std::int64_t tag = 0;         // among equal urgency smaller first, see fairness.cc
  WorkerSlot worker = kNoSlot;  // kProcessing
  std::int32_t urgency = 0;     // the user's priority: greater first
  std::uint32_t position = 0;  // in its ready queue, or in its worker's list of bound tasks; free records: the next one
  std::uint32_t queue = 0;     // kAny: the requirement, kWorker, kAhead: the worker's slot
  // kWaiting: inputs (by rule and producer) that are not available. kProcessing: those of them that were not when it
  // was bound; only for decisions about load, since an input that was lost and made again counts as one of them.
  std::uint32_t missing = 0;
  TaskState state = TaskState::kForgotten;
  TaskPhase phase = TaskPhase::kNone;
  QueueKind queued_in = QueueKind::kNone;
  bool came_back = false;        // while it was ahead: not again before there is news of an input
  bool expanded = false;         // its inputs were looked at since it last became active
  std::uint8_t deaths = 0;       // of workers that executed it, as far as is known, see blame.cc
  std::uint8_t near_deaths = 0;  // of workers that may have
  std::uint8_t fetch_failures = 0;
  std::uint32_t expected_us = 0;  // kProcessing: what it was expected to take when it was bound; 0: unknown
  std::uint16_t failures = 0;     // forgiven ones, since it was demanded
  std::uint8_t followers = 0;     // kProcessing: tasks bound ahead of it, or queued to be
  std::uint8_t ahead_depth = 0;   // attempts in a row that must end before this one can start
  std::uint16_t account = 0;      // the session whose submission first asked for it
  std::uint16_t output_count = 1;
  bool freed_there = false;                // kProcessing: meanwhile its worker was told to free a result of it
  std::shared_ptr<const Failure> failure;  // kErred
  Output first;
  std::vector<Output> more;  // outputs 1 and up

  Output& output(std::uint16_t o) { return o == 0 ? first : more[o - 1u]; }
  const Output& output(std::uint16_t o) const { return o == 0 ? first : more[o - 1u]; }
};

// Records in pages, so that they don't move; pages without a record are given back.
class TaskTable {
 public:
  Slot create();
  void destroy(Slot slot);
  Task& operator[](Slot slot) { return pages_[slot / kPage]->tasks[slot % kPage]; }
  const Task& operator[](Slot slot) const { return pages_[slot / kPage]->tasks[slot % kPage]; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const;

  template <typename Visit>
  void for_each(Visit&& visit) {
    for (std::size_t p = 0; p < pages_.size(); ++p) {
      if (!pages_[p]) continue;
      for (std::uint32_t i = 0; i < kPage; ++i) {
        Task& task = pages_[p]->tasks[i];
        if (task.id != TaskId{}) visit(static_cast<Slot>(p * kPage + i), task);
      }
    }
  }

  template <typename Visit>
  void for_each(Visit&& visit) const {
    const_cast<TaskTable*>(this)->for_each([&visit](Slot slot, const Task& task) { visit(slot, task); });
  }

 private:
  static constexpr std::uint32_t kPage = 256;
  struct Page {
    std::array<Task, kPage> tasks;
    std::uint32_t live = 0;
    std::uint32_t free = kNoSlot;  // first free record, linked by Task::position
    bool open = false;             // listed in open_
  };
  std::vector<Owned<Page>> pages_;
  std::vector<std::uint32_t> open_;    // pages with room
  std::vector<std::uint32_t> vacant_;  // numbers of pages that were given back
  std::size_t size_ = 0;
};

}  // namespace tegula::scheduler
