// What tasks take, learned from those that ended.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "src/graph.h"

namespace tegula {
class CanonicalHash;
}

namespace tegula::scheduler {

// A mean of durations in which the last ones count most.
class CostMean {
 public:
  void observe(std::uint64_t ns);
  bool known() const { return mean_ns_ != 0; }
  double ns() const { return mean_ns_; }

 private:
  double mean_ns_ = 0;
};

// Means by kinds of work, for layers of which no task has ended yet.
class CostTable {
 public:
  // Layers of one class do the same to chunks of about the same size: kernel, dtype, bytes by powers of two, and the
  // length of the parameters, which tells long expression programs from short ones.
  static std::string class_of(const Layer& layer);
  void observe(const std::string& cost_class, std::uint64_t ns);
  double ns(const std::string& cost_class) const;  // 0: unknown
  void canonical_hash(CanonicalHash& hash) const;

 private:
  std::unordered_map<std::string, CostMean> means_;
};

}  // namespace tegula::scheduler
