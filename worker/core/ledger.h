// Counts the bytes a worker answers for: once per buffer, however many results, inputs and views share it.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "src/buffer.h"
#include "src/ids.h"

namespace tegula::worker {

class Ledger {
 public:
  struct Entry {
    std::uint64_t holds = 0;
    std::uint64_t bytes = 0;
    bool stored = false;  // a kept result's bytes
    ResultId result;      // that one, when stored
  };

  // Null for a buffer without bytes, which nobody counts. Valid until the next call.
  Entry* hold(const Buffer& buffer) {
    if (buffer.identity() == nullptr || buffer.empty()) return nullptr;
    Entry& entry = buffers_[buffer.identity()];
    if (is_idle(entry)) idle_bytes_ -= entry.bytes;
    if (entry.holds++ == 0) {
      entry.bytes = buffer.size();
      bytes_ += entry.bytes;
    }
    return &entry;
  }
  // Ends one hold. The caller still has the buffer, so that its identity cannot be somebody else's by now. Null when it
  // was the last one.
  Entry* drop(const Buffer& buffer) {
    if (buffer.identity() == nullptr || buffer.empty()) return nullptr;
    const auto found = buffers_.find(buffer.identity());
    if (found == buffers_.end()) return nullptr;
    Entry& entry = found->second;
    if (is_idle(entry)) idle_bytes_ -= entry.bytes;
    if (--entry.holds > 0) {
      if (is_idle(entry)) idle_bytes_ += entry.bytes;
      return &entry;
    }
    bytes_ -= entry.bytes;
    buffers_.erase(found);
    return nullptr;
  }
  // One of the holds is that of a kept result now, or not any more.
  void set_stored(Entry& entry, bool stored) {
    if (is_idle(entry)) idle_bytes_ -= entry.bytes;
    entry.stored = stored;
    if (is_idle(entry)) idle_bytes_ += entry.bytes;
  }
  // Null for what nobody holds.
  Entry* find(const Buffer& buffer) {
    const auto found = buffers_.find(buffer.identity());
    return found == buffers_.end() ? nullptr : &found->second;
  }
  std::uint64_t bytes() const { return bytes_; }
  // Of kept results that nobody else holds.
  std::uint64_t idle_bytes() const { return idle_bytes_; }
  std::uint64_t counted_idle_bytes() const {  // slow; for checks
    std::uint64_t bytes = 0;
    for (const auto& [identity, entry] : buffers_) bytes += is_idle(entry) ? entry.bytes : 0;
    return bytes;
  }
  std::size_t buffers() const { return buffers_.size(); }
  std::uint64_t holds(const Buffer& buffer) const {
    const auto found = buffers_.find(buffer.identity());
    return found == buffers_.end() ? 0 : found->second.holds;
  }

 private:
  static bool is_idle(const Entry& entry) { return entry.stored && entry.holds == 1; }

  std::unordered_map<const void*, Entry> buffers_;
  std::uint64_t bytes_ = 0;
  std::uint64_t idle_bytes_ = 0;
};

}  // namespace tegula::worker
