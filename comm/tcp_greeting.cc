#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/write.hpp>
#include <utility>

#include "comm/tcp_greeting_asio.h"
#include "comm/tcp_link_asio.h"

namespace tegula {

namespace {

constexpr std::chrono::seconds kDrain{1};
constexpr std::uint64_t kLongestIdleMs = std::uint64_t{1} << 35;  // a year; more would overflow in nanoseconds

asio::ip::address plain_address(const asio::ip::tcp::endpoint& endpoint) {
  const auto address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return address;
}

}  // namespace

std::string endpoint_text(const asio::ip::tcp::endpoint& endpoint) {
  return to_string(Address{"tcp", plain_address(endpoint).to_string(), endpoint.port()});
}

bool is_loopback_endpoint(const asio::ip::tcp::endpoint& endpoint) { return plain_address(endpoint).is_loopback(); }

TcpGreeting::TcpGreeting(LoopPtr loop, asio::ip::tcp::socket socket, Handshake::Side side, const CommOptions& options,
                         std::string peer_address, Handler handler)
    : loop_(std::move(loop)),
      socket_(std::move(socket)),
      options_(options),
      peer_address_(peer_address),
      handshake_(side, options, std::move(peer_address)),
      handler_(std::move(handler)) {}

TcpGreeting::~TcpGreeting() { loop_->remove_resident(this); }

void TcpGreeting::start(std::chrono::steady_clock::time_point deadline) {
  loop_->add_resident(this, std::shared_ptr<LoopResident>(shared_from_this(), this));
  asio::error_code ignored;
  socket_->set_option(asio::ip::tcp::no_delay(true), ignored);
  timer_ = loop_->after(deadline - std::chrono::steady_clock::now(), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->report(ErrorCode::kTimeout, self->peer_address_ + " did not complete the handshake in time");
    self->cancel();
  });
  advance();
  if (socket_) read();
}

void TcpGreeting::cancel() {
  handler_ = nullptr;
  timer_.reset();
  socket_.reset();
}

void TcpGreeting::read() {
  socket_->async_read_some(asio::buffer(input_), loop_->in_turn([self = shared_from_this()](
                                                                    const asio::error_code& error, std::size_t bytes) {
    self->on_read(error, bytes);
  }));
}

void TcpGreeting::on_read(const asio::error_code& error, std::size_t bytes) {
  if (!socket_) return;
  if (error) {
    report(ErrorCode::kConnection,
           peer_address_ + " ended the connection during the handshake (" + error.message() + ")");
    return cancel();
  }
  if (!draining_ && !handshake_.error()) {
    const auto arrived = std::span<const std::byte>(input_).first(bytes);
    const auto rest = arrived.subspan(handshake_.feed(arrived));
    rest_.insert(rest_.end(), rest.begin(), rest.end());
    advance();
  }
  // Once the handshake is done the link reads on.
  if (socket_ && !handshake_.done()) read();
}

// Sends what the handshake has to say; then acts on its outcome.
void TcpGreeting::advance() {
  if (writing_) return;
  output_ = handshake_.take_output();
  if (!output_.empty()) return write();
  if (handshake_.error()) return refuse();
  if (handshake_.done()) established();
}

void TcpGreeting::write() {
  writing_ = true;
  asio::async_write(*socket_, asio::buffer(output_),
                    loop_->in_turn([self = shared_from_this()](const asio::error_code& error, std::size_t) {
                      self->writing_ = false;
                      if (!self->socket_) return;
                      if (!error || self->handshake_.error()) return self->advance();
                      // The reason, if the peer gave one, is read by the pending read; an acceptor that is done has
                      // none.
                      if (!self->handshake_.done()) return;
                      self->report(
                          ErrorCode::kConnection,
                          self->peer_address_ + " ended the connection during the handshake (" + error.message() + ")");
                      self->cancel();
                    }));
}

void TcpGreeting::established() {
  const Introduction& peer = handshake_.peer();
  PeerInfo info{peer.role, peer.name, peer_address_, peer.incarnation, peer.features};
  const auto peer_idle = std::chrono::milliseconds(std::min(peer.idle_timeout_ms, kLongestIdleMs));
  const PeerLimits limits{{std::min(peer.max_control_bytes, kMaxControlBytes), peer.max_bulk_bytes}, peer_idle};
  auto link = TcpLink::make(loop_, std::move(*socket_), std::move(info), options_, limits, std::move(rest_));
  socket_.reset();
  timer_.reset();
  report(std::move(link), std::nullopt);
}

void TcpGreeting::refuse() {
  draining_ = true;
  asio::error_code ignored;
  socket_->shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  timer_ = loop_->after(kDrain, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->cancel();
  });
  report(nullptr, handshake_.error());
}

void TcpGreeting::report(std::shared_ptr<Link> link, std::optional<ErrorInfo> error) {
  const Handler handler = std::exchange(handler_, nullptr);
  if (handler) handler(std::move(link), std::move(error));
}

void TcpGreeting::report(ErrorCode code, std::string message) {
  ErrorInfo error;
  error.code = code;
  error.message = std::move(message);
  report(nullptr, std::move(error));
}

}  // namespace tegula
