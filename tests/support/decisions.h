// Numbers that steer a random life: taken from bytes as long as there are any, so that a fuzzer can choose them, then
// from a generator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

namespace tegula {

class Decisions {
 public:
  explicit Decisions(std::uint64_t seed, std::span<const std::uint8_t> bytes = {}) : random_(seed), bytes_(bytes) {}

  // A number in [low, high].
  std::size_t pick(std::size_t low, std::size_t high) {
    if (bytes_.empty()) return std::uniform_int_distribution<std::size_t>(low, high)(random_);
    std::size_t value = 0;
    for (std::size_t range = high - low; range != 0 && !bytes_.empty(); range >>= 8) {
      value = value << 8 | bytes_.front();
      bytes_ = bytes_.subspan(1);
    }
    return high - low == SIZE_MAX ? value : low + value % (high - low + 1);
  }
  bool chance(std::size_t one_in) { return pick(1, one_in) == 1; }
  // Whether the next number comes from the bytes.
  bool given() const { return !bytes_.empty(); }

 private:
  std::mt19937_64 random_;
  std::span<const std::uint8_t> bytes_;
};

}  // namespace tegula
