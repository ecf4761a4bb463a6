// What a transport implements, and the Connection made from it. A link lives on its loop as long as it has something to
// do (flushing after close); the Connection is the user's handle. All rules about when handlers may be called are here,
// once for every transport.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/event_loop_asio.h"
#include "comm/transport.h"

namespace tegula {

using LoopPtr = std::shared_ptr<EventLoop::Impl>;

class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(LoopPtr loop, PeerInfo peer) : loop_(std::move(loop)), peer_(std::move(peer)) {}
  virtual ~Link() = default;

  // The Connection's methods, called on the loop.
  virtual void send(msg::Message message) = 0;
  virtual std::optional<std::string> excess(const msg::Message& message) const = 0;
  virtual Connection::Counters counters() const = 0;
  // From the first turn after the connection was handed over: messages may be delivered.
  virtual void start() = 0;
  // Flush and close; nothing is delivered any more. At most once.
  virtual void shut() = 0;

  void close();  // by the user: handlers are called no more
  const PeerInfo& peer() const { return peer_; }
  const LoopPtr& loop() const { return loop_; }
  void attach(std::weak_ptr<Connection> connection) { connection_ = std::move(connection); }

 protected:
  bool muted() const { return muted_; }
  // Calls on_messages. The connection may be closed or destroyed by it.
  void deliver(std::vector<msg::Message> batch);
  // Calls on_closed in a later turn.
  void report_closed(std::string reason);

 private:
  LoopPtr loop_;
  PeerInfo peer_;
  std::weak_ptr<Connection> connection_;
  std::vector<msg::Message> early_;  // came before on_messages was set
  bool muted_ = false;               // no handler may be called
};

// The user's handle. Starts the link in the loop's next turn.
ConnectionPtr make_connection(std::shared_ptr<Link> link);

}  // namespace tegula
