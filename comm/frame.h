// Frames: how batches of messages lie on a byte stream after the handshake. docs/wire.md has the layout.
//
//   magic u32 | control bytes u32 | bulk buffers u32 | check u32 | bulk sizes u64 each | control part | bulk bytes |
//   zeros to a multiple of 8
//
// A frame without control part and bulk buffers is a keep-alive.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tegula {

inline constexpr std::uint32_t kFrameMagic = 0x4d464754;  // "TGFM"
inline constexpr std::size_t kFrameHeaderSize = 16;
inline constexpr std::uint32_t kMaxBulkBuffers = 65536;
inline constexpr std::uint64_t kMaxControlBytes = 0xfffffff8;  // whatever a peer takes: the header counts in 32 bits

struct FrameHeader {
  std::uint32_t control_bytes = 0;
  std::uint32_t bulk_buffers = 0;
  std::uint32_t check =
      0;  // frame_check over the rest and the bulk sizes: a stream out of step is noticed before its sizes are believed
};

// What one side takes from the other. Both sides know both, from the handshake.
struct FrameLimits {
  std::uint64_t max_control_bytes = 0;
  std::uint64_t max_bulk_bytes = 0;
};

std::uint32_t frame_check(std::uint32_t control_bytes, std::span<const std::byte> bulk_sizes);

// Writes magic, counts and check to `to`; the bulk sizes stand behind already.
void write_frame_header(std::span<std::byte> to, std::uint32_t control_bytes, std::uint32_t bulk_buffers);
// Throws ProtocolError when the magic is wrong or a count is over a limit.
FrameHeader read_frame_header(std::span<const std::byte> from, const FrameLimits& limits);

inline std::size_t padding_to_8(std::uint64_t size) { return static_cast<std::size_t>((8 - size % 8) % 8); }

}  // namespace tegula
