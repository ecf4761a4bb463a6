// Small containers of the core. All are plain values: copying the core copies them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace tegula::scheduler {

// A unique_ptr that copies what it points to: gives a table entries that don't move and can still be copied.
template <typename T>
class Owned {
 public:
  Owned() = default;
  explicit Owned(std::unique_ptr<T> value) : value_(std::move(value)) {}
  Owned(const Owned& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Owned(Owned&&) noexcept = default;
  Owned& operator=(const Owned& other) {
    if (this != &other) value_ = other.value_ ? std::make_unique<T>(*other.value_) : nullptr;
    return *this;
  }
  Owned& operator=(Owned&&) noexcept = default;
  ~Owned() = default;

  T* get() const { return value_.get(); }
  T& operator*() const { return *value_; }
  T* operator->() const { return value_.get(); }
  explicit operator bool() const { return value_ != nullptr; }
  void reset() { value_.reset(); }

 private:
  std::unique_ptr<T> value_;
};

// An array of numbers that are mostly zero; only pages with something in them take memory.
template <typename T>
class SparseArray {
 public:
  explicit SparseArray(std::uint32_t size) : page_size_(size < kPage ? size : kPage) {}

  T get(std::uint32_t i) const {
    const std::size_t p = i / kPage;
    return p < pages_.size() && !pages_[p].values.empty() ? pages_[p].values[i % kPage] : T{};
  }
  void set(std::uint32_t i, T value) {
    const std::size_t p = i / kPage;
    if (p >= pages_.size()) {
      if (value == T{}) return;
      pages_.resize(p + 1);
    }
    Page& page = pages_[p];
    if (page.values.empty()) {
      if (value == T{}) return;
      page.values.resize(page_size_);
    }
    T& entry = page.values[i % kPage];
    page.used += static_cast<std::uint32_t>(value != T{});
    page.used -= static_cast<std::uint32_t>(entry != T{});
    entry = value;
    if (page.used == 0) std::vector<T>().swap(page.values);  // assigning {} would keep the memory
  }
  std::size_t bytes() const {
    std::size_t bytes = pages_.capacity() * sizeof(Page);
    for (const Page& page : pages_) bytes += page.values.capacity() * sizeof(T);
    return bytes;
  }

 private:
  static constexpr std::uint32_t kPage = 4096;
  struct Page {
    std::vector<T> values;
    std::uint32_t used = 0;
  };
  std::uint32_t page_size_;
  std::vector<Page> pages_;
};

// A binary heap of small integers (slots) whose keys may change, largest key first, smaller slot first among equals.
class SlotHeap {
 public:
  bool empty() const { return heap_.empty(); }
  std::uint32_t top() const { return heap_.front().slot; }
  std::uint64_t top_key() const { return heap_.front().key; }
  std::uint64_t key(std::uint32_t slot) const { return contains(slot) ? heap_[position_[slot] - 1].key : 0; }
  bool contains(std::uint32_t slot) const { return slot < position_.size() && position_[slot] != 0; }
  // key 0: not in the heap
  void update(std::uint32_t slot, std::uint64_t key);

 private:
  struct Entry {
    std::uint64_t key;
    std::uint32_t slot;
  };
  static bool before(const Entry& a, const Entry& b) { return a.key != b.key ? a.key > b.key : a.slot < b.slot; }
  void place(std::size_t at, Entry entry) {
    heap_[at] = entry;
    position_[entry.slot] = static_cast<std::uint32_t>(at + 1);
  }
  void sift(std::size_t at, Entry entry);

  std::vector<Entry> heap_;
  std::vector<std::uint32_t> position_;  // by slot: place in heap_ plus one, 0: absent
};

inline void SlotHeap::update(std::uint32_t slot, std::uint64_t key) {
  if (slot >= position_.size()) {
    if (key == 0) return;
    position_.resize(slot + 1);
  }
  const std::uint32_t position = position_[slot];
  if (key == 0) {
    if (position == 0) return;
    position_[slot] = 0;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (last.slot != slot) sift(position - 1, last);
    return;
  }
  if (position == 0) {
    heap_.push_back({key, slot});
    sift(heap_.size() - 1, {key, slot});
  } else if (heap_[position - 1].key != key) {
    sift(position - 1, {key, slot});
  }
}

inline void SlotHeap::sift(std::size_t at, Entry entry) {
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
