// Between messages and the bytes of a frame's control part (comm/protocol.capnp). Bulk bytes are not copied: encoding
// lists where they lie, decoding takes the buffers they were read into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "comm/messages.h"
#include "src/buffer.h"

namespace tegula::codec {

inline constexpr std::size_t kMaxMessagesPerFrame = 65536;

// Bytes that travel out of band, kept alive by their buffer.
struct Bulk {
  const std::byte* data = nullptr;
  std::size_t size = 0;
  Buffer owner;
};

// What a message needs on the wire, known before it is encoded.
struct Measure {
  std::uint64_t control_bytes = 0;  // an upper bound, tight up to a few words
  std::uint64_t bulk_bytes = 0;
  std::uint64_t bulk_buffers = 0;
};
Measure measure(const msg::Message& message);
// Control bytes of a batch beside those of its messages.
inline constexpr std::uint64_t kBatchOverhead = 5 * 8;

struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};

// Memory for a frame: `front` bytes for the caller, then the control part. Eight-byte aligned.
struct Encoded {
  std::unique_ptr<std::byte[], FreeMemory> memory;
  std::size_t front = 0;
  std::size_t control_size = 0;  // a multiple of 8
  std::vector<Bulk> bulk;
  std::span<const std::byte> control() const { return {memory.get() + front, control_size}; }
};
// `front` is a multiple of 8. A chunk that is not C-contiguous is compacted.
Encoded encode(std::span<const msg::Message> batch, std::size_t front = 0);

// Appends the messages of a control part. `control` is eight-byte aligned; `bulk` has the frame's buffers, each taken
// over by one chunk. Throws ProtocolError on anything that encode cannot have written (and nothing else that depends on
// the bytes); `batch` is then unchanged.
void decode(std::span<const std::byte> control, std::span<Buffer> bulk, std::vector<msg::Message>& batch);

}  // namespace tegula::codec
