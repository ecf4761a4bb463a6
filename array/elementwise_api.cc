// The public elementwise functions, one line each.
#include "array/elementwise.h"

namespace tegula {

using detail::Operand;

#define TEGULA_BINARY(name, op)                                                                                    \
  Array name(const Array& a, const Array& b) { return Array(detail::binary(op, a.expression(), b.expression())); } \
  Array name(const Array& a, const Scalar& b) { return Array(detail::binary(op, a.expression(), b)); }             \
  Array name(const Scalar& a, const Array& b) { return Array(detail::binary(op, a, b.expression())); }
TEGULA_BINARY(operator+, Op::kAdd)
TEGULA_BINARY(operator-, Op::kSubtract)
TEGULA_BINARY(operator*, Op::kMultiply)
TEGULA_BINARY(operator/, Op::kDivide)
TEGULA_BINARY(operator%, Op::kRemainder)
TEGULA_BINARY(operator==, Op::kEqual)
TEGULA_BINARY(operator!=, Op::kNotEqual)
TEGULA_BINARY(operator<, Op::kLess)
TEGULA_BINARY(operator<=, Op::kLessEqual)
TEGULA_BINARY(operator>, Op::kGreater)
TEGULA_BINARY(operator>=, Op::kGreaterEqual)
TEGULA_BINARY(operator&, Op::kBitwiseAnd)
TEGULA_BINARY(operator|, Op::kBitwiseOr)
TEGULA_BINARY(operator^, Op::kBitwiseXor)
TEGULA_BINARY(operator<<, Op::kLeftShift)
TEGULA_BINARY(operator>>, Op::kRightShift)
TEGULA_BINARY(floor_divide, Op::kFloorDivide)
TEGULA_BINARY(fmod, Op::kFmod)
TEGULA_BINARY(power, Op::kPower)
TEGULA_BINARY(maximum, Op::kMaximum)
TEGULA_BINARY(minimum, Op::kMinimum)
TEGULA_BINARY(fmax, Op::kFmax)
TEGULA_BINARY(fmin, Op::kFmin)
TEGULA_BINARY(arctan2, Op::kArctan2)
TEGULA_BINARY(hypot, Op::kHypot)
TEGULA_BINARY(copysign, Op::kCopysign)
TEGULA_BINARY(logical_and, Op::kLogicalAnd)
TEGULA_BINARY(logical_or, Op::kLogicalOr)
TEGULA_BINARY(logical_xor, Op::kLogicalXor)
#undef TEGULA_BINARY

#define TEGULA_UNARY(name, op) \
  Array name(const Array& x) { return Array(detail::unary(op, x.expression())); }
TEGULA_UNARY(operator-, Op::kNegative)
TEGULA_UNARY(operator+, Op::kPositive)
TEGULA_UNARY(operator~, Op::kInvert)
TEGULA_UNARY(abs, Op::kAbsolute)
TEGULA_UNARY(sign, Op::kSign)
TEGULA_UNARY(sqrt, Op::kSqrt)
TEGULA_UNARY(cbrt, Op::kCbrt)
TEGULA_UNARY(square, Op::kSquare)
TEGULA_UNARY(reciprocal, Op::kReciprocal)
TEGULA_UNARY(exp, Op::kExp)
TEGULA_UNARY(exp2, Op::kExp2)
TEGULA_UNARY(expm1, Op::kExpm1)
TEGULA_UNARY(log, Op::kLog)
TEGULA_UNARY(log2, Op::kLog2)
TEGULA_UNARY(log10, Op::kLog10)
TEGULA_UNARY(log1p, Op::kLog1p)
TEGULA_UNARY(sin, Op::kSin)
TEGULA_UNARY(cos, Op::kCos)
TEGULA_UNARY(tan, Op::kTan)
TEGULA_UNARY(arcsin, Op::kArcsin)
TEGULA_UNARY(arccos, Op::kArccos)
TEGULA_UNARY(arctan, Op::kArctan)
TEGULA_UNARY(sinh, Op::kSinh)
TEGULA_UNARY(cosh, Op::kCosh)
TEGULA_UNARY(tanh, Op::kTanh)
TEGULA_UNARY(arcsinh, Op::kArcsinh)
TEGULA_UNARY(arccosh, Op::kArccosh)
TEGULA_UNARY(arctanh, Op::kArctanh)
TEGULA_UNARY(floor, Op::kFloor)
TEGULA_UNARY(ceil, Op::kCeil)
TEGULA_UNARY(trunc, Op::kTrunc)
TEGULA_UNARY(rint, Op::kRint)
TEGULA_UNARY(isnan, Op::kIsnan)
TEGULA_UNARY(isinf, Op::kIsinf)
TEGULA_UNARY(isfinite, Op::kIsfinite)
TEGULA_UNARY(signbit, Op::kSignbit)
TEGULA_UNARY(logical_not, Op::kLogicalNot)
#undef TEGULA_UNARY

Array where(const Array& condition, const Array& a, const Array& b) {
  return Array(detail::select(condition.expression(), a.expression(), b.expression()));
}
Array where(const Array& condition, const Array& a, const Scalar& b) {
  return Array(detail::select(condition.expression(), a.expression(), b));
}
Array where(const Array& condition, const Scalar& a, const Array& b) {
  return Array(detail::select(condition.expression(), a, b.expression()));
}

Array Array::astype(DType dtype) const { return Array(detail::cast(expression_, dtype)); }

Array Array::real() const {
  if (kind_of(dtype()) != DTypeKind::kComplex) return *this;
  return Array(detail::unary(Op::kReal, expression_));
}

Array Array::imag() const {
  if (kind_of(dtype()) != DTypeKind::kComplex) return Array(detail::constant(0, dtype(), expression_->chunks));
  return Array(detail::unary(Op::kImag, expression_));
}

Array Array::conj() const {
  if (kind_of(dtype()) != DTypeKind::kComplex) return *this;
  return Array(detail::unary(Op::kConjugate, expression_));
}

}  // namespace tegula
