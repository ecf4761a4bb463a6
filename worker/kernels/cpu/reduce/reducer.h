// Reductions in progress, for any operation and dtype, in the order that tree.h lays down.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/program.h"
#include "tegula/dtype.h"

namespace tegula::cpu {

// Reduces the sequences of `width` neighbouring outputs at once. The state is memory that the caller owns, 64-byte
// aligned.
struct Reducer {
  // Bytes of state for sequences of at most `length` elements.
  std::size_t (*state_bytes)(std::int64_t width, std::int64_t length);
  void (*begin)(void* state, std::int64_t width, std::int64_t length);
  // The next `rows` elements of each sequence: rows of `width` contiguous elements of the reduction's dtype,
  // `row_stride` bytes apart.
  void (*push)(void* state, const void* rows_of_elements, std::int64_t rows, std::int64_t row_stride);
  // Writes `width` results to out; of several components, each `component_stride` elements after the one before.
  void (*finish)(void* state, void* out, std::int64_t component_stride);
};

// Reduces elements; nullptr when there is no such reduction for the dtype.
const Reducer* find_reducer(ReduceOp op, DType dtype);
// Combines partial results. Those of kMoments are pushed as rows of (count, mean, M2) triples.
const Reducer* find_combiner(ReduceOp op, DType dtype);
// Components of a partial: 3 for kMoments, else 1.
int components_of(ReduceOp op);

const Reducer* find_int_reducer(ReduceOp op, DType dtype);
const Reducer* find_float_reducer(ReduceOp op, DType dtype);
const Reducer* find_complex_reducer(ReduceOp op, DType dtype);
const Reducer* find_moments_reducer(DType dtype);
const Reducer* find_moments_combiner(DType dtype);

}  // namespace tegula::cpu
