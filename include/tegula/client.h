// A Client connects a program to a scheduler: it submits graphs, holds futures and fetches results.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tegula/error.h"

namespace tegula {

class LocalCluster;

struct ClientOptions {
  std::string name;   // shown in logs and status; "": client.name of the configuration, or program and process number
  std::string token;  // the cluster token; "": of the scheduler file, or from TEGULA_CLUSTER_TOKEN
  bool insecure = false;  // allow an address beyond loopback without a token
  std::chrono::nanoseconds connect_timeout = std::chrono::seconds(10);
  unsigned threads = 0;     // embedded only: threads of this process that run kernels; 0: one per core
  std::string config_file;  // read after ~/.config/tegula/*.yaml and $TEGULA_CONFIG; "": nothing more
  // Weight among clients that compete for workers: one with share 2 gets twice the time of one with share 1. More than
  // 0, at most 1e6; else the constructor throws ValueError.
  double share = 1;
};

enum class FutureStatus : std::uint8_t {
  kPending,    // waiting, running, or being computed again
  kFinished,   // in a worker's memory
  kError,      // the task failed, or one that it needs
  kCancelled,  // by this client
  kLost,       // the session with the scheduler is lost for good
};

namespace detail {
class ClientImpl;
struct FutureState;
}  // namespace detail

struct WorkerStatus {
  std::string name, address, host, kernel_level;
  std::uint64_t pid = 0;
  unsigned threads = 0;
  // Bytes, as last reported: the limit (0: none), what its values take in memory, what the process takes in all.
  std::uint64_t memory_limit = 0, managed_bytes = 0, rss_bytes = 0;
  std::uint64_t tasks_done = 0;  // since it started
  unsigned processing = 0;       // tasks that it has been given and not yet answered for
  // Bytes: set aside for running tasks and what they wait for, of results on disk, of free blocks kept for reuse, and
  // of everything else that the process has (resident, neither managed nor kept).
  std::uint64_t reserved_bytes = 0, spilled_bytes = 0, kept_bytes = 0, unmanaged_bytes = 0;
};
// How many tasks of all clients are in each state.
struct ClusterStatus {
  std::vector<WorkerStatus> workers;
  std::uint64_t released = 0, waiting = 0, no_worker = 0, queued = 0, processing = 0, memory = 0, erred = 0;
};
// Where one task stands, as the scheduler knows it. The states are those of docs/task-states.md.
struct TaskStatus {
  struct Input {
    std::string key, state;
    bool available = false;
  };
  struct Output {
    std::uint64_t nbytes = 0, wants = 0, readers = 0;  // bytes once it is made; wants of clients; unfinished tasks
    std::vector<std::string> who_has;                  // names of workers
  };
  std::string key, kernel, state, why;
  std::string worker;         // that it is bound to; "": none
  std::vector<Input> inputs;  // the first 1000
  std::vector<Output> outputs;
  std::string error;  // the first failure's message; "": none
};
struct TaskTransition {
  double seconds_ago = 0;
  std::string from, to;
  std::string worker;         // "": none
  std::uint64_t attempt = 0;  // 0: none
};
// What one worker has, as the scheduler knows it.
struct WorkerContents {
  struct Held {
    std::string key;
    std::uint16_t output = 0;
    std::uint64_t nbytes = 0;
  };
  std::vector<std::string> processing;    // keys of tasks that are bound to it
  std::vector<Held> has_what;             // the first 10,000
  std::uint64_t results = 0, nbytes = 0;  // all of them
  double occupancy = 0;                   // seconds of work that are bound to it, by the mean duration so far
};
// In tasks: what this client's work needs, what of that is done, what runs now; and the whole cluster's size.
struct ProgressReport {
  std::uint64_t total = 0, done = 0, executing = 0;
  unsigned workers = 0, threads = 0;
};

// Safe to use from any thread. Copies share the session; the last copy closes it, which releases its work: tasks nobody
// else waits for are cancelled. Futures and persisted arrays keep working only while their client is open.
class Client {
 public:
  // Embedded: a scheduler and workers inside this process, nothing copied between them. It does not survive a crashing
  // kernel.
  Client();
  explicit Client(const ClientOptions& options);
  // Connects to "tcp://host:port" ("host:port", "inproc://name"), or to the scheduler of a scheduler file
  // ("/path/to/file.json"), waiting at most options.connect_timeout. Throws ConnectionError: nobody answered;
  // VersionError; AuthenticationError.
  explicit Client(std::string_view address, const ClientOptions& options = {});
  explicit Client(const LocalCluster& cluster, const ClientOptions& options = {});

  // The most recently made client that is still open; makes an embedded one when there is none (it stays until the
  // program ends).
  static Client current();

  void close();  // idempotent; pending futures end as cancelled
  bool closed() const;
  std::string scheduler_address() const;
  // Asks the scheduler. Throws TimeoutError after 10 s, ClosedError, ConnectionError when the scheduler is lost.
  ClusterStatus status();
  // Waits until the cluster has `workers` workers. Throws TimeoutError naming how many there are.
  void wait_for_workers(unsigned workers, std::chrono::nanoseconds timeout = std::chrono::seconds(30));
  // Calls `report` (on a thread of the client's own; it must not throw) about ten times a second while this client's
  // work changes. One listener; {} ends it, and it is not called any more once that has returned.
  void on_progress(std::function<void(const ProgressReport&)> report);

  // For whoever looks after the cluster (docs/operations.md). Keys as errors and `tegula` show them:
  // "normal-3f2a91c0(0,7)". All throw ValueError for what names nothing, with the nearest that does.
  // One sentence: why this task is not running, or where it stands.
  std::string why(const std::string& key);
  TaskStatus task(const std::string& key);
  std::vector<TaskTransition> story(const std::string& key);  // oldest first, as far back as the scheduler's log goes
  WorkerContents worker(const std::string& worker);           // by name or address
  // The cluster's state into a file (JSON, mode 0600) that `tegula replay` reads. Throws FileError.
  void dump(const std::string& path);
  // Ends an unfinished task for everybody who wants it or what needs it: their futures end as cancelled.
  void cancel(const std::string& key);
  // These return when it has been done, however long that takes, and throw ValueError saying why it cannot be.
  void replicate(const std::string& key, unsigned workers);  // has this result on so many workers
  void rebalance();                                          // moves results from fuller workers to emptier ones
  // By name or address, one after the other: each gets nothing new, its results go to others, then it leaves.
  void retire_workers(const std::vector<std::string>& workers);

  const std::shared_ptr<detail::ClientImpl>& impl() const { return impl_; }              // internal
  explicit Client(std::shared_ptr<detail::ClientImpl> impl) : impl_(std::move(impl)) {}  // internal

 private:
  std::shared_ptr<detail::ClientImpl> impl_;
};

// Draws progress on a terminal (standard error) while it lives: a bar, tasks done, tasks per second, time left. Prints
// a line every few seconds where standard error is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(Client& client);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tegula
