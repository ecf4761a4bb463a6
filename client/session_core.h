// A session with a scheduler: the connection and its loss, sequence numbers, and what is known about wanted results.
//
// Threads: what is marked (loop) runs on the session's loop; everything else may be called from any thread but that
// one. Held by its users and, weakly, by the loop.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "client/output_table.h"
#include "client/worker_pool.h"
#include "comm/event_loop.h"
#include "comm/session_contents.h"
#include "comm/transport.h"

namespace tegula::client {

struct SessionOptions {
  std::string address;
  std::string scheduler_file;  // read before each try to connect again, for address and token; "": they stay
  CommOptions comm;            // with name and token; the role is the session's to fill in
  double share = 1;            // see ClientOptions
  // How long a lost connection is tried again. A scheduler that does not know the session any more, since it was
  // started again or gave the client up, is told all of it.
  std::chrono::nanoseconds reattach_time = std::chrono::seconds(30);
  std::uint64_t fetch_bytes = 64u << 20;  // of results in flight
};

class SessionCore : public std::enable_shared_from_this<SessionCore> {
 public:
  SessionCore(std::shared_ptr<EventLoop> loop, SessionOptions options);

  // Connects and attaches within options.comm.connect_timeout. Throws ConnectionError and its kinds.
  void open();
  // Ends the session: what is pending ends as cancelled. Idempotent.
  void close();
  bool closed() const;
  // Throws ClosedError or ConnectionError unless the session lives.
  void require_open() const;

  const SessionOptions& options() const { return options_; }
  std::string address() const;  // of the scheduler as it was found last
  EventLoop& loop() { return *loop_; }

  // ---- what changes the session ----
  // Numbers for `count` new layers; `submit` must follow with them before another thread takes numbers, hence the lock.
  class Numbering {
   public:
    explicit Numbering(SessionCore& core) : lock_(core.numbering_mutex_), core_(core) {}
    LayerNumber first() const { return core_.next_layer_; }

   private:
    friend class SessionCore;
    std::lock_guard<std::mutex> lock_;
    SessionCore& core_;
  };
  struct Submission;
  // Queues the submission and makes one table per want (or finds it). What failed or was cancelled of a table that is
  // there is pending again once the scheduler has taken the submission.
  struct Submitted {
    std::shared_ptr<Submission> submission;
    std::vector<std::shared_ptr<OutputTable>> tables;  // one per want
  };
  Submitted submit(const Numbering&, std::vector<msg::LayerPtr> layers, std::vector<msg::WantRange> wants,
                   msg::SubmitOptions options = {});
  // Until the scheduler has taken it. Throws the refusal; the submission is then to be abandoned.
  void wait_accepted(Submission& submission);
  void abandon(const std::vector<std::shared_ptr<OutputTable>>& tables);
  // One want of a table less; sent with others.
  void release(const std::shared_ptr<OutputTable>& table);
  void forget(LayerNumber layer);
  void cancel(const std::shared_ptr<OutputTable>& table);

  // ---- questions ----
  std::mutex& mutex() const { return mutex_; }  // guards the tables
  // Until the table is settled; throws what it failed with, or TimeoutError.
  void wait(const OutputTable& table, std::optional<std::chrono::nanoseconds> timeout) const;
  // Throws what kError (with its error), kCancelled or kLost means. The mutex is held.
  [[noreturn]] void throw_failure(FutureStatus status, const ErrorInfo* error) const;
  msg::StatusReply status(std::chrono::nanoseconds timeout);
  // The whole answer. Throws what the scheduler says is wrong with the question, TimeoutError when nothing comes for
  // `timeout`.
  std::string ask(msg::QueryKind kind, const std::string& subject, std::chrono::nanoseconds timeout);
  // Waits until it is done, without end when no timeout is given: a worker may take its time to retire. Throws
  // ConnectionError when the connection was lost before the answer: nobody knows whether it was done.
  std::string command(const msg::Command& order, std::optional<std::chrono::nanoseconds> timeout);
  Connection::Counters traffic();  // of the connection there is; nothing while there is none
  // (loop) handler; interval 0 ends it.
  void subscribe(std::uint32_t interval_ms, std::function<void(const msg::Progress&)> handler);

