// Small graphs for the exploration, and how they are written down as layers.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "comm/messages.h"

namespace tegula::model {

// Task i reads the tasks j with an edge (j, i); j < i.
struct Shape {
  std::string name;
  std::uint32_t tasks = 0;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges;
  std::vector<std::uint32_t> wanted;
};

// Every graph of so many tasks with every choice of wanted tasks under which each task is needed. Tasks are numbered in
// an order in which they could run, and graphs that differ only in the numbers of their tasks are all there: the
// numbers decide about priorities.
std::vector<Shape> all_shapes(std::uint32_t tasks);

// "chain", "fork" (one read by all others), "join" (one reads all others), "diamond" (a fork, then a join), "tree" (a
// binary one, towards one result). Throws ValueError for a name or size that there is not.
Shape named_shape(const std::string& name, std::uint32_t tasks);

// Where a task is when the shape is written as layers.
struct Place {
  LayerNumber layer = 0;
  std::uint32_t index = 0;
};
struct Graph {
  std::vector<msg::LayerPtr> layers;
  std::vector<Place> places;  // by task
};
Graph layer_per_task(const Shape& shape);   // one task each, separable rules
Graph layer_per_level(const Shape& shape);  // tasks equally far from the sources together, explicit lists

}  // namespace tegula::model
