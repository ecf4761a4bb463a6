// Ready tasks, the most urgent first, then by tag. Each ready task is in exactly one queue; its record knows where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/core/task.h"

namespace tegula::scheduler {

class ReadyQueue {
 public:
  struct Entry {
    std::int32_t urgency;
    Slot slot;
    std::int64_t tag;  // the task's, unless it was pushed with another
    TaskId id;         // breaks ties, so that the order does not depend on the table of records
  };

  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  const Entry& top() const { return heap_.front(); }
  const std::vector<Entry>& entries() const { return heap_; }

  static bool before(const Entry& a, const Entry& b) {
    if (a.urgency != b.urgency) return a.urgency > b.urgency;
    return a.tag != b.tag ? a.tag < b.tag : a.id < b.id;
  }
  static Entry entry_of(const Task& task) { return {task.urgency, kNoSlot, task.tag, task.id}; }
  void push(Slot slot, TaskTable& tasks) { push(slot, tasks[slot].tag, tasks); }
  void push(Slot slot, std::int64_t tag, TaskTable& tasks);
  void erase(Slot slot, TaskTable& tasks);

 private:
  void sift(std::size_t at, Entry entry, TaskTable& tasks);
  std::vector<Entry> heap_;
};

inline bool goes_before(const Task& a, const Task& b) {
  return ReadyQueue::before(ReadyQueue::entry_of(a), ReadyQueue::entry_of(b));
}

}  // namespace tegula::scheduler
