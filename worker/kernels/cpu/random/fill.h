// Runs of random elements, as a RandomSource describes them (src/program.h says which counter and lane an element
// takes).
#pragma once

#include <cstdint>

#include "src/program.h"
#include "worker/kernels/cpu/random/philox.h"

namespace tegula::cpu {

// A RandomSource made ready.
struct RandomSpec {
  explicit RandomSpec(const RandomSource& source);

  DType dtype;
  Distribution distribution;
  PhiloxKey key;
  PhiloxSchedule schedule;
  double a, b;               // normal: mean and standard deviation; uniform: low and high - low
  std::uint64_t low, range;  // integers; low modulo 2^64
  std::uint64_t threshold;   // integers: draws whose low product is below this are rejected
};

// A run of elements: the i-th lies in the row whose first counter is row + i * row_step, at position + i * step in it.
// Positions are >= 0.
struct RandomRun {
  std::uint64_t row = 0, row_step = 0;
  std::int64_t position = 0, step = 1;
};

// Writes `count` elements of spec.dtype. Steps of 1, 2, 4 and 8, up or down, in one row generate nothing that isn't
// kept (but for the ends of the run); other steps generate each element's Box-Muller partner in vain.
void fill_random(const RandomSpec& spec, const RandomRun& run, std::int64_t count, void* out);

}  // namespace tegula::cpu
