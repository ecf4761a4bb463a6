// Invariants of the worker's state, for tests.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "worker/core/state.h"

namespace tegula::worker {

namespace {

void require(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error("worker invariant broken: " + what);
}

}  // namespace

void Fetches::check_invariants() const {
  std::uint64_t reserved = 0;
  std::size_t queued = 0, in_flight = 0;
  for (const auto& [id, piece] : pieces_) {
    const std::string name = "piece " + std::to_string(id);
    require(by_key_.contains(piece.key) && by_key_.at(piece.key) == id, name + " is found by its key");
    require(!piece.users.empty() || piece.stage == Stage::kInFlight, name + " has a user");
    if (piece.stage == Stage::kArrived) continue;
    if (piece.reserved) reserved += piece.bytes;
    require(!piece.holders.empty(), name + " has somebody to ask");
    if (piece.stage == Stage::kInFlight) {
      ++in_flight;
      continue;
    }
    ++queued;
    const Peer& peer = peers_.at(piece.holders.front().source.worker);
    const auto& queue = piece.waits() ? peer.waiting : peer.queue;
    require(std::count(queue.begin(), queue.end(), id) == 1,
            name + " is queued once, at the holder it is to come from");
  }
  require(by_key_.size() == pieces_.size(), "as many keys as pieces");
  require(reserved == reserved_bytes_, "reserved bytes are those of pieces that have not arrived");
  std::size_t in_queues = 0;
  for (const auto& [worker, peer] : peers_) {
    in_queues += peer.queue.size() + peer.waiting.size();
    require(peer.idle() != waiting_peers_.contains(worker), "peers with a queue are waiting");
    require(peer.requests <= limits_.requests_per_peer, "requests per peer are bounded");
    require(peer.waiting_requests <= limits_.awaited_per_peer, "requests that wait at a peer are bounded");
    for (const bool waits : {false, true}) {
      const auto mine = std::count_if(requests_.begin(), requests_.end(), [&](const auto& r) {
        return r.second.peer == worker && r.second.waits == waits;
      });
      require(static_cast<unsigned>(mine) == (waits ? peer.waiting_requests : peer.requests),
              "a peer's requests are counted");
    }
  }
  require(in_queues == queued, "queues hold queued pieces and nothing else");
  std::uint64_t bytes = 0;
  std::size_t asked = 0, at_once = 0;
  for (const auto& [number, request] : requests_) {
    bytes += request.bytes;
    at_once += request.waits ? 0 : 1;
    asked += request.pieces.size();
    for (const PieceId id : request.pieces) {
      require(pieces_.contains(id) && pieces_.at(id).stage == Stage::kInFlight, "pieces of a request are in flight");
    }
  }
  require(asked == in_flight, "pieces in flight belong to one request each");
  require(bytes == bytes_in_flight_, "bytes in flight are those of the requests");
  require(at_once == requests_in_flight_ && at_once <= limits_.requests, "requests are bounded");
}

std::size_t Fetches::outstanding(AttemptId attempt) const {
  std::size_t inputs = 0;
  for (const auto& [id, piece] : pieces_) {
    if (piece.stage == Stage::kArrived) continue;
    inputs += static_cast<std::size_t>(
        std::count_if(piece.users.begin(), piece.users.end(), [&](const User& u) { return u.attempt == attempt; }));
  }
  return inputs;
}

std::vector<PieceId> Fetches::pieces_of(AttemptId attempt) const {
  std::vector<PieceId> found;
  for (const auto& [id, piece] : pieces_) {
    const auto uses = [attempt](const User& user) { return user.attempt == attempt; };
    if (std::any_of(piece.users.begin(), piece.users.end(), uses)) found.push_back(id);
  }
  return found;
}

void WorkerState::check_invariants() const {
  fetches_.check_invariants();
  std::uint64_t hash = 0, ahead = 0, ahead_edges = 0, fetching = 0, handed = 0, granted = 0;
  std::size_t waiting = 0, ready = 0;
  std::unordered_map<LayerId, std::uint64_t> of_layer;
  Ledger ledger;
  for (const auto& [attempt, task] : tasks_) {
    const std::string name = "attempt " + std::to_string(static_cast<std::uint64_t>(attempt)) + " (" +
                             std::string(name_of(task.state)) + ")";
    require(task.attempt == attempt, name + " is filed under its number");
    hash ^= msg::mix(attempt);
    ++of_layer[layer_of(task.id)];
    const auto unfilled =
        std::count_if(task.slots.begin(), task.slots.end(), [](const Slot& slot) { return !slot.filled; });
    require(task.missing == static_cast<std::uint32_t>(unfilled), name + " counts its missing inputs");
    for (const Slot& slot : task.slots) {
      if (slot.filled) ledger.hold(slot.chunk.buffer());
    }
    if (task.slots.empty() && task.inputs != nullptr) {
      for (const Chunk& chunk : task.inputs->pieces) ledger.hold(chunk.buffer());
    }
    const bool ahead_of_nobody = task.producers.empty() && task.awaited == 0;
    require(ahead_of_nobody == (task.state != TaskState::kAhead), name + " is ahead of somebody or is not");
    for (const TaskId producer : task.producers) {
      require(attempt_of_.contains(producer), name + " counts on an attempt that is here");
      const auto& told = ahead_of_.at(producer);
      require(std::count(told.begin(), told.end(), attempt) == 1, name + " will hear of its producer's end");
      ++ahead_edges;
    }
    switch (task.state) {
      case TaskState::kAhead:
        ++ahead;
        require(fetches_.outstanding(attempt) == task.awaited, name + " counts what it has asked for");
        break;
      case TaskState::kWaiting:
        ++waiting;
        require(task.missing > 0, name + " waits for something");
        require(waiting_.contains(order_of(task)), name + " is in order");
        require(fetches_.outstanding(attempt) == 0, name + " has not asked for anything");
        break;
      case TaskState::kFetching:
        ++fetching;
        require(task.missing > 0, name + " waits for something");
        require(fetches_.outstanding(attempt) == task.missing, name + " has asked for what it lacks");
        break;
      case TaskState::kReady:
        ++ready;
        require(task.missing == 0 && task.slots.empty(), name + " has its inputs");
        require(ready_.contains(order_of(task)), name + " is in order");
        break;
      case TaskState::kExecuting:
      case TaskState::kAbandoned:
        ++handed;
        granted += task.granted;
        break;
    }
    if (task.state != TaskState::kExecuting && task.state != TaskState::kAbandoned) {
      require(task.granted == 0, name + " holds no bytes before it starts");
    }
  }
  require(waiting == waiting_.size() && ready == ready_.size(),
          "the orders hold waiting and ready tasks and nothing else");
  require(ahead == ahead_ && fetching == fetching_ && handed == handed_, "tasks are counted by state");
  for (const auto& [producer, attempts] : ahead_of_) ahead_edges -= attempts.size();
  require(ahead_edges == 0, "only tasks that are ahead are told of a producer's end");
  for (const auto& [id, attempt] : attempt_of_) {
    require(tasks_.contains(attempt) && tasks_.at(attempt).id == id, "the attempts of tasks are held");
  }
  for (const AttemptId attempt : awaited_) {
    const auto found = tasks_.find(attempt);
    require(found == tasks_.end() ? attempt > last_assigned_ : found->second.state != TaskState::kAbandoned,
            "what peers wait for is to come");
  }
  require(granted == granted_bytes_, "granted bytes are those of the handed tasks");
  require(hash == attempts_hash_, "the hash is that of the attempts held");
  require(received_ == answered_ + tasks_.size(), "each attempt received is held or answered");
  for (const auto& [id, layer] : layers_) {
    require(layer.tasks == of_layer[id], "layers count their tasks");
    require(!layer.forgotten || layer.tasks > 0, "a forgotten layer goes with its last task");
  }
  for (const auto& [result, piece] : acquiring_) {
    const std::vector<PieceId> pieces = fetches_.pieces_of(kAcquisition);
    require(std::count(pieces.begin(), pieces.end(), piece) == 1, "a replica that is wanted is asked for");
  }
  require(fetches_.pieces_of(kAcquisition).size() == acquiring_.size(), "nothing is asked for without a wish");
  for (const auto& [result, chunk] : results_) ledger.hold(chunk.buffer());
  require(ledger.bytes() == ledger_.bytes() && ledger.buffers() == ledger_.buffers(), "bytes are counted per buffer");
  // Progress: nothing that could go on stands still.
  require(ready_.empty() || handed_ > 0, "a ready task waits only for others that execute");
  require(waiting_.empty() || fetching_ > 0 || !ready_.empty() || handed_ > 0, "a waiting task waits only for others");
}

}  // namespace tegula::worker
