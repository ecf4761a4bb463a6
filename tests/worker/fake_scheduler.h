// A scheduler played by the test, on a loop of its own; workers and peers are real.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/event_loop.h"
#include "comm/transport.h"
#include "tests/worker/test_kernels.h"
#include "worker/server.h"

namespace tegula::worker {

inline constexpr auto kPatience = std::chrono::seconds(60);  // only a broken test waits so long

class FakeScheduler {
 public:
  explicit FakeScheduler(const std::string& address, std::string token = "", std::uint64_t incarnation = 77) {
    options_.role = Role::kScheduler;
    options_.name = "fake";
    options_.token = std::move(token);
    options_.incarnation = Incarnation{incarnation};
    loop_.start("fake-scheduler");
    loop_.run_and_wait([&] {
      listener_ = listen(loop_, address, options_, [this](ConnectionPtr connection) { accept(std::move(connection)); });
      address_ = listener_->address();
    });
  }
  ~FakeScheduler() {
    loop_.run_and_wait([this] {
      listener_.reset();
      workers_.clear();
    });
  }

  const std::string& address() const { return address_; }
  const CommOptions& options() const { return options_; }

  // What registered workers are answered; default: they are taken.
  std::function<msg::Message(std::size_t worker, const msg::RegisterWorker&)> answer = [](std::size_t worker,
                                                                                          const auto&) {
    return msg::Message(msg::WorkerRegistered{WorkerId{static_cast<std::uint32_t>(worker) + 1}, 50});
  };

  // Workers are numbered from 0 in the order of their connections.
  void send(std::size_t worker, std::vector<msg::Message> messages) {
    loop_.run_and_wait([&] {
      for (msg::Message& message : messages) workers_.at(worker).connection->send(std::move(message));
    });
  }
  void hang_up(std::size_t worker) {
    loop_.run_and_wait([&] { workers_.at(worker).connection->close(); });
  }

  // Waits until `wanted` gives a value for what the worker has said so far.
  template <typename T>
  T wait(std::size_t worker, const std::function<std::optional<T>(const std::vector<msg::Message>&)>& wanted) {
    std::unique_lock lock(mutex_);
    std::optional<T> found;
    const bool in_time = changed_.wait_for(lock, kPatience, [&] {
      const auto said = said_.find(worker);
      if (said != said_.end()) found = wanted(said->second);
      return found.has_value();
    });
    if (!in_time) throw std::runtime_error("worker " + std::to_string(worker) + " never said what was waited for");
    return *found;
  }
  // The n-th message of this kind (from 0).
  template <typename T>
  T wait_for(std::size_t worker, std::size_t n = 0) {
    return wait<T>(worker, [n](const std::vector<msg::Message>& messages) -> std::optional<T> {
      std::size_t seen = 0;
      for (const msg::Message& message : messages) {
        if (const T* one = std::get_if<T>(&message); one != nullptr && seen++ == n) return *one;
      }
      return std::nullopt;
    });
  }
  template <typename T>
  std::size_t count(std::size_t worker) {
    const std::lock_guard lock(mutex_);
    std::size_t count = 0;
    for (const msg::Message& message : said_[worker]) count += std::holds_alternative<T>(message) ? 1 : 0;
    return count;
  }
  void wait_until_gone(std::size_t worker) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return gone_[worker]; }))
      throw std::runtime_error("the worker stays");
  }

 private:
  struct Worker {
    ConnectionPtr connection;
  };

  void accept(ConnectionPtr connection) {
    const std::size_t number = workers_.size();
    connection->on_messages = [this, number](std::vector<msg::Message> messages) {
      for (const msg::Message& message : messages) {
        if (const auto* registration = std::get_if<msg::RegisterWorker>(&message)) {
          workers_[number].connection->send(answer(number, *registration));
        }
      }
      const std::lock_guard lock(mutex_);
      auto& said = said_[number];
      said.insert(said.end(), messages.begin(), messages.end());
      changed_.notify_all();
    };
    connection->on_closed = [this, number](const std::string&) {
      const std::lock_guard lock(mutex_);
      gone_[number] = true;
      changed_.notify_all();
    };
    workers_.push_back({std::move(connection)});
  }

  EventLoop loop_;
  CommOptions options_;
  std::unique_ptr<Listener> listener_;
  std::string address_;
  std::vector<Worker> workers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::size_t, std::vector<msg::Message>> said_;
  std::map<std::size_t, bool> gone_;
};

