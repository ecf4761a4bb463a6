// The state as searches compare it: everything that a later decision or message depends on. Left out is what follows
// from the rest (check.cc compares it) and what only people look at. Pieces and requests are known by what they are
// for, not by their numbers; moments by how far they lie ahead. Which attempts are still to come follows from the
// messages that are under way to this worker.
//
// Durations of kernels are compared as far as they decide anything while all kernels of a run take the same time.
#include "src/canonical_hash.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "worker/core/state.h"

namespace tegula::worker {
namespace {

constexpr std::int64_t kSlow = 5'000'000;  // ns: from here on SlotCredit does not tell durations apart

void add_box(CanonicalHash& hash, const Box& box) {
  hash.add(box.size());
  for (const BoxDim& dim : box) {
    hash.add(dim.start);
    hash.add(dim.count);
    hash.add(dim.step);
  }
}

template <typename Map>
auto sorted_keys(const Map& map) {
  std::vector<typename Map::key_type> keys;
  for (const auto& entry : map) keys.push_back(entry.first);
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace

void Fetches::canonical_hash(CanonicalHash& hash, Time now) const {
  const auto add_key = [&](const Key& key) {
    hash.add(key.result);
    add_box(hash, key.box);
  };
  std::vector<const Piece*> pieces;
  for (const auto& [id, piece] : pieces_) pieces.push_back(&piece);
  const auto before = [](const Piece* a, const Piece* b) {
    if (a->key.result != b->key.result) return a->key.result < b->key.result;
    const auto less = [](const BoxDim& x, const BoxDim& y) {
      return std::tie(x.start, x.count, x.step) < std::tie(y.start, y.count, y.step);
    };
    return std::lexicographical_compare(a->key.box.begin(), a->key.box.end(), b->key.box.begin(), b->key.box.end(),
                                        less);
  };
  std::sort(pieces.begin(), pieces.end(), before);
  for (const Piece* piece : pieces) {
    add_key(piece->key);
    hash.add(static_cast<std::uint64_t>(piece->stage));
    hash.add(piece->reserved);
    hash.add(piece->bytes);
    for (const Candidate& holder : piece->holders) {
      hash.add(holder.source.worker);
      hash.attempt(holder.source.attempt);
      hash.add(holder.tries);
    }
    hash.add(piece->missing.size());
    for (const auto& missing : piece->missing) {
      hash.add(missing.holder);
      hash.add(missing.unreachable);
    }
    hash.add(piece->users.size());
    for (const User& user : piece->users) {
      hash.attempt(user.attempt);
      hash.add(user.slot);
    }
    if (piece->stage == Stage::kArrived) hash.buffer(piece->chunk.buffer().identity());
  }
  for (const WorkerId worker : sorted_keys(peers_)) {
    const Peer& peer = peers_.at(worker);
    hash.add(worker);
    hash.add(peer.address);
    for (const PieceId id : peer.queue) add_key(pieces_.at(id).key);
    for (const PieceId id : peer.waiting) add_key(pieces_.at(id).key);
    hash.add(std::max(peer.not_before - now, Time{0}).count());
    hash.add(std::min(peer.setbacks, 17u));  // more of them wait no longer
  }
  hash.unordered(requests_, [&](const auto& entry) {
    hash.add(entry.second.peer);
    hash.add(entry.second.waits);
    hash.add(entry.second.bytes);
    for (const PieceId id : entry.second.pieces) add_key(pieces_.at(id).key);
  });
}

void Store::canonical_hash(CanonicalHash& hash, Time now) const {
  for (const ResultId& id : sorted_keys(results_)) {
    const Result& result = results_.at(id);
    hash.add(id);
    hash.add(result.place);
    hash.add(result.file != 0);
    if (result.place <= Place::kWriting) hash.buffer(result.chunk.buffer().identity());
    if (watching_ && can_leave(result) && result.rank != kNotNeeded) hash.priority(result.rank);
  }
  // What is under way, also for a result that was freed, or made anew, since.
  const auto current = [&](const ResultId& id, FileId file) {
    const auto kept = results_.find(id);
    return kept != results_.end() && kept->second.file == file;
  };
  hash.unordered(writes_, [&](const auto& entry) {
    hash.add(entry.second.result);
    hash.add(entry.second.buffer.size());
    hash.add(current(entry.second.result, entry.first));
    hash.add(entry.first > last_before_full_);
  });
  hash.unordered(reads_, [&](const auto& entry) {
    hash.add(entry.second.result);
    hash.add(current(entry.second.result, entry.first));
    for (const User& user : entry.second.users) {
      hash.attempt(user.attempt);
      hash.add(user.slot);
    }
  });
  hash.add(watching_);
  hash.add(disk_full_);
  hash.add(wants_to_write_);
  hash.add(std::max(no_writes_before_ - now, Time{0}).count());
}

void WorkerState::canonical_hash(CanonicalHash& hash, Time now) const {
  hash.begin_buffers();
  hash.add(self_);
  hash.spent(self_, credit_.granted());
  hash.spent(self_, received_);
  hash.spent_kib(self_, memory_credit_.granted());
  hash.spent_kib(self_, memory_credit_.received());
  hash.answered(self_, answered_);
  hash.add(credit_.prefetch_per_thread());
  hash.add(credit_.executor_depth());
  hash.add(std::min(credit_.typical_duration().count(), kSlow));
  hash.add(anew_);
  for (const ResultId& result : dropped_) hash.add(result);
  for (const LayerId id : sorted_keys(layers_)) {
    const LayerInfo& layer = layers_.at(id);
    hash.add(id);
    hash.add(layer.hash.low);
    hash.add(layer.forgotten);
    hash.add(layer.extra_bytes);
    hash.add(layer.memory);
  }
  store_.canonical_hash(hash, now);
  for (const AttemptId attempt : sorted_keys(tasks_)) {
    const Task& task = tasks_.at(attempt);
    hash.attempt(attempt);
    hash.add(task.id);
    hash.priority(task.priority);
    hash.add(task.state);
    for (const Slot& slot : task.slots) {
      hash.add(slot.filled);
      if (slot.filled) hash.buffer(slot.chunk.buffer().identity());
    }
    for (const auto& holder : task.holders) {
      hash.add(holder.result);
      hash.add(holder.worker);
    }
    if (task.inputs != nullptr) {
      for (const Chunk& chunk : task.inputs->pieces) hash.buffer(chunk.buffer().identity());
    }
    for (const TaskId producer : task.producers) hash.add(producer);
    hash.add(task.awaited);
    hash.add(task.need);
    hash.add(task.granted);
    hash.add(task.claims);
    hash.add(std::uint64_t{task.memory_failures});
    hash.add(task.wanted_back);
  }
  for (const TaskId task : sorted_keys(attempt_of_)) {
    hash.add(task);
    hash.attempt(attempt_of_.at(task));
  }
  for (const TaskId task : sorted_keys(ahead_of_)) {
    hash.add(task);
    for (const AttemptId attempt : ahead_of_.at(task)) hash.attempt(attempt);
  }
  for (const ResultId& id : sorted_keys(acquiring_)) hash.add(id);
  hash.unordered(awaited_, [&](AttemptId attempt) { hash.attempt(attempt); });
  for (const Acquisition& one : acquisitions_) {
    hash.add(one.result);
    for (const Fetches::Source& source : one.sources) hash.add(source.worker);
  }
  for (const LayerHash& layer : own_layers_) hash.add(layer.low);
  for (const auto& [part, results] : inventory_) {
    hash.add(part);
    for (const ResultId& result : results) hash.add(result);
  }
  hash.add(last_part_);
  hash.unordered(orphans_, [&](const auto& entry) {
    hash.add(entry.second.layer.low);
    hash.add(entry.second.index);
    hash.add(entry.second.wanted);
    hash.add(entry.second.granted);
  });
  fetches_.canonical_hash(hash, now);
  hash.add(std::uint64_t{bypasses_});
  hash.add(std::max(next_question_ - now, Time{0}).count());
  // How long the executor has been silent matters while all threads are busy, and only up to where silence ends.
  if (handed_ >= options_.threads) hash.add(std::min<std::int64_t>((now - last_end_).count(), 50'000'000));
}

}  // namespace tegula::worker
