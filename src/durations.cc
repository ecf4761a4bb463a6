#include "src/durations.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tegula {

// Below 2^kStepBits each value has its bucket; above, the bits after the leading one say which.
std::size_t Durations::bucket_of(std::uint64_t ns) {
  const unsigned octave = std::bit_width(ns >> kStepBits);
  if (octave == 0) return ns;
  const std::uint64_t step = (ns >> (octave - 1)) & ((1u << kStepBits) - 1);
  return (octave << kStepBits) + step;
}

std::uint64_t Durations::end_of(std::size_t bucket) {
  const std::size_t octave = bucket >> kStepBits;
  if (octave == 0) return bucket;
  const std::uint64_t step = bucket & ((1u << kStepBits) - 1);
  return (((1u << kStepBits) + step + 1) << (octave - 1)) - 1;
}

void Durations::add(std::chrono::nanoseconds took) {
  took = std::max(took, std::chrono::nanoseconds(0));
  ++buckets_[bucket_of(static_cast<std::uint64_t>(took.count()))];
  ++count_;
  longest_ = std::max(longest_, took);
}

std::chrono::nanoseconds Durations::quantile(double part) const {
  const auto wanted = static_cast<std::uint64_t>(std::ceil(part * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  std::size_t bucket = 0;
  while (bucket < buckets_.size() && (seen += buckets_[bucket]) < wanted) ++bucket;
  if (bucket == buckets_.size()) return longest_;
  return std::min(longest_, std::chrono::nanoseconds(end_of(bucket)));
}

}  // namespace tegula
