// A worker: it joins a scheduler, computes tasks on its own threads, keeps their results and serves them to peers and
// clients. This is the shell around worker/core: it carries messages in and actions out, and owns threads, connections
// and memory. Used by the daemon, by in-process clusters and by embedded clients.
//
// Threads: everything here is called, and calls back, on the event loop given to the constructor.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/event_loop.h"
#include "comm/transport.h"
#include "worker/addresses.h"
#include "worker/store/spill_file.h"

namespace tegula {
class Config;
}

namespace tegula::worker {

class KernelRegistry;
struct Vitals;

struct WorkerOptions {
  std::string scheduler_address;   // "tcp://host:port", "inproc://name"
  std::string scheduler_file;      // read before each try to connect, for address and token; "": they stay
  std::string name;                // unique in the cluster; "": from host, process and a counter
  unsigned threads = 0;            // that run kernels; 0: one per core this process may use
  std::uint64_t memory_limit = 0;  // bytes; 0: none. worker/limits.h reads "auto"
  // Of that, for what the process has beside values: code, threads, messages, tables.
  std::uint64_t memory_overhead = 0;
  std::vector<msg::Resource> resources;
  std::string local_directory;  // for files of this worker; "": none. Made when missing

  // Where values go when memory is short. "": below local_directory, or the system's temporary directory.
  std::string spill_directory;
  std::uint64_t spill_limit = 0;  // bytes there; 0: as many as there is room for
  SpillFileOptions spill;

  // Where peers and clients fetch results. "": inproc:// for a scheduler over inproc://; else tcp on loopback when the
  // scheduler is there, or on the address of this machine that leads to it.
  std::string listen_address;
  PortRange ports;              // tried in turn where listen_address has no port
  std::string contact_address;  // "host", "host:port" or full address that others are told; "": the one listened on

  // Limits, timeouts, token and `insecure`. Role, name, incarnation and allocator are the server's to fill in.
  CommOptions comm;

  // Kernel libraries: a directory ("": found beside the program or library) and a level ("": the best this processor
  // runs). With `kernels` given nothing is loaded.
  std::string kernels_path, kernels_level;
  std::shared_ptr<const KernelRegistry> kernels;

  // After the scheduler is lost (or where it does not answer at first) the worker tries for this long to join anew. It
  // keeps what it has, and goes on with what it was given to do.
  std::chrono::nanoseconds death_timeout = std::chrono::seconds(60);
  std::chrono::nanoseconds heartbeat_interval{0};  // 0: as the scheduler says

  unsigned fetches_per_peer = 4;                    // requests to one other worker at a time
  std::uint64_t fetch_bytes_in_flight = 64u << 20;  // of inputs, from all others

  std::chrono::nanoseconds time_limit{0};  // of each task whose submission gives none; 0: none
  std::chrono::nanoseconds time_limit_grace{std::chrono::seconds(10)};  // for a kernel to stop when asked to

  std::chrono::nanoseconds lifetime{0};  // after which it will end in any case, as the scheduler is told; 0: not known
  bool watch_turns = false;              // notes what turns of its loop take, beside a thread that idles
  Vitals* vitals = nullptr;              // what this process tells its nanny; null: it has none. Outlives the server
};

// What the configuration says of workers on this machine, of which there are `workers`. The scheduler's address and the
// token are not in it.
WorkerOptions worker_options(const Config& config, unsigned workers);

// Why a worker ended.
struct WorkerExit {
  enum class Kind {
    kStopped,        // stop() was called
    kShutdown,       // the scheduler sent it away
    kRefused,        // the scheduler did not take it
    kSchedulerLost,  // nobody answered within death_timeout
    kFailed,         // it could not start: wrong token, other protocol version, port in use
  };
  Kind kind = Kind::kStopped;
  std::string reason;
  bool ok() const { return kind == Kind::kStopped || kind == Kind::kShutdown; }
};

class WorkerServer {
 public:
  // Loads the kernel libraries and starts the threads. Throws ConfigError when no kernel library can be loaded,
  // FileError for an unusable local directory, ValueError for malformed addresses. `loop` must outlive the server.
  WorkerServer(EventLoop& loop, WorkerOptions options);
  // Waits for kernels that are running; calls nothing back. On the loop, or after the loop has ended.
  ~WorkerServer();
  WorkerServer(const WorkerServer&) = delete;
  WorkerServer& operator=(const WorkerServer&) = delete;

  // Called once when the worker has ended for any reason; the server may be destroyed in it only through a post() to
  // the loop.
  std::function<void(const WorkerExit&)> on_exit;
  // Called each time the scheduler has accepted this worker.
  std::function<void()> on_registered;

  // Called once when a kernel goes on although its task's time is over and it was asked to stop: the thread is lost to
  // this process.
  std::function<void()> on_stuck_thread;

  // Begins to connect; what follows is told through the callbacks.
  void start();
  // Ends the worker; on_exit follows. Running kernels are asked to stop; it is the destructor that waits for them.
  // Orderly: the scheduler is told.
  void stop(bool orderly = true);
  // The orderly end that loses nothing: the worker gets nothing new, finishes what it has, others take its results, and
  // the scheduler sends it away. After `deadline` it ends as by stop(), and so it does when it cannot reach the
  // scheduler. A second call may only shorten the time.
  void drain(const std::string& reason, std::chrono::nanoseconds deadline);

  const std::string& name() const;
  std::string address() const;  // of the data plane; "" before the first connection to the scheduler
  unsigned threads() const;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace tegula::worker
