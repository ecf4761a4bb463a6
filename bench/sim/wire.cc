#include "bench/sim/wire.h"

#include <array>
#include <utility>

#include "bench/sim/thread_time.h"
#include "comm/transport.h"

namespace tegula::sim {
namespace {

FrameLimits limits() {
  const CommOptions defaults;
  return {defaults.max_control_bytes, defaults.max_bulk_bytes};
}

}  // namespace

Wire::Wire() : writer_(limits()), reader_(limits(), &Buffer::allocate) {}

void Wire::carry(std::vector<msg::Message>& messages) {
  const auto start = thread_time();
  for (msg::Message& message : messages) writer_.add(std::move(message));
  writer_.encode();
  messages.clear();
  stream_.clear();
  for (std::array<iovec, 16> vectors; writer_.has_frames();) {
    // A socket's write copies too.
    std::size_t written = 0;
    const std::size_t count = writer_.next(vectors);
    for (std::size_t i = 0; i < count; ++i) {
      const auto* from = static_cast<const std::byte*>(vectors[i].iov_base);
      stream_.insert(stream_.end(), from, from + vectors[i].iov_len);
      written += vectors[i].iov_len;
    }
    writer_.written(written);
  }
  const auto sent = thread_time();
  reader_.feed(stream_, messages);
  sending_ += sent - start;
  receiving_ += thread_time() - sent;
  bytes_ += stream_.size();
}

}  // namespace tegula::sim
