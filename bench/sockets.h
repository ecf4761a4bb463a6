// Sockets without Tegula, for what it is compared with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tegula::bench {

class Socket {
 public:
  explicit Socket(int fd);  // throws ConnectionError, with errno's text, when it is none
  ~Socket();
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&&) = delete;

  int fd() const { return fd_; }
  void send_at_once() const;  // no waiting for more to fill a packet
  // Whole or not at all; false when the peer is gone.
  bool send(const void* data, std::size_t size) const;
  bool receive(void* data, std::size_t size) const;

 private:
  int fd_;
};

Socket listen_on_loopback();
std::uint16_t port_of(const Socket& listener);
Socket connect_on_loopback(std::uint16_t port);

}  // namespace tegula::bench
