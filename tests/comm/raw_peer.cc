#include "tests/comm/raw_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <stdexcept>

#include "comm/handshake.h"

namespace tegula::test {

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void check(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

}  // namespace

RawPeer::RawPeer(const std::string& address) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_in to = loopback(parse_address(address).port);
  check(::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0, "connect");
  const timeval patience{60, 0};  // a guard against hanging, not part of any test
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

RawPeer::~RawPeer() {
  if (socket_ >= 0) ::close(socket_);
}

void RawPeer::send(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void RawPeer::send(const std::string& text) { send(std::as_bytes(std::span(text.data(), text.size()))); }

std::vector<std::byte> RawPeer::receive(std::size_t most) {
  std::vector<std::byte> bytes(most);
  const ssize_t n = ::recv(socket_, bytes.data(), bytes.size(), 0);
  check(n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK), "the other side neither sends nor closes");
  bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return bytes;
}

std::vector<std::byte> RawPeer::receive_all() {
  std::vector<std::byte> all;
  while (true) {
    const auto part = receive();
    if (part.empty()) return all;
    all.insert(all.end(), part.begin(), part.end());
  }
}

void RawPeer::shut_write() { ::shutdown(socket_, SHUT_WR); }

void RawPeer::set_receive_buffer(int bytes) { ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)); }

std::vector<std::byte> RawPeer::greet(const CommOptions& options) {
  Handshake handshake(Handshake::Side::kConnector, options, "the listener");
  while (true) {
    send(handshake.take_output());
    if (handshake.done()) return {};
    check(!handshake.error(), "the handshake failed");
    const auto bytes = receive();
    check(!bytes.empty(), "the listener ended the handshake");
    const std::size_t used = handshake.feed(bytes);
    if (handshake.done()) return {bytes.begin() + static_cast<std::ptrdiff_t>(used), bytes.end()};
  }
}

RawListener::RawListener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_in at = loopback(0);
  check(::bind(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0, "bind");
  check(::listen(socket_, 16) == 0, "listen");
}

RawListener::~RawListener() { ::close(socket_); }

std::string RawListener::address() const {
  sockaddr_in at{};
  socklen_t size = sizeof(at);
  ::getsockname(socket_, reinterpret_cast<sockaddr*>(&at), &size);
  return "tcp://127.0.0.1:" + std::to_string(ntohs(at.sin_port));
}

RawPeer RawListener::accept() { return RawPeer(::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC)); }

}  // namespace tegula::test
