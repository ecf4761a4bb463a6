#include "worker/kernels/cpu/random/fill.h"

#include <algorithm>
#include <cstring>

#include "worker/kernels/cpu/random/generate.h"

namespace tegula::cpu {

RandomSpec::RandomSpec(const RandomSource& source)
    : dtype(source.dtype),
      distribution(source.distribution),
      key{source.key, source.stream},
      schedule(key),
      a(source.a),
      b(source.distribution == Distribution::kUniform ? source.b - source.a : source.b),
      low(static_cast<std::uint64_t>(source.low_int)),
      range(source.range),
      threshold(source.range == 0 ? 0 : (0 - source.range) % source.range) {}

namespace {

// Counters first, first + step, ...: in one row, kept elements `step` apart (1, 2, 4 or 8) take counters `step` apart.
void counters_in_row(std::uint64_t first, std::uint64_t step, int n, std::uint64_t* counters) {
  for (int i = 0; i < n; ++i) counters[i] = first + step * static_cast<std::uint64_t>(i);
}

// Each block of 16 elements keeps kPerLane of lane 0, then as many of lane 1.
template <int kPerLane, typename T, typename Out>
void interleave(const RandomBatch<T>& batch, int counters, Out* __restrict out) {
  for (int i = 0; i < counters; i += kPerLane) {
    for (int k = 0; k < kPerLane; ++k) out[2 * i + k] = static_cast<Out>(batch.lane0[i + k]);
    for (int k = 0; k < kPerLane; ++k) out[2 * i + kPerLane + k] = static_cast<Out>(batch.lane1[i + k]);
  }
}

template <typename T, typename Out>
void interleave(int per_lane, const RandomBatch<T>& batch, int counters, Out* out) {
  switch (per_lane) {
    case 8:
      return interleave<8>(batch, counters, out);
    case 4:
      return interleave<4>(batch, counters, out);
    case 2:
      return interleave<2>(batch, counters, out);
    default:
      return interleave<1>(batch, counters, out);
  }
}

// Ascending positions in one row, `step` apart: 1, 2, 4 or 8.
template <typename T, typename Out>
void fill_dense(const RandomSpec& spec, std::uint64_t row, std::int64_t position, std::int64_t step, std::int64_t count,
                Out* out) {
  const auto per_lane = static_cast<int>(8 / step);
  const std::int64_t block = position / 16, phase = position % step;
  std::int64_t skip = (position % 16 - phase) / step;  // kept elements of the first block that lie before the run
  std::uint64_t counter = row + 8 * static_cast<std::uint64_t>(block) + static_cast<std::uint64_t>(phase);
  alignas(64) std::uint64_t counters[kBatch];
  RandomBatch<T> batch;
  while (count > 0) {
    const std::int64_t wanted = (skip + count + 2 * per_lane - 1) / (2 * per_lane) * per_lane;
    const int n = static_cast<int>(std::min<std::int64_t>(wanted, kBatch));
    counters_in_row(counter, static_cast<std::uint64_t>(step), kBatch, counters);
    generate(spec, counters, n, &batch);
    const std::int64_t made = std::min<std::int64_t>(2 * n - skip, count);
    if (made == 2 * n) {
      interleave(per_lane, batch, n, out);
    } else {
      Out kept[2 * kBatch];
      interleave(per_lane, batch, n, kept);
      std::copy_n(kept + skip, made, out);
    }
    out += made;
    count -= made;
    skip = 0;
    counter += static_cast<std::uint64_t>(step) * static_cast<std::uint64_t>(n);
  }
}

// Anything else: each element brings its own counter and takes one lane.
template <typename T, typename Out>
void fill_scattered(const RandomSpec& spec, RandomRun run, std::int64_t count, Out* out) {
  alignas(64) std::uint64_t counters[kBatch];
  std::uint8_t lane[kBatch];
  RandomBatch<T> batch;
  while (count > 0) {
    const int n = static_cast<int>(std::min<std::int64_t>(count, kBatch));
    for (int i = 0; i < kBatch; ++i) {  // beyond the n-th they are somewhere, and not looked at
      const auto j = static_cast<std::uint64_t>(run.position) +
                     static_cast<std::uint64_t>(run.step) * static_cast<std::uint64_t>(i);
      counters[i] = run.row + run.row_step * static_cast<std::uint64_t>(i) + 8 * (j / 16) + j % 8;
      lane[i] = static_cast<std::uint8_t>(j / 8 % 2);
    }
    generate(spec, counters, n, &batch);
    for (int i = 0; i < n; ++i) out[i] = static_cast<Out>(lane[i] != 0 ? batch.lane1[i] : batch.lane0[i]);
    out += n;
    count -= n;
    run.row += run.row_step * static_cast<std::uint64_t>(n);
    if (count > 0) run.position += run.step * n;
  }
}

template <typename T, typename Out>
void fill_as(const RandomSpec& spec, const RandomRun& run, std::int64_t count, void* to) {
  auto* out = static_cast<Out*>(to);
  const std::int64_t step = run.step < 0 ? -run.step : run.step;
  const bool dense = run.row_step == 0 && (step == 1 || step == 2 || step == 4 || step == 8);
  if (!dense || count < 2) return fill_scattered<T>(spec, run, count, out);
  if (run.step > 0) return fill_dense<T>(spec, run.row, run.position, step, count, out);
  fill_dense<T>(spec, run.row, run.position + run.step * (count - 1), step, count, out);
  std::reverse(out, out + count);
}

}  // namespace

void fill_random(const RandomSpec& spec, const RandomRun& run, std::int64_t count, void* out) {
  if (spec.distribution != Distribution::kIntegers) {
    return spec.dtype == DType::kFloat32 ? fill_as<float, float>(spec, run, count, out)
                                         : fill_as<double, double>(spec, run, count, out);
  }
  switch (item_size(spec.dtype)) {
    case 1:
      return fill_as<std::uint64_t, std::uint8_t>(spec, run, count, out);
    case 2:
      return fill_as<std::uint64_t, std::uint16_t>(spec, run, count, out);
    case 4:
      return fill_as<std::uint64_t, std::uint32_t>(spec, run, count, out);
    default:
      return fill_as<std::uint64_t, std::uint64_t>(spec, run, count, out);
  }
}

}  // namespace tegula::cpu
