// Basic indexing and transposition: both are views.
#include <algorithm>
#include <limits>
#include <numeric>

#include "array/chunks.h"
#include "array/views.h"

namespace tegula {

using detail::slice_cuts;

Slice slice(SliceBound start, SliceBound stop, SliceBound step) {
  if (step.value == 0) throw ValueError("slice step cannot be zero");
  return {start.value, stop.value, step.value};
}

namespace {

// First position, step and number of positions that a slice takes from `extent`, as Python's slice.indices.
struct Range {
  std::int64_t start, step, count;
};

Range resolve(const Slice& slice, std::int64_t extent) {
  // The most negative step has no opposite; any step that large takes one element.
  const std::int64_t step = std::max(slice.step.value_or(1), -std::numeric_limits<std::int64_t>::max());
  if (step == 0) throw ValueError("slice step cannot be zero");
  const std::int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? extent : extent - 1;
  const auto bound = [&](const std::optional<std::int64_t>& value, std::int64_t omitted) {
    if (!value) return omitted;
    return std::clamp(*value < 0 ? *value + extent : *value, lowest, highest);
  };
  const std::int64_t start = bound(slice.start, step > 0 ? lowest : highest);
  const std::int64_t stop = bound(slice.stop, step > 0 ? highest : lowest);
  if (step > 0) return {start, step, start < stop ? (stop - start - 1) / step + 1 : 0};
  return {start, step, stop < start ? (start - stop - 1) / -step + 1 : 0};
}

std::int64_t resolve_integer(std::int64_t index, std::size_t axis, const Shape& shape) {
  const std::int64_t extent = shape[axis];
  if (index < -extent || index >= extent) {
    throw IndexError("index " + std::to_string(index) + " is out of bounds for axis " + std::to_string(axis) +
                     " with size " + std::to_string(extent));
  }
  return index < 0 ? index + extent : index;
}

// The items with the ellipsis (or the omitted rest) written out as full slices.
std::vector<IndexItem> spell_out(const std::vector<IndexItem>& items, const Shape& shape) {
  std::size_t consumed = 0, ellipses = 0;
  for (const IndexItem& item : items) {
    consumed += std::holds_alternative<std::int64_t>(item.value) || std::holds_alternative<Slice>(item.value);
    ellipses += std::holds_alternative<Ellipsis>(item.value);
  }
  if (ellipses > 1) throw IndexError("an index can only have a single ellipsis");
  if (consumed > shape.size()) {
    throw IndexError("too many indices: " + std::to_string(consumed) + " for an array of shape " + to_string(shape));
  }
  std::vector<IndexItem> spelled;
  const auto fill = [&] { spelled.insert(spelled.end(), shape.size() - consumed, IndexItem(Slice{})); };
  for (const IndexItem& item : items) {
    if (std::holds_alternative<Ellipsis>(item.value)) {
      fill();
    } else {
      spelled.push_back(item);
    }
  }
  if (ellipses == 0) fill();
  return spelled;
}

}  // namespace

const Array Array::index(const std::vector<IndexItem>& items) const {
  const Shape& from = shape();
  PositionMap map;
  std::vector<DimChunks> dims;
  for (const IndexItem& item : spell_out(items, from)) {
    const std::size_t axis = map.axis.size();
    if (std::holds_alternative<NewAxis>(item.value)) {
      dims.push_back(DimChunks(1, 1));
    } else if (const auto* index = std::get_if<std::int64_t>(&item.value)) {
      map.start.push_back(resolve_integer(*index, axis, from));
      map.axis.push_back(-1);
      map.step.push_back(0);
    } else {
      const auto [start, step, count] = resolve(std::get<Slice>(item.value), from[axis]);
      const DimChunks& dim = expression_->chunks.dim(static_cast<int>(axis));
      const bool whole = step == 1 && count == from[axis];
      map.axis.push_back(static_cast<std::int32_t>(dims.size()));
      map.start.push_back(count == 0 ? 0 : start);
      map.step.push_back(count <= 1 ? 1 : step);  // the step between no two elements: keeps products of steps small
      dims.push_back(whole ? dim : slice_cuts(dim, start, step, count));
    }
  }
  return Array(detail::make_view(expression_, std::move(map), ChunkGrid(std::move(dims))));
}

Array Array::transpose(const std::vector<int>& axes) const {
  std::vector<int> order(static_cast<std::size_t>(ndim()));
  std::iota(order.rbegin(), order.rend(), 0);
  if (!axes.empty()) {
    if (axes.size() != order.size()) {
      throw ShapeError("transpose with " + std::to_string(axes.size()) + " axes of an array of shape " +
                       to_string(shape()));
    }
    std::transform(axes.begin(), axes.end(), order.begin(), [&](int axis) { return normalize_axis(axis, ndim()); });
    std::vector<bool> seen(order.size());
    for (int axis : order) {
      if (seen[static_cast<std::size_t>(axis)]) {
        throw IndexError("axis " + std::to_string(axis) + " is repeated in transpose");
      }
      seen[static_cast<std::size_t>(axis)] = true;
    }
  }
  PositionMap map = detail::identity_map(ndim());
  std::vector<DimChunks> dims;
  for (std::size_t to = 0; to < order.size(); ++to) {
    map.axis[static_cast<std::size_t>(order[to])] = static_cast<std::int32_t>(to);
    dims.push_back(expression_->chunks.dim(order[to]));
  }
  return Array(detail::make_view(expression_, std::move(map), ChunkGrid(std::move(dims))));
}

}  // namespace tegula
