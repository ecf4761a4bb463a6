// Carries fetches out: one connection to each peer that is asked, kept while it works. On the event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "comm/event_loop.h"
#include "comm/transport.h"
#include "worker/core/events.h"

namespace tegula::worker {

class PeerFetcher {
 public:
  // `deliver` gets the FetchReply or FetchFailed of each fetch, on the loop, never inside fetch().
  PeerFetcher(EventLoop& loop, std::function<void(Event)> deliver);
  ~PeerFetcher();

  void set_options(CommOptions options);  // for connections made from now on
  void fetch(StartFetch fetch);
  // Closes all connections; what was asked for is not answered.
  void close();

  std::uint64_t bytes_in() const;  // of results, since start

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace tegula::worker
