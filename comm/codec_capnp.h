// Inside the codec: how the parts of messages are measured, written and read. Every reader throws ProtocolError on
// values that no peer of this protocol sends; structural errors surface as kj::Exception and are translated in
// codec.cc.
#pragma once

#include <capnp/any.h>
#include <capnp/message.h>

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "comm/codec.h"
#include "comm/messages.h"
#include "comm/protocol.capnp.h"

namespace tegula::codec {

// ---- sizes, in words of eight bytes

inline std::uint64_t words_of_bytes(std::uint64_t bytes) { return (bytes + 7) / 8; }
inline std::uint64_t words_of(const std::string& text) { return words_of_bytes(text.size() + 1); }
std::uint64_t words_of(const std::vector<std::string>& texts);
template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
std::uint64_t words_of(const std::vector<T>& numbers) {
  return words_of_bytes(numbers.size() * sizeof(T));
}
template <typename Struct>
std::uint64_t words_of_structs(std::uint64_t count) {
  return 1 + count * capnp::sizeInWords<Struct>();
}
template <typename Struct>
constexpr std::uint64_t words_of_struct() {
  return capnp::sizeInWords<Struct>();
}

// ---- checks

[[noreturn]] void invalid(const std::string& what);

inline capnp::uint list_size(std::size_t count) {
  constexpr std::size_t kMost = (1u << 29) - 1;  // of any Cap'n Proto list
  if (count > kMost) throw ValueError("a list of " + std::to_string(count) + " items does not fit in a message");
  return static_cast<capnp::uint>(count);
}

// Cap'n Proto lets a list of small elements stand for a list of structs. Refusing that bounds what decoding allocates
// by the bytes received.
template <typename Struct, typename List>
void check_structs(const List& list, const char* what) {
  if (list.size() == 0) return;
  const capnp::AnyStruct::Reader first(list[0]);
  constexpr auto size = capnp::_::structSize<Struct>();
  if (first.getDataSection().size() < size.data * 8u || first.getPointerSection().size() < size.pointers) {
    invalid(std::string(what) + " with elements of too few bytes");
  }
}

// ---- plain values

inline void write_text(capnp::Text::Builder to, const std::string& from) {
  std::copy(from.begin(), from.end(), to.begin());
}
inline std::string read_text(capnp::Text::Reader from) { return {from.begin(), from.size()}; }
std::vector<std::string> read_texts(capnp::List<capnp::Text>::Reader from);
void write_texts(capnp::List<capnp::Text>::Builder to, const std::vector<std::string>& from);

template <typename T, typename Builder>
void write_numbers(Builder to, const std::vector<T>& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) {
    if constexpr (std::is_enum_v<T>) {
      to.set(i, static_cast<std::underlying_type_t<T>>(from[i]));
    } else {
      to.set(i, from[i]);
    }
  }
}
template <typename T, typename Reader>
std::vector<T> read_numbers(Reader from) {
  std::vector<T> numbers(from.size());
  for (capnp::uint i = 0; i < from.size(); ++i) numbers[i] = static_cast<T>(from[i]);
  return numbers;
}

// ---- shared parts

void write_results(capnp::List<wire::ResultId>::Builder to, const std::vector<ResultId>& from);
std::vector<ResultId> read_results(capnp::List<wire::ResultId>::Reader from);

std::uint64_t words_of(const std::vector<msg::Resource>& resources);
void write_resources(capnp::List<wire::Resource>::Builder to, const std::vector<msg::Resource>& from);
std::vector<msg::Resource> read_resources(capnp::List<wire::Resource>::Reader from);

std::uint64_t words_of(const ErrorInfo& error);
void write_error(wire::ErrorInfo::Builder to, const ErrorInfo& from);
ErrorInfo read_error(wire::ErrorInfo::Reader from);

