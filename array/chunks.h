// From chunk specifications to grids, and the arithmetic of cuts.
#pragma once

#include <vector>

#include "src/chunk_grid.h"
#include "src/shape.h"
#include "tegula/array.h"

namespace tegula::detail {

// Throws ShapeError or ValueError naming the values when the specification doesn't fit the shape. "auto" dimensions are
// cut so that a chunk has about the given (or configured, array.chunk-size) number of bytes, near-square.
ChunkGrid resolve_chunks(const Chunks& spec, const Shape& shape, DType dtype);

// The coarsest cuts that lie in both: the union of the boundaries. Equal cuts stay as they are, regular ones too.
DimChunks common_cuts(const DimChunks& a, const DimChunks& b);
// Every block of `fine` lies in one block of `coarse`.
bool refines(const DimChunks& fine, const DimChunks& coarse);
bool refines(const ChunkGrid& fine, const ChunkGrid& coarse);

// The cuts of positions start, start + step, ... (count of them): one block for each block of `dim` that holds any of
// them, in the order of the positions. A count of 0 gives one block of size 0.
DimChunks slice_cuts(const DimChunks& dim, std::int64_t start, std::int64_t step, std::int64_t count);

std::vector<std::vector<std::int64_t>> sizes_of(const ChunkGrid& chunks);

}  // namespace tegula::detail
