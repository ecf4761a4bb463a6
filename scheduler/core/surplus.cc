// Copies that nobody needs where they are: of results that are held by more workers than they need be. They come from
// replication and rebalancing, and from news of attempts that were given up. One copy stays, or as many as an operator
// asked for. Results with several copies are noted as these come and looked at in Tick, a few at a time.
#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr std::size_t kMostLookedAt = 256;    // results in one tick
constexpr std::uint32_t kMostReaders = 1000;  // of one that is looked at: while it has more, its copies stay

}  // namespace

void Core::note_surplus(const Task& task, std::uint16_t output) {
  if (config_.drop_surplus_replicas && task.output(output).replicas.span().size() > 1)
    surplus_.insert({task.id, output});
}

void Core::forget_copies(ResultId result) {
  if (!surplus_.empty()) surplus_.erase(result);
  if (!copies_wanted_.empty()) copies_wanted_.erase(result);
}

void Core::drop_surplus() {
  auto at = surplus_.lower_bound(surplus_next_);
  for (std::size_t left = std::min(surplus_.size(), kMostLookedAt); left > 0; --left) {
    if (at == surplus_.end()) at = surplus_.begin();
    at = drop_surplus(*at) ? std::next(at) : surplus_.erase(at);
  }
  surplus_next_ = at == surplus_.end() ? ResultId{} : *at;
}

// True: it is to be looked at again.
bool Core::drop_surplus(ResultId result) {
  const Slot slot = find_slot(result.task);
  Task& task = tasks_[slot];
  Output& output = task.output(result.output);
  const auto wanted = copies_wanted_.find(result);
  const std::size_t keep = wanted == copies_wanted_.end() ? 1 : std::max<std::uint64_t>(wanted->second, 1);
  if (output.replicas.span().size() <= keep) return false;
  const auto move = moves_.lower_bound({result, WorkerId{}});
  if (move != moves_.end() && move->first.first == result) return true;  // copies of it are being made
  // Who reads it fetches it now, perhaps, or is to run where it is.
  if (output.consumers > kMostReaders) return true;
  bool read = false;
  std::vector<WorkerSlot> needed;
  for_each_known_consumer(task, [&](Slot consumer) {
    const Task& reader = tasks_[consumer];
    read = read || reader.state == TaskState::kProcessing;
    if (reader.queued_in == QueueKind::kWorker || reader.queued_in == QueueKind::kAhead) needed.push_back(reader.queue);
  });
  if (read) return true;
  // Copies on workers that retire don't count: they go with them.
  std::vector<WorkerSlot> staying;
  for (WorkerSlot holder : output.replicas.span()) {
    if (worker_at(holder).retiring == 0) staying.push_back(holder);
  }
  bool dropped = false;
  while (staying.size() > keep) {
    // Where most memory is taken it is let go of first.
    const auto before = [&](WorkerSlot a, WorkerSlot b) {
      const bool here = std::count(needed.begin(), needed.end(), a) == 0;
      const bool there = std::count(needed.begin(), needed.end(), b) == 0;
      if (here != there) return there;
      return worker_at(a).heartbeat.managed_bytes < worker_at(b).heartbeat.managed_bytes;
    };
    const auto most = std::max_element(staying.begin(), staying.end(), before);
    if (std::count(needed.begin(), needed.end(), *most) != 0) break;
    output.replicas.remove(*most);
    free_on(*most, result);
    staying.erase(most);
    ++counters_.surplus_dropped;
    dropped = true;
  }
  if (dropped && output.wants != 0) notify_ready(task, result.output);  // clients must not ask those any more
  return output.replicas.span().size() > keep;
}

}  // namespace tegula::scheduler
