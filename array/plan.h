// The plan: which nodes of an expression get layers of their own. Everything else is computed inside the programs of
// those that do.
//
// Views are pushed down for free: a program reads a node through a position map (program positions -> node positions),
// which views compose and sources absorb. So "optimizing" comes down to one decision per node: stored (computed once,
// by a layer of its own) or inlined into each program that reads it. Chunks, and with them every rounding, are the same
// either way.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "array/expression.h"

namespace tegula::detail {

struct PlanNode {
  const Expression* expression = nullptr;
  std::vector<int> inputs;
  bool stored = false;
  // Everything below comes from positions alone, so the node can be computed in any chunks: a rechunk of it is free.
  bool generated = false;
};

// One step of a program, in an order in which inputs come first: a source or an operation, seen through `map`.
struct RegionItem {
  int node = 0;
  PositionMap map;
  bool input = false;              // read from the layer of a stored node
  bool aligned = true;             // false: below a free rechunk, where no stored chunk fits the program's
  std::vector<std::size_t> items;  // the operands of an operation
};

class Plan {
 public:
  // The roots (without relabels) are stored; they are kept alive.
  Plan(std::vector<ExpressionPtr> roots, bool optimize);

  const std::vector<ExpressionPtr>& roots() const { return roots_; }
  const std::vector<PlanNode>& nodes() const { return nodes_; }  // inputs come first
  const PlanNode& operator[](int node) const { return nodes_[static_cast<std::size_t>(node)]; }
  int find(const Expression& expression) const { return index_.at(expression.token); }
  // What one program computes for stored node `node`: its own value, for a reduction its input's. The last item is the
  // result.
  std::vector<RegionItem> region(int node) const;
  // A rechunk that needs no copy, since its input is computed in the new chunks.
  bool transparent(int node) const;

 private:
  // A program that reads a node inlined.
  struct Demand {
    int program = 0;
    PositionMap map;
    bool aligned = true;
    friend bool operator==(const Demand&, const Demand&) = default;
  };
  void build();
  void store_what_must_be();
  void store_everything();
  void choose_stored();
  std::vector<double> costs() const;
  bool cheaper_inlined(int node, const std::vector<Demand>& demands, double cost) const;
  double elements_of_program(int node) const;
  bool split_large_programs();
  bool split(int node);

  std::vector<ExpressionPtr> roots_;
  std::vector<PlanNode> nodes_;
  std::unordered_map<LayerHash, int> index_;
  bool rechunks_free_ = true;  // generated rechunks are computed in the new chunks
};

}  // namespace tegula::detail
