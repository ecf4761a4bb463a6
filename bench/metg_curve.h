// The minimum effective task granularity, by Task Bench's definition (Slaughter et al., SC20).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace tegula::bench {

// One graph of a fixed number of tasks, each of so many iterations.
struct MetgPoint {
  std::uint64_t iterations = 0;
  double granularity_us = 0;  // wall time x cores / tasks
  double efficiency = 0;      // iterations per second, as a part of the peak
};

// The smallest granularity at which half of the peak is reached, interpolated to the crossing between that point and
// the next. `points` have falling numbers of iterations. Nothing when they don't lie on both sides of one half.
inline std::optional<double> metg_us(std::span<const MetgPoint> points) {
  for (std::size_t i = points.size(); i-- > 1;) {
    const MetgPoint& above = points[i - 1];
    const MetgPoint& below = points[i];
    if (below.efficiency >= 0.5) return std::nullopt;
    if (above.efficiency < 0.5) continue;
    const double part = (0.5 - below.efficiency) / (above.efficiency - below.efficiency);
    return below.granularity_us + part * (above.granularity_us - below.granularity_us);
  }
  return std::nullopt;
}

}  // namespace tegula::bench
