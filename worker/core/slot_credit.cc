#include "worker/core/slot_credit.h"

#include <algorithm>

namespace tegula::worker {

namespace {
constexpr std::int64_t kCoveredNs = 2'000'000;         // the prefetch of a thread lasts about this long
constexpr std::uint64_t kMaxPrefetch = 64;             // per thread
constexpr std::int64_t kHandAheadBelowNs = 5'000'000;  // slower tasks wait in the core, where priorities still count
}  // namespace

SlotCredit::SlotCredit(unsigned threads) : threads_(std::max(threads, 1u)), granted_(threads_ * 2) {}

void SlotCredit::observe(std::chrono::nanoseconds duration) {
  const std::int64_t ns = std::max<std::int64_t>(duration.count(), 1);
  // Slowness is believed sooner than speed: too much prefetch keeps work from idle workers, too little costs a round
  // trip. But one sample counts for four at most, since a short task that was preempted looks like a long one.
  if (typical_ns_ < 0) {
    typical_ns_ = ns;
  } else {
    const std::int64_t sample = std::min(ns, typical_ns_ * 4 + 1000);
    typical_ns_ += (sample - typical_ns_) / (sample > typical_ns_ ? 2 : 8);
  }
  update();
}

void SlotCredit::observe_silence(std::chrono::nanoseconds duration) {
  if (duration.count() <= typical_ns_) return;
  typical_ns_ = duration.count();
  update();
}

void SlotCredit::update() {
  const std::int64_t wanted = (kCoveredNs + typical_ns_ - 1) / std::max<std::int64_t>(typical_ns_, 1);
  prefetch_ = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, kMaxPrefetch);
}

std::uint64_t SlotCredit::executor_depth() const {
  const bool ahead = typical_ns_ >= 0 && typical_ns_ < kHandAheadBelowNs;
  return ahead ? wanted() : threads_;
}

bool SlotCredit::top_up(std::uint64_t held, std::uint64_t received) {
  const std::uint64_t open = granted_ > received ? granted_ - received : 0;
  if (held + open >= wanted()) return false;
  granted_ += wanted() - held - open;
  return true;
}

}  // namespace tegula::worker
