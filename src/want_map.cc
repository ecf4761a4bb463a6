#include "src/want_map.h"

#include <iterator>

namespace tegula {

std::uint32_t WantMap::count(std::uint32_t index) const {
  auto at = intervals_.upper_bound(index);
  if (at == intervals_.begin()) return 0;
  --at;
  return index < at->second.end ? at->second.count : 0;
}

// Makes `at` a border if an interval spans it.
void WantMap::split(std::uint32_t at) {
  auto found = intervals_.lower_bound(at);
  if (found == intervals_.begin()) return;
  --found;
  Interval& interval = found->second;
  if (interval.end <= at) return;
  intervals_.emplace(at, Interval{interval.end, interval.count});
  interval.end = at;
}

void WantMap::add(std::uint32_t begin, std::uint32_t end, std::int32_t by) {
  if (begin >= end || by == 0) return;
  split(begin);
  split(end);
  auto at = intervals_.lower_bound(begin);
  std::uint32_t covered = begin;
  while (covered < end) {
    if (at == intervals_.end() || at->first > covered) {
      // A gap, whose count is 0; only a positive `by` may get here.
      const std::uint32_t to = at == intervals_.end() || at->first > end ? end : at->first;
      at = intervals_.emplace(covered, Interval{to, static_cast<std::uint32_t>(by)}).first;
    } else {
      at->second.count = static_cast<std::uint32_t>(static_cast<std::int64_t>(at->second.count) + by);
    }
    covered = at->second.end;
    at = at->second.count == 0 ? intervals_.erase(at) : std::next(at);
  }
  // Join what became equal, so that adding and taking back leaves nothing behind.
  at = intervals_.lower_bound(begin);
  if (at != intervals_.begin()) --at;
  while (at != intervals_.end() && at->first <= end) {
    const auto next = std::next(at);
    if (next != intervals_.end() && at->second.end == next->first && at->second.count == next->second.count) {
      at->second.end = next->second.end;
      intervals_.erase(next);
    } else {
      at = next;
    }
  }
}

}  // namespace tegula
