// The receiving half of a connection's stream: takes bytes wherever they end, gives whole messages. Nothing is
// allocated on the word of a header that is over a limit, and control memory only as its bytes arrive. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/frame.h"
#include "comm/messages.h"
#include "src/buffer.h"

namespace tegula {

class FrameReader {
 public:
  // `limits`: what this side takes. `allocator` gives the memory of bulk buffers.
  FrameReader(const FrameLimits& limits, BufferAllocator allocator);

  // Where the next bytes are to be read, one after the other, none empty: the rest of a bulk buffer, bulk buffers
  // behind it, and the input buffer when all of the frame's bulk is among them. Valid until the next call of a member
  // function.
  std::span<const std::span<std::byte>> targets();
  // `bytes` more bytes lie in the targets. Appends the messages that are complete now. Throws ProtocolError, or what
  // the allocator throws; the stream is then of no more use.
  void received(std::size_t bytes, std::vector<msg::Message>& batch);
  // The same for bytes that were read elsewhere.
  void feed(std::span<const std::byte> bytes, std::vector<msg::Message>& batch);

  bool mid_frame() const;  // the stream may not end here
  std::uint64_t frames_in() const { return frames_in_; }
  std::uint64_t bulk_in() const { return bulk_in_; }
  // Of bulk_in(): came by way of the input buffer. The rest was read straight into the bulk buffers.
  std::uint64_t bulk_copied() const { return bulk_copied_; }

 private:
  enum class State { kHeader, kSizes, kControl, kBulk, kPadding };

  std::size_t available() const { return end_ - begin_; }
  std::byte* input() { return reinterpret_cast<std::byte*>(memory_.data()); }
  void parse(std::vector<msg::Message>& batch);
  bool parse_header();
  bool parse_sizes();
  bool parse_control(std::vector<msg::Message>& batch);
  bool parse_bulk();
  bool parse_padding(std::vector<msg::Message>& batch);
  void allocate_next();
  void allocate_ahead();
  void filled(std::size_t bytes);
  void make_room();
  std::size_t input_wanted() const;

  FrameLimits limits_;
  BufferAllocator allocator_;
  // Input buffer. A byte of a frame lies at its offset in the frame, modulo 8: so control parts are aligned.
  std::vector<std::uint64_t> memory_;
  std::size_t begin_ = 0, end_ = 0;  // what has arrived and is not yet taken
  State state_ = State::kHeader;
  FrameHeader header_;
  std::vector<std::uint64_t> bulk_sizes_;
  std::uint64_t bulk_bytes_ = 0;
  std::vector<std::uint64_t> control_;  // of a frame whose bulk is on its way
  std::vector<Buffer> bulk_;            // as far as allocated
  std::size_t filling_ = 0;             // the one of them that is being filled; those before are complete
  std::size_t bulk_filled_ = 0;         // bytes of it
  std::uint64_t bulk_end_ = 0;          // offset of the last one's end in the frame's bulk
  bool streaming_ = false;              // the last frame was mostly bulk, and so may the next be
  std::vector<std::span<std::byte>> targets_;
  std::uint64_t frames_in_ = 0, bulk_in_ = 0, bulk_copied_ = 0;
};

}  // namespace tegula
