#include "worker/kernels/cpu/elementwise/loops.h"

namespace tegula::cpu {
namespace {

Loop find_same_type_loop(Op op, DType type, unsigned scalars) {
  switch (type) {
    case DType::kBool:
      return find_bool_loop(op, scalars);
    case DType::kInt8:
      return find_int8_loop(op, scalars);
    case DType::kInt16:
      return find_int16_loop(op, scalars);
    case DType::kInt32:
      return find_int32_loop(op, scalars);
    case DType::kInt64:
      return find_int64_loop(op, scalars);
    case DType::kUInt8:
      return find_uint8_loop(op, scalars);
    case DType::kUInt16:
      return find_uint16_loop(op, scalars);
    case DType::kUInt32:
      return find_uint32_loop(op, scalars);
    case DType::kUInt64:
      return find_uint64_loop(op, scalars);
    case DType::kFloat32:
    case DType::kFloat64: {
      const Loop loop = find_float_loop(op, type, scalars);
      return loop != nullptr ? loop : find_float_math(op, type, scalars);
    }
    case DType::kComplex64:
    case DType::kComplex128: {
      const Loop loop = find_complex_loop(op, type, scalars);
      return loop != nullptr ? loop : find_complex_math(op, type, scalars);
    }
  }
  return nullptr;
}

}  // namespace

Loop find_cast(DType from, DType to) {
  return kind_of(from) <= DTypeKind::kSigned ? find_cast_from_int(from, to) : find_cast_from_float(from, to);
}

Loop find_loop(Op op, DType type, DType to, unsigned scalars) {
  if (op == Op::kCast) return find_cast(type, to);
  if (op == Op::kSelect) return find_select(item_size(type), scalars);
  // Every other loop yields the one dtype that the operation has for its operands.
  if (result_type(op, type) != to) return nullptr;
  return find_same_type_loop(op, type, scalars);
}

}  // namespace tegula::cpu
