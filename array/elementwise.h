// Making elementwise nodes: promotion, broadcasting and the alignment of chunks.
#pragma once

#include <variant>
#include <vector>

#include "array/expression.h"

namespace tegula::detail {

using Operand = std::variant<ExpressionPtr, Scalar>;

// The dtypes in which NumPy computes: `type` for the operands, `to` for the result. `op` may change with them (+ of
// bools is "or"). Throws DTypeError when NumPy offers no such loop.
struct Loop {
  Op op;
  DType type;
  DType to;
};
// `common`: the dtype in which the operands meet.
Loop resolve_loop(Op op, DType common);
// Where NumPy has a floating-point function, the dtype it computes in: float64 for 32-bit and wider integers. NumPy
// gives float16 for 8-bit ones, which Tegula doesn't have: it takes float32 for all narrower integers.
DType floating_dtype(DType dtype);

// Broadcasts to one shape and cuts all operands alike, at the union of their boundaries. Throws ShapeError.
std::vector<ExpressionPtr> align(std::vector<ExpressionPtr> inputs);
// A constant in the shape and chunks of `like`. Throws ValueError when it doesn't fit the dtype.
ExpressionPtr scalar_like(const Scalar& value, DType dtype, const ExpressionPtr& like);
ExpressionPtr constant(const Scalar& value, DType dtype, ChunkGrid chunks, bool scalar = false);

// The input itself when it has that dtype.
ExpressionPtr cast(const ExpressionPtr& input, DType dtype);
// An operation on inputs that are aligned already and have the operands' dtype.
ExpressionPtr raw_elementwise(Op op, std::vector<ExpressionPtr> inputs, DType to);

ExpressionPtr unary(Op op, const ExpressionPtr& x);
ExpressionPtr binary(Op op, const Operand& a, const Operand& b);
ExpressionPtr select(const ExpressionPtr& condition, const Operand& a, const Operand& b);

}  // namespace tegula::detail
