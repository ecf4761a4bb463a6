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
// What is read of a frame before its bulk is known to begin ends up in the input buffer and has to be copied. Where
// frames are mostly bulk, no more is read than their control parts are likely to take.
constexpr std::size_t kStreamingRead = 4 << 10;
constexpr std::size_t kStreamingBulk = 64 << 10;
// Bulk buffers behind the one that is being filled are read into in the same go, up to these limits.
constexpr std::size_t kBuffersAhead = 60;
constexpr std::size_t kBytesAhead = 256 << 10;

}  // namespace

FrameReader::FrameReader(const FrameLimits& limits, BufferAllocator allocator)
    : limits_(limits), allocator_(std::move(allocator)), memory_(kInputBytes / 8) {}

std::span<const std::span<std::byte>> FrameReader::targets() {
  make_room();
  targets_.clear();
  if (state_ == State::kBulk) {
    for (std::size_t i = filling_; i < bulk_.size(); ++i) {
      const std::size_t filled = i == filling_ ? bulk_filled_ : 0;
      if (bulk_[i].size() > filled) targets_.emplace_back(bulk_[i].mutable_data() + filled, bulk_[i].size() - filled);
    }
    if (bulk_.size() < bulk_sizes_.size()) return targets_;
  }
  targets_.emplace_back(input() + end_, std::min(memory_.size() * 8 - end_, input_wanted()));
  return targets_;
}

std::size_t FrameReader::input_wanted() const {
  if (state_ == State::kControl) return std::max<std::size_t>(kStreamingRead, header_.control_bytes - available());
  return streaming_ || state_ == State::kBulk ? kStreamingRead : SIZE_MAX;
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
  while (state_ == State::kBulk && bytes > 0 && filling_ < bulk_.size()) {
    const std::size_t direct = std::min(bytes, bulk_[filling_].size() - bulk_filled_);
    filled(direct);
    bytes -= direct;
  }
  end_ += bytes;
  parse(batch);
  if (state_ == State::kBulk) allocate_ahead();
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
    streaming_ = bulk_bytes_ >= kStreamingBulk;
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
  filling_ = bulk_filled_ = 0;
  bulk_end_ = 0;
  state_ = State::kBulk;
  return true;
}

void FrameReader::allocate_next() {
  const std::uint64_t size = bulk_sizes_[bulk_.size()];
  bulk_.push_back(size == 0 ? Buffer() : allocator_(size));
  bulk_end_ += size;
}

void FrameReader::allocate_ahead() {
  std::uint64_t ahead = 0;
  for (std::size_t i = filling_ + 1; i < bulk_.size(); ++i) ahead += bulk_[i].size();
  while (bulk_.size() < bulk_sizes_.size() && bulk_.size() - filling_ <= kBuffersAhead) {
    ahead += bulk_sizes_[bulk_.size()];
    if (ahead > kBytesAhead) return;
    allocate_next();
  }
}

// `bytes` more of the bulk are where they belong: at most what the buffer that is being filled lacks.
void FrameReader::filled(std::size_t bytes) {
  bulk_filled_ += bytes;
  bulk_in_ += bytes;
  while (filling_ < bulk_.size() && bulk_filled_ == bulk_[filling_].size()) {
    ++filling_;
    bulk_filled_ = 0;
  }
}

bool FrameReader::parse_bulk() {
  if (filling_ == bulk_.size()) {
    if (bulk_.size() == bulk_sizes_.size()) {
      state_ = State::kPadding;
    } else {
      allocate_next();
      filled(0);
    }
    return true;
  }
  Buffer& buffer = bulk_[filling_];
  const std::size_t n = std::min(available(), buffer.size() - bulk_filled_);
  if (n == 0) return false;
  std::memcpy(buffer.mutable_data() + bulk_filled_, input() + begin_, n);
  begin_ += n;
  bulk_copied_ += n;
  filled(n);
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
