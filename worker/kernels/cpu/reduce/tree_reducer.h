// The reducer of one operation and element type. Included only by the files that make the tables.
#pragma once

#include <algorithm>
#include <cstring>

#include "worker/kernels/cpu/reduce/reducer.h"
#include "worker/kernels/cpu/reduce/tree.h"

namespace tegula::cpu {

inline constexpr std::size_t round_up_64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// Joins whole groups of kLanes elements of one sequence to its lanes.
template <typename Op, typename T>
void join_groups(T* lanes, const T* __restrict x, std::int64_t groups) {
  T sum[kLanes];
  for (int l = 0; l < kLanes; ++l) sum[l] = lanes[l];
  for (std::int64_t g = 0; g < groups; ++g) {
    for (int l = 0; l < kLanes; ++l) sum[l] = Op::combine(sum[l], x[g * kLanes + l]);
  }
  for (int l = 0; l < kLanes; ++l) lanes[l] = sum[l];
}

template <typename Op, typename T>
void join(T* __restrict lanes, const T* __restrict x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) lanes[i] = Op::combine(lanes[i], x[i]);
}

template <typename T>
const T* next_row(const T* x, std::int64_t row_stride) {
  return reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(x) + row_stride);
}

inline constexpr std::int64_t kRowsAhead = 8;

// Rows of `width` elements, `row_stride` bytes apart, of which the first joins lane `first`.
template <typename Op, typename T>
void join_rows(T* lanes, std::int64_t width, std::int64_t first, const T* x, std::int64_t rows,
               std::int64_t row_stride) {
  const bool dense = row_stride == width * static_cast<std::int64_t>(sizeof(T));
  if (dense && width == 1 && rows >= kLanes) {
    const std::int64_t head = (kLanes - first) % kLanes;
    join<Op>(lanes + first, x, head);
    const std::int64_t groups = (rows - head) / kLanes;
    join_groups<Op>(lanes, x + head, groups);
    join<Op>(lanes, x + head + groups * kLanes, (rows - head) % kLanes);
    return;
  }
  // Where a row and its lane lie alike, the rows up to the last lane are one run.
  const std::int64_t most = dense ? kLanes : 1;
  while (rows > 0) {
    const std::int64_t count = std::min({rows, kLanes - first, most});
    if (!dense) {  // short runs far apart: the processor doesn't see them coming
      const auto* ahead = reinterpret_cast<const std::byte*>(x) + kRowsAhead * row_stride;
      for (std::int64_t i = 0; i < width * static_cast<std::int64_t>(sizeof(T)); i += 64) __builtin_prefetch(ahead + i);
    }
    join<Op>(lanes + first * width, x, count * width);
    x = next_row(x, count * row_stride);
    rows -= count;
    first = (first + count) % kLanes;
  }
}

// Finished tiles wait here for a neighbour of their size.
template <typename Op, typename T>
class TileCounter {
 public:
  static std::size_t bytes(std::int64_t width, int levels) {
    return static_cast<std::size_t>(width * levels) * sizeof(T);
  }
  void begin(T* memory, std::int64_t width) {
    values_ = memory;
    width_ = width;
    tiles_ = 0;
  }
  bool empty() const { return tiles_ == 0; }
  // Takes the tile whose values are in `tile`, which is overwritten.
  void add(T* tile) {
    int level = 0;
    for (std::uint64_t rest = tiles_; (rest & 1) != 0; rest >>= 1, ++level) combine_older(level, tile);
    std::copy_n(tile, width_, at(level));
    ++tiles_;
  }
  // Everything, with a last shorter tile in `tile` or without, into `tile`.
  void finish(T* tile, bool has_tile) {
    int level = 0;
    for (std::uint64_t rest = tiles_; rest != 0; rest >>= 1, ++level) {
      if ((rest & 1) == 0) continue;
      if (has_tile) {
        combine_older(level, tile);
      } else {
        std::copy_n(at(level), width_, tile);
        has_tile = true;
      }
    }
  }

 private:
  T* at(int level) { return values_ + level * width_; }
  void combine_older(int level, T* tile) {
    const T* older = at(level);
    for (std::int64_t c = 0; c < width_; ++c) tile[c] = Op::combine(older[c], tile[c]);
  }

  T* values_ = nullptr;
  std::int64_t width_ = 0;
  std::uint64_t tiles_ = 0;
};

// Operations with partials of one component.
template <typename Op, typename T>
struct TreeReducer {
  struct State {
    std::int64_t width, in_tile;
    T* lanes;
    TileCounter<Op, T> counter;
  };

  static std::size_t state_bytes(std::int64_t width, std::int64_t length) {
    return round_up_64(sizeof(State)) + round_up_64(static_cast<std::size_t>(width * kLanes) * sizeof(T)) +
           round_up_64(TileCounter<Op, T>::bytes(width, levels_for(length, kTile)));
  }
  static void begin(void* memory, std::int64_t width, std::int64_t) {
    auto* state = new (memory) State{};
    state->width = width;
    auto* bytes = static_cast<std::byte*>(memory) + round_up_64(sizeof(State));
    state->lanes = reinterpret_cast<T*>(bytes);
    state->counter.begin(
        reinterpret_cast<T*>(bytes + round_up_64(static_cast<std::size_t>(width * kLanes) * sizeof(T))), width);
    clear_lanes(*state);
  }
  static void push(void* memory, const void* elements, std::int64_t rows, std::int64_t row_stride) {
    State& state = *static_cast<State*>(memory);
    const auto* x = static_cast<const T*>(elements);
    while (rows > 0) {
      const std::int64_t count = std::min(rows, kTile - state.in_tile);
      join_rows<Op>(state.lanes, state.width, state.in_tile % kLanes, x, count, row_stride);
      x = next_row(x, count * row_stride);
      rows -= count;
      state.in_tile += count;
      if (state.in_tile == kTile) close_tile(state);
    }
  }
  static void finish(void* memory, void* out, std::int64_t component_stride) {
    State& state = *static_cast<State*>(memory);
    const bool has_tile = state.in_tile > 0;
    const bool nothing = !has_tile && state.counter.empty();
    if (has_tile) fold_lanes<Op>(state.lanes, state.width);
    state.counter.finish(state.lanes, has_tile);
    if (nothing && std::is_same_v<Op, SumOp>) std::fill_n(state.lanes, state.width, T{});  // not -0.0
    write(state.lanes, state.width, out, component_stride);
  }
  static constexpr Reducer kTable = {&state_bytes, &begin, &push, &finish};

 private:
  static void clear_lanes(State& state) { std::fill_n(state.lanes, state.width * kLanes, Op::template identity<T>()); }
  static void close_tile(State& state) {
    fold_lanes<Op>(state.lanes, state.width);
    state.counter.add(state.lanes);
    clear_lanes(state);
    state.in_tile = 0;
  }
  static void write(const T* values, std::int64_t width, void* out, std::int64_t component_stride) {
    if constexpr (requires { Op::write(values, width, out, component_stride); }) {
      Op::write(values, width, out, component_stride);
    } else {
      std::memcpy(out, values, static_cast<std::size_t>(width) * sizeof(T));
    }
  }
};

template <typename T>
const Reducer* find_tree_reducer(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return &TreeReducer<SumOp, T>::kTable;
    case ReduceOp::kProd:
      return &TreeReducer<ProdOp, T>::kTable;
    case ReduceOp::kMin:
      return &TreeReducer<MinOp, T>::kTable;
    case ReduceOp::kMax:
      return &TreeReducer<MaxOp, T>::kTable;
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu
