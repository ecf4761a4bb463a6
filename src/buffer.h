// Reference-counted bytes with an owner. A Buffer is a handle: copying shares, the last handle frees (or gives back to
// its pool). Immutable once published: whoever allocated it writes before handing it on, nobody after. Handles may be
// used from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace tegula {

inline constexpr std::size_t kBufferAlignment = 64;

class Buffer {
 public:
  Buffer() = default;  // empty: size 0, data() may be nullptr
  // 64-byte aligned, uninitialised. Throws std::bad_alloc.
  static Buffer allocate(std::size_t size);
  // Bytes owned by something else, which `owner` keeps alive (or whose deleter gives them back).
  static Buffer wrap(void* data, std::size_t size, std::shared_ptr<void> owner);

  const std::byte* data() const { return data_; }
  std::byte* mutable_data() { return data_; }  // only before publication
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // How many handles share the bytes; exact only when no other thread copies or drops one now.
  long use_count() const { return owner_.use_count(); }
  // The identity of the allocation: equal for handles that share it. For accounting per buffer.
  const void* identity() const { return owner_.get(); }

 private:
  std::shared_ptr<void> owner_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Where memory for results and received bytes comes from. Thread-safe. Throws std::bad_alloc.
using BufferAllocator = std::function<Buffer(std::size_t size)>;

// Recycles freed blocks: fresh pages cost as much as the pass over them. Blocks come in size classes (at most 1/8
// waste, 1/64 from a megabyte on). Free ones are kept up to `keep_bytes` in all, and only while they and what is in use
// stay below `limit` (0: none) together; the rest goes back to the system. Thread-safe. Buffers may outlive the pool.
class BufferPool {
 public:
  explicit BufferPool(std::size_t keep_bytes, std::size_t limit = 0);
  ~BufferPool();
  Buffer allocate(std::size_t size);
  BufferAllocator allocator();       // a function that shares this pool's state and so may outlive it
  std::size_t bytes_in_use() const;  // handed out, as rounded to size classes
  std::size_t bytes_kept() const;    // free, waiting for reuse
  void trim();                       // gives the kept blocks back to the system

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tegula
