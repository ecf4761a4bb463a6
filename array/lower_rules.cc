// Input rules: how tasks read the chunks of another layer.
#include <algorithm>
#include <optional>

#include "array/lower.h"

namespace tegula::detail {
namespace {

// The positions start, start + step, ... (count of them) inside one block: which block, and where in it.
void add_piece(Pieces& pieces, const DimChunks& dim, std::int64_t start, std::int64_t count, std::int64_t step) {
  const std::int64_t block = count > 0 ? dim.block_at(start) : 0;
  pieces.block.push_back(block);
  pieces.box.push_back({count > 0 ? start - dim.offset(block) : 0, count, step});
}

// One piece for each block of the program along `axis`.
Pieces pieces_along(const DimChunks& dim, const DimChunks& cuts, int axis, std::int64_t start, std::int64_t step) {
  Pieces pieces;
  pieces.axis = axis;
  pieces.begin.push_back(0);
  for (std::int64_t b = 0; b < cuts.blocks(); ++b) {
    add_piece(pieces, dim, start + step * cuts.offset(b), cuts.size(b), step);
    pieces.begin.push_back(static_cast<std::uint32_t>(b + 1));
  }
  return pieces;
}

// The same position for every task, written down along the axis of the task grid with the fewest blocks.
Pieces piece_for_all(const DimChunks& dim, std::int64_t position, const ChunkGrid& chunks) {
  const Shape grid = task_grid(chunks);
  const auto shortest = std::min_element(grid.begin(), grid.end());
  Pieces pieces;
  pieces.axis = static_cast<int>(shortest - grid.begin());
  pieces.begin.push_back(0);
  for (std::int64_t b = 0; b < *shortest; ++b) {
    // An array without elements has no such position; then the program has none either.
    add_piece(pieces, dim, position, dim.extent() > 0 ? 1 : 0, 1);
    pieces.begin.push_back(static_cast<std::uint32_t>(b + 1));
  }
  return pieces;
}

// What a task reads of one dimension is a whole block, or nothing when a box is needed.
std::optional<DimRule> whole_block(const DimChunks& dim, const PositionMap& map, std::size_t d,
                                   const ChunkGrid& chunks) {
  if (map.axis[d] >= 0) {
    if (map.start[d] != 0 || map.step[d] != 1 || !(dim == chunks.dim(map.axis[d]))) return std::nullopt;
    return SameBlock{map.axis[d]};
  }
  if (dim.extent() == 0) return std::nullopt;
  const std::int64_t block = dim.block_at(map.start[d]);
  if (dim.size(block) != 1) return std::nullopt;
  return ConstantBlock{block};
}

}  // namespace

Shape task_grid(const ChunkGrid& chunks) {
  Shape grid = chunks.grid();
  if (grid.empty()) grid.push_back(1);
  return grid;
}

// Either whole blocks along every dimension, or a box along each of them: a box says what it takes of all dimensions.
InputRule input_through(const Emitted& from, const PositionMap& map, const ChunkGrid& chunks) {
  SeparableInput whole, boxed;
  for (int d = 0; d < from.chunks.ndim(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    const DimChunks& dim = from.chunks.dim(d);
    const int axis = map.axis[i];
    if (auto rule = whole_block(dim, map, i, chunks)) whole.dims.push_back(std::move(*rule));
    boxed.dims.push_back(axis < 0 ? piece_for_all(dim, map.start[i], chunks)
                                  : pieces_along(dim, chunks.dim(axis), axis, map.start[i], map.step[i]));
  }
  const bool all_whole = whole.dims.size() == boxed.dims.size();
  return {from.layer, from.output, from.chunks.grid(), all_whole ? std::move(whole) : std::move(boxed)};
}

InputRule input_rechunked(const Emitted& from, const ChunkGrid& to) {
  SeparableInput rule;
  for (int d = 0; d < to.ndim(); ++d) {
    const DimChunks& old_cuts = from.chunks.dim(d);
    const DimChunks& cuts = to.dim(d);
    Pieces pieces;
    pieces.axis = d;
    pieces.begin.push_back(0);
    for (std::int64_t b = 0; b < cuts.blocks(); ++b) {
      const std::int64_t end = cuts.offset(b) + cuts.size(b);
      if (cuts.size(b) == 0) add_piece(pieces, old_cuts, 0, 0, 1);
      for (std::int64_t position = cuts.offset(b); position < end;) {
        const std::int64_t block = old_cuts.block_at(position);
        const std::int64_t count = std::min(end, old_cuts.offset(block) + old_cuts.size(block)) - position;
        add_piece(pieces, old_cuts, position, count, 1);
        position += count;
      }
      pieces.begin.push_back(static_cast<std::uint32_t>(pieces.block.size()));
    }
    rule.dims.push_back(std::move(pieces));
  }
  return {from.layer, from.output, from.chunks.grid(), std::move(rule)};
}

}  // namespace tegula::detail
