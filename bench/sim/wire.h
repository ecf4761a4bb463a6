// One direction of a connection without a socket: messages become the bytes of frames and messages again.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "comm/frame_reader.h"
#include "comm/frame_writer.h"
#include "comm/messages.h"

namespace tegula::sim {

class Wire {
 public:
  Wire();
  // Replaces the messages by what a receiver makes of them. Throws what the frame writer and reader throw.
  void carry(std::vector<msg::Message>& messages);

  std::chrono::nanoseconds sending() const { return sending_; }
  std::chrono::nanoseconds receiving() const { return receiving_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  FrameWriter writer_;
  FrameReader reader_;
  std::vector<std::byte> stream_;
  std::chrono::nanoseconds sending_{}, receiving_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace tegula::sim
