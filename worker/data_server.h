// Serves results to peers and clients. On the event loop; boxes of any size are made contiguous on a thread of their
// own. A request for what an attempt is to make waits here until that has ended; others on the same connection go on.
//
// Results on disk are read for the reply only, into so many bytes at a time: requests wait for these in the order in
// which they came, and what one request asks for beyond them is answered as busy. One value may always be read, so
// nobody's progress depends on memory elsewhere, and the worker's own is not touched.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/event_loop.h"
#include "comm/transport.h"
#include "src/buffer.h"
#include "worker/addresses.h"
#include "worker/core/events.h"

namespace tegula::worker {

class DataServer {
 public:
  // Where a result is: in memory, or in a file, or nowhere.
  struct Found {
    std::optional<Chunk> chunk;
    FileId file = 0;
    std::uint64_t bytes = 0;  // of that file's value
    bool unsure = false;      // nowhere, but what is here has not got all its names yet
  };
  using Lookup = std::function<Found(const ResultId&)>;
  // A value about to be sent; the handle that is returned says when that is over.
  using Lend = std::function<Chunk(const Chunk&)>;
  // Reads a file; `done` may be called on any thread, with nothing when that failed.
  using ReadFile = std::function<void(FileId, std::function<void(std::optional<Chunk>)> done)>;

  struct Limits {
    std::uint64_t bytes_per_peer =
        256u << 20;  // on their way to one peer; more is answered as busy, unless it is alone
    std::uint64_t copied_on_loop = 256u << 10;  // boxes that need more copying go to the thread
    std::uint64_t bytes_from_disk = 64u << 20;  // read for replies that are not sent yet
    std::size_t waiting_per_peer = 1024;        // requests; more are answered as busy
  };
  // A request waits for this attempt: attempt_ended() is to be called when it has ended, at once perhaps.
  using Await = std::function<void(AttemptId)>;
  struct Source {
    Lookup lookup;
    Lend lend;
    ReadFile read_file;
    Await await;
  };

  DataServer(EventLoop& loop, std::shared_ptr<BufferPool> pool, Limits limits, Source source);
  ~DataServer();

  // Listens on `address`, at the first free one of `ports` where it has none. Throws what tegula::listen throws.
  void listen(const std::string& address, PortRange ports, const CommOptions& options);
  std::string address() const;  // "" when not listening
  // Ends the listener and all connections.
  void close();

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
