// How long tasks take: a property of the task and of the worker, known before anything runs, so that every scheduler is
// given the same work.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace tegula::sim {

class Durations {
 public:
  Durations() = default;
  // "10ms": each task takes as long. "lognormal:10ms:0.5": a lognormal with this mean, and this deviation of the
  // logarithm. Throws ValueError.
  explicit Durations(std::string_view text);

  // The first `workers` workers take `factor` times as long.
  void set_stragglers(std::uint32_t workers, double factor) {
    stragglers_ = workers;
    factor_ = factor;
  }
  void set_seed(std::uint64_t seed) { seed_ = seed; }

  // On a worker that is no straggler; `layer` is the layer's place in the pattern.
  std::chrono::nanoseconds of(std::uint32_t layer, std::uint32_t index) const;
  double factor(std::uint32_t worker) const { return worker < stragglers_ ? factor_ : 1; }  // workers count from 0
  std::chrono::nanoseconds of(std::uint32_t layer, std::uint32_t index, std::uint32_t worker) const;
  std::chrono::nanoseconds mean() const { return mean_; }

 private:
  std::chrono::nanoseconds mean_ = std::chrono::milliseconds(10);
  double sigma_ = 0;
  std::uint64_t seed_ = 0;
  std::uint32_t stragglers_ = 0;
  double factor_ = 1;
};

}  // namespace tegula::sim
