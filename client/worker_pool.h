// A session's connections to workers: one per worker, made when first needed.
// On the session's loop only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/event_loop.h"
#include "comm/transport.h"

namespace tegula::client {

class WorkerPool : public std::enable_shared_from_this<WorkerPool> {
 public:
  WorkerPool(EventLoop& loop, CommOptions comm) : loop_(loop), comm_(std::move(comm)) {}

  void set_token(std::string token) { comm_.token = std::move(token); }
  void set_address(WorkerId worker, std::string address);
  const std::string& address(WorkerId worker) const;  // "" when not known
  void forget(WorkerId worker);                       // it is lost; what is asked of it fails

  // Called once, never inside fetch(): the reply, or nullptr with the reason why there is none.
  using Handler = std::function<void(msg::FetchReply* reply, const std::string& reason)>;
  void fetch(WorkerId worker, std::vector<msg::Fetch::Item> items, Handler handler);

  // Another life of the scheduler: workers have other numbers. Every open request is answered with its failure.
  void begin_life(Incarnation incarnation);
  void close();  // every open request is answered with its failure

 private:
  struct Request {
    std::uint64_t number = 0;
    std::vector<msg::Fetch::Item> items;  // until it is sent
    Handler handler;
  };
  struct Link {
    std::string address;
    ConnectionPtr connection;
    bool connecting = false;
    std::deque<Request> waiting;                          // for the connection
    std::unordered_map<std::uint64_t, Handler> requests;  // for their replies
  };

  void connected(WorkerId worker, const std::string& address, ConnectionPtr connection, std::optional<ErrorInfo> error);
  void send(Link& link, Request request);
  void receive(WorkerId worker, std::vector<msg::Message>& messages);
  void fail(WorkerId worker, const std::string& reason);
  void fail(Link& link, const std::string& reason);
  void drop_all(const std::string& reason);

  EventLoop& loop_;
  CommOptions comm_;
  std::unordered_map<WorkerId, Link> links_;
  std::uint64_t last_request_ = 0;
  bool closed_ = false;
};

}  // namespace tegula::client