// Boxes travel as start, count, step of each dimension in turn.
void write_boxes(capnp::List<std::int64_t>::Builder to, std::span<const BoxDim> from);
std::vector<BoxDim> read_boxes(capnp::List<std::int64_t>::Reader from);
Box read_box(capnp::List<std::int64_t>::Reader from);  // at most kMaxNdim dimensions

DType read_dtype(std::uint8_t number);
// Sizes that are not negative, at most `max_dims` of them, with a product of at most `max_product`.
std::vector<std::int64_t> read_sizes(capnp::List<std::int64_t>::Reader from, std::size_t max_dims,
                                     std::int64_t max_product, const char* what);

std::uint64_t words_of(const Layer& layer);  // what the struct points to
void write_layer(wire::Layer::Builder to, const Layer& from);
msg::LayerPtr read_layer(wire::Layer::Reader from);

// ---- messages, by group. words(): beside the Message struct itself.

#define TEGULA_CODEC(Name)                       \
  std::uint64_t words(const msg::Name& message); \
  void write(wire::Message::Builder to, const msg::Name& message)

TEGULA_CODEC(RegisterWorker);
TEGULA_CODEC(TaskFinished);
TEGULA_CODEC(TaskFailed);
TEGULA_CODEC(TaskReturned);
TEGULA_CODEC(TaskRunning);
TEGULA_CODEC(ReplicasAdded);
TEGULA_CODEC(ReplicasDropped);
TEGULA_CODEC(GrantCredit);
TEGULA_CODEC(WorkerHeartbeat);
TEGULA_CODEC(WorkerLeaving);
TEGULA_CODEC(WorkerDraining);
TEGULA_CODEC(WorkerDied);
TEGULA_CODEC(WorkerRegistered);
TEGULA_CODEC(WorkerRefused);
TEGULA_CODEC(DefineLayer);
TEGULA_CODEC(ForgetLayer);
TEGULA_CODEC(WorkerAddress);
TEGULA_CODEC(Assign);
TEGULA_CODEC(Retract);
TEGULA_CODEC(FreeResults);
TEGULA_CODEC(Shutdown);
TEGULA_CODEC(AttachClient);
TEGULA_CODEC(Submit);
TEGULA_CODEC(ReleaseWants);
TEGULA_CODEC(ForgetLayers);
TEGULA_CODEC(CancelWants);
TEGULA_CODEC(CloseClient);
TEGULA_CODEC(QueryStatus);
TEGULA_CODEC(SubscribeProgress);
TEGULA_CODEC(ClientAttached);
TEGULA_CODEC(SubmitAccepted);
TEGULA_CODEC(SubmitRefused);
TEGULA_CODEC(ResultReady);
TEGULA_CODEC(ResultErred);
TEGULA_CODEC(ResultLost);
TEGULA_CODEC(Progress);
TEGULA_CODEC(StatusReply);
TEGULA_CODEC(Fetch);
TEGULA_CODEC(FetchReply);
TEGULA_CODEC(AcquireReplicas);
TEGULA_CODEC(Query);
TEGULA_CODEC(Command);
TEGULA_CODEC(QueryReply);
TEGULA_CODEC(WorkerGone);
TEGULA_CODEC(QueryNextUse);
TEGULA_CODEC(NextUse);
TEGULA_CODEC(Inventory);
TEGULA_CODEC(InventoryTaken);
#undef TEGULA_CODEC

// Each appends the message when it is one of its group and says whether it was.
bool read_worker_message(wire::Message::Reader from, std::vector<msg::Message>& batch);
bool read_client_message(wire::Message::Reader from, std::vector<msg::Message>& batch);
// Chunks take the buffers from the front of `bulk`.
bool read_data_message(wire::Message::Reader from, std::span<Buffer>& bulk, std::vector<msg::Message>& batch);

Measure measure_bulk(const msg::FetchReply& reply);
void append_bulk(const msg::FetchReply& reply, std::vector<Bulk>& bulk);

}  // namespace tegula::codec
