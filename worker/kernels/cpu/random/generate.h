// Both elements of each of a batch of counters.
#pragma once

#include <cstdint>

#include "worker/kernels/cpu/random/fill.h"

namespace tegula::cpu {

inline constexpr int kBatch = 64;  // counters; a multiple of every kWidth

template <typename T>
struct RandomBatch {
  alignas(64) T lane0[kBatch];
  alignas(64) T lane1[kBatch];
};

// `n` counters (at most kBatch) from `counters`, which is readable and whose results are written up to the next
// multiple of kWidth. T is float or double for kUniform and kNormal, uint64 for kIntegers (the value modulo 2^64).
template <typename T>
void generate(const RandomSpec& spec, const std::uint64_t* counters, int n, RandomBatch<T>* out);

}  // namespace tegula::cpu
