// Serves results to peers and clients. On the event loop; boxes of any size are made contiguous on a thread of their
// own. A request for what an attempt is to make waits here until that has ended; others on the same connection go on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/event_loop.h"
#include "comm/transport.h"
#include "src/buffer.h"
#include "worker/addresses.h"

namespace tegula::worker {

class DataServer {
 public:
  // A result that is kept, or null. Valid until the loop's next turn.
  using Lookup = std::function<const Chunk*(const ResultId&)>;

  struct Limits {
    std::uint64_t bytes_per_peer =
        256u << 20;  // on their way to one peer; more is answered as busy, unless it is alone
    std::uint64_t copied_on_loop = 256u << 10;  // boxes that need more copying go to the thread
    std::size_t waiting_per_peer = 1024;        // requests; more are answered as busy
  };
  // A request waits for this attempt: attempt_ended() is to be called when it has ended, at once perhaps.
  using Await = std::function<void(AttemptId)>;

  DataServer(EventLoop& loop, std::shared_ptr<BufferPool> pool, Limits limits, Lookup lookup, Await await);
  ~DataServer();

  // Listens on `address`, at the first free one of `ports` where it has none. Throws what tegula::listen throws.
  void listen(const std::string& address, PortRange ports, const CommOptions& options);
  std::string address() const;  // "" when not listening
  // Ends the listener and all connections.
  void close();
  // Answers the requests that wait for it.
  void attempt_ended(AttemptId attempt);

  std::uint64_t bytes_out() const;  // of results, since start
  // What those that are connected now have got.
  struct Traffic {
    std::string name;
    std::uint64_t requests = 0, bytes = 0;
  };
  std::vector<Traffic> traffic() const;
  // Answers a Query, which a client may send here: with JSON. Without it there are none.
  std::function<std::string()> on_question;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace tegula::worker
