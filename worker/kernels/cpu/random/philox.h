// Philox4x32-10 (Salmon et al., 2011), on several counters at a time.
//
// A counter's words are: block (low and high half), draw, stream; the key's words are the halves of a 64-bit key. The
// four words that come out are taken as two 64-bit ones: lane 0 holds words 0 and 1, lane 1 words 2 and 3, the lower
// word in the lower half.
#pragma once

#include <cstdint>

#include "worker/kernels/cpu/random/vectors.h"

namespace tegula::cpu {

inline constexpr std::uint32_t kPhiloxM0 = 0xD2511F53, kPhiloxM1 = 0xCD9E8D57;
inline constexpr std::uint32_t kPhiloxW0 = 0x9E3779B9, kPhiloxW1 = 0xBB67AE85;
inline constexpr int kPhiloxRounds = 10;

// What is the same for all elements of an array.
struct PhiloxKey {
  std::uint64_t key = 0;
  std::uint32_t stream = 0;
};

struct PhiloxWords {
  std::uint64_t lane0, lane1;
};

inline PhiloxWords philox(PhiloxKey key, std::uint32_t draw, std::uint64_t block) {
  auto c0 = static_cast<std::uint32_t>(block), c1 = static_cast<std::uint32_t>(block >> 32), c2 = draw, c3 = key.stream;
  auto k0 = static_cast<std::uint32_t>(key.key), k1 = static_cast<std::uint32_t>(key.key >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t p0 = std::uint64_t{kPhiloxM0} * c0, p1 = std::uint64_t{kPhiloxM1} * c2;
    c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    k0 += kPhiloxW0;
    k1 += kPhiloxW1;
  }
  return {c0 | std::uint64_t{c1} << 32, c2 | std::uint64_t{c3} << 32};
}

// The ten round keys, each word in its own 64-bit lane (upper halves 0).
struct PhiloxSchedule {
  explicit PhiloxSchedule(PhiloxKey key) : stream(key.stream) {
    for (std::uint32_t round = 0; round < kPhiloxRounds; ++round) {
      k0[round] = static_cast<std::uint32_t>(key.key) + round * kPhiloxW0;
      k1[round] = static_cast<std::uint32_t>(key.key >> 32) + round * kPhiloxW1;
    }
  }
  std::uint64_t k0[kPhiloxRounds], k1[kPhiloxRounds];
  std::uint64_t stream;
};

struct PhiloxVectors {
  U64 lane0, lane1;
};

// As above for a vector of blocks. The words live in the lower halves of 64-bit lanes; the multiplication looks at
// nothing else, so the upper halves carry garbage until the end.
inline PhiloxVectors philox(const PhiloxSchedule& schedule, std::uint64_t draw, U64 block) {
  const U64 m0 = broadcast(std::uint64_t{kPhiloxM0}), m1 = broadcast(std::uint64_t{kPhiloxM1});
  U64 c0 = block, c1 = block >> 32, c2 = broadcast(draw), c3 = broadcast(schedule.stream);
#pragma GCC unroll 10
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const U64 p0 = multiply_low(c0, m0), p1 = multiply_low(c2, m1);
    c0 = (p1 >> 32) ^ c1 ^ schedule.k0[round];
    c2 = (p0 >> 32) ^ c3 ^ schedule.k1[round];
    c1 = p1;
    c3 = p0;
  }
  const U64 low = broadcast(std::uint64_t{0xFFFFFFFF});
  return {(c0 & low) | (c1 << 32), (c2 & low) | (c3 << 32)};
}

}  // namespace tegula::cpu
