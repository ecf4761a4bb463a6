#include "comm/transport.h"

#include <string>
#include <utility>

#include "comm/transport_kind.h"
#include "tegula/error.h"

namespace tegula {

namespace {

const TransportKind& transport_for(const Address& address) {
  if (address.scheme == "inproc") return inproc_transport();
  if (address.scheme == "tcp") return tcp_transport();
  throw ValueError("no transport for '" + to_string(address) + "': this build has tcp:// and inproc://");
}

}  // namespace

std::unique_ptr<Listener> listen(EventLoop& loop, const std::string& text, const CommOptions& options,
                                 AcceptHandler accept) {
  const Address address = parse_address(text);
  return transport_for(address).listen(loop.impl().shared_from_this(), address, options, std::move(accept));
}

void connect(EventLoop& loop, const std::string& text, const CommOptions& options, ConnectHandler handler) {
  const Address address = parse_address(text);
  const TransportKind& transport = transport_for(address);
  if (address.scheme != "inproc" && address.port == 0)
    throw ValueError("malformed address '" + text + "': no port to connect to");
  const LoopPtr impl = loop.impl().shared_from_this();
  impl->post([&transport, weak = std::weak_ptr(impl), address, options, handler = std::move(handler)]() mutable {
    if (const LoopPtr strong = weak.lock()) transport.connect(strong, address, options, std::move(handler));
  });
}

bool is_loopback(const Address& address) { return transport_for(address).is_loopback(address); }

Connection::Counters operator+(Connection::Counters a, const Connection::Counters& b) {
  a.messages_in += b.messages_in;
  a.messages_out += b.messages_out;
  a.frames_in += b.frames_in;
  a.frames_out += b.frames_out;
  a.bytes_in += b.bytes_in;
  a.bytes_out += b.bytes_out;
  a.bulk_in += b.bulk_in;
  a.bulk_out += b.bulk_out;
  a.bulk_copied += b.bulk_copied;
  a.queued_bytes += b.queued_bytes;
  return a;
}

}  // namespace tegula