// A worker with the test's kernels on a loop of its own.
class TestWorker {
 public:
  explicit TestWorker(const std::string& scheduler, const std::function<void(WorkerOptions&)>& change = {}) {
    WorkerOptions options;
    options.scheduler_address = scheduler;
    options.threads = 1;
    options.kernels = test_kernels();
    if (change) change(options);
    loop_.start("test-worker");
    loop_.run_and_wait([&] {
      server_ = std::make_unique<WorkerServer>(loop_, options);
      server_->on_exit = [this](const WorkerExit& exit) {
        const std::lock_guard lock(mutex_);
        exit_ = exit;
        changed_.notify_all();
      };
      server_->start();
    });
  }
  ~TestWorker() {
    loop_.run_and_wait([this] { server_.reset(); });
  }

  WorkerExit wait_for_exit() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return exit_.has_value(); }))
      throw std::runtime_error("the worker goes on");
    return *exit_;
  }
  void drain(std::chrono::nanoseconds deadline) {
    loop_.run_and_wait([&] { server_->drain("a test", deadline); });
  }
  void stop(bool orderly = true) {
    loop_.run_and_wait([&] { server_->stop(orderly); });
  }
  std::string address() {
    std::string address;
    loop_.run_and_wait([&] { address = server_->address(); });
    return address;
  }

 private:
  EventLoop loop_;
  std::unique_ptr<WorkerServer> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<WorkerExit> exit_;
};

// A client or peer that fetches.
class TestPeer {
 public:
  TestPeer(const std::string& address, CommOptions options) {
    options.role = Role::kClient;
    loop_.start("test-peer");
    loop_.run_and_wait([&] {
      connect(loop_, address, options, [this](ConnectionPtr connection, std::optional<ErrorInfo> error) {
        if (connection != nullptr) {
          connection->on_messages = [this](std::vector<msg::Message> messages) {
            const std::lock_guard lock(mutex_);
            for (msg::Message& message : messages) {
              if (auto* told = std::get_if<msg::QueryReply>(&message)) {
                told_ = std::move(told->text);
              } else {
                replies_.push_back(std::move(std::get<msg::FetchReply>(message)));
              }
            }
            changed_.notify_all();
          };
          connection->on_closed = [this](const std::string&) { set_closed(); };
        }
        const std::lock_guard lock(mutex_);
        connection_ = std::move(connection);
        error_ = std::move(error);
        changed_.notify_all();
      });
    });
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [this] { return connection_ != nullptr || error_.has_value(); });
  }
  ~TestPeer() {
    loop_.run_and_wait([this] { connection_.reset(); });
  }

  const std::optional<ErrorInfo>& error() const { return error_; }
  void send(msg::Message message) {
    loop_.run_and_wait([&] { connection_->send(std::move(message)); });
  }
  msg::FetchReply fetch(std::vector<msg::Fetch::Item> items) {
    send(msg::Fetch{++request_, std::move(items)});
    msg::FetchReply reply = receive();
    EXPECT_EQ(reply.request, request_);
    return reply;
  }
  // What the worker tells of itself (worker/history.h).
  std::string ask() {
    send(msg::Query{++request_, msg::QueryKind::kWorker, ""});
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return told_.has_value(); }))
      throw std::runtime_error("no answer");
    return *std::exchange(told_, std::nullopt);
  }
  msg::FetchReply receive() {
    std::unique_lock lock(mutex_);
    const bool in_time = changed_.wait_for(lock, kPatience, [this] { return !replies_.empty() || closed_; });
    if (!in_time || replies_.empty()) throw std::runtime_error("no reply");
    msg::FetchReply reply = std::move(replies_.front());
    replies_.erase(replies_.begin());
    return reply;
  }
  void wait_until_closed() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return closed_; })) throw std::runtime_error("it stays open");
  }

 private:
  void set_closed() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  EventLoop loop_;
  ConnectionPtr connection_;
  std::optional<ErrorInfo> error_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<msg::FetchReply> replies_;
  std::optional<std::string> told_;
  std::uint64_t request_ = 0;
  bool closed_ = false;
};

}  // namespace tegula::worker
