// What becomes a layer and what is computed inside another one.
#include "array/plan.h"

#include <gmock/gmock.h>

#include "array/lower.h"
#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/graph_runner.h"

namespace tegula {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Graph graph_of(const std::vector<Array>& arrays, bool optimize = true) {
  std::vector<detail::ExpressionPtr> roots;
  for (const Array& array : arrays) roots.push_back(detail::without_relabels(array.expression()));
  return detail::lower(detail::Plan(roots, optimize)).graph;
}

std::vector<std::string> kernels_of(const Graph& graph) {
  std::vector<std::string> names;
  for (const auto& layer : graph.layers) names.push_back(layer->kernel.substr(std::string("tegula.").size()));
  return names;
}

std::vector<std::string> kernels_of(const Array& array, bool optimize = true) {
  return kernels_of(graph_of({array}, optimize));
}

Array normals() { return random::normal(10, 1, {100, 100}, {10, 10}, {.seed = 1}); }

TEST(Plan, TheMainJobIsOneProgramAndATree) {
  const Array total = (normals() + 1)(slice(_, _, 2), slice(_, _, 2)).sum();
  const Graph graph = graph_of({total});
  // 10 x 10 blocks: 100 partial sums, then groups of 4 x 4, then one.
  EXPECT_THAT(kernels_of(graph), ElementsAre("program", "reduce", "reduce"));
  EXPECT_EQ(graph.layers[0]->tasks(), 100u);
  EXPECT_EQ(graph.layers[1]->tasks(), 9u);
  EXPECT_EQ(graph.layers[2]->tasks(), 1u);
  const Program program = decode_program(graph.layers[0]->params);
  ASSERT_EQ(program.sources.size(), 2u);
  const auto& random = std::get<RandomSource>(program.sources[0]);
  EXPECT_EQ(random.map, (PositionMap{{0, 1}, {0, 0}, {2, 2}}));
  EXPECT_EQ(program.code.size(), 1u);
  EXPECT_EQ(program.chunks.shape(), (Shape{50, 50}));
  // Without the optimizer each step stores its chunks.
  EXPECT_THAT(kernels_of(total, false), ElementsAre("program", "program", "program", "program", "reduce", "reduce"));
}

TEST(Plan, SlicesOfSlicesAndTransposesReachTheSource) {
  const Array x = normals().T()(slice(10, 90, 2))(slice(_, _, -3), 7);
  const Graph graph = graph_of({x * 2});
  ASSERT_EQ(graph.layers.size(), 1u);
  const Program program = decode_program(graph.layers[0]->params);
  const auto& random = std::get<RandomSource>(program.sources[0]);
  // Rows 88, 82, ... of the transpose are columns of the source.
  EXPECT_EQ(random.map, (PositionMap{{-1, 0}, {7, 88}, {0, -6}}));
}

TEST(Plan, SharedWorkIsDoneOnce) {
  const Array x = exp(normals());
  // Used twice in one program: one instruction.
  const Program program = decode_program(graph_of({x / (1 + x)}).layers[0]->params);
  EXPECT_EQ(program.code.size(), 3u);
  // The same expression written twice is the same work.
  const Array again = exp(normals());
  EXPECT_EQ(graph_of({x + again}).layers.size(), 1u);
  EXPECT_EQ(decode_program(graph_of({x + again}).layers[0]->params).code.size(), 2u);
}

TEST(Plan, ExpensiveResultsWithSeveralReadersAreStored) {
  const Array big = random::normal(0, 1, {4000, 4000}, {2000, 2000}, {.seed = 1});
  const Array costly = exp(sin(big));
  EXPECT_THAT(kernels_of(graph_of({costly.sum(), costly.max()})),
              ElementsAre("program", "program", "reduce", "program", "reduce"));
  // Generating twice is cheaper than storing; three times isn't.
  EXPECT_THAT(kernels_of(graph_of({big.sum(), big.max()})), ElementsAre("program", "reduce", "program", "reduce"));
  EXPECT_EQ(graph_of({big.sum(), big.max(), big.min()}).layers.size(), 7u);
  // Constants are never stored.
  const Array one = ones({4000, 4000}, {2000, 2000});
  EXPECT_EQ(graph_of({one.sum(), one.max(), one.min()}).layers.size(), 6u);
}

TEST(Plan, BroadcastWorkIsNotRepeatedPerRow) {
  const Array row = exp(random::normal(0, 1, {4000}, {2000}, {.seed = 1}));
  const Array big = random::uniform(0, 1, {4000, 4000}, {2000, 2000}, {.seed = 1});
  EXPECT_THAT(kernels_of((row + big).sum()), ElementsAre("program", "program", "reduce"));
}

TEST(Plan, RechunksOfGeneratedArraysAreFree) {
  const Array x = (normals() + 1).rechunk({25, 50});
  EXPECT_THAT(kernels_of(x), ElementsAre("program"));
  EXPECT_THAT(kernels_of(x, false), ElementsAre("program", "program", "assemble"));
  HostArray values(DType::kFloat64, {100, 100});
  EXPECT_THAT(kernels_of(from_host(values, {10, 10}).rechunk({25, 50})), ElementsAre("from_bytes", "assemble"));
  // Finer chunks need no copy of their own.
  EXPECT_THAT(kernels_of(from_host(values, {10, 10}).rechunk({5, 5}) + 1), ElementsAre("from_bytes", "program"));
}

TEST(Plan, RootsAreStoredOnceAndRead) {
  const Array x = normals();
  const Graph graph = graph_of({x, x.sum(), x});
  EXPECT_THAT(kernels_of(graph), ElementsAre("program", "program", "reduce", "reduce"));
  EXPECT_EQ(graph.layers[1]->inputs.size(), 1u);
}

TEST(Plan, DroppedDimensionsCostNothing) {
  EXPECT_EQ(graph_of({normals().max(0)}).layers.size(), 2u);
  EXPECT_EQ(graph_of({normals().max(0)(newaxis, _, newaxis)}).layers.size(), 2u);
}

// Chains and trees beyond what one program holds are cut into several, with the same result.
TEST(Plan, LongProgramsAreSplit) {
  test::GraphRunner runner;
  Array x = arange(6).rechunk({2});
  for (int i = 0; i < 3000; ++i) x = x + 1;
  const Graph graph = graph_of({x});
  EXPECT_GE(graph.layers.size(), 3u);
  EXPECT_LE(graph.layers.size(), 20u);
  EXPECT_THAT(x.compute(runner.client()).span<std::int64_t>(), ElementsAre(3000, 3001, 3002, 3003, 3004, 3005));
}

TEST(Plan, WideProgramsAreSplit) {
  test::GraphRunner runner;
  Array sum = zeros({4}, {2});
  for (int i = 0; i < 200; ++i) {
    HostArray values(DType::kFloat64, {4});
    values.span<double>()[0] = i;
    sum = sum + from_host(values, {2});
  }
  EXPECT_EQ(sum.compute(runner.client()).span<double>()[0], 199 * 200 / 2);
  for (const auto& layer : graph_of({sum}).layers) {
    if (layer->kernel == "tegula.program") verify(decode_program(layer->params));
  }
}

TEST(Plan, DoublingTreesDoNotExplode) {
  test::GraphRunner runner;
  Array x = ones({4}, {2}, DType::kInt64);
  for (int i = 0; i < 60; ++i) x = x + x;
  EXPECT_EQ(graph_of({x}).layers.size(), 1u);
  EXPECT_EQ(x.compute(runner.client()).span<std::int64_t>()[0], std::int64_t{1} << 60);
  // Different slices of the same array at every level: a triangle of 40 * 40 / 2 distinct parts.
  Array y = random::integers(0, 9, {64}, {64}, {.seed = 3});
  for (int i = 0; i < 40; ++i) y = y(slice(1, _)) + y(slice(_, -1));
  const HostArray fused = y.compute(runner.client());
  EXPECT_EQ(test::bits_of(fused), test::bits_of(y.compute(runner.client(), {false})));
}

TEST(Plan, VeryLongChainsNeedNoStack) {
  Array x = zeros({4}, {2});
  for (int i = 0; i < 200000; ++i) x = (x + 1)(_, newaxis)(_, 0);
  const Array y = x;
  x = zeros({1});
  EXPECT_EQ(y.shape(), Shape{4});
}  // the destructor must not recurse

TEST(Plan, TheTreeDependsOnTheGridAlone) {
  EXPECT_THAT(detail::tree_factors({10, 10}, {true, true}), ElementsAre(4, 4));
  EXPECT_THAT(detail::tree_factors({4, 4}, {true, true}), ElementsAre(4, 4));
  EXPECT_THAT(detail::tree_factors({2, 8}, {true, true}), ElementsAre(2, 8));
  EXPECT_THAT(detail::tree_factors({100, 7}, {true, false}), ElementsAre(16, 1));
  EXPECT_THAT(detail::tree_factors({3, 100000}, {true, true}), ElementsAre(1, 16));
  EXPECT_THAT(detail::tree_factors({5}, {false}), ElementsAre(1));
}

TEST(Plan, ExplainShowsAllThreeForms) {
  const Explanation e = (normals() + 1)(slice(_, _, 2), slice(_, _, 2)).sum().explain();
  EXPECT_THAT(e.expression, HasSubstr("normal(10, 1): float64 (100, 100) in chunks"));
  EXPECT_THAT(e.expression, HasSubstr("[::2, ::2]"));
  EXPECT_THAT(e.optimized, HasSubstr("normal(10, 1)[2*i0, 2*i1]"));
  EXPECT_THAT(e.layers, HasSubstr("normal-add-sum-partial: tegula.program, 100 tasks"));
  EXPECT_THAT(e.text(), HasSubstr(e.layers));
}

TEST(Plan, TooManyTasksAreRefused) {
  const Array x = zeros({std::int64_t{1} << 32}, {1});
  EXPECT_THROW(x.sum().explain(), ValueError);
}

}  // namespace
}  // namespace tegula