  WorkerPool& workers() { return *workers_; }  // (loop)
  // (loop) told when the session ends; numbered for removal
  std::map<std::uint64_t, std::function<void()>> end_listeners;
  std::uint64_t next_listener = 1;  // (loop), also of tables

  struct Submission {  // mutex
    bool done = false;
    std::optional<ErrorInfo> error;
    // Of its wants. Until the scheduler has taken them, news of these tables speaks of earlier wants.
    std::vector<std::shared_ptr<OutputTable>> tables;
  };

 private:
  enum class Phase { kConnecting, kAttached, kReattaching, kLost, kClosed };
  using Clock = std::chrono::steady_clock;

  // (loop), all of these
  void try_connect();
  void try_again(ErrorInfo why);  // later, unless `why` or the time speaks against it
  void connected(std::uint64_t try_number, ConnectionPtr connection, std::optional<ErrorInfo> error);
  void receive(std::vector<msg::Message>& messages);
  void handle(msg::Message& message);
  void attached(const msg::ClientAttached& message);
  void read_file();
  void begin_life(Incarnation incarnation);
  void attach_anew();
  void submit_again();
  void disconnected(const std::string& reason);
  void lose(ErrorInfo why);
  void acknowledge(std::uint64_t sequence, std::uint64_t refused, std::optional<ErrorInfo> error);
  static void begin_wants(Submission& submission);  // the scheduler has taken them; mutex held
  void send(msg::Message message);                  // now, if attached
  template <typename Change>
  void send_change(Change change);  // with the next sequence number, repeated until acknowledged
  void send_numbered(std::uint64_t sequence, msg::Message& change);
  void flush_changes();
  void change_table(LayerNumber layer, std::uint16_t output, std::uint32_t index,
                    const std::function<bool(OutputTable&)>& change);
  void tell_listeners(OutputTable& table, std::uint32_t index);  // mutex held
  void end_tables(FutureStatus how);
  void drop_connection();

  msg::QueryReply answer_to(std::function<msg::Message(std::uint64_t request)> question,
                            std::optional<std::chrono::nanoseconds> timeout);
  void flush_later();  // mutex held

  const std::shared_ptr<EventLoop> loop_;
  SessionOptions options_;
  std::shared_ptr<WorkerPool> workers_;

  // The loop's own.
  ConnectionPtr connection_;
  std::unique_ptr<EventLoop::Timer> retry_timer_, deadline_timer_;
  std::uint64_t tries_ = 0;  // numbers them: a try that was given up may still end
  unsigned failures_ = 0;    // since the session was last attached
  Clock::time_point deadline_;
  std::uint64_t session_ = 0, secret_ = 0;
  Incarnation life_{};            // of the scheduler; 0: never attached
  bool unknown_ = false;          // the scheduler does not know the session: it will be told all of it
  std::uint64_t told_again_ = 0;  // changes up to this number repeat what was taken before
  SessionContents contents_;      // what the acknowledged changes come to
  std::uint64_t last_sequence_ = 0;
  std::uint64_t acknowledged_ = 0;  // changes up to this number were
  std::deque<std::pair<std::uint64_t, msg::Message>> unacknowledged_;
  std::map<std::uint64_t, std::shared_ptr<Submission>> submissions_;  // by sequence
  std::uint32_t progress_interval_ = 0;
  std::function<void(const msg::Progress&)> progress_handler_;
  std::uint64_t last_request_ = 0;

  std::mutex numbering_mutex_;  // taken before mutex_
  LayerNumber next_layer_ = 1;  // numbering_mutex_

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Phase phase_ = Phase::kConnecting;
  std::string address_;  // written on the loop
  ErrorInfo loss_;       // kLost
  struct Entry {
    std::shared_ptr<OutputTable> table;
    std::uint64_t wants = 0;
  };
  std::map<std::pair<LayerNumber, std::uint16_t>, Entry> tables_;
  std::vector<std::shared_ptr<OutputTable>> cancelled_;
  std::vector<msg::WantRange> released_;
  std::vector<LayerNumber> forgotten_;
  bool flush_posted_ = false;
  std::unordered_map<std::uint64_t, msg::StatusReply> replies_;
  struct Question {
    msg::Message message;  // a Query, asked again after a lost connection, or a Command, which is not
    std::optional<msg::QueryReply> reply;
  };
  std::unordered_map<std::uint64_t, Question> questions_;  // by request
};

}  // namespace tegula::client
