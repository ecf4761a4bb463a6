// Moving messages between processes. A transport (inproc, tcp; more to come) makes Connections; everything above sees
// only this interface.
//
// Threads: a Connection belongs to one EventLoop; its methods are called and its handlers run on that loop only.
// Order: messages of a connection arrive in the order sent. Delivery is certain while the connection lives; when it
// ends, what was in flight may or may not have arrived, and on_closed is called exactly once, last.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "comm/event_loop.h"
#include "comm/messages.h"
#include "src/buffer.h"

namespace tegula {

enum class Role : std::uint8_t { kScheduler = 0, kWorker = 1, kClient = 2 };

// Who we are and what we demand of peers; the same for all connections of a process part (scheduler, worker, client).
struct CommOptions {
  Role role = Role::kClient;
  std::string name;           // for the peer's logs
  std::string token;          // the cluster token; empty: none is known
  bool insecure = false;      // accept and make connections without a token beyond loopback
  Incarnation incarnation{};  // 0: not known yet (workers and clients before they reach the scheduler); a known one
                              // must match the peer's
  // Timeouts: 0 means never.
  std::chrono::nanoseconds connect_timeout = std::chrono::seconds(10);  // to an established, handshaken connection
  // No byte from the peer (keep-alives are sent at a third of it): closed
  std::chrono::nanoseconds idle_timeout = std::chrono::seconds(60);
  // The peer reads nothing while something is queued: closed
  std::chrono::nanoseconds write_timeout = std::chrono::seconds(60);
  std::uint64_t max_control_bytes = 64u << 20;          // of one frame
  std::uint64_t max_bulk_bytes = 16ull << 30;           // of one frame, all buffers together
  std::uint64_t max_queued_control_bytes = 256u << 20;  // to one peer; beyond it the peer is dropped
  BufferAllocator allocator = &Buffer::allocate;        // for received bulk buffers
  std::uint16_t protocol_version = 0;                   // 0: this build's; tests set others
};

struct PeerInfo {
  Role role = Role::kClient;
  std::string name;
  std::string address;  // "tcp://127.0.0.1:40312"
  Incarnation incarnation{};
  std::vector<std::string> features;
};

class Connection {
 public:
  virtual ~Connection() = default;  // as close()

  // Set before the loop's next turn; messages that arrive earlier wait. One call per batch, in order.
  std::function<void(std::vector<msg::Message>)> on_messages;
  // The connection is gone: closed by the peer (orderly or not), by a timeout, a bad frame, an overfull queue. `reason`
  // is for people.
  std::function<void(const std::string& reason)> on_closed;

  // Queues; what one turn of the loop sends leaves as one batch at its end. Never blocks. No-op when closed. A message
  // for which excess() has a reason ends the connection: what a peer says of its limits must not harm the sender.
  virtual void send(msg::Message message) = 0;
  // Flushes what is queued (bounded by the write timeout) and closes; no handler is called afterwards.
  virtual void close() = 0;

  virtual const PeerInfo& peer() const = 0;
  struct Counters {
    std::uint64_t messages_in = 0, messages_out = 0, frames_in = 0, frames_out = 0;
    std::uint64_t bytes_in = 0, bytes_out = 0;  // control and bulk
    std::uint64_t bulk_in = 0, bulk_out = 0;
    std::uint64_t bulk_copied = 0;   // of bulk_in: not read straight into its final place
    std::uint64_t queued_bytes = 0;  // to the peer, not yet written
  };
  virtual Counters counters() const = 0;
  // Why the peer does not take this message: alone it is more than fits the frames that the peer takes, as it said in
  // the handshake. nullopt: it takes it.
  virtual std::optional<std::string> excess(const msg::Message& message) const = 0;
};

Connection::Counters operator+(Connection::Counters a, const Connection::Counters& b);

class Listener {
 public:
  virtual ~Listener() = default;            // stops listening; accepted connections live on
  virtual std::string address() const = 0;  // with the real port: "tcp://127.0.0.1:41231"
};

using ConnectionPtr = std::shared_ptr<Connection>;
using AcceptHandler = std::function<void(ConnectionPtr)>;
// Exactly one of connection and error (ConnectionError, VersionError, AuthenticationError, TimeoutError as ErrorInfo)
// is set.
using ConnectHandler = std::function<void(ConnectionPtr connection, std::optional<ErrorInfo> error)>;

// Listens on `address` ("tcp://host:port", port 0 for an ephemeral one, "tcp://[::1]:0", "tcp://0.0.0.0:0";
// "inproc://name", "inproc://" for a fresh name). `accept` is called on `loop` for each peer that passed the handshake.
// Throws ConnectionError naming the address (in use, cannot resolve), ConfigError for an address beyond loopback
// without a token unless insecure, ValueError for a malformed address.
std::unique_ptr<Listener> listen(EventLoop& loop, const std::string& address, const CommOptions& options,
                                 AcceptHandler accept);
// Connects and shakes hands; `handler` is called on `loop` once. Destroying the loop first drops the handler. Throws
// ValueError for a malformed address, one without a port, or a scheme that this build does not have.
void connect(EventLoop& loop, const std::string& address, const CommOptions& options, ConnectHandler handler);

struct Address {
  std::string scheme, host;  // "tcp", "127.0.0.1" (IPv6 without brackets)
  std::uint16_t port = 0;    // 0: none
};
// Throws ValueError naming the text. `default_port` applies when none is given. "host:port" without a scheme is tcp.
Address parse_address(std::string_view text, std::uint16_t default_port = 0);
std::string to_string(const Address& address);
bool is_loopback(const Address& address);

inline constexpr std::uint16_t kProtocolVersion = 1;
inline constexpr std::uint16_t kDefaultSchedulerPort = 8786;

// A fresh cluster token: 32 random bytes in hex.
std::string make_cluster_token();

// What a scheduler writes for others to find it (JSON, mode 0600, written beside and renamed).
struct SchedulerFile {
  std::string address;
  std::string token;
  Incarnation incarnation{};
  std::string http_address;  // "" when off
  std::uint64_t pid = 0;
};
void write_scheduler_file(const std::string& path, const SchedulerFile& file);  // throws FileError
SchedulerFile read_scheduler_file(const std::string& path);  // throws FileError, ConfigError when it is not one

}  // namespace tegula
