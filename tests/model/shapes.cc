#include "tests/model/shapes.h"

#include <algorithm>

#include "tegula/error.h"

namespace tegula::model {
namespace {

Layer empty_layer(const std::string& name, std::int64_t tasks) {
  Layer layer;
  layer.name = name;
  layer.kernel = "test.step";
  layer.grid = {tasks};
  layer.outputs.push_back({DType::kFloat64, ChunkGrid({DimChunks(tasks, 1)})});
  return layer;
}

// The wanted sets: all that have the tasks that nobody reads.
void add_wanted_sets(const Shape& graph, std::vector<Shape>& shapes) {
  std::uint32_t read = 0;
  for (const auto& [from, to] : graph.edges) read |= 1u << from;
  const std::uint32_t sinks = ~read & ((1u << graph.tasks) - 1);
  for (std::uint32_t set = 1; set < 1u << graph.tasks; ++set) {
    if ((set & sinks) != sinks) continue;
    Shape shape = graph;
    shape.name += " wanted";
    for (std::uint32_t task = 0; task < graph.tasks; ++task) {
      if ((set >> task & 1) == 0) continue;
      shape.wanted.push_back(task);
      shape.name += " " + std::to_string(task);
    }
    shapes.push_back(std::move(shape));
  }
}

}  // namespace

std::vector<Shape> all_shapes(std::uint32_t tasks) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> possible;
  for (std::uint32_t to = 1; to < tasks; ++to) {
    for (std::uint32_t from = 0; from < to; ++from) possible.emplace_back(from, to);
  }
  std::vector<Shape> shapes;
  for (std::uint32_t set = 0; set < 1u << possible.size(); ++set) {
    Shape graph{std::to_string(tasks) + " tasks", tasks, {}, {}};
    for (std::size_t edge = 0; edge < possible.size(); ++edge) {
      if ((set >> edge & 1) == 0) continue;
      graph.edges.push_back(possible[edge]);
      graph.name += " " + std::to_string(possible[edge].first) + ">" + std::to_string(possible[edge].second);
    }
    add_wanted_sets(graph, shapes);
  }
  return shapes;
}

Shape named_shape(const std::string& name, std::uint32_t tasks) {
  Shape shape{name + " of " + std::to_string(tasks), tasks, {}, {}};
  if (tasks < 1) throw ValueError("a shape needs tasks");
  const std::uint32_t last = tasks - 1;
  shape.wanted = {last};
  if (name == "chain") {
    for (std::uint32_t task = 1; task < tasks; ++task) shape.edges.emplace_back(task - 1, task);
  } else if (name == "fork") {
    shape.wanted.clear();
    for (std::uint32_t task = 1; task < tasks; ++task) {
      shape.edges.emplace_back(0, task);
      shape.wanted.push_back(task);
    }
    if (tasks == 1) shape.wanted = {0};
  } else if (name == "join") {
    for (std::uint32_t task = 0; task < last; ++task) shape.edges.emplace_back(task, last);
  } else if (name == "diamond") {
    for (std::uint32_t task = 1; task < last; ++task) {
      shape.edges.emplace_back(0, task);
      shape.edges.emplace_back(task, last);
    }
  } else if (name == "tree") {
    if (tasks % 2 == 0) throw ValueError("a binary tree has an odd number of tasks, not " + std::to_string(tasks));
    // The leaves come first; each inner task reads the next two that nobody reads yet.
    std::uint32_t unread = 0;
    for (std::uint32_t task = (tasks + 1) / 2; task < tasks; ++task) {
      shape.edges.emplace_back(unread++, task);
      shape.edges.emplace_back(unread++, task);
    }
  } else {
    throw ValueError("no shape is named '" + name + "': there are chain, fork, join, diamond and tree");
  }
  return shape;
}

Graph layer_per_task(const Shape& shape) {
  Graph graph;
  for (std::uint32_t task = 0; task < shape.tasks; ++task) {
    Layer layer = empty_layer("t" + std::to_string(task), 1);
    for (const auto& [from, to] : shape.edges) {
      if (to == task) layer.inputs.push_back({from, 0, {1}, SeparableInput{{SameBlock{0}}}});
    }
    graph.layers.push_back(std::make_shared<const Layer>(std::move(layer)));
    graph.places.push_back({task, 0});
  }
  return graph;
}

Graph layer_per_level(const Shape& shape) {
  std::vector<std::uint32_t> level(shape.tasks, 0);
  for (std::uint32_t task = 0; task < shape.tasks; ++task) {
    for (const auto& [from, to] : shape.edges) {
      if (to == task) level[task] = std::max(level[task], level[from] + 1);
    }
  }
  Graph graph;
  graph.places.resize(shape.tasks);
  std::vector<std::vector<std::uint32_t>> members;
  for (std::uint32_t task = 0; task < shape.tasks; ++task) {
    if (level[task] >= members.size()) members.resize(level[task] + 1);
    graph.places[task] = {level[task], static_cast<std::uint32_t>(members[level[task]].size())};
    members[level[task]].push_back(task);
  }
  for (std::uint32_t l = 0; l < members.size(); ++l) {
    Layer layer = empty_layer("level" + std::to_string(l), static_cast<std::int64_t>(members[l].size()));
    for (std::uint32_t below = 0; below < l; ++below) {
      ExplicitInput list;
      list.begin.push_back(0);
      for (const std::uint32_t task : members[l]) {
        for (const auto& [from, to] : shape.edges) {
          if (to == task && level[from] == below) list.index.push_back(graph.places[from].index);
        }
        list.begin.push_back(static_cast<std::uint32_t>(list.index.size()));
      }
      if (list.index.empty()) continue;
      layer.inputs.push_back({below, 0, {static_cast<std::int64_t>(members[below].size())}, std::move(list)});
    }
    graph.layers.push_back(std::make_shared<const Layer>(std::move(layer)));
  }
  return graph;
}

}  // namespace tegula::model
