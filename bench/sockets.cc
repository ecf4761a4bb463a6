#include "bench/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "tegula/error.h"

namespace tegula::bench {
namespace {

void check(int result) {
  if (result < 0) throw ConnectionError(std::string("a socket on loopback: ") + std::strerror(errno));
}

sockaddr_in on_loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

Socket::Socket(int fd) : fd_(fd) { check(fd_); }
Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}
Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

void Socket::send_at_once() const {
  const int one = 1;
  check(setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
}

bool Socket::send(const void* data, std::size_t size) const {
  const auto* bytes = static_cast<const std::byte*>(data);
  while (size > 0) {
    const ssize_t sent = ::send(fd_, bytes, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool Socket::receive(void* data, std::size_t size) const {
  auto* bytes = static_cast<std::byte*>(data);
  while (size > 0) {
    const ssize_t received = ::recv(fd_, bytes, size, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return false;
    bytes += received;
    size -= static_cast<std::size_t>(received);
  }
  return true;
}

Socket listen_on_loopback() {
  Socket listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = on_loopback(0);
  check(bind(listener.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  check(listen(listener.fd(), 1));
  return listener;
}

std::uint16_t port_of(const Socket& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  check(getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &size));
  return ntohs(address.sin_port);
}

Socket connect_on_loopback(std::uint16_t port) {
  Socket made(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = on_loopback(port);
  check(connect(made.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  made.send_at_once();
  return made;
}

}  // namespace tegula::bench
