#include "scheduler/core/link_cost.h"

#include <algorithm>

namespace tegula::scheduler {
namespace {

constexpr double kMostChange = 8;
constexpr double kWeight = 0.25;  // of a report

void blend(double& mean, double sample) {
  sample = std::max(sample, 1e-3);
  mean += mean == 0 ? sample : kWeight * (std::clamp(sample, mean / kMostChange, mean * kMostChange) - mean);
}

}  // namespace

void LinkCost::observe(const msg::Transfers& transfers) {
  if (transfers.small != 0) blend(latency_ns_, static_cast<double>(transfers.small_ns));
  if (transfers.large == 0 || transfers.bytes == 0) return;
  const auto took = static_cast<double>(transfers.large_ns);
  const double asking = knows_latency() ? latency_ns_ : kAssumedLatencyNs;
  blend(ns_per_byte_, std::max(took - asking, took / 2) / static_cast<double>(transfers.bytes));
}

}  // namespace tegula::scheduler
