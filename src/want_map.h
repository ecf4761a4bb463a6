// How often one session wants each result of one output of a layer: a million futures made in one go are one interval.
#pragma once

#include <cstdint>
#include <map>

namespace tegula {

class WantMap {
 public:
  bool empty() const { return intervals_.empty(); }
  std::uint32_t count(std::uint32_t index) const;
  // Adds `by` (may be negative) to the count of each index in [begin, end). Counts must not go below 0.
  void add(std::uint32_t begin, std::uint32_t end, std::int32_t by);
  void clear() { intervals_.clear(); }

  // Stretches [begin, end) with one count > 0, inside the range asked for. `visit` must not change this map.
  template <typename Visit>
  void for_each_in(std::uint32_t begin, std::uint32_t end, Visit&& visit) const {
    auto at = intervals_.upper_bound(begin);
    if (at != intervals_.begin()) --at;
    for (; at != intervals_.end() && at->first < end; ++at) {
      const std::uint32_t from = at->first < begin ? begin : at->first;
      const std::uint32_t to = at->second.end < end ? at->second.end : end;
      if (from < to) visit(from, to, at->second.count);
    }
  }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [begin, interval] : intervals_) visit(begin, interval.end, interval.count);
  }

 private:
  struct Interval {
    std::uint32_t end;
    std::uint32_t count;
  };
  void split(std::uint32_t at);
  std::map<std::uint32_t, Interval>
      intervals_;  // by begin; disjoint, counts > 0, neighbours that touch differ in count
};

}  // namespace tegula
