// Reductions: one Reduce node (partial results per block, combined by a fixed tree) and elementwise finishing.
//
// Sums and products of float32 and complex64 accumulate in float64 and complex128 and are rounded once, at the end;
// everything else accumulates in the result's dtype. Mean is sum / count; var and std come from the moments of each
// block (count, mean, M2) combined pairwise, in float64.
#include <algorithm>
#include <string>

#include "array/chunks.h"
#include "array/elementwise.h"
#include "array/views.h"

namespace tegula {
namespace {

using detail::cast;
using detail::ExpressionPtr;

std::vector<bool> reduced_axes(const Axes& axes, int ndim) {
  std::vector<bool> reduced(static_cast<std::size_t>(ndim), !axes.list.has_value());
  if (!axes.list) return reduced;
  for (int axis : *axes.list) {
    const int normal = normalize_axis(axis, ndim);
    if (reduced[static_cast<std::size_t>(normal)]) {
      throw ValueError("duplicate axis " + std::to_string(axis) + " in the axes of a reduction");
    }
    reduced[static_cast<std::size_t>(normal)] = true;
  }
  return reduced;
}

// Elements that each result is made of.
double reduced_count(const Shape& shape, const std::vector<bool>& reduced) {
  double count = 1;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) count *= reduced[axis] ? static_cast<double>(shape[axis]) : 1;
  return count;
}

// The Reduce node: reduced axes have size 1, kMoments an extra first one.
ExpressionPtr reduce(const ExpressionPtr& input, ReduceOp op, DType accumulator, const std::vector<bool>& reduced) {
  std::vector<DimChunks> dims;
  if (op == ReduceOp::kMoments) dims.push_back(DimChunks(kMomentComponents, kMomentComponents));
  for (int axis = 0; axis < input->chunks.ndim(); ++axis) {
    dims.push_back(reduced[static_cast<std::size_t>(axis)] ? DimChunks(1, 1) : input->chunks.dim(axis));
  }
  return detail::make_expression(detail::Reduce{{op, accumulator, reduced}}, {input}, accumulator,
                                 ChunkGrid(std::move(dims)));
}

bool any_of(const std::vector<bool>& flags) { return std::find(flags.begin(), flags.end(), true) != flags.end(); }

ExpressionPtr finish(const ExpressionPtr& kept, const std::vector<bool>& reduced, bool keepdims) {
  return keepdims ? kept : detail::drop_axes(kept, reduced);
}

// The dtype that NumPy adds integers in.
DType sum_dtype(DType dtype) {
  switch (kind_of(dtype)) {
    case DTypeKind::kBool:
    case DTypeKind::kSigned:
      return DType::kInt64;
    case DTypeKind::kUnsigned:
      return DType::kUInt64;
    default:
      return dtype;
  }
}

DType accumulator_of(DType dtype) {
  if (dtype == DType::kFloat32) return DType::kFloat64;
  if (dtype == DType::kComplex64) return DType::kComplex128;
  return dtype;
}

// Adds or multiplies elements converted to `dtype`; the result still has the accumulator's dtype. Bools are added by
// "or" and multiplied by "and", as + and * of them.
ExpressionPtr accumulate(const ExpressionPtr& x, ReduceOp op, DType dtype, const std::vector<bool>& reduced) {
  if (dtype == DType::kBool) op = op == ReduceOp::kSum ? ReduceOp::kAny : ReduceOp::kAll;
  const DType accumulator = accumulator_of(dtype);
  const ExpressionPtr values = cast(x, dtype);
  if (!any_of(reduced)) return cast(values, accumulator);
  return reduce(values, op, accumulator, reduced);
}

Array add_or_multiply(const ExpressionPtr& x, ReduceOp op, const Axes& axes, bool keepdims,
                      std::optional<DType> dtype) {
  const std::vector<bool> reduced = reduced_axes(axes, x->chunks.ndim());
  const DType result = dtype.value_or(sum_dtype(x->dtype));
  return Array(finish(cast(accumulate(x, op, result, reduced), result), reduced, keepdims));
}

// The same array without chunks of size 0 (where it has others): the least of nothing has no value.
ExpressionPtr without_empty_chunks(const ExpressionPtr& x) {
  std::vector<DimChunks> dims;
  for (const DimChunks& dim : x->chunks.dims()) {
    dims.push_back(dim.regular() ? dim : detail::slice_cuts(dim, 0, 1, dim.extent()));
  }
  return detail::make_view(x, detail::identity_map(x->chunks.ndim()), ChunkGrid(std::move(dims)), /*implicit=*/true);
}

Array extreme(const ExpressionPtr& x, ReduceOp op, const Axes& axes, bool keepdims) {
  const std::vector<bool> reduced = reduced_axes(axes, x->chunks.ndim());
  if (!any_of(reduced)) return Array(x);
  const ExpressionPtr kept = reduce(without_empty_chunks(x), op, x->dtype, reduced);
  if (reduced_count(x->shape, reduced) == 0 && element_count(kept->shape) != 0) {
    throw ValueError(std::string(name_of(op)) + " of nothing: an array of shape " + to_string(x->shape) +
                     " has no element along the reduced axes");
  }
  return Array(finish(kept, reduced, keepdims));
}

Array truth(const ExpressionPtr& x, ReduceOp op, const Axes& axes, bool keepdims) {
  const std::vector<bool> reduced = reduced_axes(axes, x->chunks.ndim());
  const ExpressionPtr values = cast(x, DType::kBool);
  if (!any_of(reduced)) return Array(values);
  return Array(finish(reduce(values, op, DType::kBool, reduced), reduced, keepdims));
}

// The dtype of mean, var and std.
DType mean_dtype(DType dtype) { return kind_of(dtype) <= DTypeKind::kSigned ? DType::kFloat64 : dtype; }

// Sum of the squared distances from the mean, in float64.
ExpressionPtr squared_deviations(ExpressionPtr x, std::vector<bool> reduced) {
  if (kind_of(x->dtype) == DTypeKind::kComplex) {
    const ExpressionPtr real = squared_deviations(detail::unary(Op::kReal, x), reduced);
    return detail::binary(Op::kAdd, real, squared_deviations(detail::unary(Op::kImag, x), reduced));
  }
  if (!any_of(reduced)) {  // each element by itself: along a new axis of size 1
    x = (Array(x)(newaxis, ellipsis)).expression();
    reduced.insert(reduced.begin(), true);
    std::vector<bool> added(reduced.size(), false);
    added[0] = true;
    return detail::drop_axes(squared_deviations(std::move(x), std::move(reduced)), added);
  }
  const ExpressionPtr moments = reduce(x, ReduceOp::kMoments, DType::kFloat64, reduced);
  return Array(moments)(kMomentComponents - 1, ellipsis).expression();
}

ExpressionPtr variance(const ExpressionPtr& x, const std::vector<bool>& reduced, double ddof) {
  const double count = reduced_count(x->shape, reduced);
  return detail::binary(Op::kDivide, squared_deviations(x, reduced), Scalar(std::max(count - ddof, 0.0)));
}

DType real_of(DType dtype) {
  if (dtype == DType::kComplex64) return DType::kFloat32;
  if (dtype == DType::kComplex128) return DType::kFloat64;
  return dtype;
}

}  // namespace

