#include "scheduler/core/task.h"

#include <algorithm>

namespace tegula::scheduler {

bool ReplicaSet::contains(WorkerSlot worker) const {
  const auto workers = span();
  return std::find(workers.begin(), workers.end(), worker) != workers.end();
}

bool ReplicaSet::add(WorkerSlot worker) {
  if (contains(worker)) return false;
  if (size_ == capacity_) {
    const std::uint32_t capacity = 2 * capacity_;
    auto* larger = new WorkerSlot[capacity];
    std::copy_n(data(), size_, larger);
    if (capacity_ > kInline) delete[] heap_;
    heap_ = larger;
    capacity_ = capacity;
  }
  data()[size_++] = worker;
  return true;
}

bool ReplicaSet::remove(WorkerSlot worker) {
  WorkerSlot* begin = data();
  WorkerSlot* end = begin + size_;
  WorkerSlot* found = std::find(begin, end, worker);
  if (found == end) return false;
  std::copy(found + 1, end, found);
  --size_;
  return true;
}

void ReplicaSet::clear() {
  if (capacity_ > kInline) delete[] heap_;
  size_ = 0;
  capacity_ = kInline;
}

void ReplicaSet::take(ReplicaSet& other) noexcept {
  size_ = other.size_;
  capacity_ = other.capacity_;
  if (capacity_ > kInline) {
    heap_ = other.heap_;
  } else {
    std::copy_n(other.inline_, kInline, inline_);
  }
  other.size_ = 0;
  other.capacity_ = kInline;
}

Slot TaskTable::create() {
  if (open_.empty()) {
    std::uint32_t number = static_cast<std::uint32_t>(pages_.size());
    if (vacant_.empty()) {
      pages_.emplace_back();
    } else {
      number = vacant_.back();
      vacant_.pop_back();
    }
    pages_[number] = Owned<Page>(std::make_unique<Page>());
    Page& page = *pages_[number];
    for (std::uint32_t i = 0; i < kPage; ++i) page.tasks[i].position = i + 1 < kPage ? i + 1 : kNoSlot;
    page.free = 0;
    page.open = true;
    open_.push_back(number);
  }
  const std::uint32_t number = open_.back();
  Page& page = *pages_[number];
  const std::uint32_t i = page.free;
  page.free = page.tasks[i].position;
  if (page.free == kNoSlot) {
    page.open = false;
    open_.pop_back();
  }
  ++page.live;
  ++size_;
  page.tasks[i].position = 0;
  return number * kPage + i;
}

void TaskTable::destroy(Slot slot) {
  const std::uint32_t number = slot / kPage;
  Page& page = *pages_[number];
  Task& task = page.tasks[slot % kPage];
  task = Task{};
  task.position = page.free;
  page.free = slot % kPage;
  --page.live;
  --size_;
  if (!page.open) {
    page.open = true;
    open_.push_back(number);
  }
  // One page with room stays; an empty one beyond that goes back. (It is at the end of open_ or soon will be found
  // there.)
  if (page.live == 0 && open_.size() > 1) {
    open_.erase(std::find(open_.begin(), open_.end(), number));
    pages_[number].reset();
    vacant_.push_back(number);
  }
}

std::size_t TaskTable::bytes() const {
  std::size_t pages = 0;
  for (const auto& page : pages_) pages += page ? 1 : 0;
  return pages * sizeof(Page) + pages_.capacity() * sizeof(Owned<Page>);
}

}  // namespace tegula::scheduler
