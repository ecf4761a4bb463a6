// Ready tasks in order of priority. Each ready task is in exactly one queue; its record knows where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/core/task.h"

namespace tegula::scheduler {

class ReadyQueue {
 public:
  struct Entry {
    std::int64_t priority;  // the task's, unless it was pushed with another
    TaskId id;              // breaks ties, so that the order does not depend on the table of records
    Slot slot;
  };

  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  const Entry& top() const { return heap_.front(); }
  const std::vector<Entry>& entries() const { return heap_; }

  static bool before(const Entry& a, const Entry& b) {
    return a.priority != b.priority ? a.priority < b.priority : a.id < b.id;
  }
  void push(Slot slot, TaskTable& tasks) { push(slot, tasks[slot].priority, tasks); }
  void push(Slot slot, std::int64_t priority, TaskTable& tasks);
  void erase(Slot slot, TaskTable& tasks);

 private:
  void sift(std::size_t at, Entry entry, TaskTable& tasks);
  std::vector<Entry> heap_;
};

}  // namespace tegula::scheduler
