#include "worker/kernels/cpu/reduce/tree_reducer.h"

namespace tegula::cpu {

const Reducer* find_complex_reducer(ReduceOp op, DType dtype) {
  return dtype == DType::kComplex64 ? find_tree_reducer<ComplexNumber<float>>(op) : find_tree_reducer<ComplexNumber<double>>(op);
}

}  // namespace tegula::cpu
