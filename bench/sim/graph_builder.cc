#include "bench/sim/graph_builder.h"

#include <fmt/core.h>

#include <utility>

#include "src/graph_rules.h"
#include "tegula/error.h"

namespace tegula::sim {
namespace {

// The scheduler's own limit on what may be demanded at a time (SchedulerConfig::max_demanded_tasks).
constexpr std::uint64_t kMostTasks = std::uint64_t{1} << 28;

}  // namespace

LayerNumber GraphBuilder::layer(std::string name, std::vector<std::int64_t> grid, std::uint64_t bytes) {
  auto layer = std::make_shared<Layer>();
  layer->name = std::move(name);
  layer->kernel = "tegula.nop";
  const auto size = static_cast<std::int64_t>(bytes == 0 ? options_.chunk_bytes : bytes);
  std::vector<DimChunks> dims;
  for (std::size_t d = 0; d < grid.size(); ++d) {
    const std::int64_t chunk = d + 1 == grid.size() ? size : 1;
    dims.emplace_back(grid[d] * chunk, chunk);
  }
  layer->grid = std::move(grid);
  layer->outputs = {OutputSpec{DType::kUInt8, ChunkGrid(std::move(dims))}};
  layer->nonce = layers_.size() + 1;  // equal layers are one to the scheduler
  layers_.push_back(std::move(layer));
  return static_cast<LayerNumber>(layers_.size() - 1);
}

LayerNumber GraphBuilder::squares(std::string name, std::vector<std::int64_t> grid, std::int64_t side) {
  const std::vector<DimChunks> dims{DimChunks(grid[0] * side, side), DimChunks(grid[1] * side, side)};
  const LayerNumber number = layer(std::move(name), std::move(grid));
  layers_.back()->outputs.front().chunks = ChunkGrid(dims);
  return number;
}

void GraphBuilder::reads(LayerNumber input, std::vector<DimRule> dims) {
  layers_.back()->inputs.push_back({input, 0, at(input).outputs[0].chunks.grid(), SeparableInput{std::move(dims)}});
}

void GraphBuilder::reads(LayerNumber input, ExplicitInput list) {
  layers_.back()->inputs.push_back({input, 0, at(input).outputs[0].chunks.grid(), std::move(list)});
}

void GraphBuilder::want(LayerNumber number) {
  if (!options_.keep) wants_.push_back({number, 0, 0, at(number).tasks()});
}

void GraphBuilder::want_sinks() {
  if (options_.keep) return;
  std::vector<std::vector<ConsumerTable>> readers(layers_.size());
  for (const auto& layer : layers_) {
    for (std::size_t rule = 0; rule < layer->inputs.size(); ++rule) {
      readers[layer->inputs[rule].layer].emplace_back(*layer, rule);
    }
  }
  for (LayerNumber number = 0; number < layers_.size(); ++number) {
    const std::uint32_t tasks = at(number).tasks();
    std::uint32_t begin = 0;  // of the stretch of unread tasks that ends before `index`
    for (std::uint32_t index = 0; index <= tasks; ++index) {
      bool read = index == tasks;
      for (const ConsumerTable& reader : readers[number]) {
        read = read || reader.until(index, [](std::uint32_t) { return true; });
      }
      if (!read) continue;
      if (begin < index) wants_.push_back({number, 0, begin, index});
      begin = index + 1;
    }
  }
}

Pattern GraphBuilder::finish() {
  Pattern pattern;
  for (LayerNumber number = 0; number < layers_.size(); ++number) {
    std::uint64_t tasks = 1;
    for (const std::int64_t size : layers_[number]->grid) tasks *= static_cast<std::uint64_t>(size);
    pattern.tasks += tasks;
    if (pattern.tasks > kMostTasks) {
      throw ValueError(fmt::format("a graph of more than {} tasks: a scheduler takes no more at a time", kMostTasks));
    }
    if (options_.keep) wants_.push_back({number, 0, 0, static_cast<std::uint32_t>(tasks)});
  }
  pattern.wants = std::move(wants_);
  for (auto& layer : layers_) pattern.layers.push_back(std::move(layer));
  return pattern;
}

Pieces whole_blocks(int axis, const std::vector<std::vector<std::int64_t>>& lists, std::int64_t size) {
  Pieces pieces;
  pieces.axis = axis;
  pieces.begin.push_back(0);
  for (const auto& blocks : lists) {
    for (const std::int64_t block : blocks) {
      pieces.block.push_back(block);
      pieces.box.push_back({0, size, 1});
    }
    pieces.begin.push_back(static_cast<std::uint32_t>(pieces.block.size()));
  }
  return pieces;
}

}  // namespace tegula::sim
