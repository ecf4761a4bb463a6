#include "worker/kernels/cpu/random/generate.h"

#include "worker/kernels/cpu/random/box_muller.h"

namespace tegula::cpu {
namespace {

// Each step runs over the whole batch by itself: short loops of independent vectors keep the processor's pipes full
// where one long one would wait for its own chain.
void words(const RandomSpec& spec, const std::uint64_t* counters, int n, RandomBatch<std::uint64_t>* out) {
  for (int i = 0; i < n; i += kWidth) {
    const PhiloxVectors w = philox(spec.schedule, 0, load<U64>(counters + i));
    store(out->lane0 + i, w.lane0);
    store(out->lane1 + i, w.lane1);
  }
}

void normals(const RandomSpec& spec, const RandomBatch<std::uint64_t>& w, int n, RandomBatch<double>* out) {
  for (int i = 0; i < n; i += kWidth) {
    const NormalPair pair = box_muller(load<U64>(w.lane0 + i), load<U64>(w.lane1 + i));
    store(out->lane0 + i, spec.a + spec.b * pair.z0);
    store(out->lane1 + i, spec.a + spec.b * pair.z1);
  }
}

// The top 53 bits as a number in [0, 1), exactly.
F64 uniform53(U64 w) {
#if defined(__AVX512DQ__)
  return __builtin_convertvector(w >> 11, F64) * 0x1p-53;
#else
  // Two halves put into the mantissas of 2^52 and 2^84, and the offsets taken off again.
  constexpr std::uint64_t k2To52 = 0x4330000000000000, k2To84 = 0x4530000000000000;
  const U64 bits = w >> 11;
  const F64 high = as_double((bits >> 32) | k2To84) - 0x1p84;
  const F64 low = as_double((bits & 0xFFFFFFFF) | k2To52) - 0x1p52;
  return (high + low) * 0x1p-53;
#endif
}

void uniforms(const RandomSpec& spec, const RandomBatch<std::uint64_t>& w, int n, RandomBatch<double>* out) {
  for (int i = 0; i < n; i += kWidth) {
    store(out->lane0 + i, spec.a + spec.b * uniform53(load<U64>(w.lane0 + i)));
    store(out->lane1 + i, spec.a + spec.b * uniform53(load<U64>(w.lane1 + i)));
  }
}

void uniforms(const RandomSpec& spec, const std::uint64_t* w, int n, float* out) {
  const auto low = static_cast<float>(spec.a), width = static_cast<float>(spec.b);
  for (int i = 0; i < n; ++i)
    out[i] = low + width * (static_cast<float>(static_cast<std::int32_t>(w[i] >> 40)) * 0x1p-24f);
}

std::uint64_t high_product(std::uint64_t a, std::uint64_t b, std::uint64_t* low) {
  __extension__ typedef unsigned __int128 U128;
  const U128 product = static_cast<U128>(a) * b;
  *low = static_cast<std::uint64_t>(product);
  return static_cast<std::uint64_t>(product >> 64);
}

// Draws again, by the counter's draw word, until the value is not rejected.
std::uint64_t redraw(const RandomSpec& spec, std::uint64_t counter, bool lane1) {
  for (std::uint32_t draw = 1;; ++draw) {
    const PhiloxWords w = philox(spec.key, draw, counter);
    std::uint64_t low;
    const std::uint64_t value = high_product(lane1 ? w.lane1 : w.lane0, spec.range, &low);
    if (low >= spec.threshold) return value;
  }
}

// Products of 64-bit words with a range below 2^32, from two half products: the high halves to `w`. Returns whether any
// low half is below the threshold.
bool scale_by_small_range(const RandomSpec& spec, int n, std::uint64_t* w, std::uint64_t* low) {
  const U64 range = broadcast(spec.range);
  for (int i = 0; i < n; i += kWidth) {
    const U64 word = load<U64>(w + i);
    const U64 lower = multiply_low(word, range);
    const U64 sum = multiply_low(word >> 32, range) + (lower >> 32);
    store(w + i, sum >> 32);
    store(low + i, (sum << 32) | (lower & 0xFFFFFFFF));
  }
  bool any = false;
  for (int i = 0; i < n; ++i) any |= low[i] < spec.threshold;
  return any;
}

void integers(const RandomSpec& spec, const std::uint64_t* counters, bool lane1, int n, std::uint64_t* w) {
  alignas(64) std::uint64_t low[kBatch];
  if (spec.range != 0) {
    bool rejected = true;
    if (spec.range < std::uint64_t{1} << 32) {
      rejected = scale_by_small_range(spec, (n + kWidth - 1) / kWidth * kWidth, w, low);
    } else {
      for (int i = 0; i < n; ++i) w[i] = high_product(w[i], spec.range, &low[i]);
    }
    for (int i = 0; rejected && i < n; ++i) {
      if (low[i] < spec.threshold) w[i] = redraw(spec, counters[i], lane1);
    }
  }
  for (int i = 0; i < n; ++i) w[i] += spec.low;
}

}  // namespace

template <>
void generate<double>(const RandomSpec& spec, const std::uint64_t* counters, int n, RandomBatch<double>* out) {
  RandomBatch<std::uint64_t> w;
  words(spec, counters, n, &w);
  if (spec.distribution == Distribution::kNormal) {
    normals(spec, w, n, out);
  } else {
    uniforms(spec, w, n, out);
  }
}

template <>
void generate<float>(const RandomSpec& spec, const std::uint64_t* counters, int n, RandomBatch<float>* out) {
  RandomBatch<std::uint64_t> w;
  words(spec, counters, n, &w);
  if (spec.distribution == Distribution::kNormal) {
    RandomBatch<double> z;
    normals(spec, w, n, &z);
    for (int i = 0; i < n; ++i) out->lane0[i] = static_cast<float>(z.lane0[i]);
    for (int i = 0; i < n; ++i) out->lane1[i] = static_cast<float>(z.lane1[i]);
  } else {
    uniforms(spec, w.lane0, n, out->lane0);
    uniforms(spec, w.lane1, n, out->lane1);
  }
}

template <>
void generate<std::uint64_t>(const RandomSpec& spec, const std::uint64_t* counters, int n,
                             RandomBatch<std::uint64_t>* out) {
  words(spec, counters, n, out);
  integers(spec, counters, false, n, out->lane0);
  integers(spec, counters, true, n, out->lane1);
}

}  // namespace tegula::cpu
