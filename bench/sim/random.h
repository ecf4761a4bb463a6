// Numbers that depend on nothing but what they are for, so that two schedulers see the same durations whatever they do
// first.
#pragma once

#include <cstdint>

namespace tegula::sim {

constexpr std::uint64_t hash_of(std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) {
  std::uint64_t x = a + 0x9E3779B97F4A7C15ull;
  for (const std::uint64_t next : {b, c, std::uint64_t{0x632BE59BD9B4E019ull}}) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    x = (x ^ (x >> 31)) + next * 0x9E3779B97F4A7C15ull;
  }
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  return x ^ (x >> 29);
}

// In (0, 1).
constexpr double uniform_of(std::uint64_t hash) { return (static_cast<double>(hash >> 11) + 0.5) * 0x1p-53; }

}  // namespace tegula::sim
