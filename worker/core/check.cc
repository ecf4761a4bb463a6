// Invariants of the worker's state, for tests.
#include <algorithm>
#include <set>
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

void Store::check_invariants(Ledger& ledger, bool complete) const {
  const std::uint64_t held = ledger.bytes();
  std::uint64_t spilled = 0, writing = 0, reading = 0, files = 0;
  std::size_t written = 0, read = 0;
  for (const auto& [id, result] : results_) {
    const bool here = result.place <= Place::kWriting;
    if (here) {
      ledger.hold(result.chunk.buffer());
      require(result.bytes == result.chunk.buffer().size(), "a result's bytes are its buffer's");
    }
    if (result.place == Place::kWriting) {
      ++written;
      require(writes_.contains(result.file) && writes_.at(result.file).result == id, "what is written has a write");
    } else if (result.file != 0) {
      ++files;
      spilled += result.bytes;
    }
    require(here || result.file != 0, "what is not in memory has a file");
    if (result.place == Place::kReading) {
      ++read;
      require(reads_.contains(result.file) && reads_.at(result.file).result == id, "what is read has a read");
    }
  }
  for (const auto& [file, write] : writes_) {
    ledger.hold(write.buffer);
    writing += write.buffer.size();
  }
  for (const auto& [file, one] : reads_) {
    reading += one.bytes;
    const auto kept = results_.find(one.result);
    if (kept != results_.end() && kept->second.file == file) continue;
    spilled += one.bytes;  // its file is there until the read ends
    ++files;
  }
  require(written <= writes_.size() && read <= reads_.size(), "writes and reads are of one result each");
  require(writing == writing_bytes_ && reading == reading_bytes_, "bytes under way are counted");
  require(spilled == spilled_bytes_ && files == files_, "files are counted");
  if (complete) {
    require(ledger.bytes() == ledger_.bytes() && ledger.buffers() == ledger_.buffers(), "bytes are counted per buffer");
  } else {
    require(ledger_.bytes() >= held, "what is held is counted");
  }
  require(ledger_.counted_idle_bytes() == ledger_.idle_bytes(), "bytes that nobody uses are counted");
  std::size_t can_go = 0;
  std::uint64_t clean = 0;
  for (const auto& [id, result] : results_) {
    if (!watching_ || !can_leave(result)) continue;
    ++can_go;
    clean += result.file != 0 ? result.bytes : 0;
    const Candidates& listed = result.file != 0 ? clean_ : dirty_;
    require(listed.contains({result.rank, id}), "what can leave memory is listed by its rank");
  }
  require(dirty_.size() + clean_.size() == can_go && clean == clean_bytes_, "nothing else is listed");
}

std::size_t Store::reads_for(AttemptId attempt) const {
  std::size_t count = 0;
  for (const auto& [file, read] : reads_) {
    count += static_cast<std::size_t>(
        std::count_if(read.users.begin(), read.users.end(), [&](const User& user) { return user.attempt == attempt; }));
  }
  return count;
}

void WorkerState::check_invariants() const {
  fetches_.check_invariants();
  std::uint64_t hash = 0, ahead = 0, ahead_edges = 0, fetching = 0, handed = 0, granted = 0, claimed = 0;
  std::size_t waiting = 0, ready = 0;
  std::unordered_map<LayerId, std::uint64_t> of_layer;
  Ledger ledger;
  for (const auto& [attempt, task] : tasks_) {
    const std::string name = "attempt " + std::to_string(static_cast<std::uint64_t>(attempt)) + " (" +
                             std::string(name_of(task.state)) + ")";
    require(task.attempt == attempt, name + " is filed under its number");
    hash ^= msg::mix(attempt);
    claimed += task.claims;
    require(task.claims == 0 || task.granted == 0, name + " claims bytes or has them");
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
        require(fetches_.outstanding(attempt) + store_.reads_for(attempt) == task.missing,
                name + " has asked for what it lacks");
        granted += task.granted;
        break;
      case TaskState::kReady:
        ++ready;
        require(task.missing == 0 && task.slots.empty(), name + " has its inputs");
        require(ready_.contains(order_of(task)), name + " is in order");
        granted += task.granted;
        break;
      case TaskState::kExecuting:
      case TaskState::kAbandoned:
        ++handed;
        granted += task.granted;
        break;
    }
    if (task.state == TaskState::kAhead || task.state == TaskState::kWaiting) {
      require(task.granted == 0, name + " holds no bytes before its inputs are asked for");
    }
  }
  for (const auto& [id, orphan] : orphans_) {
    ++handed;
    granted += orphan.granted;
    if (orphan.inputs == nullptr) continue;
    for (const Chunk& chunk : orphan.inputs->pieces) ledger.hold(chunk.buffer());
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
  require(granted == granted_bytes_, "granted bytes are those of all tasks and orphans");
  require(claimed == claimed_kib_, "claims are those of all tasks");
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
  store_.check_invariants(ledger, loans_ == 0);
  std::set<ResultId> listed;
  for (const auto& [part, results] : inventory_) {
    for (const ResultId& result : results) {
      require(hash_of(layer_of(result.task)).has_value(), "what an inventory lists can be told");
      listed.insert(result);
    }
  }
  for (const ResultId& result : store_.names()) {
    require(is_own(result) == listed.contains(result), "what has no name of the scheduler's is in the inventory");
  }
  // Progress: nothing that could go on stands still.
  const bool others = handed_ > 0 || store_.freeing() || store_.waits_for_disk();
  require(ready_.empty() || fetching_ > 0 || others, "a ready task waits only for others");
  require(waiting_.empty() || fetching_ > 0 || !ready_.empty() || others, "a waiting task waits only for others");
  require(acquisitions_.empty() || store_.freeing(), "copies wait only for what goes to disk");
}

}  // namespace tegula::worker
