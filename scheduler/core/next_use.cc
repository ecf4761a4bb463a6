// When results are needed next, for workers whose memory is short. They ask, so it costs nothing until then.
#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

namespace {

// Answered in one message. A worker asks again.
constexpr std::size_t kMostResults = 1u << 14;
// Readers of one result that are looked at. What has more is needed again and again.
constexpr int kMostReaders = 64;
// Tasks that have no place in the order yet come after those that have, by layer and index as they will be expanded.
constexpr std::int64_t kNotExpanded = std::int64_t{1} << 62;

}  // namespace

void Core::on_query_next_use(Worker& worker, const msg::QueryNextUse& message) {
  msg::NextUse answer;
  const std::size_t count = std::min(message.results.size(), kMostResults);
  answer.results.reserve(count);
  for (std::size_t i = 0; i < count; ++i) answer.results.push_back({message.results[i], next_use(message.results[i])});
  send(worker, std::move(answer));
}

std::int64_t Core::next_use(const ResultId& result) const {
  std::int64_t first = msg::NextUse::kNever;
  const LayerRecord* layer = layers_.find(layer_of(result.task));
  const std::uint32_t index = index_of(result.task);
  if (layer == nullptr || index >= layer->tasks) return first;
  int looked_at = 0;
  for (const LayerReader& reader : layer->readers) {
    if (reader.output != result.output) continue;
    const LayerRecord& consumers = layers_.at(reader.layer);
    if (consumers.active == 0) continue;
    reader.consumers->until(index, [&](std::uint32_t consumer) {
      if (!consumers.is_active(consumer)) return false;
      const Slot slot = consumers.slot(consumer);
      if (slot != kNoSlot && tasks_[slot].expanded) {
        first = std::min(first, order_on_worker(tasks_[slot]));
      } else {
        const auto layers = std::min<std::int64_t>(static_cast<std::uint32_t>(reader.layer), (1 << 29) - 1);
        first = std::min(first, kNotExpanded + (layers << 32) + static_cast<std::int64_t>(consumer));
      }
      return ++looked_at >= kMostReaders;
    });
  }
  return first;
}

}  // namespace tegula::scheduler
