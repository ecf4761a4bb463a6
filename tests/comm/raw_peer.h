// A plain blocking socket that speaks to a listener, or for one, in bytes: what no well-behaved peer would send can be
// sent with it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "comm/transport.h"

namespace tegula::test {

class RawPeer {
 public:
  // Connects to "tcp://127.0.0.1:port".
  explicit RawPeer(const std::string& address);
  explicit RawPeer(int socket) : socket_(socket) {}
  ~RawPeer();
  RawPeer(RawPeer&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  RawPeer& operator=(RawPeer&&) = delete;

  void send(std::span<const std::byte> bytes);  // what the other side no longer takes is lost silently
  void send(const std::string& text);
  std::vector<std::byte> receive(std::size_t most = 65536);  // at least one byte; empty at the end or on a reset
  std::vector<std::byte> receive_all();                      // until the end
  void shut_write();
  void set_receive_buffer(int bytes);
  // Shakes hands as a connector; what came behind the handshake.
  std::vector<std::byte> greet(const CommOptions& options);

 private:
  int socket_;
};

// Listens on a port of loopback without ever speaking.
class RawListener {
 public:
  RawListener();
  ~RawListener();
  RawListener(const RawListener&) = delete;
  std::string address() const;
  RawPeer accept();

 private:
  int socket_;
};

}  // namespace tegula::test
