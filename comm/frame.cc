#include "comm/frame.h"

#include <xxhash.h>

#include <cstring>
#include <string>

#include "tegula/error.h"

namespace tegula {

std::uint32_t frame_check(std::uint32_t control_bytes, std::span<const std::byte> bulk_sizes) {
  return static_cast<std::uint32_t>(XXH3_64bits_withSeed(bulk_sizes.data(), bulk_sizes.size(), control_bytes));
}

void write_frame_header(std::span<std::byte> to, std::uint32_t control_bytes, std::uint32_t bulk_buffers) {
  const auto sizes = to.subspan(kFrameHeaderSize, std::size_t{bulk_buffers} * 8);
  const std::array<std::uint32_t, 4> words = {kFrameMagic, control_bytes, bulk_buffers,
                                              frame_check(control_bytes, sizes)};
  std::memcpy(to.data(), words.data(), kFrameHeaderSize);
}

FrameHeader read_frame_header(std::span<const std::byte> from, const FrameLimits& limits) {
  std::array<std::uint32_t, 4> words;
  std::memcpy(words.data(), from.data(), kFrameHeaderSize);
  if (words[0] != kFrameMagic) throw ProtocolError("invalid frame: the magic number is missing");
  const FrameHeader header{words[1], words[2], words[3]};
  if (header.control_bytes > limits.max_control_bytes) {
    throw ProtocolError("invalid frame: " + std::to_string(header.control_bytes) + " control bytes (at most " +
                        std::to_string(limits.max_control_bytes) + ")");
  }
  if (header.control_bytes % 8 != 0) {
    throw ProtocolError("invalid frame: " + std::to_string(header.control_bytes) + " control bytes are no whole words");
  }
  if (header.bulk_buffers > kMaxBulkBuffers || (header.bulk_buffers > 0 && header.control_bytes == 0)) {
    throw ProtocolError("invalid frame: " + std::to_string(header.bulk_buffers) + " bulk buffers");
  }
  return header;
}

}  // namespace tegula
