// The sending half of a connection's stream: a queue of messages and of encoded frames. No I/O.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/codec.h"
#include "comm/frame.h"
#include "comm/messages.h"

namespace tegula {

class FrameWriter {
 public:
  // `limits`: what the peer takes.
  explicit FrameWriter(const FrameLimits& limits) : limits_(limits) {}

  // Why the message alone is more than the peer takes; nullopt: it isn't.
  std::optional<std::string> excess(const msg::Message& message) const;
  // Queues. Throws ValueError when there is an excess.
  void add(msg::Message message);
  // Makes frames of the messages queued so far; until then they can still grow into one frame with later ones.
  void encode();
  void add_keep_alive();

  // What to write next: fills at most all of `vectors`, returns how many.
  std::size_t next(std::span<iovec> vectors) const;
  void written(std::size_t bytes);

  bool has_messages() const { return !messages_.empty(); }
  bool has_frames() const { return !frames_.empty(); }
  std::uint64_t queued_control_bytes() const { return message_bytes_ + frame_control_bytes_; }
  std::uint64_t queued_bytes() const { return queued_control_bytes() + message_bulk_bytes_ + frame_bulk_bytes_; }
  std::uint64_t frames_out() const { return frames_out_; }  // completely written, keep-alives included
  std::uint64_t bulk_out() const { return bulk_out_; }      // bytes

 private:
  struct Frame {
    codec::Encoded encoded;
    std::uint64_t bulk_bytes = 0;
    std::size_t padding = 0;
    std::size_t head() const { return encoded.front + encoded.control_size; }
  };
  std::optional<std::string> excess(const msg::Message& message, const codec::Measure& needed) const;
  void encode_frame(std::span<const msg::Message> batch);
  void push(Frame frame);

  FrameLimits limits_;
  std::vector<msg::Message> messages_;
  std::vector<codec::Measure> measures_;  // of messages_
  std::deque<Frame> frames_;
  // How far the first frame is written: part 0 is header and control, then the bulk buffers, then the padding.
  std::size_t part_ = 0;
  std::size_t part_done_ = 0;
  std::uint64_t message_bytes_ = 0, message_bulk_bytes_ = 0;
  std::uint64_t frame_control_bytes_ = 0, frame_bulk_bytes_ = 0;
  std::uint64_t frames_out_ = 0, bulk_out_ = 0;
};

}  // namespace tegula
