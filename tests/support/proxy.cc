#include "tests/support/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace tegula::test {

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

Proxy::Proxy(std::uint16_t target_port)
    : target_port_(target_port), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 16) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no port for the proxy");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

Proxy::~Proxy() {
  refuse_ = true;
  shutdown(listener_, SHUT_RDWR);  // ends accept()
  acceptor_.join();
  cut();
  for (std::thread& relay : relays_) relay.join();
  for (const Pair& pair : pairs_) {
    close(pair.client);
    close(pair.server);
  }
  close(listener_);
}

void Proxy::accept_all() {
  while (true) {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(target_port_);
    if (refuse_ || connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      close(client);
      close(server);
      continue;
    }
    const int yes = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    ++accepted_;
    std::lock_guard lock(mutex_);
    pairs_.push_back({client, server});
    relays_.emplace_back([this, client, server] { relay(client, server); });
    relays_.emplace_back([this, client, server] { relay(server, client); });
  }
}

void Proxy::relay(int from, int to) {
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = recv(from, buffer, sizeof(buffer), 0);
    if (count <= 0) break;
    for (ssize_t sent = 0; sent < count;) {
      const ssize_t written = send(to, buffer + sent, static_cast<std::size_t>(count - sent), MSG_NOSIGNAL);
      if (written <= 0) break;
      sent += written;
    }
  }
  shutdown(from, SHUT_RDWR);
  shutdown(to, SHUT_RDWR);
}

void Proxy::cut() {
  std::lock_guard lock(mutex_);
  for (const Pair& pair : pairs_) {
    shutdown(pair.client, SHUT_RDWR);
    shutdown(pair.server, SHUT_RDWR);
  }
}

void Proxy::refuse(bool yes) { refuse_ = yes; }

}  // namespace tegula::test
