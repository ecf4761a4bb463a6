#include "worker/core/fetches.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "src/shape.h"

namespace tegula::worker {

std::size_t Fetches::KeyHash::operator()(const Key& key) const noexcept {
  std::uint64_t hash = std::hash<ResultId>{}(key.result);
  const auto add = [&hash](std::int64_t value) {
    hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 32;
  };
  for (const BoxDim& dim : key.box) {
    add(dim.start);
    add(dim.count);
    add(dim.step);
  }
  return hash;
}

void Fetches::reset() {
  pieces_.clear();
  by_key_.clear();
  peers_.clear();
  waiting_peers_.clear();
  requests_.clear();
  reserved_bytes_ = bytes_in_flight_ = 0;
  requests_in_flight_ = 0;
}

void Fetches::set_address(WorkerId worker, std::string address) { peers_[worker].address = std::move(address); }

std::uint64_t Fetches::extra_bytes(const ResultId& result, const Box& box, std::uint64_t estimate) const {
  const auto found = by_key_.find(Key{result, box});
  if (found == by_key_.end()) return estimate;
  const Piece& piece = pieces_.at(found->second);
  return piece.reserved || piece.stage == Stage::kArrived ? 0 : piece.bytes;
}

Fetches::Wanted Fetches::want(const ResultId& result, const Box& box, std::uint64_t estimate,
                              const std::vector<Source>& sources, User user, bool ahead) {
  const auto [found, is_new] = by_key_.try_emplace(Key{result, box}, last_piece_ + 1);
  const PieceId id = found->second;
  Piece& piece = pieces_[id];
  piece.users.push_back(user);
  if (is_new) {
    ++last_piece_;
    piece.key = found->first;
    piece.bytes = estimate;
    for (const Source& source : sources) piece.holders.push_back({source, 0});
    // Spread over the holders, so that a much wanted result is not asked from one worker by all.
    if (piece.holders.size() > 1) {
      const auto first = KeyHash{}(piece.key) % piece.holders.size();
      std::rotate(piece.holders.begin(), piece.holders.begin() + static_cast<std::ptrdiff_t>(first),
                  piece.holders.end());
    }
    piece.reserved = !ahead;
    if (!ahead) reserved_bytes_ += estimate;
    enqueue(id, piece, false);
  } else {
    for (const Source& source : sources) {
      const auto same = [&](const Candidate& candidate) { return candidate.source == source; };
      if (std::none_of(piece.holders.begin(), piece.holders.end(), same)) piece.holders.push_back({source, 0});
    }
    if (!ahead) reserve(id, piece);
  }
  return {id, piece.stage == Stage::kArrived ? &piece.chunk : nullptr};
}

Fetches::Given Fetches::give_up(const ResultId& result, const Box& box, User user) {
  const auto found = by_key_.find(Key{result, box});
  if (found == by_key_.end()) return Given::kNothing;
  const PieceId id = found->second;
  Piece& piece = pieces_.at(id);
  const bool arrived = piece.stage == Stage::kArrived;
  if ((!arrived && !piece.reserved) || std::erase(piece.users, user) == 0) return Given::kNothing;
  if (piece.users.empty() && piece.stage != Stage::kInFlight) {
    if (!arrived) dequeue(id, piece);
    erase(id);
  }
  return arrived ? Given::kArrived : Given::kOutstanding;
}

void Fetches::release(PieceId id, AttemptId attempt) {
  const auto found = pieces_.find(id);
  if (found == pieces_.end()) return;
  Piece& piece = found->second;
  std::erase_if(piece.users, [attempt](const User& user) { return user.attempt == attempt; });
  if (!piece.users.empty() || piece.stage == Stage::kInFlight) return;
  if (piece.stage == Stage::kQueued) dequeue(id, piece);
  erase(id);
}

void Fetches::enqueue(PieceId id, Piece& piece, bool in_front) {
  piece.stage = Stage::kQueued;
  const WorkerId holder = piece.holders.front().source.worker;
  std::deque<PieceId>& queue = peers_[holder].queue_of(piece);
  if (in_front) {
    queue.push_front(id);
  } else {
    queue.push_back(id);
  }
  waiting_peers_.insert(holder);
}

void Fetches::dequeue(PieceId id, Piece& piece) {
  const WorkerId holder = piece.holders.front().source.worker;
  Peer& peer = peers_[holder];
  std::erase(peer.queue_of(piece), id);
  if (peer.idle()) waiting_peers_.erase(holder);
}

void Fetches::reserve(PieceId id, Piece& piece) {
  if (piece.reserved || piece.stage == Stage::kArrived) return;
  const bool moves = piece.stage == Stage::kQueued && piece.holders.front().source.attempt == AttemptId{};
  if (moves) dequeue(id, piece);
  piece.reserved = true;
  reserved_bytes_ += piece.bytes;
  if (moves) enqueue(id, piece, false);
}

void Fetches::erase(PieceId id) {
  const auto found = pieces_.find(id);
  if (found->second.stage != Stage::kArrived && found->second.reserved) reserved_bytes_ -= found->second.bytes;
  by_key_.erase(found->second.key);
  pieces_.erase(found);
}

void Fetches::pump(Time now, std::vector<Action>& actions) {
  for (auto next = waiting_peers_.begin(); next != waiting_peers_.end();) {
    const WorkerId worker = *next;
    Peer& peer = peers_[worker];
    if (now >= peer.not_before) {
      ask_waiting(worker, peer, actions);
      ask(worker, peer, now, actions);
    }
    next = peer.idle() ? waiting_peers_.erase(next) : std::next(next);
  }
}

void Fetches::ask(WorkerId worker, Peer& peer, Time now, std::vector<Action>& actions) {
  while (!peer.queue.empty() && peer.requests < limits_.requests_per_peer) {
    if (requests_in_flight_ > 0 &&
        (requests_in_flight_ >= limits_.requests || bytes_in_flight_ >= limits_.bytes_in_flight))
      return;
    // A peer that failed is asked by one request at a time until it has answered.
    if (peer.setbacks > 0 && peer.requests > 0) return;
    StartFetch fetch{++last_request_, worker, peer.address, {}, {}, 0};
    Request request{worker, false, 0, {}, now};
    while (!peer.queue.empty() && request.pieces.size() < limits_.request_items) {
      const PieceId id = peer.queue.front();
      Piece& piece = pieces_.at(id);
      if (!request.pieces.empty() && request.bytes + piece.bytes > limits_.request_bytes) break;
      peer.queue.pop_front();
      piece.stage = Stage::kInFlight;
      request.bytes += piece.bytes;
      request.pieces.push_back(id);
      fetch.items.push_back({piece.key.result, piece.key.box});
    }
    ++peer.requests;
    ++requests_in_flight_;
    bytes_in_flight_ += request.bytes;
    requests_.emplace(fetch.request, std::move(request));
    actions.emplace_back(std::move(fetch));
  }
}

void Fetches::ask_waiting(WorkerId worker, Peer& peer, std::vector<Action>& actions) {
  while (!peer.waiting.empty() && peer.waiting_requests < limits_.awaited_per_peer) {
    const PieceId id = peer.waiting.front();
    peer.waiting.pop_front();
    Piece& piece = pieces_.at(id);
    piece.stage = Stage::kInFlight;
    StartFetch fetch{++last_request_,
                     worker,
                     peer.address,
                     {},
                     piece.holders.front().source.attempt,
                     piece.reserved ? 0 : limits_.ahead_bytes};
    fetch.items.push_back({piece.key.result, piece.key.box});
    ++peer.waiting_requests;
    requests_.emplace(fetch.request, Request{worker, true, 0, {id}, {}});
    actions.emplace_back(std::move(fetch));
  }
}

void Fetches::set_back(Peer& peer, Time now) {
  const Time wait =
      std::min(limits_.max_backoff, limits_.first_backoff * (std::int64_t{1} << std::min(peer.setbacks, 16u)));
  ++peer.setbacks;
  peer.not_before = std::max(peer.not_before, now + wait);
}

void Fetches::count_transfer(const Request& request, const msg::FetchReply& reply, Time now) {
  std::uint64_t bytes = 0;
  for (const msg::FetchReply::Item& item : reply.items) {
    if (item.status == msg::FetchStatus::kOk) bytes += item.chunk.nbytes();
  }
  const auto took = static_cast<std::uint64_t>(std::max<std::int64_t>((now - request.began).count(), 1));
  msg::Transfers& got = peers_[request.peer].got;
  got.from = request.peer;
  if (bytes < msg::Transfers::kSmall) {
    if (got.small++ == 0 || took < got.small_ns) got.small_ns = took;
  } else if (got.large++ == 0 || static_cast<double>(took) * static_cast<double>(got.bytes) <
                                     static_cast<double>(got.large_ns) * static_cast<double>(bytes)) {
    got.large_ns = took;
    got.bytes = bytes;
  }
  given_.insert(request.peer);
}

std::vector<msg::Transfers> Fetches::take_transfers(std::size_t most) {
  std::vector<msg::Transfers> transfers;
  while (!given_.empty() && transfers.size() < most) {
    const auto peer = peers_.find(*given_.begin());
    given_.erase(given_.begin());
    if (peer != peers_.end()) transfers.push_back(std::exchange(peer->second.got, {}));
  }
  return transfers;
}

Fetches::Request Fetches::finish_request(std::unordered_map<std::uint64_t, Request>::iterator found) {
  Request request = std::move(found->second);
  requests_.erase(found);
  Peer& peer = peers_[request.peer];
  if (request.waits) {
    --peer.waiting_requests;
  } else {
    --peer.requests;
    --requests_in_flight_;
    bytes_in_flight_ -= request.bytes;
  }
  return request;
}

void Fetches::next_holder(PieceId id, Piece& piece, Refusal refusal, Outcome& outcome) {
  if (refusal != Refusal::kNews) {
    piece.missing.push_back({piece.key.result, piece.holders.front().source.worker, refusal == Refusal::kUnreachable});
  }
  piece.holders.erase(piece.holders.begin());
  if (piece.holders.empty()) {
    outcome.lost.push_back({piece.key.result, std::move(piece.missing), std::move(piece.users)});
    erase(id);
  } else {
    enqueue(id, piece, false);
  }
}

void Fetches::settle_item(PieceId id, bool waited, msg::FetchReply::Item item, Outcome& outcome) {
  Piece& piece = pieces_.at(id);
  if (piece.users.empty()) {
    erase(id);
    return;
  }
  switch (item.status) {
    case msg::FetchStatus::kOk: {
      bool fits =
          item.chunk.contiguous() && (piece.key.box.empty() || piece.key.box.size() == item.chunk.shape().size());
      for (std::size_t d = 0; fits && d < piece.key.box.size(); ++d)
        fits = piece.key.box[d].whole() || piece.key.box[d].count == item.chunk.shape()[d];
      if (!fits) {
        outcome.refused.push_back(
            {piece.key.result,
             "a peer answered with a piece of shape " + to_string(item.chunk.shape()) + " that was not asked for",
             std::move(piece.users)});
        erase(id);
        return;
      }
      if (piece.reserved) reserved_bytes_ -= piece.bytes;
      piece.stage = Stage::kArrived;
      piece.chunk = std::move(item.chunk);
      outcome.arrived.push_back({piece.key.result, piece.chunk, piece.users});
      return;
    }
    case msg::FetchStatus::kMissing:
      // That an attempt ended without making it is news and no failure.
      next_holder(id, piece, piece.holders.front().source.attempt == AttemptId{} ? Refusal::kMissing : Refusal::kNews,
                  outcome);
      return;
    case msg::FetchStatus::kLarge:
      if (!waited) {  // it was asked for whatever its size
        next_holder(id, piece, Refusal::kMissing, outcome);
        return;
      }
      if (!piece.reserved) {
        outcome.large.push_back({piece.key.result, piece.holders.front().source.worker, std::move(piece.users)});
        erase(id);
        return;
      }
      piece.holders.front().source.attempt = AttemptId{};  // room was found after it was asked for
      enqueue(id, piece, true);
      return;
    case msg::FetchStatus::kBusy:
      std::rotate(piece.holders.begin(), piece.holders.begin() + 1,
                  piece.holders.end());  // another holder may have time
      enqueue(id, piece, true);
      return;
    case msg::FetchStatus::kBadBox:
      outcome.refused.push_back({piece.key.result, "an input's box reaches outside its chunk", std::move(piece.users)});
      erase(id);
      return;
  }
}

Fetches::Outcome Fetches::replied(msg::FetchReply reply, Time now) {
  Outcome outcome;
  const auto found = requests_.find(reply.request);
  if (found == requests_.end()) return outcome;
  if (reply.items.size() != found->second.pieces.size()) return failed(reply.request, now);
  const Request request = finish_request(found);
  const auto busy = [](const msg::FetchReply::Item& item) { return item.status == msg::FetchStatus::kBusy; };
  Peer& peer = peers_[request.peer];
  if (std::any_of(reply.items.begin(), reply.items.end(), busy)) {
    set_back(peer, now);
  } else {
    peer.setbacks = 0;
    if (!request.waits) count_transfer(request, reply, now);
  }
  for (std::size_t i = request.pieces.size(); i-- > 0;) {  // backwards, so that what is asked again keeps its order
    settle_item(request.pieces[i], request.waits, std::move(reply.items[i]), outcome);
  }
  return outcome;
}

Fetches::Outcome Fetches::failed(std::uint64_t number, Time now) {
  Outcome outcome;
  const auto found = requests_.find(number);
  if (found == requests_.end()) return outcome;
  const Request request = finish_request(found);
  set_back(peers_[request.peer], now);
  for (std::size_t i = request.pieces.size(); i-- > 0;) {
    const PieceId id = request.pieces[i];
    Piece& piece = pieces_.at(id);
    if (piece.users.empty()) {
      erase(id);
    } else if (++piece.holders.front().tries < limits_.tries_per_holder) {
      std::rotate(piece.holders.begin(), piece.holders.begin() + 1, piece.holders.end());
      enqueue(id, piece, true);
    } else {
      next_holder(id, piece, Refusal::kUnreachable, outcome);
    }
  }
  return outcome;
}

Fetches::Outcome Fetches::forget(WorkerId worker) {
  Outcome outcome;
  const auto found = peers_.find(worker);
  if (found == peers_.end()) return outcome;
  std::vector<PieceId> pieces;  // that were to come from it: in flight, then queued
  std::vector<std::uint64_t> requests;
  for (const auto& [number, request] : requests_) {
    if (request.peer == worker) requests.push_back(number);
  }
  std::sort(requests.begin(), requests.end());
  for (const std::uint64_t number : requests) {
    const Request request = finish_request(requests_.find(number));
    pieces.insert(pieces.end(), request.pieces.begin(), request.pieces.end());
  }
  pieces.insert(pieces.end(), found->second.queue.begin(), found->second.queue.end());
  pieces.insert(pieces.end(), found->second.waiting.begin(), found->second.waiting.end());
  peers_.erase(found);
  waiting_peers_.erase(worker);
  for (auto& [id, piece] : pieces_) {
    if (piece.holders.empty()) continue;
    std::erase_if(piece.holders, [&](const Candidate& candidate) {
      return &candidate != piece.holders.data() && candidate.source.worker == worker;
    });
  }
  for (const PieceId id : pieces) {
    Piece& piece = pieces_.at(id);
    if (piece.users.empty()) {
      erase(id);
    } else {
      next_holder(id, piece, Refusal::kUnreachable, outcome);
    }
  }
  return outcome;
}

std::optional<Time> Fetches::next_wakeup(Time now) const {
  std::optional<Time> wakeup;
  for (const WorkerId worker : waiting_peers_) {
    const Peer& peer = peers_.at(worker);
    if (peer.not_before > now && (!wakeup || peer.not_before < *wakeup)) wakeup = peer.not_before;
  }
  return wakeup;
}

}  // namespace tegula::worker
