// Input rules: how tasks read the chunks of another layer.
#include <algorithm>

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

// The axis of the task grid with the fewest blocks: where a piece that every task reads is written down.
int shortest_axis(const ChunkGrid& chunks) {
  const Shape grid = chunks.grid();
  return static_cast<int>(std::min_element(grid.begin(), grid.end()) - grid.begin());
}

DimRule fixed_position(const DimChunks& dim, std::int64_t position, const ChunkGrid& chunks) {
  const std::int64_t block = dim.block_at(position);
  if (dim.size(block) == 1) return ConstantBlock{block};
  const int axis = chunks.ndim() == 0 ? 0 : shortest_axis(chunks);
  const std::int64_t tasks = chunks.ndim() == 0 ? 1 : chunks.dim(axis).blocks();
  Pieces pieces;
  pieces.axis = axis;
  pieces.begin.push_back(0);
  for (std::int64_t b = 0; b < tasks; ++b) {
    add_piece(pieces, dim, position, 1, 1);
    pieces.begin.push_back(static_cast<std::uint32_t>(b + 1));
  }
  return pieces;
}

}  // namespace

InputRule input_through(const Emitted& from, const PositionMap& map, const ChunkGrid& chunks) {
  SeparableInput rule;
  for (int d = 0; d < from.chunks.ndim(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    const DimChunks& dim = from.chunks.dim(d);
    const int axis = map.axis[i];
    if (axis < 0) {
      // A program without elements reads nothing of what it names; the array may have no such position.
      const bool empty = dim.extent() == 0;
      rule.dims.push_back(empty ? DimRule(ConstantBlock{0}) : fixed_position(dim, map.start[i], chunks));
    } else if (map.start[i] == 0 && map.step[i] == 1 && dim == chunks.dim(axis)) {
      rule.dims.push_back(SameBlock{axis});
    } else {
      rule.dims.push_back(pieces_along(dim, chunks.dim(axis), axis, map.start[i], map.step[i]));
    }
  }
  return {from.layer, from.output, from.chunks.grid(), std::move(rule)};
}

InputRule input_rechunked(const Emitted& from, const ChunkGrid& to) {
  SeparableInput rule;
  for (int d = 0; d < to.ndim(); ++d) {
    const DimChunks& old_cuts = from.chunks.dim(d);
    const DimChunks& cuts = to.dim(d);
    if (old_cuts == cuts) {
      rule.dims.push_back(SameBlock{d});
      continue;
    }
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
