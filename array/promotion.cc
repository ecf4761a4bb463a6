// Which loop NumPy takes for an operation and the dtypes of its operands.
#include <string>

#include "array/elementwise.h"

namespace tegula::detail {
namespace {

[[noreturn]] void refuse(Op op, DType dtype) {
  throw DTypeError(std::string(name_of(op)) + " of " + std::string(name_of(dtype)));
}

bool is_integral(DType dtype) { return kind_of(dtype) <= DTypeKind::kSigned; }

// Arithmetic on bools is logic where NumPy offers it, and on int8 where it doesn't.
Loop bool_arithmetic(Op op) {
  switch (op) {
    case Op::kAdd:
    case Op::kMaximum:
    case Op::kFmax:
      return {Op::kLogicalOr, DType::kBool, DType::kBool};
    case Op::kMultiply:
    case Op::kMinimum:
    case Op::kFmin:
      return {Op::kLogicalAnd, DType::kBool, DType::kBool};
    case Op::kAbsolute:
    case Op::kConjugate:
      return {Op::kPositive, DType::kBool, DType::kBool};
    case Op::kFloorDivide:
    case Op::kRemainder:
    case Op::kFmod:
    case Op::kPower:
    case Op::kSquare:
    case Op::kReciprocal:
    case Op::kLeftShift:
    case Op::kRightShift:
      return {op, DType::kInt8, DType::kInt8};
    default:
      refuse(op, DType::kBool);
  }
}

Loop same_type(Op op, DType dtype) { return {op, dtype, result_type(op, dtype)}; }

}  // namespace

DType floating_dtype(DType dtype) {
  if (!is_integral(dtype)) return dtype;
  return item_size(dtype) >= 4 ? DType::kFloat64 : DType::kFloat32;
}

Loop resolve_loop(Op op, DType common) {
  switch (op) {
    case Op::kLogicalAnd:
    case Op::kLogicalOr:
    case Op::kLogicalXor:
    case Op::kLogicalNot:
      return {op, DType::kBool, DType::kBool};
    case Op::kEqual:
    case Op::kNotEqual:
    case Op::kLess:
    case Op::kLessEqual:
    case Op::kGreater:
    case Op::kGreaterEqual:
      return same_type(op, common);
    case Op::kBitwiseAnd:
    case Op::kBitwiseOr:
    case Op::kBitwiseXor:
    case Op::kInvert:
      if (!is_integral(common)) refuse(op, common);
      if (common == DType::kBool) {
        const Op logical = op == Op::kBitwiseAnd  ? Op::kLogicalAnd
                           : op == Op::kBitwiseOr ? Op::kLogicalOr
                           : op == Op::kInvert    ? Op::kLogicalNot
                                                  : Op::kLogicalXor;
        return {logical, common, common};
      }
      return same_type(op, common);
    case Op::kDivide:
      return same_type(op, is_integral(common) ? DType::kFloat64 : common);
    case Op::kIsnan:
    case Op::kIsinf:
    case Op::kIsfinite:
    case Op::kSignbit:
      return same_type(op, floating_dtype(common));
    case Op::kPositive:
    case Op::kNegative:
    case Op::kAbsolute:
    case Op::kSign:
    case Op::kConjugate:
    case Op::kAdd:
    case Op::kSubtract:
    case Op::kMultiply:
    case Op::kFloorDivide:
    case Op::kRemainder:
    case Op::kFmod:
    case Op::kPower:
    case Op::kMaximum:
    case Op::kMinimum:
    case Op::kFmax:
    case Op::kFmin:
    case Op::kSquare:
    case Op::kReciprocal:
    case Op::kLeftShift:
    case Op::kRightShift:
      if (common == DType::kBool) return bool_arithmetic(op);
      return same_type(op, common);
    default:  // the floating-point functions
      return same_type(op, floating_dtype(common));
  }
}

}  // namespace tegula::detail
