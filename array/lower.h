// From a plan to layers: one or a few for each stored node.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "array/expression.h"
#include "array/plan.h"

namespace tegula::detail {

// Where the chunks of a stored node are: an output of a layer, as numbered in a Graph.
struct Emitted {
  LayerNumber layer = 0;
  std::uint16_t output = 0;
  ChunkGrid chunks;
};

struct Lowered {
  Graph graph;
  std::vector<Emitted> roots;  // of each root of the plan, in order
};

// The node whose chunks are those of `root` up to dimensions of size 1: what has to be computed for it.
ExpressionPtr without_relabels(ExpressionPtr root);

// Throws ValueError when a layer would have too many tasks, or arrays of two sessions
// are mixed.
Lowered lower(const Plan& plan);

class Lowering {
 public:
  explicit Lowering(const Plan& plan) : plan_(plan) {}
  void emit(int node);
  const Emitted& emitted(int node) const { return emitted_.at(node); }
  Graph take_graph() { return std::move(graph_); }

 private:
  void emit_program(int node);
  void emit_reduction(int node);
  void emit_rechunk(int node);
  void emit_npy(int node);
  void emit_host(int node);
  void emit_stored(int node);
  Emitted add(Layer layer);
  Emitted emit_tree(Emitted partial, const Expression& reduce);
  // Turns a region into sources and code; adds input rules to the layer.
  Program make_program(const std::vector<RegionItem>& region, const ChunkGrid& chunks, Layer& layer) const;

  const Plan& plan_;
  Graph graph_;
  std::unordered_map<int, Emitted> emitted_;
};

// The task grid of a layer with one task per block: the block grid, or one axis for a single value (a rule names a task
// axis to be written down along).
Shape task_grid(const ChunkGrid& chunks);
// How the tasks of a program over `chunks` read an array through a map: the block of each dimension and the box in it.
// Views keep every block of the program inside one block of the array.
InputRule input_through(const Emitted& from, const PositionMap& map, const ChunkGrid& chunks);
// How the tasks of a layer with output `to` gather the same positions of an array in other chunks.
InputRule input_rechunked(const Emitted& from, const ChunkGrid& to);
// For each axis of `grid` how many blocks one task of the next step combines; 1 where it isn't reduced. Depends on the
// grid alone.
std::vector<std::int64_t> tree_factors(const Shape& grid, const std::vector<bool>& reduced);

// "normal-add": the names of what a region computes, in order, at most four; of `top` where it only moves elements.
std::string region_name(const Plan& plan, const Expression& top, const std::vector<RegionItem>& region);

}  // namespace tegula::detail
