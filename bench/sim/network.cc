#include "bench/sim/network.h"

#include <algorithm>
#include <cmath>

#include "bench/sim/random.h"

namespace tegula::sim {

double Network::bandwidth(std::uint32_t from, std::uint32_t to) const {
  const std::uint32_t a = from / options_.workers_per_host, b = to / options_.workers_per_host;
  if (a == b) return options_.local_bandwidth;
  if (options_.spread == 0) return options_.bandwidth;
  const double chance = uniform_of(hash_of(options_.seed, std::min(a, b), std::max(a, b)));
  return options_.bandwidth / (1 + options_.spread * chance);
}

Time Network::alone(std::uint32_t from, std::uint32_t to, std::uint64_t bytes) const {
  return options_.latency + Time(std::llround(static_cast<double>(bytes) / bandwidth(from, to) * 1e9));
}

Time Network::transfer(std::uint32_t from, std::uint32_t to, std::uint64_t bytes, Time now) {
  bytes_moved_ += bytes;
  const Time lasts = alone(from, to, bytes) - options_.latency;
  // The first bytes arrive while the last ones are still to be sent, unless the receiver is busy.
  Time& out = free_at(out_, from);
  out = std::max(now, out) + lasts;
  Time& in = free_at(in_, to);
  in = std::max(out, in + lasts);
  return in + options_.latency;
}

}  // namespace tegula::sim
