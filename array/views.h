// Views: the same elements at other positions, as arithmetic on position maps.
#pragma once

#include <vector>

#include "array/expression.h"

namespace tegula::detail {

// Maps each of `ndim` axes to itself.
PositionMap identity_map(int ndim);
bool is_identity(const PositionMap& map, int ndim);
// First `inner` (positions g -> middle), then `outer` (middle -> positions).
PositionMap compose(const PositionMap& outer, const PositionMap& inner);

// The input itself when nothing would change.
ExpressionPtr make_view(ExpressionPtr input, PositionMap map, ChunkGrid chunks, bool implicit = false);
// The input broadcast to the shape of `target` and cut as `target`, which must refine the input's chunks.
ExpressionPtr broadcast_view(ExpressionPtr input, const ChunkGrid& target);
// Drops the given axes (of size 1) from the front to the back.
ExpressionPtr drop_axes(ExpressionPtr input, const std::vector<bool>& dropped);

// Whether the view only adds or drops dimensions of size 1: then its blocks are the input's, in the same order and with
// the same bytes.
bool is_relabel(const Expression& view);

}  // namespace tegula::detail
