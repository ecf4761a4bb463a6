// Two parties, each on an event loop (perhaps the same one), and what they have seen. Tests wait for events, never for
// time.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/event_loop.h"
#include "comm/transport.h"
#include "tegula/error.h"

namespace tegula::test {

// A lock and a bell for what handlers record.
class Events {
 public:
  template <typename F>
  void record(F change) {
    std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  // False when it has not come true for so long that it never will.
  template <typename F>
  [[nodiscard]] bool wait(F condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), condition);
  }
  template <typename F>
  auto read(F get) {
    std::lock_guard lock(mutex_);
    return get();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// One end of a connection and everything its handlers were called with.
class End {
 public:
  End(Events& events, EventLoop& loop, ConnectionPtr connection)
      : events_(events), loop_(loop), connection_(std::move(connection)), peer_(connection_->peer()) {
    connection_->on_messages = [this](std::vector<msg::Message> batch) {
      const std::size_t size = batch.size();
      if (on_batch) on_batch(batch);
      events_.record([&] {
        batches.push_back(size);
        for (msg::Message& message : batch) messages.push_back(std::move(message));
      });
    };
    connection_->on_closed = [this](const std::string& reason) { events_.record([&] { closed.push_back(reason); }); };
  }
  ~End() { drop(); }

  void on_loop(const std::function<void()>& work) { loop_.run_and_wait(work); }
  void send(msg::Message message) {
    on_loop([&] { connection_->send(std::move(message)); });
  }
  void close() {
    on_loop([&] { connection_->close(); });
  }
  void drop() {
    on_loop([&] { connection_.reset(); });
  }
  Connection& connection() { return *connection_; }
  ConnectionPtr& handle() { return connection_; }
  const PeerInfo& peer() const { return peer_; }
  Connection::Counters counters() {
    Connection::Counters counters;
    on_loop([&] { counters = connection_->counters(); });
    return counters;
  }
  [[nodiscard]] bool wait_messages(std::size_t count) {
    return events_.wait([&] { return messages.size() >= count; });
  }
  [[nodiscard]] bool wait_closed() {
    return events_.wait([&] { return !closed.empty(); });
  }
  // Everything that was on its way to handlers when this was called has arrived or never will.
  void settle() {
    for (int turn = 0; turn < 4; ++turn) on_loop([] {});
  }

  std::function<void(std::vector<msg::Message>&)> on_batch;  // on the loop, before recording

  // Guarded by events.
  std::vector<msg::Message> messages;
  std::vector<std::size_t> batches;
  std::vector<std::string> closed;

 private:
  Events& events_;
  EventLoop& loop_;
  ConnectionPtr connection_;
  PeerInfo peer_;
};

struct Attempt {
  std::unique_ptr<End> end;
  std::optional<ErrorInfo> error;
};

class World {
 public:
  explicit World(bool two_loops) : client_loop_(two_loops ? std::make_unique<EventLoop>() : nullptr) {
    server_loop_->start("test-server");
    if (client_loop_) client_loop_->start("test-client");
    server.role = Role::kScheduler;
    server.name = "the scheduler";
    server.incarnation = Incarnation{77};
    client.role = Role::kWorker;
    client.name = "a worker";
  }
  ~World() {
    stop_listening();
    accepted.clear();
  }

  EventLoop& server_loop() { return *server_loop_; }
  EventLoop& client_loop() { return client_loop_ ? *client_loop_ : *server_loop_; }

  void listen(const std::string& address) {
    listener_ = tegula::listen(server_loop(), address, server, [this](ConnectionPtr connection) {
      auto end = std::make_unique<End>(events, server_loop(), std::move(connection));
      if (on_accept) on_accept(*end);
      events.record([&] { accepted.push_back(std::move(end)); });
    });
  }
  void stop_listening() {
    server_loop().run_and_wait([&] { listener_.reset(); });
  }
  std::string address() const { return listener_->address(); }

  Attempt try_connect(const std::string& to, const CommOptions& options) {
    Attempt attempt;
    bool called = false;
    tegula::connect(client_loop(), to, options, [&](ConnectionPtr connection, std::optional<ErrorInfo> error) {
      EXPECT_NE(connection == nullptr, !error.has_value());
      std::unique_ptr<End> end;
      if (connection) end = std::make_unique<End>(events, client_loop(), std::move(connection));
      events.record([&] {
        EXPECT_FALSE(called);
        called = true;
        attempt.end = std::move(end);
        attempt.error = std::move(error);
      });
    });
    EXPECT_TRUE(events.wait([&] { return called; }));
    return attempt;
  }
  Attempt try_connect() { return try_connect(address(), client); }

  // A connection and its other end, which stays in `accepted`.
  std::pair<std::unique_ptr<End>, End*> connected() {
    const std::size_t before = events.read([&] { return accepted.size(); });
    Attempt attempt = try_connect();
    if (!attempt.end) {
      ADD_FAILURE() << (attempt.error ? attempt.error->message : "no connection");
      return {};
    }
    EXPECT_TRUE(events.wait([&] { return accepted.size() > before; }));
    return {std::move(attempt.end), events.read([&] { return accepted[before].get(); })};
  }

  Events events;
  CommOptions server, client;
  std::function<void(End&)> on_accept;
  std::vector<std::unique_ptr<End>> accepted;  // guarded by events

 private:
  std::unique_ptr<EventLoop> server_loop_ = std::make_unique<EventLoop>();
  std::unique_ptr<EventLoop> client_loop_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace tegula::test
