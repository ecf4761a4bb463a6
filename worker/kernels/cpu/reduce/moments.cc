// Count, mean and M2 (the sum of squared deviations). A tile is measured when all of it is there, so that its
// deviations can be taken from its own mean: no digits are lost to a large mean.
#include "worker/kernels/cpu/reduce/tree_reducer.h"

namespace tegula::cpu {
namespace {

struct MomentsOp {
  template <typename M>
  static constexpr M identity() {
    return {0, 0, 0};
  }
  template <typename T>
  static Moments<T> combine(Moments<T> a, Moments<T> b) {
    return combine_moments(a, b);
  }
  template <typename T>
  static void write(const Moments<T>* values, std::int64_t width, void* out, std::int64_t component_stride) {
    auto* to = static_cast<T*>(out);
    for (std::int64_t c = 0; c < width; ++c) {
      to[c] = values[c].count;
      to[c + component_stride] = values[c].mean;
      to[c + 2 * component_stride] = values[c].m2;
    }
  }
};

// Joins the squared deviations from the means to the lanes.
template <typename T>
void join_deviations(T* __restrict lanes, const T* __restrict mean, std::int64_t width, const T* x, std::int64_t rows,
                     std::int64_t row_stride) {
  if (width == 1 && row_stride == static_cast<std::int64_t>(sizeof(T))) {
    T sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = lanes[l];
    const T middle = *mean;
    const std::int64_t groups = rows / kLanes;
    for (std::int64_t g = 0; g < groups; ++g) {
      for (int l = 0; l < kLanes; ++l) sum[l] += (x[g * kLanes + l] - middle) * (x[g * kLanes + l] - middle);
    }
    for (int l = 0; l < kLanes; ++l) lanes[l] = sum[l];
    for (std::int64_t i = groups * kLanes; i < rows; ++i) lanes[i % kLanes] += (x[i] - middle) * (x[i] - middle);
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    T* lane = lanes + r % kLanes * width;
    for (std::int64_t c = 0; c < width; ++c) lane[c] += (x[c] - mean[c]) * (x[c] - mean[c]);
    x = next_row(x, row_stride);
  }
}

template <typename T>
struct MomentsReducer {
  struct State {
    std::int64_t width, in_tile;
    T* elements;  // a tile that came in parts, so far: kMomentTile rows
    T* lanes;
    T* mean;
    Moments<T>* tile;  // its result
    TileCounter<MomentsOp, Moments<T>> counter;
  };

  static std::size_t part(std::int64_t count, std::size_t size) {
    return round_up_64(static_cast<std::size_t>(count) * size);
  }
  static std::size_t state_bytes(std::int64_t width, std::int64_t length) {
    return round_up_64(sizeof(State)) + part(width * kMomentTile, sizeof(T)) + part(width * kLanes, sizeof(T)) +
           part(width, sizeof(T)) + part(width, sizeof(Moments<T>)) +
           round_up_64(TileCounter<MomentsOp, Moments<T>>::bytes(width, levels_for(length, kMomentTile)));
  }
  static void begin(void* memory, std::int64_t width, std::int64_t) {
    auto* state = new (memory) State{};
    auto* bytes = static_cast<std::byte*>(memory) + round_up_64(sizeof(State));
    const auto take = [&bytes](std::size_t size) {
      auto* first = bytes;
      bytes += size;
      return first;
    };
    state->width = width;
    state->elements = reinterpret_cast<T*>(take(part(width * kMomentTile, sizeof(T))));
    state->lanes = reinterpret_cast<T*>(take(part(width * kLanes, sizeof(T))));
    state->mean = reinterpret_cast<T*>(take(part(width, sizeof(T))));
    state->tile = reinterpret_cast<Moments<T>*>(take(part(width, sizeof(Moments<T>))));
    state->counter.begin(reinterpret_cast<Moments<T>*>(bytes), width);
  }
  static void push(void* memory, const void* elements, std::int64_t rows, std::int64_t row_stride) {
    State& state = *static_cast<State*>(memory);
    const auto* x = static_cast<const T*>(elements);
    while (rows > 0) {
      const std::int64_t count = std::min(rows, kMomentTile - state.in_tile);
      if (count == kMomentTile) {
        measure_tile(state, x, count, row_stride);
        state.counter.add(state.tile);
        x = next_row(x, count * row_stride);
        rows -= count;
        continue;
      }
      for (std::int64_t r = 0; r < count; ++r, ++state.in_tile) {
        std::copy_n(x, state.width, state.elements + state.in_tile * state.width);
        x = next_row(x, row_stride);
      }
      rows -= count;
      if (state.in_tile < kMomentTile) continue;
      measure_own_tile(state);
      state.counter.add(state.tile);
      state.in_tile = 0;
    }
  }
  static void finish(void* memory, void* out, std::int64_t component_stride) {
    State& state = *static_cast<State*>(memory);
    const bool has_tile = state.in_tile > 0;
    const bool nothing = !has_tile && state.counter.empty();
    if (has_tile) measure_own_tile(state);
    state.counter.finish(state.tile, has_tile);
    if (nothing) std::fill_n(state.tile, state.width, Moments<T>{0, 0, 0});
    MomentsOp::write(state.tile, state.width, out, component_stride);
  }
  static constexpr Reducer kTable = {&state_bytes, &begin, &push, &finish};

 private:
  static void measure_own_tile(State& state) {
    measure_tile(state, state.elements, state.in_tile, state.width * static_cast<std::int64_t>(sizeof(T)));
  }
  static void measure_tile(State& state, const T* x, std::int64_t rows, std::int64_t row_stride) {
    const std::int64_t width = state.width;
    const auto count = static_cast<T>(rows);
    std::fill_n(state.lanes, width * kLanes, SumOp::identity<T>());
    join_rows<SumOp>(state.lanes, width, 0, x, rows, row_stride);
    fold_lanes<SumOp>(state.lanes, width);
    for (std::int64_t c = 0; c < width; ++c) state.mean[c] = state.lanes[c] / count;
    std::fill_n(state.lanes, width * kLanes, SumOp::identity<T>());
    join_deviations(state.lanes, state.mean, width, x, rows, row_stride);
    fold_lanes<SumOp>(state.lanes, width);
    for (std::int64_t c = 0; c < width; ++c) state.tile[c] = {count, state.mean[c], state.lanes[c]};
  }
};

}  // namespace

const Reducer* find_moments_reducer(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return &MomentsReducer<float>::kTable;
    case DType::kFloat64:
      return &MomentsReducer<double>::kTable;
    default:
      return nullptr;
  }
}

const Reducer* find_moments_combiner(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return &TreeReducer<MomentsOp, Moments<float>>::kTable;
    case DType::kFloat64:
      return &TreeReducer<MomentsOp, Moments<double>>::kTable;
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu
