#include "scheduler/core/ready_queue.h"

namespace tegula::scheduler {

void ReadyQueue::push(Slot slot, std::int64_t tag, TaskTable& tasks) {
  const Entry entry{tasks[slot].urgency, slot, tag, tasks[slot].id};
  heap_.push_back(entry);
  sift(heap_.size() - 1, entry, tasks);
}

void ReadyQueue::erase(Slot slot, TaskTable& tasks) {
  const std::size_t at = tasks[slot].position;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (last.slot != slot) sift(at, last, tasks);
  if (heap_.empty() && heap_.capacity() > 1024) std::vector<Entry>().swap(heap_);
}

void ReadyQueue::sift(std::size_t at, Entry entry, TaskTable& tasks) {
  const auto place = [&](std::size_t where, const Entry& what) {
    heap_[where] = what;
    tasks[what.slot].position = static_cast<std::uint32_t>(where);
  };
  while (at > 0 && before(entry, heap_[(at - 1) / 2])) {
    place(at, heap_[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  for (;;) {
    std::size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], entry)) break;
    place(at, heap_[child]);
    at = child;
  }
  place(at, entry);
}

}  // namespace tegula::scheduler
