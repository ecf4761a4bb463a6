#include "bench/sim/patterns.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "bench/sim/graph_builder.h"
#include "bench/sim/task_bench.h"
#include "tegula/error.h"

namespace tegula::sim {
namespace {

std::int64_t side_of(double tasks) { return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::sqrt(tasks))); }

// Adds the steps of a reduction of the newest layer, whose grid is one-dimensional, to one task.
LayerNumber reduce_1d(GraphBuilder& graph, LayerNumber input, std::int64_t fan_in) {
  for (std::int64_t blocks = graph.at(input).tasks(); blocks > 1;) {
    blocks = (blocks + fan_in - 1) / fan_in;
    const LayerNumber step = graph.layer("reduce", {blocks});
    graph.reads(input, {FanIn{0, fan_in}});
    input = step;
  }
  return input;
}

std::uint64_t tree_tasks(std::uint64_t leaves, std::uint64_t fan_in) {
  std::uint64_t tasks = leaves;
  while (leaves > 1) tasks += leaves = (leaves + fan_in - 1) / fan_in;
  return tasks;
}

Pattern map(const PatternOptions& options) {
  GraphBuilder graph(options);
  graph.want(graph.layer("map", {static_cast<std::int64_t>(options.tasks)}));
  return graph.finish();
}

Pattern merge(const PatternOptions& options) {
  GraphBuilder graph(options);
  const LayerNumber parts =
      graph.layer("part", {std::max<std::int64_t>(1, static_cast<std::int64_t>(options.tasks) - 1)});
  const LayerNumber merged = graph.layer("merge", {1});
  graph.reads(parts, {AllBlocks{}});
  graph.want(merged);
  return graph.finish();
}

Pattern fan_out(const PatternOptions& options) {
  GraphBuilder graph(options);
  const LayerNumber root = graph.layer("root", {1});
  if (options.tasks > 1) {
    const LayerNumber readers = graph.layer("reader", {static_cast<std::int64_t>(options.tasks) - 1});
    graph.reads(root, {ConstantBlock{0}});
    graph.want(readers);
  } else {
    graph.want(root);
  }
  return graph.finish();
}

Pattern tree(const PatternOptions& options) {
  if (options.fan_in < 2)
    throw ValueError(fmt::format("a reduction needs a fan-in of 2 or more, not {}", options.fan_in));
  std::uint64_t low = 1, high = options.tasks;  // the most leaves with which there are not too many tasks
  while (low < high) {
    const std::uint64_t middle = (low + high + 1) / 2;
    if (tree_tasks(middle, options.fan_in) <= options.tasks) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  GraphBuilder graph(options);
  const LayerNumber leaves = graph.layer("leaf", {static_cast<std::int64_t>(low)});
  graph.want(reduce_1d(graph, leaves, options.fan_in));
  return graph.finish();
}

// Parallel chains. Each link is a layer, since a layer's tasks do not read one another.
Pattern chain(const PatternOptions& options) {
  const std::int64_t width = step_width(options);
  const auto length = std::max<std::uint64_t>(1, options.tasks / static_cast<std::uint64_t>(width));
  GraphBuilder graph(options);
  LayerNumber last = graph.layer("head", {width});
  for (std::uint64_t link = 1; link < length; ++link) {
    const LayerNumber next = graph.layer("link", {width});
    graph.reads(last, {SameBlock{0}});
    last = next;
  }
  graph.want(last);
  return graph.finish();
}

Pattern transpose(const PatternOptions& options) {
  const std::int64_t side = side_of(static_cast<double>(options.tasks) / 2);
  GraphBuilder graph(options);
  const LayerNumber source = graph.layer("source", {side, side});
  // y = x + x.T: the tasks of two blocks that mirror each other read both.
  const LayerNumber sum = graph.layer("add-transposed", {side, side});
  graph.reads(source, {SameBlock{0}, SameBlock{1}});
  graph.reads(source, {SameBlock{1}, SameBlock{0}});
  graph.want(sum);
  return graph.finish();
}

Pattern shuffle(const PatternOptions& options) {
  const std::int64_t parts = std::max<std::int64_t>(1, side_of(static_cast<double>(options.tasks) + 1) - 1);
  const std::uint64_t shard = std::max<std::uint64_t>(1, options.chunk_bytes / static_cast<std::uint64_t>(parts));
  GraphBuilder graph(options);
  const LayerNumber input = graph.layer("part", {parts});
  const LayerNumber shards = graph.layer("split", {parts, parts}, shard);
  graph.reads(input, {SameBlock{0}});
  const LayerNumber output = graph.layer("gather", {parts});
  graph.reads(shards, {AllBlocks{}, SameBlock{0}});
  graph.want(output);
  return graph.finish();
}

// Sweeps over a square of blocks, each of which reads itself and a halo of one position from its eight neighbours.
Pattern stencil_2d(const PatternOptions& options) {
  const std::int64_t blocks = side_of(static_cast<double>(step_width(options)));
  const auto per_sweep = static_cast<std::uint64_t>(blocks * blocks);
  const std::uint64_t sweeps = std::max<std::uint64_t>(1, options.tasks / per_sweep);
  const std::int64_t side = side_of(static_cast<double>(options.chunk_bytes));
  const auto neighbours = [&](int axis) {
    Pieces pieces;
    pieces.axis = axis;
    pieces.begin.push_back(0);
    const auto add = [&](std::int64_t block, std::int64_t start, std::int64_t count) {
      if (block < 0 || block >= blocks) return;
      pieces.block.push_back(block);
      pieces.box.push_back({start, count, 1});
    };
    for (std::int64_t block = 0; block < blocks; ++block) {
      add(block - 1, side - 1, 1);
      add(block, 0, side);
      add(block + 1, 0, 1);
      pieces.begin.push_back(static_cast<std::uint32_t>(pieces.block.size()));
    }
    return pieces;
  };
  GraphBuilder graph(options);
  LayerNumber last = graph.squares("initial", {blocks, blocks}, side);
  for (std::uint64_t sweep = 1; sweep < sweeps; ++sweep) {
    const LayerNumber next = graph.squares("sweep", {blocks, blocks}, side);
    graph.reads(last, {neighbours(0), neighbours(1)});
    last = next;
  }
  graph.want(last);
  return graph.finish();
}

// x - mean of x over its group, squared and summed: what climate scientists do with a season's mean. Time is the first
// dimension; block t belongs to group t mod groups. A source block is needed until the mean of its group is known.
Pattern anomaly_mean(const PatternOptions& options) {
  if (options.fan_in < 2)
    throw ValueError(fmt::format("a reduction needs a fan-in of 2 or more, not {}", options.fan_in));
  constexpr std::int64_t kGroups = 4, kRounds = 5;
  const std::int64_t times = kGroups * kRounds;
  const auto bytes = static_cast<std::int64_t>(options.chunk_bytes);
  // Per column: the sources, the means, the anomalies; then one task for each and a tree.
  const std::int64_t columns =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(options.tasks) / (2 * times + kGroups + 2));
  std::vector<std::vector<std::int64_t>> members(kGroups), group_of(static_cast<std::size_t>(times));
  for (std::int64_t t = 0; t < times; ++t) {
    members[static_cast<std::size_t>(t % kGroups)].push_back(t);
    group_of[static_cast<std::size_t>(t)] = {t % kGroups};
  }
  Pieces space = whole_blocks(1, {}, bytes);
  for (std::int64_t column = 0; column < columns; ++column) {
    space.block.push_back(column);
    space.box.push_back({0, bytes, 1});
    space.begin.push_back(static_cast<std::uint32_t>(space.block.size()));
  }
  GraphBuilder graph(options);
  const LayerNumber source = graph.layer("source", {times, columns});
  const LayerNumber mean = graph.layer("group-mean", {kGroups, columns});
  graph.reads(source, {whole_blocks(0, members, 1), space});
  const LayerNumber anomaly = graph.layer("subtract", {times, columns});
  graph.reads(source, {SameBlock{0}, SameBlock{1}});
  graph.reads(mean, {whole_blocks(0, group_of, 1), space});
  const LayerNumber sums = graph.layer("sum-of-squares", {columns}, 8);
  graph.reads(anomaly, {AllBlocks{}, SameBlock{0}});
  graph.want(reduce_1d(graph, sums, options.fan_in));
  return graph.finish();
}

}  // namespace

