#include "worker/kernels/cpu/reduce/reducer.h"

namespace tegula::cpu {

const Reducer* find_reducer(ReduceOp op, DType dtype) {
  if (op == ReduceOp::kMoments) return find_moments_reducer(dtype);
  switch (kind_of(dtype)) {
    case DTypeKind::kFloat:
      return find_float_reducer(op, dtype);
    case DTypeKind::kComplex:
      return find_complex_reducer(op, dtype);
    default:
      return find_int_reducer(op, dtype);
  }
}

const Reducer* find_combiner(ReduceOp op, DType dtype) {
  return op == ReduceOp::kMoments ? find_moments_combiner(dtype) : find_reducer(op, dtype);
}

int components_of(ReduceOp op) { return op == ReduceOp::kMoments ? kMomentComponents : 1; }

}  // namespace tegula::cpu
