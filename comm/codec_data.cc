// Fetching chunks.
#include "comm/codec_capnp.h"
#include "src/shape.h"
#include "tegula/dtype.h"

namespace tegula::codec {

std::uint64_t words(const msg::Fetch& m) {
  std::uint64_t needed = words_of_struct<wire::Fetch>() + words_of_structs<wire::Fetch::Item>(m.items.size());
  for (const auto& item : m.items) needed += 3 * item.box.size();
  return needed;
}
void write(wire::Message::Builder message, const msg::Fetch& m) {
  auto to = message.initFetch();
  to.setRequest(m.request);
  to.setAttempt(static_cast<std::uint64_t>(m.attempt));
  to.setAtMost(m.at_most);
  auto items = to.initItems(list_size(m.items.size()));
  for (capnp::uint i = 0; i < items.size(); ++i) {
    items[i].setTask(static_cast<std::uint64_t>(m.items[i].result.task));
    items[i].setOutput(m.items[i].result.output);
    if (!m.items[i].box.empty()) write_boxes(items[i].initBox(list_size(3 * m.items[i].box.size())), m.items[i].box);
  }
}
static msg::Fetch read(wire::Fetch::Reader from) {
  msg::Fetch m;
  m.request = from.getRequest();
  m.attempt = static_cast<AttemptId>(from.getAttempt());
  m.at_most = from.getAtMost();
  const auto items = from.getItems();
  check_structs<wire::Fetch::Item>(items, "items");
  m.items.reserve(items.size());
  for (const auto item : items) {
    m.items.push_back({{static_cast<TaskId>(item.getTask()), item.getOutput()}, read_box(item.getBox())});
  }
  return m;
}

std::uint64_t words(const msg::FetchReply& m) {
  std::uint64_t needed = words_of_struct<wire::FetchReply>() + words_of_structs<wire::FetchReply::Item>(m.items.size());
  for (const auto& item : m.items) needed += item.chunk.shape().size();
  return needed;
}
void write(wire::Message::Builder message, const msg::FetchReply& m) {
  auto to = message.initFetchReply();
  to.setRequest(m.request);
  auto items = to.initItems(list_size(m.items.size()));
  for (capnp::uint i = 0; i < items.size(); ++i) {
    const auto& item = m.items[i];
    items[i].setStatus(static_cast<std::uint8_t>(item.status));
    if (item.status != msg::FetchStatus::kOk) continue;
    items[i].setDtype(static_cast<std::uint8_t>(item.chunk.dtype()));
    write_numbers(items[i].initShape(list_size(item.chunk.shape().size())), item.chunk.shape());
  }
}

static Chunk read_chunk(wire::FetchReply::Item::Reader from, std::span<Buffer>& bulk) {
  const DType dtype = read_dtype(from.getDtype());
  const std::size_t size = item_size(dtype);
  const auto most = std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(size);
  Shape shape = read_sizes(from.getShape(), kMaxNdim, most, "a chunk's shape");
  const auto bytes = static_cast<std::uint64_t>(element_count(shape)) * size;
  if (bulk.empty()) invalid("a chunk without bulk buffer");
  if (bulk.front().size() != bytes) {
    invalid("a chunk of shape " + to_string(shape) + " and " + std::string(name_of(dtype)) + " in " +
            std::to_string(bulk.front().size()) + " bytes");
  }
  Buffer buffer = std::move(bulk.front());
  bulk = bulk.subspan(1);
  Strides strides = contiguous_strides(shape, size);
  return {dtype, std::move(shape), std::move(strides), std::move(buffer), 0};
}

static msg::FetchReply read(wire::FetchReply::Reader from, std::span<Buffer>& bulk) {
  msg::FetchReply m;
  m.request = from.getRequest();
  const auto items = from.getItems();
  check_structs<wire::FetchReply::Item>(items, "items");
  m.items.reserve(items.size());
  for (const auto item : items) {
    if (item.getStatus() > static_cast<std::uint8_t>(msg::FetchStatus::kLarge)) {
      invalid("unknown fetch status " + std::to_string(item.getStatus()));
    }
    auto& read = m.items.emplace_back();
    read.status = static_cast<msg::FetchStatus>(item.getStatus());
    if (read.status == msg::FetchStatus::kOk) read.chunk = read_chunk(item, bulk);
  }
  return m;
}

bool read_data_message(wire::Message::Reader from, std::span<Buffer>& bulk, std::vector<msg::Message>& batch) {
  switch (from.which()) {
    case wire::Message::FETCH:
      batch.emplace_back(read(from.getFetch()));
      return true;
    case wire::Message::FETCH_REPLY:
      batch.emplace_back(read(from.getFetchReply(), bulk));
      return true;
    default:
      return false;
  }
}

Measure measure_bulk(const msg::FetchReply& reply) {
  Measure needed;
  for (const auto& item : reply.items) {
    if (item.status != msg::FetchStatus::kOk) continue;
    needed.bulk_bytes += item.chunk.nbytes();
    ++needed.bulk_buffers;
  }
  return needed;
}

void append_bulk(const msg::FetchReply& reply, std::vector<Bulk>& bulk) {
  for (const auto& item : reply.items) {
    if (item.status != msg::FetchStatus::kOk) continue;
    const Chunk chunk = item.chunk.contiguous() ? item.chunk : item.chunk.compact();
    bulk.push_back({chunk.data(), chunk.nbytes(), chunk.buffer()});
  }
}

}  // namespace tegula::codec
