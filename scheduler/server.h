// The scheduler's shell: connections in, decisions from scheduler/core, messages out. Used by the daemon, by in-process
// clusters and by embedded clients.
//
// Threads: everything here is called, and calls back, on the event loop given to the constructor (or on the thread that
// will run it, before it runs).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/event_loop.h"
#include "comm/transport.h"
#include "scheduler/core/state.h"

namespace tegula {
class Config;
}

namespace tegula::scheduler {

struct SchedulerOptions {
  std::vector<std::string> listen_addresses;  // at least one; "tcp://127.0.0.1:8786", "inproc://"
  std::string contact_address;                // what others are told; "": the first one listened on
  // Limits, timeouts, token and `insecure`. Role, name and incarnation are the server's to fill in.
  CommOptions comm;
  SchedulerConfig core;
  // A peer that passed the handshake says within this time what it is.
  std::chrono::nanoseconds introduction_timeout = std::chrono::seconds(10);
  std::string record;                        // a file that gets a record of all events (scheduler/record.h); "": none
  std::uint64_t record_limit = 0;            // bytes, after which no more is recorded; 0: none
  std::string journal;                       // a directory for what must outlive this process (scheduler/journal.h); ""
  std::chrono::nanoseconds idle_timeout{0};  // on_idle after so long without a client and without tasks; 0: never
};

// Limits and timeouts as the configuration has them.
SchedulerOptions scheduler_options(const Config& config);

// What monitoring sees at one moment.
struct Snapshot {
  Counters counters;
  std::vector<WorkerInfo> workers;
  std::string address;
  Incarnation incarnation{};
  std::chrono::nanoseconds uptime{};
  std::chrono::nanoseconds core_time{};  // spent in the core, since start
  std::size_t task_record_bytes = 0;
  Connection::Counters traffic;  // of the connections that live
  std::uint64_t events = 0;
  std::uint64_t connections = 0;
};

class SchedulerServer {
 public:
  // Listens. Throws what listen() throws: ConnectionError (address in use), ConfigError (beyond loopback without a
  // token), ValueError. `loop` must outlive the server.
  SchedulerServer(EventLoop& loop, SchedulerOptions options);
  ~SchedulerServer();  // closes all connections; calls nothing back
  SchedulerServer(const SchedulerServer&) = delete;
  SchedulerServer& operator=(const SchedulerServer&) = delete;

  const std::vector<std::string>& addresses() const;  // with their real ports; any thread
  const std::string& contact_address() const;         // any thread
  Incarnation incarnation() const;                    // any thread

  Snapshot snapshot() const;
  std::function<void()> on_idle;  // once
  // Sends the workers away, lets go of the clients and calls `done` when the workers have gone or two seconds have
  // passed.
  void stop(const std::string& reason, std::function<void()> done);

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace tegula::scheduler
