#include "scheduler/core/costs.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>

namespace tegula::scheduler {
namespace {

constexpr std::size_t kMostClasses = 1u << 14;  // more kinds of work than that are not worth remembering

}  // namespace

// One sample counts for eight at most: a kernel that was preempted or had to wait for a page looks like a long one.
void CostMean::observe(std::uint64_t ns) {
  const auto sample = static_cast<double>(ns);
  if (!known()) {
    mean_ns_ = std::max(sample, 1.0);
  } else {
    mean_ns_ += (std::min(sample, 8 * mean_ns_ + 1000) - mean_ns_) / 8;
  }
}

std::string CostTable::class_of(const Layer& layer) {
  std::uint64_t bytes = 0;
  for (std::uint16_t o = 0; o < layer.outputs.size() && layer.tasks() > 0; ++o) bytes += declared_nbytes(layer, o, 0);
  const int dtype = layer.outputs.empty() ? 0 : static_cast<int>(layer.outputs.front().dtype);
  return fmt::format("{}/{}/{}/{}", layer.kernel, dtype, std::bit_width(bytes), layer.params.size());
}

void CostTable::observe(const std::string& cost_class, std::uint64_t ns) {
  if (means_.size() >= kMostClasses && !means_.contains(cost_class)) return;
  means_[cost_class].observe(ns);
}

double CostTable::ns(const std::string& cost_class) const {
  const auto found = means_.find(cost_class);
  return found == means_.end() ? 0 : found->second.ns();
}

}  // namespace tegula::scheduler
