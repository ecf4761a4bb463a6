#include "worker/kernels/cpu/reduce/tree_reducer.h"

namespace tegula::cpu {

const Reducer* find_int_reducer(ReduceOp op, DType dtype) {
  switch (dtype) {
    case DType::kBool:
      if (op == ReduceOp::kAny) return &TreeReducer<SumOp, Truth>::kTable;
      if (op == ReduceOp::kAll) return &TreeReducer<ProdOp, Truth>::kTable;
      return find_tree_reducer<Truth>(op);
    case DType::kInt8:
      return find_tree_reducer<std::int8_t>(op);
    case DType::kInt16:
      return find_tree_reducer<std::int16_t>(op);
    case DType::kInt32:
      return find_tree_reducer<std::int32_t>(op);
    case DType::kInt64:
      return find_tree_reducer<std::int64_t>(op);
    case DType::kUInt8:
      return find_tree_reducer<std::uint8_t>(op);
    case DType::kUInt16:
      return find_tree_reducer<std::uint16_t>(op);
    case DType::kUInt32:
      return find_tree_reducer<std::uint32_t>(op);
    case DType::kUInt64:
      return find_tree_reducer<std::uint64_t>(op);
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu
