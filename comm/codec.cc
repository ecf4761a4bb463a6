#include "comm/codec.h"

#include <capnp/serialize.h>
#include <kj/exception.h>

#include <cstring>
#include <new>

#include "comm/codec_capnp.h"
#include "tegula/error.h"

namespace tegula::codec {

static_assert(kBatchOverhead == 8 * (1 /* segment table */ + 1 /* root pointer */ + words_of_struct<wire::Batch>() +
                                     1 /* list tag */ + 1 /* spare */));

void invalid(const std::string& what) { throw ProtocolError("invalid message: " + what); }

Measure measure(const msg::Message& message) {
  Measure needed;
  if (const auto* reply = std::get_if<msg::FetchReply>(&message)) needed = measure_bulk(*reply);
  needed.control_bytes =
      8 * (words_of_struct<wire::Message>() + std::visit([](const auto& m) { return words(m); }, message));
  return needed;
}

Encoded encode(std::span<const msg::Message> batch, std::size_t front) {
  std::size_t capacity = kBatchOverhead;
  std::size_t buffers = 0;
  for (const msg::Message& message : batch) {
    const Measure needed = measure(message);
    capacity += needed.control_bytes;
    buffers += needed.bulk_buffers;
  }

  Encoded encoded;
  encoded.front = front;
  encoded.memory.reset(static_cast<std::byte*>(std::calloc(front + capacity, 1)));  // Cap'n Proto wants zeroed memory
  if (!encoded.memory) throw std::bad_alloc();
  encoded.bulk.reserve(buffers);

  // One segment: its table is the count minus one and its size in words.
  std::byte* const table = encoded.memory.get() + front;
  auto* const segment = reinterpret_cast<capnp::word*>(table + 8);
  capnp::FlatMessageBuilder builder(kj::arrayPtr(segment, (capacity - 8) / sizeof(capnp::word)));
  auto messages = builder.initRoot<wire::Batch>().initMessages(list_size(batch.size()));
  capnp::uint position = 0;
  for (const msg::Message& message : batch) {
    const wire::Message::Builder to = messages[position++];
    std::visit([&](const auto& m) { write(to, m); }, message);
    if (const auto* reply = std::get_if<msg::FetchReply>(&message)) append_bulk(*reply, encoded.bulk);
  }
  const auto words = static_cast<std::uint32_t>(builder.getSegmentsForOutput()[0].size());
  std::memcpy(table + 4, &words, sizeof(words));
  encoded.control_size = 8 + std::size_t{words} * 8;
  return encoded;
}

namespace {

void decode_batch(std::span<const std::byte> control, std::span<Buffer> bulk, std::vector<msg::Message>& batch) {
  const auto words =
      kj::arrayPtr(reinterpret_cast<const capnp::word*>(control.data()), control.size() / sizeof(capnp::word));
  capnp::ReaderOptions options;
  options.traversalLimitInWords = words.size();
  capnp::FlatArrayMessageReader reader(words, options);
  if (reader.getEnd() != words.end()) invalid("bytes after the last segment");
  const auto messages = reader.getRoot<wire::Batch>().getMessages();
  if (messages.size() > kMaxMessagesPerFrame) invalid(std::to_string(messages.size()) + " messages in one frame");
  check_structs<wire::Message>(messages, "messages");
  batch.reserve(batch.size() + messages.size());
  for (const wire::Message::Reader message : messages) {
    if (!read_worker_message(message, batch) && !read_client_message(message, batch) &&
        !read_data_message(message, bulk, batch)) {
      invalid("unknown kind " + std::to_string(static_cast<unsigned>(message.which())));
    }
  }
  if (!bulk.empty()) invalid(std::to_string(bulk.size()) + " bulk buffers that no chunk takes");
}

}  // namespace

void decode(std::span<const std::byte> control, std::span<Buffer> bulk, std::vector<msg::Message>& batch) {
  const std::size_t before = batch.size();
  try {
    try {
      decode_batch(control, bulk, batch);
    } catch (const kj::Exception& error) {
      throw ProtocolError("invalid message: " + std::string(error.getDescription().cStr()));
    } catch (const ValueError& error) {  // from constructors of our own types
      throw ProtocolError("invalid message: " + std::string(error.what()));
    }
  } catch (...) {
    batch.resize(before);
    throw;
  }
}

}  // namespace tegula::codec
