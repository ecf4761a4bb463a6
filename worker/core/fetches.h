// Pieces of results that tasks of this worker need from other workers: which are asked for, from whom, and what became
// of it. One fetch serves every task that wants the same piece. Part of the state machine: no I/O.
//
// A piece may be asked for before it exists: the request names the attempt that makes it, and is answered when that
// ends. And it may be asked for without room for it, by a task that is ahead: then it comes if it is small, and
// otherwise only the news that it is there. Both are requests of their own, so nothing else waits behind them; the
// oldest are sent first, since those that a peer answers last may depend on them.
//
// Invariants: a piece has users, or it is in flight. A queued piece is in exactly one queue of one peer.
// reserved_bytes() is the sum over pieces with room reserved that have not arrived. Requests in flight per peer and in
// all, and their bytes, are bounded; one request always may go.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/core/events.h"

namespace tegula {
class CanonicalHash;
}

namespace tegula::worker {

struct FetchLimits {
  unsigned requests_per_peer = 2;
  unsigned requests = 64;
  std::uint64_t bytes_in_flight = 256u << 20;
  std::uint64_t request_bytes = 32u << 20;
  std::size_t request_items = 1024;
  unsigned awaited_per_peer = 1024;                   // requests that wait at it, beside those
  std::uint64_t ahead_bytes = 64u << 10;              // of a piece that may come although no room is reserved for it
  unsigned tries_per_holder = 3;                      // after lost connections
  Time first_backoff = std::chrono::milliseconds(5);  // after busy answers and lost connections, doubled each time
  Time max_backoff = std::chrono::milliseconds(500);
};

using PieceId = std::uint64_t;

class Fetches {
 public:
  struct User {
    AttemptId attempt{};
    std::uint32_t slot = 0;  // which of the task's inputs
    friend bool operator==(const User&, const User&) = default;
  };
  struct Source {
    WorkerId worker{};
    AttemptId attempt{};  // that makes it there; 0: it is there
    friend bool operator==(const Source&, const Source&) = default;
  };
  // What a reply (or its absence) did.
  struct Arrived {
    ResultId result;
    Chunk chunk;
    std::vector<User> users;
  };
  struct Lost {  // no holder could give it
    ResultId result;
    std::vector<msg::TaskReturned::Missing> missing;  // empty: the attempts that were to make it ended without
    std::vector<User> users;
  };
  struct Large {  // it is there, for whoever has room
    ResultId result;
    WorkerId holder{};
    std::vector<User> users;
  };
  struct Refused {  // the box does not fit the result, or what came does not fit the box
    ResultId result;
    std::string message;
    std::vector<User> users;
  };
  struct Outcome {
    std::vector<Arrived> arrived;
    std::vector<Lost> lost;
    std::vector<Large> large;
    std::vector<Refused> refused;
  };

  explicit Fetches(FetchLimits limits) : limits_(limits) {}

  // Forgets all that was asked for and whom. Replies to it are nobody's.
  void reset();
  void set_address(WorkerId worker, std::string address);
  bool knows(WorkerId worker) const { return peers_.contains(worker); }

  // The bytes by which reserved_bytes() would grow if this piece were wanted; 0 when room is reserved for it, or it is
  // here already.
  std::uint64_t extra_bytes(const ResultId& result, const Box& box, std::uint64_t estimate) const;
  struct Wanted {
    PieceId piece = 0;
    const Chunk* chunk = nullptr;  // when it is here already; valid until the next call
  };
  // Wants a piece for one input of a task, from one of `sources` (not empty, their addresses known). `ahead`: without
  // room for it.
  Wanted want(const ResultId& result, const Box& box, std::uint64_t estimate, const std::vector<Source>& sources,
              User user, bool ahead = false);
  std::uint64_t ahead_bytes() const { return limits_.ahead_bytes; }
  // One input of an attempt does without its piece for now, whose bytes go if nobody else needs them. Says how it
  // stood; pieces without room reserved stay.
  enum class Given { kNothing, kOutstanding, kArrived };
  Given give_up(const ResultId& result, const Box& box, User user);
  // The attempt needs the piece no more.
  void release(PieceId piece, AttemptId attempt);

