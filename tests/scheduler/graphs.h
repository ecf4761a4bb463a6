// Layers for tests of the scheduler's core: plain ones by hand, and random ones that use every kind of rule.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "comm/messages.h"
#include "src/graph.h"

namespace tegula::scheduler {

inline OutputSpec chunks_of(const std::vector<std::int64_t>& grid) {
  std::vector<DimChunks> dims;
  for (std::int64_t size : grid) dims.emplace_back(size * 10, 10);
  return {DType::kFloat64, ChunkGrid(std::move(dims))};
}

// A layer with one task per block of `grid`; add inputs with reads().
inline Layer layer_on(std::vector<std::int64_t> grid, std::string name = "x", std::string kernel = "test.nop") {
  Layer layer;
  layer.name = std::move(name);
  layer.kernel = std::move(kernel);
  layer.outputs.push_back(chunks_of(grid));
  layer.grid = std::move(grid);
  return layer;
}

inline Layer reads(Layer layer, LayerNumber number, const Layer& input, std::vector<DimRule> dims,
                   std::uint16_t output = 0) {
  layer.inputs.push_back({number, output, input.outputs[output].chunks.grid(), SeparableInput{std::move(dims)}});
  return layer;
}

inline Layer reads_list(Layer layer, LayerNumber number, const Layer& input, ExplicitInput list) {
  layer.inputs.push_back({number, 0, input.outputs[0].chunks.grid(), std::move(list)});
  return layer;
}

inline msg::LayerPtr shared(Layer layer) { return std::make_shared<const Layer>(std::move(layer)); }

// Random layers on top of those a session has. Numbers go on from layers.size(); kernels are "test.nop" mostly.
class RandomGraph {
 public:
  explicit RandomGraph(std::mt19937& random) : random_(random) {}
  // `earlier[i]` has number `numbers[i]`.
  Layer next(const std::vector<msg::LayerPtr>& earlier, const std::vector<LayerNumber>& numbers, std::uint64_t nonce);

 private:
  std::size_t pick(std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(random_);
  }
  DimRule dim(const Layer& layer, std::int64_t blocks);
  ExplicitInput list(const Layer& layer, std::size_t producers);
  std::mt19937& random_;
};

inline DimRule RandomGraph::dim(const Layer& layer, std::int64_t blocks) {
  const std::size_t kind = pick(0, 5);
  if (kind == 0) return ConstantBlock{static_cast<std::int64_t>(pick(0, static_cast<std::size_t>(blocks - 1)))};
  if (kind == 1 || layer.grid.empty()) return AllBlocks{};
  const int axis = static_cast<int>(pick(0, layer.grid.size() - 1));
  const std::int64_t size = layer.grid[static_cast<std::size_t>(axis)];
  if (kind <= 3 && size <= blocks) return SameBlock{axis};
  if (kind <= 4 && size <= blocks) return FanIn{axis, size == 1 ? blocks : (blocks - 1) / (size - 1)};
  Pieces pieces;
  pieces.axis = axis;
  pieces.begin.push_back(0);
  for (std::int64_t position = 0; position < size; ++position) {
    const std::size_t count = pick(0, 2);
    for (std::size_t i = 0; i < count; ++i) {
      pieces.block.push_back(static_cast<std::int64_t>(pick(0, static_cast<std::size_t>(blocks - 1))));
      pieces.box.push_back({0, 3, 1});
    }
    pieces.begin.push_back(static_cast<std::uint32_t>(pieces.block.size()));
  }
  return pieces;
}

inline ExplicitInput RandomGraph::list(const Layer& layer, std::size_t producers) {
  ExplicitInput list;
  list.begin.push_back(0);
  for (std::uint32_t task = 0; task < layer.tasks(); ++task) {
    const std::size_t count = pick(0, 3);
    for (std::size_t i = 0; i < count; ++i) list.index.push_back(static_cast<std::uint32_t>(pick(0, producers - 1)));
    list.begin.push_back(static_cast<std::uint32_t>(list.index.size()));
  }
  return list;
}

inline Layer RandomGraph::next(const std::vector<msg::LayerPtr>& earlier, const std::vector<LayerNumber>& numbers,
                               std::uint64_t nonce) {
  std::vector<std::int64_t> grid(pick(0, 2));
  for (auto& size : grid) size = static_cast<std::int64_t>(pick(1, 5));
  Layer layer = layer_on(grid, "r");
  if (pick(0, 3) == 0) layer.outputs.push_back(chunks_of({static_cast<std::int64_t>(layer.tasks())}));
  // Few different nonces, so that sessions often describe equal work.
  layer.nonce = nonce;
  layer.pure = pick(0, 5) != 0;
  if (pick(0, 9) == 0) layer.kernel = "test.rare";
  const std::size_t inputs = earlier.empty() ? 0 : pick(0, 3);
  for (std::size_t i = 0; i < inputs; ++i) {
    const std::size_t at = earlier.size() - 1 - pick(0, std::min<std::size_t>(earlier.size() - 1, 3));
    const Layer& input = *earlier[at];
    InputRule rule;
    rule.layer = numbers[at];
    rule.output = static_cast<std::uint16_t>(pick(0, input.outputs.size() - 1));
    rule.grid = input.outputs[rule.output].chunks.grid();
    if (pick(0, 4) == 0) {
      rule.pieces = list(layer, input.tasks());
    } else {
      SeparableInput separable;
      for (std::int64_t blocks : rule.grid) separable.dims.push_back(dim(layer, blocks));
      rule.pieces = std::move(separable);
    }
    layer.inputs.push_back(std::move(rule));
  }
  return layer;
}

}  // namespace tegula::scheduler
