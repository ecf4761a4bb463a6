#include "array/views.h"

#include <utility>

namespace tegula::detail {

PositionMap identity_map(int ndim) {
  PositionMap map;
  for (int axis = 0; axis < ndim; ++axis) {
    map.axis.push_back(axis);
    map.start.push_back(0);
    map.step.push_back(1);
  }
  return map;
}

bool is_identity(const PositionMap& map, int ndim) { return map == identity_map(ndim); }

PositionMap compose(const PositionMap& outer, const PositionMap& inner) {
  PositionMap map = outer;
  for (std::size_t d = 0; d < outer.axis.size(); ++d) {
    if (outer.axis[d] < 0) continue;
    const auto middle = static_cast<std::size_t>(outer.axis[d]);
    map.axis[d] = inner.axis[middle];
    map.start[d] = outer.start[d] + outer.step[d] * inner.start[middle];
    map.step[d] = inner.axis[middle] < 0 ? 0 : outer.step[d] * inner.step[middle];
  }
  return map;
}

ExpressionPtr make_view(ExpressionPtr input, PositionMap map, ChunkGrid chunks, bool implicit) {
  if (is_identity(map, input->chunks.ndim()) && chunks == input->chunks) return input;
  const DType dtype = input->dtype;
  return make_expression(View{std::move(map), implicit}, {std::move(input)}, dtype, std::move(chunks));
}

ExpressionPtr broadcast_view(ExpressionPtr input, const ChunkGrid& target) {
  PositionMap map = identity_map(input->chunks.ndim());
  const int shift = target.ndim() - input->chunks.ndim();
  for (int d = 0; d < input->chunks.ndim(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    if (input->chunks.dim(d).extent() == 1 && target.dim(d + shift).extent() != 1) {
      map.axis[i] = -1;
      map.step[i] = 0;
    } else {
      map.axis[i] = d + shift;
    }
  }
  return make_view(std::move(input), std::move(map), target, /*implicit=*/true);
}

ExpressionPtr drop_axes(ExpressionPtr input, const std::vector<bool>& dropped) {
  PositionMap map;
  std::vector<DimChunks> dims;
  for (int d = 0; d < input->chunks.ndim(); ++d) {
    const bool drop = dropped[static_cast<std::size_t>(d)];
    map.axis.push_back(drop ? -1 : static_cast<std::int32_t>(dims.size()));
    map.start.push_back(0);
    map.step.push_back(drop ? 0 : 1);
    if (!drop) dims.push_back(input->chunks.dim(d));
  }
  return make_view(std::move(input), std::move(map), ChunkGrid(std::move(dims)), /*implicit=*/true);
}

bool is_relabel(const Expression& expression) {
  const View* view = expression.as<View>();
  if (view == nullptr) return false;
  const ChunkGrid& from = expression.inputs[0]->chunks;
  const ChunkGrid& to = expression.chunks;
  int next = 0;  // the first axis of the view that no dimension has taken yet
  const auto skip_new_axes = [&](int until) {
    for (; next < until; ++next) {
      if (to.dim(next).extent() != 1 || to.dim(next).blocks() != 1) return false;
    }
    return true;
  };
  for (int d = 0; d < from.ndim(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    const int axis = view->map.axis[i];
    if (axis < 0) {
      if (from.dim(d).extent() != 1 || from.dim(d).blocks() != 1) return false;
      continue;
    }
    if (axis < next || !skip_new_axes(axis)) return false;
    if (view->map.start[i] != 0 || view->map.step[i] != 1 || !(from.dim(d) == to.dim(axis))) return false;
    ++next;
  }
  return skip_new_axes(to.ndim());
}

}  // namespace tegula::detail
