// Carries fetches out: one connection to each peer that is asked, kept while it works. On the event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

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
  void close(WorkerId peer);  // what was asked of it is not answered
  // Closes all connections; what was asked for is not answered.
  void close();

  std::uint64_t bytes_in() const;         // of results, since start
  Connection::Counters counters() const;  // of all connections, since start
  // What came from each peer that is not lost, since it was first asked; by its number.
  struct Traffic {
    WorkerId peer{};
    std::string address;
    std::uint64_t requests = 0, bytes = 0;
    Time busy{0};  // while it had requests to answer
  };
  std::vector<Traffic> traffic() const;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace tegula::worker
