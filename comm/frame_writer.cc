#include "comm/frame_writer.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "tegula/error.h"

namespace tegula {

namespace {

// Larger batches are cut: the receiver can begin earlier and needs no large buffer.
constexpr std::uint64_t kFrameTargetBytes = 128 << 10;
constexpr std::byte kZeros[8] = {};

}  // namespace

std::optional<std::string> FrameWriter::excess(const msg::Message& message, const codec::Measure& needed) const {
  const std::uint64_t control = needed.control_bytes + codec::kBatchOverhead;
  if (control > limits_.max_control_bytes) {
    return "a " + std::string(name_of(message)) + " message of " + std::to_string(control) +
           " bytes is more than the peer takes in one frame (" + std::to_string(limits_.max_control_bytes) + ")";
  }
  if (needed.bulk_bytes > limits_.max_bulk_bytes || needed.bulk_buffers > kMaxBulkBuffers) {
    return "a " + std::string(name_of(message)) + " message with " + std::to_string(needed.bulk_bytes) + " bytes in " +
           std::to_string(needed.bulk_buffers) + " chunks is more than the peer takes in one frame (" +
           std::to_string(limits_.max_bulk_bytes) + " bytes, " + std::to_string(kMaxBulkBuffers) + " chunks)";
  }
  return std::nullopt;
}

std::optional<std::string> FrameWriter::excess(const msg::Message& message) const {
  return excess(message, codec::measure(message));
}

void FrameWriter::add(msg::Message message) {
  const codec::Measure needed = codec::measure(message);
  if (const auto why = excess(message, needed)) throw ValueError(*why);
  messages_.push_back(std::move(message));
  measures_.push_back(needed);
  message_bytes_ += needed.control_bytes;
  message_bulk_bytes_ += needed.bulk_bytes;
}

void FrameWriter::encode() {
  const std::span<const msg::Message> all(messages_);
  const std::uint64_t target = std::min(kFrameTargetBytes, limits_.max_control_bytes);
  std::size_t begin = 0;
  while (begin < all.size()) {
    codec::Measure sum{codec::kBatchOverhead, 0, 0};
    std::size_t end = begin;
    while (end < all.size() && end - begin < codec::kMaxMessagesPerFrame) {
      const codec::Measure& next = measures_[end];
      const bool fits = sum.control_bytes + next.control_bytes <= target &&
                        sum.bulk_bytes + next.bulk_bytes <= limits_.max_bulk_bytes &&
                        sum.bulk_buffers + next.bulk_buffers <= kMaxBulkBuffers;
      if (end > begin && !fits) break;
      sum.control_bytes += next.control_bytes;
      sum.bulk_bytes += next.bulk_bytes;
      sum.bulk_buffers += next.bulk_buffers;
      ++end;
    }
    encode_frame(all.subspan(begin, end - begin));
    begin = end;
  }
  messages_.clear();
  measures_.clear();
  message_bytes_ = message_bulk_bytes_ = 0;
}

void FrameWriter::encode_frame(std::span<const msg::Message> batch) {
  std::size_t buffers = 0;
  for (const msg::Message& message : batch) {
    if (std::holds_alternative<msg::FetchReply>(message)) buffers += codec::measure(message).bulk_buffers;
  }
  Frame frame;
  frame.encoded = codec::encode(batch, kFrameHeaderSize + 8 * buffers);
  std::byte* sizes = frame.encoded.memory.get() + kFrameHeaderSize;
  for (const codec::Bulk& bulk : frame.encoded.bulk) {
    const std::uint64_t size = bulk.size;
    std::memcpy(sizes, &size, 8);
    sizes += 8;
    frame.bulk_bytes += size;
  }
  frame.padding = padding_to_8(frame.bulk_bytes);
  write_frame_header({frame.encoded.memory.get(), frame.head()}, static_cast<std::uint32_t>(frame.encoded.control_size),
                     static_cast<std::uint32_t>(buffers));
  push(std::move(frame));
}

void FrameWriter::add_keep_alive() {
  Frame frame;
  frame.encoded.memory.reset(static_cast<std::byte*>(std::calloc(kFrameHeaderSize, 1)));
  if (!frame.encoded.memory) throw std::bad_alloc();
  frame.encoded.front = kFrameHeaderSize;
  write_frame_header({frame.encoded.memory.get(), kFrameHeaderSize}, 0, 0);
  push(std::move(frame));
}

void FrameWriter::push(Frame frame) {
  frame_control_bytes_ += frame.head() + frame.padding;
  frame_bulk_bytes_ += frame.bulk_bytes;
  frames_.push_back(std::move(frame));
}

std::size_t FrameWriter::next(std::span<iovec> vectors) const {
  std::size_t used = 0;
  std::size_t part = part_;
  std::size_t skip = part_done_;
  const auto append = [&](const std::byte* data, std::size_t size) {
    if (size > skip && used < vectors.size()) {
      vectors[used++] = {const_cast<std::byte*>(data + skip),
                         size - skip};  // iovec serves reading too, hence not const
    }
    skip = 0;
  };
  for (const Frame& frame : frames_) {
    if (part == 0) append(frame.encoded.memory.get(), frame.head());
    for (std::size_t i = part == 0 ? 0 : part - 1; i < frame.encoded.bulk.size(); ++i) {
      if (used == vectors.size()) return used;
      append(frame.encoded.bulk[i].data, frame.encoded.bulk[i].size);
    }
    append(kZeros, frame.padding);
    part = 0;
    if (used == vectors.size()) break;
  }
  return used;
}

void FrameWriter::written(std::size_t bytes) {
  while (!frames_.empty()) {
    Frame& frame = frames_.front();
    const std::size_t parts = frame.encoded.bulk.size() + 2;
    const bool is_bulk = part_ > 0 && part_ + 1 < parts;
    const std::size_t size = part_ == 0 ? frame.head() : is_bulk ? frame.encoded.bulk[part_ - 1].size : frame.padding;
    const std::size_t n = std::min(size - part_done_, bytes);
    bytes -= n;
    part_done_ += n;
    (is_bulk ? frame_bulk_bytes_ : frame_control_bytes_) -= n;
    if (is_bulk) bulk_out_ += n;
    if (part_done_ < size) return;
    if (is_bulk) frame.encoded.bulk[part_ - 1].owner = Buffer();  // may go back to its pool
    part_done_ = 0;
    if (++part_ < parts) continue;
    part_ = 0;
    ++frames_out_;
    frames_.pop_front();
    if (bytes == 0) return;
  }
}

}  // namespace tegula