Array Array::sum(Axes axes, bool keepdims, std::optional<DType> dtype) const {
  return add_or_multiply(expression_, ReduceOp::kSum, axes, keepdims, dtype);
}
Array Array::prod(Axes axes, bool keepdims, std::optional<DType> dtype) const {
  return add_or_multiply(expression_, ReduceOp::kProd, axes, keepdims, dtype);
}
Array Array::min(Axes axes, bool keepdims) const { return extreme(expression_, ReduceOp::kMin, axes, keepdims); }
Array Array::max(Axes axes, bool keepdims) const { return extreme(expression_, ReduceOp::kMax, axes, keepdims); }
Array Array::any(Axes axes, bool keepdims) const { return truth(expression_, ReduceOp::kAny, axes, keepdims); }
Array Array::all(Axes axes, bool keepdims) const { return truth(expression_, ReduceOp::kAll, axes, keepdims); }

Array Array::mean(Axes axes, bool keepdims, std::optional<DType> dtype) const {
  const std::vector<bool> reduced = reduced_axes(axes, ndim());
  const DType result = dtype.value_or(mean_dtype(expression_->dtype));
  const ExpressionPtr sum = accumulate(expression_, ReduceOp::kSum, result, reduced);
  const double count = reduced_count(shape(), reduced);
  return Array(finish(cast(detail::binary(Op::kDivide, sum, Scalar(count)), result), reduced, keepdims));
}

Array Array::var(Axes axes, bool keepdims, double ddof) const {
  const std::vector<bool> reduced = reduced_axes(axes, ndim());
  const DType result = real_of(mean_dtype(dtype()));
  return Array(finish(cast(variance(expression_, reduced, ddof), result), reduced, keepdims));
}

Array Array::std(Axes axes, bool keepdims, double ddof) const {
  const std::vector<bool> reduced = reduced_axes(axes, ndim());
  const DType result = real_of(mean_dtype(dtype()));
  const ExpressionPtr deviation = detail::unary(Op::kSqrt, variance(expression_, reduced, ddof));
  return Array(finish(cast(deviation, result), reduced, keepdims));
}

}  // namespace tegula
