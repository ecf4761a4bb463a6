#include "array/elementwise.h"

#include <limits>
#include <optional>
#include <utility>

#include "array/chunks.h"
#include "array/views.h"

namespace tegula::detail {
namespace {

bool is_comparison(Op op) { return op >= Op::kEqual && op <= Op::kGreaterEqual; }

DType dtype_of_operand(const Operand& operand) {
  if (const auto* array = std::get_if<ExpressionPtr>(&operand)) return (*array)->dtype;
  return std::get<Scalar>(operand).dtype();
}

// The dtype in which the operands meet: scalars are weak.
DType common_dtype(const Operand& a, const Operand& b) {
  const auto* first = std::get_if<ExpressionPtr>(&a);
  const auto* second = std::get_if<ExpressionPtr>(&b);
  if (first != nullptr && second != nullptr) return promote((*first)->dtype, (*second)->dtype);
  if (first != nullptr) return promote((*first)->dtype, std::get<Scalar>(b));
  return promote((*second)->dtype, std::get<Scalar>(a));
}

// -1 or 1 when the scalar is an integer below or above everything that `dtype` (of integers) holds.
int outside(const Scalar& scalar, DType dtype) {
  if (!scalar.is_integer() || kind_of(dtype) > DTypeKind::kSigned || dtype == DType::kBool) return 0;
  const bool negative = scalar.dtype() != DType::kUInt64 && scalar.as_int() < 0;
  const auto magnitude = static_cast<std::uint64_t>(scalar.as_int());
  const int bits = static_cast<int>(item_size(dtype)) * 8;
  if (kind_of(dtype) == DTypeKind::kUnsigned) {
    if (negative) return -1;
    return bits < 64 && (magnitude >> bits) != 0 ? 1 : 0;
  }
  if (negative) return bits < 64 && scalar.as_int() < -(std::int64_t{1} << (bits - 1)) ? -1 : 0;
  return (magnitude >> (bits - 1)) != 0 ? 1 : 0;
}

// array <op> scalar where the scalar lies on one side of every value that the array can hold.
bool known_comparison(Op op, int side) {
  switch (op) {
    case Op::kEqual:
      return false;
    case Op::kNotEqual:
      return true;
    case Op::kLess:
    case Op::kLessEqual:
      return side > 0;
    default:
      return side < 0;
  }
}

Op mirrored(Op op) {
  switch (op) {
    case Op::kLess:
      return Op::kGreater;
    case Op::kLessEqual:
      return Op::kGreaterEqual;
    case Op::kGreater:
      return Op::kLess;
    case Op::kGreaterEqual:
      return Op::kLessEqual;
    default:
      return op;
  }
}

// A comparison whose answer the scalar alone decides (NumPy compares Python integers exactly), or nothing.
std::optional<ExpressionPtr> decided_comparison(Op op, const Operand& a, const Operand& b) {
  if (!is_comparison(op)) return std::nullopt;
  const bool scalar_first = std::holds_alternative<Scalar>(a);
  const Scalar* scalar = std::get_if<Scalar>(scalar_first ? &a : &b);
  if (scalar == nullptr || !scalar->weak()) return std::nullopt;
  const auto& array = std::get<ExpressionPtr>(scalar_first ? b : a);
  const int side = outside(*scalar, array->dtype);
  if (side == 0) return std::nullopt;
  return constant(known_comparison(scalar_first ? mirrored(op) : op, side), DType::kBool, array->chunks);
}

bool mixes_signs(DType a, DType b) {
  return (a == DType::kUInt64 && kind_of(b) == DTypeKind::kSigned) ||
         (b == DType::kUInt64 && kind_of(a) == DTypeKind::kSigned);
}

// int64 with uint64 meet in float64, which would round; NumPy compares them exactly.
ExpressionPtr compare_mixed_signs(Op op, const ExpressionPtr& a, const ExpressionPtr& b) {
  if (a->dtype == DType::kUInt64) return compare_mixed_signs(mirrored(op), b, a);
  const ExpressionPtr negative = binary(Op::kLess, a, Scalar(0));
  const ExpressionPtr compared = binary(op, cast(a, DType::kUInt64), b);
  const bool when_negative = op == Op::kNotEqual || op == Op::kLess || op == Op::kLessEqual;
  if (when_negative) return binary(Op::kLogicalOr, negative, compared);
  return binary(Op::kLogicalAnd, unary(Op::kLogicalNot, negative), compared);
}

// Both operands as aligned arrays of one dtype.
std::vector<ExpressionPtr> aligned_pair(const Operand& a, const Operand& b, DType dtype) {
  const auto* first = std::get_if<ExpressionPtr>(&a);
  const auto* second = std::get_if<ExpressionPtr>(&b);
  if (first != nullptr && second != nullptr) return align({cast(*first, dtype), cast(*second, dtype)});
  if (first != nullptr) {
    const ExpressionPtr x = cast(*first, dtype);
    return {x, scalar_like(std::get<Scalar>(b), dtype, x)};
  }
  const ExpressionPtr x = cast(*second, dtype);
  return {scalar_like(std::get<Scalar>(a), dtype, x), x};
}

}  // namespace

std::vector<ExpressionPtr> align(std::vector<ExpressionPtr> inputs) {
  Shape shape = inputs[0]->shape;
  for (const ExpressionPtr& input : inputs) shape = broadcast_shapes(shape, input->shape);
  std::vector<std::optional<DimChunks>> cuts(shape.size());
  for (const ExpressionPtr& input : inputs) {
    const std::size_t shift = shape.size() - input->shape.size();
    for (std::size_t d = 0; d < input->shape.size(); ++d) {
      if (input->shape[d] != shape[shift + d]) continue;  // stretched: has no say
      const DimChunks& dim = input->chunks.dim(static_cast<int>(d));
      auto& cut = cuts[shift + d];
      cut = cut ? common_cuts(*cut, dim) : dim;
    }
  }
  std::vector<DimChunks> dims;
  for (auto& cut : cuts) dims.push_back(std::move(*cut));
  const ChunkGrid chunks(std::move(dims));
  for (ExpressionPtr& input : inputs) input = broadcast_view(std::move(input), chunks);
  return inputs;
}

ExpressionPtr constant(const Scalar& value, DType dtype, ChunkGrid chunks, bool scalar) {
  ConstantSource source;
  source.dtype = dtype;
  value.store(dtype, source.value.data());
  return make_expression(Generated{source, scalar}, {}, dtype, std::move(chunks));
}

ExpressionPtr scalar_like(const Scalar& value, DType dtype, const ExpressionPtr& like) {
  return constant(value, dtype, like->chunks, /*scalar=*/true);
}

ExpressionPtr raw_elementwise(Op op, std::vector<ExpressionPtr> inputs, DType to) {
  ChunkGrid chunks = inputs[0]->chunks;
  return make_expression(Elementwise{op}, std::move(inputs), to, std::move(chunks));
}

ExpressionPtr cast(const ExpressionPtr& input, DType dtype) {
  if (input->dtype == dtype) return input;
  return raw_elementwise(Op::kCast, {input}, dtype);
}

ExpressionPtr unary(Op op, const ExpressionPtr& x) {
  const Loop loop = resolve_loop(op, x->dtype);
  if (loop.op == Op::kPositive) return cast(x, loop.to);
  return raw_elementwise(loop.op, {cast(x, loop.type)}, loop.to);
}

ExpressionPtr binary(Op op, const Operand& a, const Operand& b) {
  if (auto decided = decided_comparison(op, a, b)) return *decided;
  if (is_comparison(op) && std::holds_alternative<ExpressionPtr>(a) && std::holds_alternative<ExpressionPtr>(b) &&
      mixes_signs(dtype_of_operand(a), dtype_of_operand(b))) {
    return compare_mixed_signs(op, std::get<ExpressionPtr>(a), std::get<ExpressionPtr>(b));
  }
  const Loop loop = resolve_loop(op, common_dtype(a, b));
  return raw_elementwise(loop.op, aligned_pair(a, b, loop.type), loop.to);
}

ExpressionPtr select(const ExpressionPtr& condition, const Operand& a, const Operand& b) {
  const DType dtype = common_dtype(a, b);
  std::vector<ExpressionPtr> inputs = {cast(condition, DType::kBool)};
  for (const Operand* operand : {&a, &b}) {
    if (const auto* array = std::get_if<ExpressionPtr>(operand)) inputs.push_back(cast(*array, dtype));
  }
  inputs = align(std::move(inputs));
  if (std::holds_alternative<Scalar>(a)) {
    inputs.insert(inputs.begin() + 1, scalar_like(std::get<Scalar>(a), dtype, inputs[0]));
  }
  if (std::holds_alternative<Scalar>(b)) inputs.push_back(scalar_like(std::get<Scalar>(b), dtype, inputs[0]));
  return raw_elementwise(Op::kSelect, std::move(inputs), dtype);
}

}  // namespace tegula::detail
