#include "worker/kernels/cpu/reduce/tree_reducer.h"

namespace tegula::cpu {
namespace {

// A sum goes part by part: twice as many neighbouring sums of real numbers.
template <typename T>
struct PartwiseSum {
  using Parts = TreeReducer<SumOp, T>;
  static std::size_t state_bytes(std::int64_t width, std::int64_t length) {
    return Parts::state_bytes(2 * width, length);
  }
  static void begin(void* state, std::int64_t width, std::int64_t length) { Parts::begin(state, 2 * width, length); }
  static void finish(void* state, void* out, std::int64_t component_stride) {
    Parts::finish(state, out, 2 * component_stride);
  }
  static constexpr Reducer kTable = {&state_bytes, &begin, &Parts::push, &finish};
};

template <typename T>
const Reducer* find(ReduceOp op) {
  return op == ReduceOp::kSum ? &PartwiseSum<T>::kTable : find_tree_reducer<ComplexNumber<T>>(op);
}

}  // namespace

const Reducer* find_complex_reducer(ReduceOp op, DType dtype) {
  return dtype == DType::kComplex64 ? find<float>(op) : find<double>(op);
}

}  // namespace tegula::cpu
