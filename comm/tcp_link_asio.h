// An established, handshaken tcp connection.
#pragma once

#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/frame_reader.h"
#include "comm/frame_writer.h"
#include "comm/link.h"

namespace tegula {

// What the peer said in the handshake.
struct PeerLimits {
  FrameLimits frame;
  std::chrono::nanoseconds idle_timeout{};
};

class TcpLink final : public Link, public LoopResident {
 public:
  // `early_bytes` came behind the handshake.
  static std::shared_ptr<TcpLink> make(LoopPtr loop, asio::ip::tcp::socket socket, PeerInfo peer,
                                       const CommOptions& options, const PeerLimits& peer_limits,
                                       std::vector<std::byte> early_bytes);
  ~TcpLink();

  void send(msg::Message message) override;
  std::optional<std::string> excess(const msg::Message& message) const override { return writer_.excess(message); }
  Connection::Counters counters() const override;
  void start() override;
  void shut() override;
  void loop_gone() override;

 private:
  using Clock = std::chrono::steady_clock;
  // open -> flushing (closed here, frames left) -> lingering (all sent, waiting for the peer's end) -> closed; or
  // straight to closed.
  enum class State { kOpen, kFlushing, kLingering, kClosed };

  TcpLink(LoopPtr loop, asio::ip::tcp::socket socket, PeerInfo peer, const CommOptions& options,
          const PeerLimits& peer_limits, std::vector<std::byte> early_bytes);
  std::shared_ptr<TcpLink> self() { return std::static_pointer_cast<TcpLink>(shared_from_this()); }

  struct ReadBuffers;
  void read();
  void on_read(const asio::error_code& error, std::size_t bytes);
  void take_batch(std::vector<msg::Message> batch);
  void schedule_flush();
  void flush();
  void write();
  void wait_writable();
  void all_written();
  void arm_timer();
  void tick();
  void fail(std::string reason);
  void finish();

  std::optional<asio::ip::tcp::socket> socket_;
  const std::chrono::nanoseconds idle_timeout_, keep_alive_interval_, write_timeout_;
  const std::uint64_t max_queued_control_bytes_;
  FrameReader reader_;
  std::vector<asio::mutable_buffer> read_buffers_;  // of the read under way
  FrameWriter writer_;
  std::vector<std::byte> early_bytes_;
  State state_ = State::kOpen;
  bool started_ = false;
  bool flush_scheduled_ = false;
  bool waiting_writable_ = false;
  int write_error_ = 0;  // errno of a write; no more are tried
  Clock::time_point last_read_,
      last_write_;  // last_write_: when bytes last left, or when the queue last became non-empty
  Clock::time_point linger_until_;
  std::unique_ptr<EventLoop::Timer> timer_;
  Clock::time_point timer_due_;
  Connection::Counters counters_;  // the fields that the reader and writer don't keep
};

}  // namespace tegula
