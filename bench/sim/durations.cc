#include "bench/sim/durations.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <numbers>

#include "bench/sim/random.h"
#include "src/config.h"
#include "tegula/error.h"

namespace tegula::sim {

Durations::Durations(std::string_view text) {
  constexpr std::string_view kLognormal = "lognormal:";
  std::string_view mean = text;
  if (text.starts_with(kLognormal)) {
    mean = text.substr(kLognormal.size());
    const std::size_t colon = mean.find(':');
    const std::string_view sigma = colon == mean.npos ? std::string_view() : mean.substr(colon + 1);
    mean = mean.substr(0, colon);
    const auto [end, error] = std::from_chars(sigma.data(), sigma.data() + sigma.size(), sigma_);
    if (error != std::errc() || end != sigma.data() + sigma.size() || !(sigma_ >= 0 && sigma_ <= 5)) {
      throw ValueError(fmt::format("'{}' is no duration: lognormal:MEAN:DEVIATION has a deviation from 0 to 5", text));
    }
  }
  mean_ = parse_duration(mean);
  if (mean_ < std::chrono::nanoseconds(0) || mean_ > std::chrono::hours(24)) {
    throw ValueError(fmt::format("tasks that take '{}': 0 to 24 h", mean));
  }
}

std::chrono::nanoseconds Durations::of(std::uint32_t layer, std::uint32_t index) const {
  if (sigma_ == 0) return mean_;
  const std::uint64_t hash = hash_of(seed_, layer, index);
  const double normal =
      std::sqrt(-2 * std::log(uniform_of(hash))) * std::cos(2 * std::numbers::pi * uniform_of(hash_of(hash, 1)));
  const double scale = std::exp(sigma_ * normal - sigma_ * sigma_ / 2);
  return std::chrono::nanoseconds(std::llround(static_cast<double>(mean_.count()) * scale));
}

std::chrono::nanoseconds Durations::of(std::uint32_t layer, std::uint32_t index, std::uint32_t worker) const {
  const auto base = of(layer, index);
  const double slower = factor(worker);
  return slower == 1 ? base : std::chrono::nanoseconds(std::llround(static_cast<double>(base.count()) * slower));
}

}  // namespace tegula::sim