std::uint64_t Pattern::wanted() const {
  std::uint64_t wanted = 0;
  for (const msg::WantRange& range : wants) wanted += range.end - range.begin;
  return wanted;
}

const std::vector<PatternInfo>& patterns() {
  static const std::vector<PatternInfo> all{
      {"map", "N independent tasks", &map},
      {"merge", "N - 1 independent tasks and one that reads them all", &merge},
      {"fan_out", "one task and N - 1 that read it", &fan_out},
      {"tree", "a reduction with a fixed fan-in", &tree},
      {"chain", "parallel chains, as many as --width", &chain},
      {"transpose", "x + x.T", &transpose},
      {"shuffle", "every part is split for every other part", &shuffle},
      {"stencil", "sweeps over a square of blocks with halos", &stencil_2d},
      {"random", "steps whose tasks read one to four of the two steps before", &random_dag},
      {"trivial", "Task Bench: steps without dependencies", &trivial},
      {"stencil_1d", "Task Bench: each task reads itself and its neighbours", &stencil_1d},
      {"fft", "Task Bench: butterflies", &fft},
      {"tb_tree", "Task Bench's tree: grows from one task, twice as wide with each step", &growing_tree},
      {"nearest", "Task Bench: the five nearest", &nearest},
      {"spread", "Task Bench: five, spread over the width", &spread},
      {"random_nearest", "Task Bench: some of the five nearest, others with each step", &random_nearest},
      {"anomaly_mean", "source, mean of each group, difference, sum of squares", &anomaly_mean},
  };
  return all;
}

const PatternInfo& find_pattern(std::string_view name) {
  for (const PatternInfo& pattern : patterns()) {
    if (pattern.name == name) return pattern;
  }
  std::string known;
  for (const PatternInfo& pattern : patterns()) known += (known.empty() ? "" : ", ") + std::string(pattern.name);
  throw ValueError(fmt::format("there is no pattern '{}'; there are {}", name, known));
}

Pattern make_pattern(std::string_view name, const PatternOptions& options) {
  const PatternInfo& pattern = find_pattern(name);
  if (options.tasks == 0) throw ValueError("a graph of 0 tasks");
  if (options.chunk_bytes == 0) throw ValueError("results of 0 bytes");
  return pattern.make(options);
}

}  // namespace tegula::sim
