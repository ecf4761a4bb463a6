// A hash of the state of several parts taken together, for searches that must recognise a state they have seen. Numbers
// that are only compared with each other (attempts, priorities, cumulative counters of a connection, which buffer it
// is) are renamed first, so that states which differ in nothing but such numbers coincide.
//
// Each part describes itself to one CanonicalHash, in the same order, twice: first the names in use are collected,
// then, after rename(), everything is hashed. What one part says before another depends on may be a name's base (see
// slots()).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "src/ids.h"

namespace tegula {

class CanonicalHash {
 public:
  // From collecting to hashing. What was collected keeps its order and loses its size.
  void rename() {
    sort(attempts_);
    sort(priorities_);
    hashing_ = true;
  }
  bool hashing() const { return hashing_; }
  std::uint64_t value() const { return finish(hash_); }

  // A plain number, the same in equivalent states.
  void add(std::uint64_t value) {
    if (hashing_) hash_ = mix(hash_ ^ value);
  }
  void add(bool value) { add(static_cast<std::uint64_t>(value)); }
  void add(std::int64_t value) { add(static_cast<std::uint64_t>(value)); }
  void add(std::uint32_t value) { add(static_cast<std::uint64_t>(value)); }
  void add(std::uint16_t value) { add(static_cast<std::uint64_t>(value)); }
  void add(std::uint8_t value) { add(static_cast<std::uint64_t>(value)); }
  void add(int value) { add(static_cast<std::uint64_t>(value)); }
  template <typename Enum>
    requires std::is_enum_v<Enum>
  void add(Enum value) {
    add(static_cast<std::uint64_t>(value));
  }
  void add(const ResultId& result) {
    add(result.task);
    add(result.output);
  }
  void add(std::string_view text) {
    if (!hashing_) return;
    add(text.size());
    for (const char c : text) add(static_cast<std::uint8_t>(c));
  }
  void add(AttemptId) = delete;  // attempt() renames

  void attempt(AttemptId attempt) { renamed(attempts_, static_cast<std::uint64_t>(attempt)); }
  void priority(std::int64_t priority) { renamed(priorities_, priority); }

  // Cumulative counters of a worker's connection are hashed as distances from what the scheduler has counted there.
  struct Counted {
    std::uint64_t spent = 0;
    std::uint64_t answered = 0;
    std::uint64_t spent_kib = 0;
  };
  void set_counted(WorkerId worker, Counted counted) { counted_[worker] = counted; }
  void spent(WorkerId worker, std::uint64_t count) { add(count - counted_[worker].spent); }
  void spent_kib(WorkerId worker, std::uint64_t kib) { add(kib - counted_[worker].spent_kib); }
  void answered(WorkerId worker, std::uint64_t count) { add(count - counted_[worker].answered); }

  // Which buffer: numbered in the order of their first mention since begin_buffers().
  void begin_buffers() { buffers_.clear(); }
  void buffer(const void* identity) {
    if (!hashing_) return;
    const auto found = std::find(buffers_.begin(), buffers_.end(), identity);
    add(static_cast<std::uint64_t>(found - buffers_.begin()));
    if (found == buffers_.end()) buffers_.push_back(identity);
  }

  // The elements of a container whose order means nothing. `each` describes one element; it must not mention buffers.
  template <typename Container, typename Each>
  void unordered(const Container& container, Each&& each) {
    const std::uint64_t outer = hash_;
    std::uint64_t sum = 0, count = 0;
    for (const auto& element : container) {
      hash_ = kSeed;
      each(element);
      sum += finish(hash_);
      ++count;
    }
    hash_ = outer;
    add(count);
    add(sum);
  }

 private:
  static constexpr std::uint64_t kSeed = 0x9E3779B97F4A7C15ull;
  static std::uint64_t mix(std::uint64_t x) {
    x *= 0xD1342543DE82EF95ull;
    x ^= x >> 32;
    x *= 0xAF251AF3B0F025B5ull;
    return x ^ (x >> 29);
  }
  static std::uint64_t finish(std::uint64_t x) { return mix(mix(x ^ 0x632BE59BD9B4E019ull)); }

  template <typename Number>
  static void sort(std::vector<Number>& numbers) {
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  }
  template <typename Number>
  void renamed(std::vector<Number>& numbers, Number number) {
    if (!hashing_) {
      numbers.push_back(number);
    } else {
      add(static_cast<std::uint64_t>(std::lower_bound(numbers.begin(), numbers.end(), number) - numbers.begin()));
    }
  }

  bool hashing_ = false;
  std::uint64_t hash_ = kSeed;
  std::vector<std::uint64_t> attempts_;
  std::vector<std::int64_t> priorities_;
  std::unordered_map<WorkerId, Counted> counted_;
  std::vector<const void*> buffers_;
};

}  // namespace tegula
