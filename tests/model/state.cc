// The state of a world as a number, by which a search knows it again.
#include <cstring>

#include "comm/codec.h"
#include "tests/model/parts.h"

namespace tegula::model {
namespace {

void describe(CanonicalHash& hash, WorkerId worker, const msg::Message& message) {
  hash.add(message.index());
  std::visit(
      [&]<typename M>(const M& m) {
        if constexpr (std::is_same_v<M, msg::TaskFinished>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          for (const std::uint64_t bytes : m.nbytes) hash.add(bytes);
        } else if constexpr (std::is_same_v<M, msg::TaskFailed>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          hash.add(m.error.code);
        } else if constexpr (std::is_same_v<M, msg::TaskReturned>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          for (const auto& item : m.missing) {
            hash.add(item.result);
            hash.add(item.holder);
            hash.add(item.unreachable);
          }
        } else if constexpr (std::is_same_v<M, msg::Assign>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          hash.priority(m.priority);
          hash.add(m.kib);
          for (const auto& holder : m.holders) {
            hash.add(holder.result);
            hash.add(holder.worker);
          }
          hash.add(m.awaited.size());
          for (const auto& item : m.awaited) {
            hash.add(item.result);
            hash.add(item.worker);
            hash.attempt(item.attempt);
          }
        } else if constexpr (std::is_same_v<M, msg::AcquireReplicas>) {
          for (const auto& holder : m.results) {
            hash.add(holder.result);
            hash.add(holder.worker);
          }
        } else if constexpr (std::is_same_v<M, msg::NextUse>) {
          for (const auto& item : m.results) {
            hash.add(item.result);
            hash.priority(item.rank);
          }
        } else if constexpr (std::is_same_v<M, msg::GrantCredit>) {
          hash.spent(worker, m.slots);
          hash.spent_kib(worker, m.kib);
        } else if constexpr (std::is_same_v<M, msg::Retract>) {
          hash.attempt(m.attempt);
          hash.add(m.task);
          hash.add(m.cancel);
        } else if constexpr (std::is_same_v<M, msg::WorkerHeartbeat>) {
          for (const AttemptId attempt : m.running) hash.attempt(attempt);
          // Its hash is that of the attempts that the worker had when it had received and sent so many.
          hash.spent(worker, m.received);
          hash.answered(worker, m.sent);
          hash.add(m.managed_bytes);
          hash.add(m.reserved_bytes);
        } else if constexpr (std::is_same_v<M, msg::Inventory>) {
          hash.add(m.part);
          for (const auto& held : m.results) {
            hash.add(held.layer.low);
            hash.add(held.index);
          }
        } else if constexpr (std::is_same_v<M, msg::InventoryTaken>) {
          hash.add(m.part);
          for (const LayerId layer : m.layers) hash.add(layer);
        } else if constexpr (std::is_same_v<M, msg::DefineLayer> || std::is_same_v<M, msg::ForgetLayer>) {
          hash.add(m.layer);
        } else if constexpr (std::is_same_v<M, msg::WorkerAddress> || std::is_same_v<M, msg::WorkerGone> ||
                             std::is_same_v<M, msg::WorkerRegistered>) {
          hash.add(m.worker);
        } else if constexpr (requires { m.attempt, m.task; } && sizeof(M) == sizeof(AttemptId) + sizeof(TaskId)) {
          hash.attempt(m.attempt);
          hash.add(m.task);
        } else if constexpr (requires { m.results; } && sizeof(M) == sizeof(std::vector<ResultId>)) {
          for (const ResultId& result : m.results) hash.add(result);
        } else if (hash.hashing()) {
          // Not known here: compared byte by byte, which tells more states apart than differ.
          const auto encoded = codec::encode({&message, 1});
          for (const std::byte byte : encoded.control()) hash.add(static_cast<std::uint8_t>(byte));
        }
      },
      message);
}

void describe(CanonicalHash& hash, WorkerId worker, const std::deque<Frame>& channel) {
  hash.add(channel.size());
  for (const Frame& frame : channel) {
    hash.add(frame.size());
    for (const msg::Message& message : frame) describe(hash, worker, message);
  }
}

template <typename Requests>
void describe_requests(CanonicalHash& hash, const Requests& requests) {
  hash.add(requests.size());
  for (const worker::StartFetch& fetch : requests) {
    hash.attempt(fetch.attempt);
    hash.add(fetch.at_most);
    hash.add(fetch.items.size());
    for (const auto& item : fetch.items) hash.add(item.result);
  }
}

}  // namespace

std::uint64_t World::hash() const {
  CanonicalHash hash;
  describe(hash);
  hash.rename();
  describe(hash);
  return hash.value();
}

void World::describe(CanonicalHash& hash) const {
  scheduler_->canonical_hash(hash, nodes_.size());
  for (std::uint32_t worker = 0; worker < nodes_.size(); ++worker) {
    const Node& node = nodes_[worker];
    hash.add(node.joined);
    hash.add(node.dead);
    hash.add(node.lost);
    hash.add(node.retires);
    hash.add(node.reported);
    if (!node.reported) {
      for (const AttemptId attempt : node.executing) hash.attempt(attempt);
    }
    hash.add(node.cut);
    hash.add(restarts_ - node.joined_in);
    hash.add(node.id);
    for (const auto& [id, task] : node.orphans) hash.add(task);
    if (node.core) node.core->canonical_hash(hash, node.now);
    model::describe(hash, id_of(worker), node.to_worker);
    model::describe(hash, id_of(worker), node.to_scheduler);
    for (const auto& [attempt, job] : node.jobs) {
      hash.attempt(attempt);
      hash.add(job.recalled);
    }
    hash.unordered(node.files, [&](const auto& entry) {
      TaskId task{};
      std::memcpy(&task, entry.second.chunk.data(), sizeof task);
      hash.add(task);
      hash.add(entry.second.written);
      hash.add(entry.second.being_read);
      hash.add(entry.second.dropped);
    });
    for (const auto& [peer, line] : node.lines) {
      if (line.requests.empty() && line.waiting.empty() && line.answered.empty()) continue;
      hash.add(peer);
      describe_requests(hash, line.requests);
      describe_requests(hash, line.waiting);
      describe_requests(hash, line.answered);
      for (const msg::FetchReply& reply : line.replies) {
        for (const auto& item : reply.items) hash.add(static_cast<std::uint64_t>(item.status));
      }
    }
  }
  for (const Want& want : wants_) {
    hash.add(want.live);
    hash.add(want.status);
    hash.add(want.cancelled);
    hash.add(want.error);
    for (const WorkerId holder : want.holders) hash.add(holder);
  }
  hash.add(unsettled_);
  hash.add(left_);
  hash.add(blamed_);
  hash.add(detached_);
  for (const unsigned had : {cuts_, restarts_, losses_, kernel_failures_, busy_answers_, client_steps_, orders_, ticks_,
                             answered_orders_, disk_failures_, drains_}) {
    hash.add(std::uint64_t{had});
  }
}

}  // namespace tegula::model
