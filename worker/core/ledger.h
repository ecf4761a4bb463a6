// Counts the bytes a worker answers for: once per buffer, however many results, inputs and views share it.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "src/buffer.h"

namespace tegula::worker {

class Ledger {
 public:
  void hold(const Buffer& buffer) {
    if (buffer.identity() == nullptr || buffer.empty()) return;
    Entry& entry = buffers_[buffer.identity()];
    if (entry.holds++ == 0) {
      entry.bytes = buffer.size();
      bytes_ += entry.bytes;
    }
  }
  // Ends one hold. The caller still has the buffer, so that its identity cannot be somebody else's by now.
  void drop(const Buffer& buffer) {
    if (buffer.identity() == nullptr || buffer.empty()) return;
    const auto found = buffers_.find(buffer.identity());
    if (found == buffers_.end()) return;
    if (--found->second.holds == 0) {
      bytes_ -= found->second.bytes;
      buffers_.erase(found);
    }
  }
  std::uint64_t bytes() const { return bytes_; }
  std::size_t buffers() const { return buffers_.size(); }
  std::uint64_t holds(const Buffer& buffer) const {
    const auto found = buffers_.find(buffer.identity());
    return found == buffers_.end() ? 0 : found->second.holds;
  }

 private:
  struct Entry {
    std::uint64_t holds = 0;
    std::uint64_t bytes = 0;
  };
  std::unordered_map<const void*, Entry> buffers_;
  std::uint64_t bytes_ = 0;
};

}  // namespace tegula::worker
