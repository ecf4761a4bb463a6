// The nodes of an array expression: immutable, shared, with shape, dtype and chunks known when made. Arrays are handles
// on them; the plan (plan.h) decides which of them become layers of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "client/session.h"
#include "src/chunk_grid.h"
#include "src/npy.h"
#include "src/program.h"
#include "tegula/array.h"
#include "tegula/host_array.h"

namespace tegula::detail {

// Values that are a function of the element's position alone: a constant, an iota or random source (never an
// InputSource), whose map takes positions of this node's array.
struct Generated {
  Source source;
  bool scalar = false;  // a literal beside an array: part of the operation that uses it, also without the optimizer
};
// One operation, element by element. The inputs have this node's shape and chunks, and the dtypes that `op` takes.
struct Elementwise {
  Op op = Op::kPositive;
};
// The same elements at other positions: along dimension d of the input, position = start[d] + step[d] * g[axis[d]], or
// start[d] where axis[d] is -1. Slices, integer indices, new axes, transposes, broadcasts and finer chunks. Invariant:
// every block of this node lies in exactly one block of the input.
struct View {
  PositionMap map;
  bool implicit = false;  // made by broadcasting or aligning chunks, not written by the user: never a copy of its own
};
struct Rechunk {};
// Reduces the axes of the input to size 1. kMoments: an extra first dimension holds the components.
struct Reduce {
  Reduction reduction;
};
struct NpyFile {
  ReadNpyParams params;
};
struct HostValues {
  HostArray values;
  LayerHash content;
};
// The results of a layer of some session.
struct Stored {
  std::shared_ptr<ResultSet> results;
};
using Node = std::variant<Generated, Elementwise, View, Rechunk, Reduce, NpyFile, HostValues, Stored>;

struct Expression {
  Expression(Node node_, std::vector<ExpressionPtr> inputs_, DType dtype_, ChunkGrid chunks_);
  ~Expression();  // without recursion: chains may be millions of nodes long
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;

  Node node;
  std::vector<ExpressionPtr> inputs;
  DType dtype;
  ChunkGrid chunks;
  Shape shape;
  LayerHash token;  // equal tokens: equal values in equal chunks

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&node);
  }
};

ExpressionPtr make_expression(Node node, std::vector<ExpressionPtr> inputs, DType dtype, ChunkGrid chunks);

// Distinct nodes (by token) in an order in which inputs come first.
std::vector<const Expression*> topological_order(const std::vector<ExpressionPtr>& roots);

// "normal(10, 1)", "add", "[::2, ::2]", "transpose", "sum": what this node does, without its inputs.
std::string describe(const Expression& expression);
// For names of layers: "normal", "add", "slice", "sum".
std::string short_name(const Expression& expression);

}  // namespace tegula::detail
