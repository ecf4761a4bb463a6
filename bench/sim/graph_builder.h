// Puts a pattern together, layer by layer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/sim/patterns.h"
#include "src/graph.h"

namespace tegula::sim {

class GraphBuilder {
 public:
  explicit GraphBuilder(const PatternOptions& options) : options_(options) {}

  // A layer with one task per block of `grid`, whose results have options.chunk_bytes bytes each (or `bytes`): along
  // the last dimension, so that a block's box along any other one is a single position.
  LayerNumber layer(std::string name, std::vector<std::int64_t> grid, std::uint64_t bytes = 0);
  // As layer(), for a 2-d grid of square chunks with `side` bytes along each dimension.
  LayerNumber squares(std::string name, std::vector<std::int64_t> grid, std::int64_t side);
  // The newest layer reads `input`.
  void reads(LayerNumber input, std::vector<DimRule> dims);
  void reads(LayerNumber input, ExplicitInput list);

  // All tasks of a layer are wanted. With options.keep everything is, and this does nothing.
  void want(LayerNumber layer);
  // Whatever nothing reads is wanted.
  void want_sinks();

  const Layer& at(LayerNumber number) const { return *layers_[number]; }
  // Throws ValueError when there are more tasks than one layer or one scheduler may have.
  Pattern finish();

 private:
  PatternOptions options_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<msg::WantRange> wants_;
};

// Whole blocks of a dimension whose chunks have `size` elements, for Pieces: lists[p] are the blocks that position p
// reads.
Pieces whole_blocks(int axis, const std::vector<std::vector<std::int64_t>>& lists, std::int64_t size);

}  // namespace tegula::sim
