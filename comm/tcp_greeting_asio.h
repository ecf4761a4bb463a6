// Carries a handshake over a tcp socket, for both sides.
#pragma once

#include <array>
#include <asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/handshake.h"
#include "comm/link.h"

namespace tegula {

// "tcp://127.0.0.1:40312"; an IPv4 peer of an IPv6 socket by its IPv4 address.
std::string endpoint_text(const asio::ip::tcp::endpoint& endpoint);
bool is_loopback_endpoint(const asio::ip::tcp::endpoint& endpoint);

class TcpGreeting final : public std::enable_shared_from_this<TcpGreeting>, public LoopResident {
 public:
  // Exactly one of the two is set. Called once, unless the greeting is cancelled or the loop goes.
  using Handler = std::function<void(std::shared_ptr<Link> link, std::optional<ErrorInfo> error)>;

  TcpGreeting(LoopPtr loop, asio::ip::tcp::socket socket, Handshake::Side side, const CommOptions& options,
              std::string peer_address, Handler handler);
  ~TcpGreeting();

  void start(std::chrono::steady_clock::time_point deadline);
  void cancel();  // closes without calling the handler
  bool open() const { return socket_.has_value(); }
  void loop_gone() override { cancel(); }

 private:
  void read();
  void on_read(const asio::error_code& error, std::size_t bytes);
  void write();
  void advance();
  void established();
  void refuse();
  void report(std::shared_ptr<Link> link, std::optional<ErrorInfo> error);
  void report(ErrorCode code, std::string message);

  LoopPtr loop_;
  std::optional<asio::ip::tcp::socket> socket_;
  CommOptions options_;
  std::string peer_address_;
  Handshake handshake_;
  Handler handler_;
  std::array<std::byte, 4096> input_;
  std::vector<std::byte> rest_;    // came behind the handshake
  std::vector<std::byte> output_;  // being written
  bool writing_ = false;
  bool draining_ = false;  // refused: waiting for the peer's end, so that it can read why
  std::unique_ptr<EventLoop::Timer> timer_;
};

}  // namespace tegula
