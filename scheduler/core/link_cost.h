// What transfers between workers take, learned from what their receivers report.
#pragma once

#include <cstdint>

#include "comm/messages.h"

namespace tegula::scheduler {

constexpr double kAssumedLatencyNs = 200e3;  // of asking, until something small is there

// Latency and bandwidth, of one pair of workers or of many: what the way can do, by the fastest transfer of each
// report. (What transfers take on the average tells of queues, which are gone when the next task is placed.) The last
// reports count most, and none for more than eight times what was known.
class LinkCost {
 public:
  void observe(const msg::Transfers& transfers);
  bool knows_bandwidth() const { return ns_per_byte_ != 0; }
  bool knows_latency() const { return latency_ns_ != 0; }
  double ns_per_byte() const { return ns_per_byte_; }
  double latency_ns() const { return latency_ns_; }  // of asking for something small, until it is there

 private:
  double latency_ns_ = 0, ns_per_byte_ = 0;  // 0: unknown
};

}  // namespace tegula::scheduler
