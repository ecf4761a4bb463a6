// How long something took, many times: the longest, and quantiles to within an eighth. Of fixed size.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tegula {

class Durations {
 public:
  void add(std::chrono::nanoseconds took);  // one below zero counts as zero
  std::uint64_t count() const { return count_; }
  std::chrono::nanoseconds longest() const { return longest_; }
  // One that at least this part of them does not exceed, an eighth too long at most; 0 when there are none.
  std::chrono::nanoseconds quantile(double part) const;

 private:
  static constexpr unsigned kStepBits = 3;  // each power of two is divided into so many bits' steps
  static std::size_t bucket_of(std::uint64_t ns);
  static std::uint64_t end_of(std::size_t bucket);  // the longest that belongs there

  std::array<std::uint64_t, 64 << kStepBits> buckets_{};
  std::uint64_t count_ = 0;
  std::chrono::nanoseconds longest_{0};
};

}  // namespace tegula
