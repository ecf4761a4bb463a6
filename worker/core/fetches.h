// Pieces of results that tasks of this worker need from other workers: which are asked for, from whom, and what became
// of it. One fetch serves every task that wants the same piece. Part of the state machine: no I/O.
//
// Invariants: a piece has users, or it is in flight. A queued piece is in exactly one peer's queue. reserved_bytes() is
// the sum over pieces that have not arrived. Requests in flight per peer and in all, and their bytes, are bounded; one
// request always may go.
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
  };
  // What a reply (or its absence) did.
  struct Arrived {
    ResultId result;
    Chunk chunk;
    std::vector<User> users;
  };
  struct Lost {  // no holder could give it
    std::vector<msg::TaskReturned::Missing> missing;
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
    std::vector<Refused> refused;
  };

  explicit Fetches(FetchLimits limits) : limits_(limits) {}

  void set_address(WorkerId worker, std::string address);
  bool knows(WorkerId worker) const { return peers_.contains(worker); }

  // The bytes by which reserved_bytes() would grow if this piece were wanted; 0 when it is under way or here already.
  std::uint64_t extra_bytes(const ResultId& result, const Box& box, std::uint64_t estimate) const;
  struct Wanted {
    PieceId piece = 0;
    const Chunk* chunk = nullptr;  // when it is here already; valid until the next call
  };
  // Wants a piece for one input of a task, from one of `holders` (not empty, their addresses known).
  Wanted want(const ResultId& result, const Box& box, std::uint64_t estimate, const std::vector<WorkerId>& holders,
              User user);
  // The attempt needs the piece no more.
  void release(PieceId piece, AttemptId attempt);

  // Starts what may start now.
  void pump(Time now, std::vector<Action>& actions);
  Outcome replied(msg::FetchReply reply, Time now);
  Outcome failed(std::uint64_t request, Time now);

  std::optional<Time> next_wakeup(Time now) const;  // when a back-off ends
  std::uint64_t reserved_bytes() const { return reserved_bytes_; }
  std::uint64_t requests_in_flight() const { return requests_.size(); }
  std::size_t pieces() const { return pieces_.size(); }
  std::vector<PieceId> pieces_of(AttemptId attempt) const;  // slow; for checks
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
    WorkerId worker{};
    unsigned tries = 0;  // that ended with a lost connection
  };
  struct Piece {
    Key key;
    Stage stage = Stage::kQueued;
    std::uint64_t bytes = 0;
    std::vector<Candidate> holders;  // not tried in vain; the front one is being asked
    std::vector<msg::TaskReturned::Missing> missing;
    std::vector<User> users;
    Chunk chunk;
  };
  struct Peer {
    std::string address;
    std::deque<PieceId> queue;
    unsigned requests = 0;
    Time not_before{0};
    unsigned setbacks = 0;  // in a row
  };
  struct Request {
    WorkerId peer{};
    std::uint64_t bytes = 0;
    std::vector<PieceId> pieces;
  };

  void enqueue(PieceId id, Piece& piece, bool in_front);
  void erase(PieceId id);
  void set_back(Peer& peer, Time now);
  Request finish_request(std::unordered_map<std::uint64_t, Request>::iterator found);
  // The front holder can't give the piece: the next is asked, or the piece is lost.
  void next_holder(PieceId id, Piece& piece, Outcome& outcome);
  void settle_item(PieceId id, msg::FetchReply::Item item, Outcome& outcome);

  FetchLimits limits_;
  std::unordered_map<PieceId, Piece> pieces_;
  std::unordered_map<Key, PieceId, KeyHash> by_key_;
  std::unordered_map<WorkerId, Peer> peers_;
  std::set<WorkerId> waiting_peers_;  // whose queue is not empty
  std::unordered_map<std::uint64_t, Request> requests_;
  std::uint64_t last_piece_ = 0;
  std::uint64_t last_request_ = 0;
  std::uint64_t reserved_bytes_ = 0;
  std::uint64_t bytes_in_flight_ = 0;
};

}  // namespace tegula::worker