  // Starts what may start now.
  void pump(Time now, std::vector<Action>& actions);
  Outcome replied(msg::FetchReply reply, Time now);
  Outcome failed(std::uint64_t request, Time now);
  // The scheduler has lost this worker: what was to come from it comes from elsewhere. Replies to its requests are
  // stale.
  Outcome forget(WorkerId worker);

  // What came from peers since they were last told of here: at most `most` peers.
  std::vector<msg::Transfers> take_transfers(std::size_t most);

  std::optional<Time> next_wakeup(Time now) const;  // when a back-off ends
  std::uint64_t reserved_bytes() const { return reserved_bytes_; }
  std::size_t pieces() const { return pieces_.size(); }
  std::vector<PieceId> pieces_of(AttemptId attempt) const;  // slow; for checks
  std::size_t outstanding(AttemptId attempt) const;         // its inputs that have not come; slow
  void check_invariants() const;                            // throws std::logic_error
  void canonical_hash(CanonicalHash& hash, Time now) const;

 private:
  struct Key {
    ResultId result;
    Box box;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  enum class Stage { kQueued, kInFlight, kArrived };
  struct Candidate {
    Source source;
    unsigned tries = 0;  // that ended with a lost connection
  };
  struct Piece {
    Key key;
    Stage stage = Stage::kQueued;
    bool reserved = false;  // there is room for it
    std::uint64_t bytes = 0;
    std::vector<Candidate> holders;  // not tried in vain; the front one is being asked
    std::vector<msg::TaskReturned::Missing> missing;
    std::vector<User> users;
    Chunk chunk;
    bool waits() const { return !reserved || holders.front().source.attempt != AttemptId{}; }
  };
  struct Peer {
    std::string address;
    std::deque<PieceId> queue;
    std::deque<PieceId> waiting;  // pieces with waits()
    unsigned requests = 0;
    unsigned waiting_requests = 0;
    Time not_before{0};
    unsigned setbacks = 0;  // in a row
    msg::Transfers got;     // not reported yet
    std::deque<PieceId>& queue_of(const Piece& piece) { return piece.waits() ? waiting : queue; }
    bool idle() const { return queue.empty() && waiting.empty(); }
  };
  struct Request {
    WorkerId peer{};
    bool waits = false;
    std::uint64_t bytes = 0;
    std::vector<PieceId> pieces;
    Time began{0};
  };

  void enqueue(PieceId id, Piece& piece, bool in_front);
  void dequeue(PieceId id, Piece& piece);
  void reserve(PieceId id, Piece& piece);
  void ask(WorkerId worker, Peer& peer, Time now, std::vector<Action>& actions);
  void ask_waiting(WorkerId worker, Peer& peer, std::vector<Action>& actions);
  void erase(PieceId id);
  void set_back(Peer& peer, Time now);
  void count_transfer(const Request& request, const msg::FetchReply& reply, Time now);
  Request finish_request(std::unordered_map<std::uint64_t, Request>::iterator found);
  // Why the front holder doesn't give the piece: the attempt that was to make it there ended without; it lacks it
  // although it should not; it could not be asked.
  enum class Refusal { kNews, kMissing, kUnreachable };
  // The next holder is asked, or the piece is lost.
  void next_holder(PieceId id, Piece& piece, Refusal refusal, Outcome& outcome);
  void settle_item(PieceId id, bool waited, msg::FetchReply::Item item, Outcome& outcome);

  FetchLimits limits_;
  std::unordered_map<PieceId, Piece> pieces_;
  std::unordered_map<Key, PieceId, KeyHash> by_key_;
  std::unordered_map<WorkerId, Peer> peers_;
  std::set<WorkerId> waiting_peers_;  // with something in a queue
  std::set<WorkerId> given_;          // peers whose transfers are to be told
  std::unordered_map<std::uint64_t, Request> requests_;
  std::uint64_t last_piece_ = 0;
  std::uint64_t last_request_ = 0;
  std::uint64_t reserved_bytes_ = 0;
  std::uint64_t bytes_in_flight_ = 0;   // of requests that do not wait
  std::size_t requests_in_flight_ = 0;  // the same
};

}  // namespace tegula::worker
