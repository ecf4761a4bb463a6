// What a stranger may send: bytes to the handshake, to the frame reader and to the decoder. Whatever they are, the
// worst that comes of them is a ProtocolError; and what is understood is understood the same way after it was written
// anew.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "comm/codec.h"
#include "comm/frame_reader.h"
#include "comm/frame_writer.h"
#include "comm/handshake.h"
#include "tests/comm/random_messages.h"

namespace tegula {
namespace {

using Bytes = std::span<const std::byte>;

constexpr FrameLimits kLimits{1 << 20, 1 << 20};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const std::byte*>(data), size) {}
  std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    const std::size_t n = std::min(bytes, rest_.size());
    std::memcpy(&value, rest_.data(), n);
    rest_ = rest_.subspan(n);
    return value;
  }
  Bytes rest() const { return rest_; }

 private:
  Bytes rest_;
};

std::vector<std::byte> control_of(const codec::Encoded& encoded) {
  const Bytes control = encoded.control();
  return {control.begin(), control.end()};
}

void read_again(const std::vector<msg::Message>& batch) {
  const codec::Encoded once = codec::encode(batch);
  std::uint64_t measured = codec::kBatchOverhead;
  for (const msg::Message& message : batch) measured += codec::measure(message).control_bytes;
  require(once.control_size <= measured, "a message takes more than it was measured to");
  std::vector<Buffer> bulk;
  for (const codec::Bulk& part : once.bulk) {
    bulk.push_back(Buffer::allocate(part.size));
    if (part.size > 0) std::memcpy(bulk.back().mutable_data(), part.data, part.size);
  }
  std::vector<msg::Message> again;
  codec::decode(once.control(), bulk, again);
  require(again.size() == batch.size(), "messages were lost");
  require(control_of(codec::encode(again)) == control_of(once), "a message changed when it was written anew");
}

void read_stream(Bytes stream, std::size_t piece) {
  FrameReader reader(kLimits, &Buffer::allocate);
  std::vector<msg::Message> batch;
  try {
    while (!stream.empty()) {
      const std::size_t n = std::min(piece, stream.size());
      reader.feed(stream.first(n), batch);
      stream = stream.subspan(n);
    }
  } catch (const ProtocolError&) {
  }
  read_again(batch);
}

// A frame whose header is right, so that what is behind it is looked at.
void read_framed(Input input) {
  const std::size_t piece = 1 + input.number(2);
  std::vector<std::uint64_t> sizes(input.number(1) % 4);
  for (std::uint64_t& size : sizes) size = input.number(1);
  std::vector<std::byte> frame(kFrameHeaderSize + 8 * sizes.size());
  if (!sizes.empty()) std::memcpy(frame.data() + kFrameHeaderSize, sizes.data(), 8 * sizes.size());
  const Bytes control = input.rest().first(input.rest().size() / 8 * 8);
  write_frame_header(frame, static_cast<std::uint32_t>(control.size()), static_cast<std::uint32_t>(sizes.size()));
  frame.insert(frame.end(), control.begin(), control.end());
  std::uint64_t bulk = 0;
  for (const std::uint64_t size : sizes) bulk += size;
  frame.resize(frame.size() + bulk, std::byte{7});
  frame.resize(frame.size() + padding_to_8(bulk));
  read_stream(frame, piece);
}

// What Tegula itself would send, with some bytes of it changed.
void read_altered(Input input) {
  std::mt19937_64 random(input.number(4));
  const std::size_t piece = 1 + input.number(2);
  FrameWriter writer(kLimits);
  const std::uint64_t messages = 1 + input.number(1) % 3;
  for (std::uint64_t i = 0; i < messages; ++i) {
    msg::Message message = test::random_message(random);
    if (!writer.excess(message)) writer.add(std::move(message));
  }
  writer.encode();
  std::vector<std::byte> stream;
  while (writer.has_frames()) {
    iovec vectors[16];
    const std::size_t used = writer.next(vectors);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < used; ++i) {
      const auto* data = static_cast<const std::byte*>(vectors[i].iov_base);
      stream.insert(stream.end(), data, data + vectors[i].iov_len);
      bytes += vectors[i].iov_len;
    }
    writer.written(bytes);
  }
  while (!input.rest().empty() && stream.size() > kFrameHeaderSize) {
    const std::size_t behind_header = stream.size() - kFrameHeaderSize;
    const std::size_t at = kFrameHeaderSize + input.number(2) % behind_header;
    stream[at] = static_cast<std::byte>(input.number(1));
  }
  read_stream(stream, piece);
}

void shake_hands(Input input, Handshake::Side side) {
  CommOptions options;
  options.role = Role::kScheduler;
  options.name = "fuzz";
  if (input.number(1) % 2 == 1) options.token = "secret";
  Handshake handshake(side, options, "tcp://stranger:1");
  const std::size_t piece = 1 + input.number(2);
  Bytes rest = input.rest();
  while (!rest.empty() && !handshake.done() && !handshake.error()) {
    const Bytes part = rest.first(std::min(piece, rest.size()));
    const std::size_t taken = handshake.feed(part);
    require(taken <= part.size(), "the handshake took more than there was");
    require(taken > 0 || handshake.done() || handshake.error(), "the handshake stands still");
    rest = rest.subspan(taken);
    (void)handshake.take_output();
  }
  require(!handshake.done() || options.token.empty(), "a stranger got in without the token");
}

}  // namespace
}  // namespace tegula

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tegula;
  Input input(data, size);
  switch (input.number(1) % 5) {
    case 0:
      read_stream(input.rest(), 1 + size / 3);
      break;
    case 1:
      read_framed(input);
      break;
    case 2:
      read_altered(input);
      break;
    case 3:
      shake_hands(input, Handshake::Side::kConnector);
      break;
    default:
      shake_hands(input, Handshake::Side::kAcceptor);
  }
  return 0;
}
