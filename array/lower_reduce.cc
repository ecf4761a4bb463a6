// Reductions: partial results per block, fused with what feeds them, then a tree whose form depends on the grid alone.
#include <algorithm>

#include "array/lower.h"

namespace tegula::detail {
namespace {

// Blocks that one task of the tree combines, at most: enough to end soon, few enough to run side by side.
constexpr std::int64_t kMaxFanIn = 16;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The partial results of `grid`: one element per block along reduced axes.
ChunkGrid partial_chunks(const ChunkGrid& kept, const Shape& grid, const std::vector<bool>& reduced, bool moments) {
  std::vector<DimChunks> dims;
  if (moments) dims.push_back(DimChunks(kMomentComponents, kMomentComponents));
  const int shift = moments ? 1 : 0;
  for (std::size_t axis = 0; axis < reduced.size(); ++axis) {
    dims.push_back(reduced[axis] ? DimChunks(grid[axis], 1) : kept.dim(static_cast<int>(axis) + shift));
  }
  return ChunkGrid(std::move(dims));
}

}  // namespace

std::vector<std::int64_t> tree_factors(const Shape& grid, const std::vector<bool>& reduced) {
  std::vector<std::int64_t> factors(grid.size(), 1);
  std::int64_t blocks = 1;
  for (std::size_t axis = 0; axis < grid.size(); ++axis) {
    if (!reduced[axis]) continue;
    blocks = blocks > kMaxFanIn ? blocks : blocks * grid[axis];
  }
  if (blocks <= kMaxFanIn) {
    for (std::size_t axis = 0; axis < grid.size(); ++axis) factors[axis] = reduced[axis] ? grid[axis] : 1;
    return factors;
  }
  // Double the factor of the axis with the most blocks left until the product is the fan-in.
  for (std::int64_t product = 1; product * 2 <= kMaxFanIn; product *= 2) {
    std::size_t longest = 0;
    std::int64_t most = 0;
    for (std::size_t axis = 0; axis < grid.size(); ++axis) {
      const std::int64_t left = reduced[axis] ? ceil_div(grid[axis], factors[axis]) : 0;
      if (left > most) {
        most = left;
        longest = axis;
      }
    }
    factors[longest] *= 2;
  }
  return factors;
}

void Lowering::emit_reduction(int node) {
  const Expression& expression = *plan_[node].expression;
  const Reduction& reduction = expression.as<Reduce>()->reduction;
  const bool moments = reduction.op == ReduceOp::kMoments;
  const ChunkGrid& chunks = expression.inputs[0]->chunks;
  const std::vector<RegionItem> region = plan_.region(node);

  Layer layer;
  const bool fused = region.size() > 1 || !region[0].input;
  layer.name = (fused ? region_name(plan_, *expression.inputs[0], region) + "-" : "") +
               std::string(name_of(reduction.op)) + "-partial";
  layer.kernel = "tegula.program";
  layer.grid = task_grid(chunks);
  layer.outputs = {{reduction.dtype, partial_chunks(expression.chunks, chunks.grid(), reduction.axes, moments)}};
  Program program = make_program(region, chunks, layer);
  program.reduction = reduction;
  layer.params = encode(program);
  emitted_[node] = emit_tree(add(std::move(layer)), expression);
}

Emitted Lowering::emit_tree(Emitted partial, const Expression& expression) {
  const Reduction& reduction = expression.as<Reduce>()->reduction;
  const bool moments = reduction.op == ReduceOp::kMoments;
  while (!(partial.chunks == expression.chunks)) {
    const Shape blocks = partial.chunks.grid();
    const Shape grid(blocks.begin() + (moments ? 1 : 0), blocks.end());
    const std::vector<std::int64_t> factors = tree_factors(grid, reduction.axes);
    SeparableInput rule;
    if (moments) rule.dims.push_back(ConstantBlock{0});
    Shape next = grid;
    for (std::size_t axis = 0; axis < grid.size(); ++axis) {
      const int number = static_cast<int>(axis);
      rule.dims.push_back(factors[axis] > 1 ? DimRule(FanIn{number, factors[axis]}) : DimRule(SameBlock{number}));
      next[axis] = ceil_div(grid[axis], factors[axis]);
    }
    Layer layer;
    layer.name = std::string(name_of(reduction.op));
    layer.kernel = "tegula.reduce";
    layer.grid = next;
    layer.params = encode(ReduceParams{reduction});
    layer.outputs = {{reduction.dtype, partial_chunks(expression.chunks, next, reduction.axes, moments)}};
    layer.inputs = {{partial.layer, partial.output, blocks, std::move(rule)}};
    partial = add(std::move(layer));
  }
  return partial;
}

}  // namespace tegula::detail
