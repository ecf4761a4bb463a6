#include "comm/frame_reader.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "comm/codec.h"
#include "tegula/error.h"

namespace tegula {

namespace {

constexpr std::size_t kInputBytes = 64 << 10;       // at first; grows for larger control parts
constexpr std::size_t kKeptInputBytes = 512 << 10;  // a larger input buffer shrinks back
constexpr std::size_t kMinRead = 4 << 10;           // with less room than this the input is moved to the front first

}  // namespace

FrameReader::FrameReader(const FrameLimits& limits, BufferAllocator allocator)
    : limits_(limits), allocator_(std::move(allocator)), memory_(kInputBytes / 8) {}

std::array<std::span<std::byte>, 2> FrameReader::targets() {
  make_room();
  std::array<std::span<std::byte>, 2> targets;
  if (state_ == State::kBulk) {
    Buffer& buffer = bulk_.back();
    targets[0] = {buffer.mutable_data() + bulk_filled_, buffer.size() - bulk_filled_};
  }
  targets[1] = {input() + end_, memory_.size() * 8 - end_};
  return targets;
}

// Leaves what has arrived in place when enough room is behind it. Grows only with what has arrived, whatever a header
// promises.
void FrameReader::make_room() {
  if (available() == 0) {
    if (memory_.size() > kKeptInputBytes / 8) std::vector<std::uint64_t>(kInputBytes / 8).swap(memory_);
    const bool in_bulk = state_ == State::kBulk || state_ == State::kPadding;
    begin_ = end_ = in_bulk ? bulk_end_ % 8 : 0;
    return;
  }
  const std::size_t misaligned = begin_ % 8;
  if (memory_.size() * 8 - end_ >= kMinRead) return;
  std::vector<std::uint64_t> larger;
  std::byte* to = input();
  if (available() + kMinRead > memory_.size() * 4) {
    larger.resize(memory_.size() * 2);
    to = reinterpret_cast<std::byte*>(larger.data());
  }
  std::memmove(to + misaligned, input() + begin_, available());
  if (!larger.empty()) memory_.swap(larger);
  end_ = misaligned + available();
  begin_ = misaligned;
}

void FrameReader::received(std::size_t bytes, std::vector<msg::Message>& batch) {
  if (state_ == State::kBulk) {
    const std::size_t direct = std::min(bytes, bulk_.back().size() - bulk_filled_);
    bulk_filled_ += direct;
    bulk_in_ += direct;
    bytes -= direct;
  }
  end_ += bytes;
  parse(batch);
}

void FrameReader::feed(std::span<const std::byte> bytes, std::vector<msg::Message>& batch) {
  while (!bytes.empty()) {
    std::size_t taken = 0;
    for (const std::span<std::byte> target : targets()) {
      const std::size_t n = std::min(target.size(), bytes.size() - taken);
      if (n > 0) std::memcpy(target.data(), bytes.data() + taken, n);
      taken += n;
    }
    received(taken, batch);
    bytes = bytes.subspan(taken);
  }
}

bool FrameReader::mid_frame() const { return state_ != State::kHeader || available() > 0; }

void FrameReader::parse(std::vector<msg::Message>& batch) {
  bool progress = true;
  while (progress) {
    switch (state_) {
      case State::kHeader:
        progress = parse_header();
        break;
      case State::kSizes:
        progress = parse_sizes();
        break;
      case State::kControl:
        progress = parse_control(batch);
        break;
      case State::kBulk:
        progress = parse_bulk();
        break;
      case State::kPadding:
        progress = parse_padding(batch);
        break;
    }
  }
}

bool FrameReader::parse_header() {
  if (available() < kFrameHeaderSize) return false;
  header_ = read_frame_header({input() + begin_, kFrameHeaderSize}, limits_);
  begin_ += kFrameHeaderSize;
  state_ = State::kSizes;
  return true;
}

bool FrameReader::parse_sizes() {
  const std::size_t bytes = std::size_t{header_.bulk_buffers} * 8;
  if (available() < bytes) return false;
  const std::span<const std::byte> sizes(input() + begin_, bytes);
  if (frame_check(header_.control_bytes, sizes) != header_.check) {
    throw ProtocolError("invalid frame: the header's check fails");
  }
  bulk_sizes_.resize(header_.bulk_buffers);
  if (bytes > 0) std::memcpy(bulk_sizes_.data(), sizes.data(), bytes);
  bulk_bytes_ = 0;
  for (const std::uint64_t size : bulk_sizes_) {
    if (size > limits_.max_bulk_bytes - bulk_bytes_) {
      throw ProtocolError("invalid frame: bulk buffers of more than " + std::to_string(limits_.max_bulk_bytes) +
                          " bytes");
    }
    bulk_bytes_ += size;
  }
  begin_ += bytes;
  if (header_.control_bytes > 0) {
    state_ = State::kControl;
  } else {
    ++frames_in_;
    state_ = State::kHeader;
  }
  return true;
}

bool FrameReader::parse_control(std::vector<msg::Message>& batch) {
  if (available() < header_.control_bytes) return false;
  const std::span<const std::byte> control(input() + begin_, header_.control_bytes);
  begin_ += header_.control_bytes;
  if (bulk_sizes_.empty()) {
    codec::decode(control, {}, batch);
    ++frames_in_;
    state_ = State::kHeader;
    return true;
  }
  control_.resize(control.size() / 8);
  std::memcpy(control_.data(), control.data(), control.size());
  bulk_end_ = 0;
  next_bulk();
  return true;
}

void FrameReader::next_bulk() {
  if (bulk_.size() == bulk_sizes_.size()) {
    state_ = State::kPadding;
    return;
  }
  const std::uint64_t size = bulk_sizes_[bulk_.size()];
  bulk_.push_back(size == 0 ? Buffer() : allocator_(size));
  bulk_end_ += size;
  bulk_filled_ = 0;
  state_ = State::kBulk;
}

bool FrameReader::parse_bulk() {
  Buffer& buffer = bulk_.back();
  const std::size_t n = std::min(available(), buffer.size() - bulk_filled_);
  if (n > 0) std::memcpy(buffer.mutable_data() + bulk_filled_, input() + begin_, n);
  begin_ += n;
  bulk_filled_ += n;
  bulk_in_ += n;
  if (bulk_filled_ < buffer.size()) return false;
  next_bulk();
  return true;
}

bool FrameReader::parse_padding(std::vector<msg::Message>& batch) {
  const std::size_t padding = padding_to_8(bulk_bytes_);
  if (available() < padding) return false;
  if (std::any_of(input() + begin_, input() + begin_ + padding, [](std::byte b) { return b != std::byte{0}; })) {
    throw ProtocolError("invalid frame: padding that is not zero");
  }
  begin_ += padding;
  codec::decode({reinterpret_cast<const std::byte*>(control_.data()), control_.size() * 8}, bulk_, batch);
  bulk_.clear();
  ++frames_in_;
  state_ = State::kHeader;
  return true;
}

}  // namespace tegula
