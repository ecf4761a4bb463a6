#include "worker/kernels/cpu/elementwise/float_functions.h"

namespace tegula::cpu {
namespace {

template <typename T>
Loop find(Op op, unsigned scalars) {
  using namespace real;
  switch (op) {
    case Op::kPositive:
    case Op::kConjugate:
    case Op::kReal:
      return unary<Positive, T>();
    case Op::kImag:
      return unary<Zero, T>();
    case Op::kNegative:
      return unary<Negative, T>();
    case Op::kAbsolute:
      return unary<Absolute, T>();
    case Op::kSign:
      return unary<Sign, T>();
    case Op::kSqrt:
      return unary<Sqrt, T>();
    case Op::kSquare:
      return unary<Square, T>();
    case Op::kReciprocal:
      return unary<Reciprocal, T>();
    case Op::kFloor:
      return unary<Floor, T>();
    case Op::kCeil:
      return unary<Ceil, T>();
    case Op::kTrunc:
      return unary<Trunc, T>();
    case Op::kRint:
      return unary<Rint, T>();
    case Op::kIsnan:
      return unary<Isnan, T, BoolByte>();
    case Op::kIsinf:
      return unary<Isinf, T, BoolByte>();
    case Op::kIsfinite:
      return unary<Isfinite, T, BoolByte>();
    case Op::kSignbit:
      return unary<Signbit, T, BoolByte>();
    case Op::kLogicalNot:
      return unary<LogicalNot, T, BoolByte>();
    case Op::kAdd:
      return binary<Add, T>(scalars);
    case Op::kSubtract:
      return binary<Subtract, T>(scalars);
    case Op::kMultiply:
      return binary<Multiply, T>(scalars);
    case Op::kDivide:
      return binary<Divide, T>(scalars);
    case Op::kFloorDivide:
      return binary<FloorDivide, T>(scalars);
    case Op::kRemainder:
      return binary<Remainder, T>(scalars);
    case Op::kFmod:
      return binary<Fmod, T>(scalars);
    case Op::kMaximum:
      return binary<Maximum, T>(scalars);
    case Op::kMinimum:
      return binary<Minimum, T>(scalars);
    case Op::kFmax:
      return binary<Fmax, T>(scalars);
    case Op::kFmin:
      return binary<Fmin, T>(scalars);
    case Op::kCopysign:
      return binary<Copysign, T>(scalars);
    case Op::kEqual:
      return binary<Equal, T, BoolByte>(scalars);
    case Op::kNotEqual:
      return binary<NotEqual, T, BoolByte>(scalars);
    case Op::kLess:
      return binary<Less, T, BoolByte>(scalars);
    case Op::kLessEqual:
      return binary<LessEqual, T, BoolByte>(scalars);
    case Op::kGreater:
      return binary<Greater, T, BoolByte>(scalars);
    case Op::kGreaterEqual:
      return binary<GreaterEqual, T, BoolByte>(scalars);
    case Op::kLogicalAnd:
      return binary<LogicalAnd, T, BoolByte>(scalars);
    case Op::kLogicalOr:
      return binary<LogicalOr, T, BoolByte>(scalars);
    case Op::kLogicalXor:
      return binary<LogicalXor, T, BoolByte>(scalars);
    default:
      return nullptr;
  }
}

}  // namespace

Loop find_float_loop(Op op, DType type, unsigned scalars) {
  return type == DType::kFloat32 ? find<float>(op, scalars) : find<double>(op, scalars);
}

}  // namespace tegula::cpu
