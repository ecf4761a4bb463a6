#include "worker/kernels/cpu/reduce/tree_reducer.h"

namespace tegula::cpu {

const Reducer* find_float_reducer(ReduceOp op, DType dtype) {
  return dtype == DType::kFloat32 ? find_tree_reducer<float>(op) : find_tree_reducer<double>(op);
}

}  // namespace tegula::cpu
