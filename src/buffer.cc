#include "src/buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace tegula {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kMapFrom = std::size_t{1} << 20;  // larger blocks are mapped: their pages go back when freed
// Smaller blocks are left to malloc, which keeps them per thread without a lock.
constexpr std::size_t kPoolFrom = std::size_t{4} << 10;

std::size_t round_up(std::size_t size, std::size_t granule) {
  if (size > SIZE_MAX / 2) throw std::bad_alloc();
  return (size + granule - 1) / granule * granule;
}

// Eight classes per power of two: rounding up wastes at most an eighth of what is asked for. Large blocks, which make
// up what a worker stores, come in 64 per power of two.
std::size_t class_size(std::size_t size) {
  const int log2 = std::bit_width(size) - 1;
  const int classes_log2 = size >= kMapFrom ? 6 : 3;
  return round_up(size, std::max(kBufferAlignment, std::size_t{1} << std::max(log2 - classes_log2, 0)));
}

void* map_block(std::size_t size) {
  const bool huge = size >= kHugePage;
  const std::size_t length = round_up(size, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  const std::size_t mapped = huge ? length + kHugePage : length;
  void* address = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  if (!huge) return address;
  // Huge pages need their own alignment: map more and give back both ends.
  auto* first = static_cast<std::byte*>(address);
  const std::size_t head = (kHugePage - reinterpret_cast<std::uintptr_t>(first) % kHugePage) % kHugePage;
  if (head > 0) munmap(first, head);
  if (mapped - head > length) munmap(first + head + length, mapped - head - length);
  madvise(first + head, length, MADV_HUGEPAGE);  // a hint: where it fails, small pages do
  return first + head;
}

void* new_block(std::size_t size) {
  if (size >= kMapFrom) return map_block(size);
  void* block = std::aligned_alloc(kBufferAlignment, round_up(size, kBufferAlignment));
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void free_block(void* block, std::size_t size) {
  if (size >= kMapFrom) {
    munmap(block, round_up(size, static_cast<std::size_t>(sysconf(_SC_PAGESIZE))));
  } else {
    std::free(block);
  }
}

}  // namespace

Buffer Buffer::allocate(std::size_t size) {
  if (size == 0) return {};
  void* block = new_block(size);
  // The deleter also runs when making the shared_ptr itself throws.
  return wrap(block, size, std::shared_ptr<void>(block, [size](void* p) { free_block(p, size); }));
}

Buffer Buffer::wrap(void* data, std::size_t size, std::shared_ptr<void> owner) {
  Buffer buffer;
  buffer.owner_ = std::move(owner);
  buffer.data_ = static_cast<std::byte*>(data);
  buffer.size_ = size;
  return buffer;
}

struct BufferPool::State : std::enable_shared_from_this<State> {
  struct Kept {
    void* block;
    std::uint64_t stamp;  // rises with every block that comes back: the smallest is the one unused for longest
  };

  State(std::size_t keep, std::size_t most) : keep_bytes(keep), limit(most) {}
  ~State() { trim(); }

  Buffer allocate(std::size_t size) {
    if (size == 0) return {};
    const std::size_t rounded = class_size(size);
    void* block = take(rounded);
    if (block == nullptr) {
      make_room(rounded);
      block = new_block(rounded);
    }
    in_use.fetch_add(rounded, std::memory_order_relaxed);
    auto give_back = [state = shared_from_this(), rounded](void* p) { state->give_back(p, rounded); };
    return Buffer::wrap(block, size, std::shared_ptr<void>(block, std::move(give_back)));
  }

  void* take(std::size_t rounded) {
    if (rounded < kPoolFrom) return nullptr;
    const std::lock_guard lock(mutex);
    const auto list = free.find(rounded);
    if (list == free.end() || list->second.empty()) return nullptr;
    void* block = list->second.back().block;  // the most recently used: still in caches
    list->second.pop_back();
    kept.fetch_sub(rounded, std::memory_order_relaxed);
    return block;
  }

  std::size_t room() const {  // for kept blocks
    const std::size_t used = in_use.load(std::memory_order_relaxed);
    return limit == 0 ? SIZE_MAX : limit - std::min(limit, used);
  }

  // A new block may not take together with the kept ones what is left of the limit.
  void make_room(std::size_t rounded) {
    if (limit == 0 || kept.load(std::memory_order_relaxed) == 0) return;
    std::vector<std::pair<void*, std::size_t>> evicted;
    {
      const std::lock_guard lock(mutex);
      const std::size_t left = room() - std::min(room(), rounded);
      while (kept.load(std::memory_order_relaxed) > left) evicted.push_back(evict_oldest());
    }
    for (const auto& [old, size] : evicted) free_block(old, size);
  }

  void give_back(void* block, std::size_t rounded) noexcept {
    in_use.fetch_sub(rounded, std::memory_order_relaxed);
    if (rounded < kPoolFrom || !keep(block, rounded)) free_block(block, rounded);
  }

  // Makes room by giving the longest unused blocks back to the system. False: this block is not kept.
  bool keep(void* block, std::size_t rounded) noexcept {
    std::vector<std::pair<void*, std::size_t>> evicted;
    bool kept_it = false;
    try {
      const std::lock_guard lock(mutex);
      const std::size_t most = std::min(keep_bytes, room());
      if (rounded <= most) {
        while (kept.load(std::memory_order_relaxed) + rounded > most) evicted.push_back(evict_oldest());
        free[rounded].push_back({block, next_stamp++});
        kept.fetch_add(rounded, std::memory_order_relaxed);
        kept_it = true;
      }
    } catch (const std::bad_alloc&) {
      // No memory for the lists: the block goes back to the system, which is what is needed then.
    }
    for (const auto& [old, size] : evicted) free_block(old, size);
    return kept_it;
  }

  std::pair<void*, std::size_t> evict_oldest() {  // under the lock, while something is kept
    auto oldest = free.end();
    for (auto list = free.begin(); list != free.end(); ++list) {
      if (list->second.empty()) continue;
      if (oldest == free.end() || list->second.front().stamp < oldest->second.front().stamp) oldest = list;
    }
    const std::size_t size = oldest->first;
    void* block = oldest->second.front().block;
    oldest->second.pop_front();
    kept.fetch_sub(size, std::memory_order_relaxed);
    return {block, size};
  }

  void trim() {
    const std::lock_guard lock(mutex);
    for (const auto& [size, list] : free) {
      for (const Kept& item : list) free_block(item.block, size);
    }
    free.clear();
    kept.store(0, std::memory_order_relaxed);
  }

  void stop_keeping() {
    {
      const std::lock_guard lock(mutex);
      keep_bytes = 0;
    }
    trim();
  }

  std::mutex mutex;
  std::size_t keep_bytes;  // mutex
  const std::size_t limit;
  std::map<std::size_t, std::deque<Kept>> free;  // mutex; by size, each list oldest first
  std::uint64_t next_stamp = 0;                  // mutex
  std::atomic<std::size_t> in_use{0}, kept{0};
};

BufferPool::BufferPool(std::size_t keep_bytes, std::size_t limit)
    : state_(std::make_shared<State>(keep_bytes, limit)) {}

// Buffers and allocators that outlive the pool still work; nothing is kept for them any more.
BufferPool::~BufferPool() { state_->stop_keeping(); }

Buffer BufferPool::allocate(std::size_t size) { return state_->allocate(size); }
BufferAllocator BufferPool::allocator() {
  return [state = state_](std::size_t size) { return state->allocate(size); };
}
std::size_t BufferPool::bytes_in_use() const { return state_->in_use.load(std::memory_order_relaxed); }
std::size_t BufferPool::bytes_kept() const { return state_->kept.load(std::memory_order_relaxed); }
void BufferPool::trim() { state_->trim(); }

}  // namespace tegula
