// Rules against brute force: what a separable rule means is written down here once more, in the slowest possible way.
#include "src/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "src/graph_rules.h"
#include "src/shape.h"

namespace tegula {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

OutputSpec output_for(const std::vector<std::int64_t>& grid) {
  std::vector<DimChunks> dims;
  for (std::int64_t size : grid) dims.emplace_back(size * 10, 10);
  return {DType::kFloat64, ChunkGrid(std::move(dims))};
}

Layer layer_of_grid(std::vector<std::int64_t> grid) {
  Layer layer;
  layer.name = "test";
  layer.kernel = "test.kernel";
  layer.outputs.push_back(output_for(grid));
  layer.grid = std::move(grid);
  return layer;
}

InputGridLookup lookup_of(const Layer& layer) {
  return [&layer](LayerNumber number, std::uint16_t) -> std::optional<std::vector<std::int64_t>> {
    for (const InputRule& rule : layer.inputs) {
      if (rule.layer == number) return rule.grid;
    }
    return std::nullopt;
  };
}

class RandomLayer {
 public:
  explicit RandomLayer(unsigned seed) : random_(seed) {}

  Layer make() {
    std::vector<std::int64_t> grid(pick(0, 3));
    for (auto& size : grid) size = static_cast<std::int64_t>(pick(1, 5));
    Layer layer = layer_of_grid(grid);
    const std::size_t inputs = pick(1, 3);
    for (std::size_t i = 0; i < inputs; ++i) layer.inputs.push_back(input(layer, static_cast<LayerNumber>(i)));
    return layer;
  }

 private:
  std::size_t pick(std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(random_);
  }

  InputRule input(const Layer& layer, LayerNumber number) {
    InputRule rule;
    rule.layer = number;
    if (pick(0, 4) == 0) {
      rule.grid = {static_cast<std::int64_t>(pick(1, 7))};
      rule.pieces = list(layer, rule.grid[0]);
      return rule;
    }
    SeparableInput separable;
    const std::size_t dims = pick(0, 3);
    for (std::size_t d = 0; d < dims; ++d) {
      std::int64_t blocks = 1;
      separable.dims.push_back(dim(layer, blocks));
      rule.grid.push_back(blocks);
    }
    rule.pieces = std::move(separable);
    return rule;
  }

  ExplicitInput list(const Layer& layer, std::int64_t producers) {
    ExplicitInput list;
    list.begin.push_back(0);
    for (std::uint32_t task = 0; task < layer.tasks(); ++task) {
      const std::size_t count = pick(0, 4);
      for (std::size_t i = 0; i < count; ++i) {
        list.index.push_back(static_cast<std::uint32_t>(pick(0, static_cast<std::size_t>(producers - 1))));
      }
      list.begin.push_back(static_cast<std::uint32_t>(list.index.size()));
    }
    return list;
  }

  DimRule dim(const Layer& layer, std::int64_t& blocks) {
    blocks = static_cast<std::int64_t>(pick(1, 6));
    const std::size_t kind = layer.grid.empty() ? pick(0, 1) : pick(0, 4);
    if (kind == 0) return ConstantBlock{static_cast<std::int64_t>(pick(0, static_cast<std::size_t>(blocks - 1)))};
    if (kind == 1) return AllBlocks{};
    const int axis = static_cast<int>(pick(0, layer.grid.size() - 1));
    const std::int64_t size = layer.grid[static_cast<std::size_t>(axis)];
    if (kind == 2) {
      blocks = size + static_cast<std::int64_t>(pick(0, 2));
      return SameBlock{axis};
    }
    if (kind == 3) {
      const auto factor = static_cast<std::int64_t>(pick(1, 4));
      blocks = (size - 1) * factor + static_cast<std::int64_t>(pick(1, static_cast<std::size_t>(factor) + 2));
      return FanIn{axis, factor};
    }
    Pieces pieces;
    pieces.axis = axis;
    pieces.begin.push_back(0);
    for (std::int64_t p = 0; p < size; ++p) {
      const std::size_t count = pick(0, 3);
      for (std::size_t i = 0; i < count; ++i) {
        pieces.block.push_back(static_cast<std::int64_t>(pick(0, static_cast<std::size_t>(blocks - 1))));
        pieces.box.push_back({static_cast<std::int64_t>(pick(0, 3)), static_cast<std::int64_t>(pick(0, 3)), 1});
      }
      pieces.begin.push_back(static_cast<std::uint32_t>(pieces.block.size()));
    }
    return pieces;
  }

  std::mt19937 random_;
};

// The blocks that a task at `position` reads along dimension d, by the words of graph.h.
std::vector<std::pair<std::int64_t, BoxDim>> reads(const InputRule& rule, std::size_t d,
                                                   const std::vector<std::int64_t>& position) {
  const BoxDim all{0, kUnknown, 1};
  const DimRule& dim = std::get<SeparableInput>(rule.pieces).dims[d];
  const std::int64_t blocks = rule.grid[d];
  if (const auto* r = std::get_if<ConstantBlock>(&dim)) return {{r->block, all}};
  if (const auto* r = std::get_if<SameBlock>(&dim)) return {{position[static_cast<std::size_t>(r->axis)], all}};
  std::vector<std::pair<std::int64_t, BoxDim>> result;
  if (const auto* r = std::get_if<FanIn>(&dim)) {
    const std::int64_t at = position[static_cast<std::size_t>(r->axis)];
    for (std::int64_t b = at * r->factor; b < std::min((at + 1) * r->factor, blocks); ++b) result.emplace_back(b, all);
  } else if (const auto* pieces = std::get_if<Pieces>(&dim)) {
    const auto at = static_cast<std::size_t>(position[static_cast<std::size_t>(pieces->axis)]);
    for (std::uint32_t i = pieces->begin[at]; i < pieces->begin[at + 1]; ++i) {
      result.emplace_back(pieces->block[i], pieces->box[i]);
    }
  } else {
    for (std::int64_t b = 0; b < blocks; ++b) result.emplace_back(b, all);
  }
  return result;
}

std::vector<InputPiece> brute_inputs(const Layer& layer, std::size_t r, std::uint32_t index) {
  const InputRule& rule = layer.inputs[r];
  std::vector<InputPiece> result;
  if (const auto* list = std::get_if<ExplicitInput>(&rule.pieces)) {
    for (std::uint32_t i = list->begin[index]; i < list->begin[index + 1]; ++i) result.push_back({list->index[i], {}});
    return result;
  }
  std::vector<std::int64_t> position(layer.grid.size());
  unravel(index, layer.grid, position);
  bool boxes = false;
  for (const DimRule& dim : std::get<SeparableInput>(rule.pieces).dims) boxes |= std::holds_alternative<Pieces>(dim);
  result.push_back({0, {}});
  for (std::size_t d = 0; d < rule.grid.size(); ++d) {
    std::vector<InputPiece> longer;
    for (const InputPiece& piece : result) {
      for (const auto& [block, box] : reads(rule, d, position)) {
        InputPiece next = piece;
        next.index = static_cast<std::uint32_t>(piece.index * rule.grid[d] + block);
        if (boxes) next.box.push_back(box);
        longer.push_back(std::move(next));
      }
    }
    result = std::move(longer);
  }
  return result;
}

std::vector<std::uint32_t> indices(const std::vector<InputPiece>& pieces) {
  std::vector<std::uint32_t> result;
  for (const InputPiece& piece : pieces) result.push_back(piece.index);
  return result;
}

TEST(Graph, InputsAreWhatTheRulesSay) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    const Layer layer = RandomLayer(seed).make();
    ASSERT_NO_THROW(validate_layer(layer, lookup_of(layer)));
    for (std::size_t r = 0; r < layer.inputs.size(); ++r) {
      for (std::uint32_t index = 0; index < layer.tasks(); ++index) {
        const auto expected = brute_inputs(layer, r, index);
        std::vector<InputPiece> inputs;
        std::vector<std::int64_t> piece_grid;
        for_each_input(
            layer, r, index, [&](const InputPiece& piece) { inputs.push_back(piece); }, &piece_grid);
        ASSERT_EQ(indices(inputs), indices(expected));
        for (std::size_t i = 0; i < inputs.size(); ++i) ASSERT_EQ(inputs[i].box, expected[i].box);
        ASSERT_EQ(element_count(piece_grid), static_cast<std::int64_t>(expected.size()));

        std::vector<std::uint32_t> producers;
        for_each_producer(layer, r, index, [&](std::uint32_t producer) { producers.push_back(producer); });
        ASSERT_EQ(producers, indices(expected));
        ASSERT_EQ(producer_count(layer, r, index), expected.size());
        for (std::size_t k = 0; k < expected.size(); ++k) ASSERT_EQ(producer_at(layer, r, index, k), expected[k].index);
      }
    }
  }
}

TEST(Graph, ConsumersAreTheInputsTurnedAround) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    const Layer layer = RandomLayer(seed).make();
    for (std::size_t r = 0; r < layer.inputs.size(); ++r) {
      std::map<std::uint32_t, std::vector<std::uint32_t>> readers;
      bool distinct = true;
      for (std::uint32_t index = 0; index < layer.tasks(); ++index) {
        for (std::uint32_t producer : indices(brute_inputs(layer, r, index))) {
          auto& list = readers[producer];
          if (!list.empty() && list.back() == index) distinct = false;
          if (list.empty() || list.back() != index) list.push_back(index);
        }
      }
      const ConsumerIndex consumers(layer, r);
      const auto producers = static_cast<std::uint32_t>(element_count(layer.inputs[r].grid));
      for (std::uint32_t producer = 0; producer < producers; ++producer) {
        std::vector<std::uint32_t> found;
        consumers.for_each(producer, [&](std::uint32_t consumer) { found.push_back(consumer); });
        ASSERT_THAT(found, UnorderedElementsAreArray(readers[producer]));
        ASSERT_EQ(consumers.count(producer), readers[producer].size());
      }
      std::erase_if(readers, [](const auto& entry) { return entry.second.empty(); });
      ASSERT_EQ(consumers.covers_all_producers(), readers.size() == producers);
      // A rule whose lists repeat a block says so; it may also say so when an empty list elsewhere hides the
      // repetition.
      if (!distinct) {
        ASSERT_FALSE(CompiledRule(layer, r).distinct());
      }
    }
  }
}

TEST(Graph, DiagonalReadsOnlyWhereBothDimensionsAgree) {
  Layer layer = layer_of_grid({4});
  layer.inputs.push_back({0, 0, {4, 4}, SeparableInput{{SameBlock{0}, SameBlock{0}}}});
  const ConsumerIndex consumers(layer, 0);
  EXPECT_EQ(consumers.count(0), 1u);
  EXPECT_EQ(consumers.count(1), 0u);
  EXPECT_EQ(consumers.count(5), 1u);
  EXPECT_FALSE(consumers.covers_all_producers());
}

TEST(Graph, UndrivenTaskAxesMultiplyConsumers) {
  Layer layer = layer_of_grid({3, 5});
  layer.inputs.push_back({0, 0, {3}, SeparableInput{{SameBlock{0}}}});
  const ConsumerIndex consumers(layer, 0);
  std::vector<std::uint32_t> readers;
  consumers.for_each(1, [&](std::uint32_t consumer) { readers.push_back(consumer); });
  EXPECT_THAT(readers, ElementsAre(5, 6, 7, 8, 9));
  EXPECT_TRUE(consumers.covers_all_producers());
}

TEST(Graph, HugeRegularLayersNeedNoTables) {
  Layer layer = layer_of_grid({1 << 15, 1 << 15});
  layer.inputs.push_back({0, 0, {1 << 15, 1 << 15}, SeparableInput{{SameBlock{1}, SameBlock{0}}}});
  ASSERT_NO_THROW(validate_layer(layer, lookup_of(layer)));
  EXPECT_EQ(layer.tasks(), 1u << 30);
  EXPECT_EQ(producer_at(layer, 0, (7u << 15) + 9, 0), (9u << 15) + 7);
  EXPECT_EQ(ConsumerIndex(layer, 0).count(123456789), 1u);
}

std::string refusal(const Layer& layer, const InputGridLookup& lookup) {
  try {
    validate_layer(layer, lookup);
  } catch (const ValueError& error) {
    return error.what();
  }
  return "accepted";
}
std::string refusal(const Layer& layer) { return refusal(layer, lookup_of(layer)); }

Layer with_input(InputRule rule) {
  Layer layer = layer_of_grid({4});
  layer.inputs.push_back(std::move(rule));
  return layer;
}

TEST(ValidateLayer, RefusesWhatDoesNotFitTogether) {
  EXPECT_EQ(refusal(layer_of_grid({2, 3})), "accepted");

  Layer no_kernel = layer_of_grid({2});
  no_kernel.kernel.clear();
  EXPECT_THAT(refusal(no_kernel), HasSubstr("layer 'test': no kernel"));

  Layer no_output = layer_of_grid({2});
  no_output.outputs.clear();
  EXPECT_THAT(refusal(no_output), HasSubstr("no outputs"));

  Layer other_grid = layer_of_grid({2});
  other_grid.grid = {3};
  EXPECT_THAT(refusal(other_grid), HasSubstr("has chunks (2,) for 3 tasks"));

  Layer params = layer_of_grid({2});
  params.task_params.resize(3);
  EXPECT_THAT(refusal(params), HasSubstr("3 task parameters for 2 tasks"));

  Layer dtype = layer_of_grid({2});
  dtype.outputs[0].dtype = static_cast<DType>(200);
  EXPECT_THAT(refusal(dtype), HasSubstr("unknown dtype 200"));
}

TEST(ValidateLayer, RefusesHostileSizes) {
  for (const std::vector<std::int64_t>& grid : std::vector<std::vector<std::int64_t>>{
           {0}, {-5}, {std::int64_t{1} << 40}, {1 << 20, 1 << 20}, {std::int64_t{1} << 62, std::int64_t{1} << 62}}) {
    Layer layer = layer_of_grid({1});
    layer.grid = grid;
    EXPECT_THAT(refusal(layer), HasSubstr("a task grid (")) << to_string(grid);
  }
  Layer deep = layer_of_grid({1});
  deep.grid.assign(100, 1);
  EXPECT_THAT(refusal(deep), HasSubstr("a task grid of 100 dimensions"));

  Layer big = layer_of_grid({1});
  big.outputs[0].chunks = ChunkGrid({DimChunks(std::int64_t{1} << 40, std::int64_t{1} << 40),
                                     DimChunks(std::int64_t{1} << 40, std::int64_t{1} << 40)});
  EXPECT_THAT(refusal(big), HasSubstr("chunks of more than"));

  // Three lists of a thousand pieces each: a few kilobytes that ask for a billion reads per task.
  Pieces many{0, {0, 1000, 1000, 1000, 1000}, std::vector<std::int64_t>(1000, 0), std::vector<BoxDim>(1000)};
  EXPECT_THAT(refusal(with_input({0, 0, {1, 1, 1}, SeparableInput{{many, many, many}}})), HasSubstr("chunks, at most"));
}

// A worker does not know the layers that a layer reads: the rule's own word is all it has.
TEST(ValidateLayer, RefusesHostileInputGrids) {
  const auto refusal_of = [](const std::vector<std::int64_t>& grid) {
    const Layer layer = with_input({0, 0, grid, SeparableInput{std::vector<DimRule>(grid.size(), AllBlocks{})}});
    return refusal(layer, [&](LayerNumber, std::uint16_t) { return grid; });
  };
  EXPECT_EQ(refusal_of(std::vector<std::int64_t>(16, 1)), "accepted");
  EXPECT_THAT(refusal_of(std::vector<std::int64_t>(17, 1)), HasSubstr("a block grid of 17 dimensions, at most 16"));
  for (const std::vector<std::int64_t>& grid :
       std::vector<std::vector<std::int64_t>>{{0}, {-1}, {0, std::int64_t{1} << 62}, {1 << 20, 1 << 20}}) {
    EXPECT_THAT(refusal_of(grid), HasSubstr("a block grid (")) << to_string(grid);
  }
}

TEST(ValidateLayer, RefusesRulesThatReachOutside) {
  EXPECT_THAT(refusal(with_input({0, 0, {3}, SeparableInput{{SameBlock{0}}}})), HasSubstr("reads block 3 of 3"));
  EXPECT_THAT(refusal(with_input({0, 0, {4}, SeparableInput{{SameBlock{1}}}})), HasSubstr("follows axis 1"));
  EXPECT_THAT(refusal(with_input({0, 0, {4}, SeparableInput{{SameBlock{-1}}}})), HasSubstr("follows axis -1"));
  EXPECT_THAT(refusal(with_input({0, 0, {4}, SeparableInput{{ConstantBlock{4}}}})), HasSubstr("reads block 4 of 4"));
  EXPECT_THAT(refusal(with_input({0, 0, {4}, SeparableInput{{ConstantBlock{-1}}}})), HasSubstr("reads block -1"));
  EXPECT_THAT(refusal(with_input({0, 0, {6}, SeparableInput{{FanIn{0, 2}}}})), HasSubstr("begin beyond the last of 6"));
  EXPECT_THAT(refusal(with_input({0, 0, {7}, SeparableInput{{FanIn{0, 0}}}})), HasSubstr("fan-in of 0"));
  EXPECT_THAT(refusal(with_input({0, 0, {7}, SeparableInput{{FanIn{0, std::int64_t{1} << 62}}}})),
              HasSubstr("begin beyond"));
  EXPECT_THAT(refusal(with_input({0, 0, {7}, SeparableInput{}})), HasSubstr("0 rules for 1 dimensions"));

  const BoxDim box{0, 1, 1};
  EXPECT_THAT(refusal(with_input({0, 0, {2}, SeparableInput{{Pieces{0, {0, 1}, {0}, {box}}}}})),
              HasSubstr("cut at 2 places for 4 positions"));
  EXPECT_THAT(refusal(with_input({0, 0, {2}, SeparableInput{{Pieces{0, {0, 1, 0, 1, 1}, {0}, {box}}}}})),
              HasSubstr("go back"));
  EXPECT_THAT(refusal(with_input({0, 0, {2}, SeparableInput{{Pieces{0, {0, 1, 1, 1, 9}, {0}, {box}}}}})),
              HasSubstr("in a list of 1"));
  EXPECT_THAT(refusal(with_input({0, 0, {2}, SeparableInput{{Pieces{0, {0, 1, 1, 1, 1}, {2}, {box}}}}})),
              HasSubstr("reads block 2 of 2"));
  EXPECT_THAT(refusal(with_input({0, 0, {2}, SeparableInput{{Pieces{0, {0, 1, 1, 1, 1}, {0}, {}}}}})),
              HasSubstr("0 boxes for 1 pieces"));
  for (const BoxDim& bad : {BoxDim{-1, 1, 1}, BoxDim{0, -1, 1}, BoxDim{0, 2, 0}, BoxDim{1, 3, -1},
                            BoxDim{0, std::int64_t{1} << 62, std::int64_t{1} << 62}}) {
    EXPECT_THAT(refusal(with_input({0, 0, {2}, SeparableInput{{Pieces{0, {0, 1, 1, 1, 1}, {0}, {bad}}}}})),
                HasSubstr("has a box of"));
  }

  EXPECT_THAT(refusal(with_input({0, 0, {3}, ExplicitInput{{0, 1, 1, 1, 1}, {3}}})), HasSubstr("reads chunk 3 of 3"));
  EXPECT_THAT(refusal(with_input({0, 0, {3}, ExplicitInput{{0, 1}, {0}}})), HasSubstr("cut at 2 places"));

  const Layer stranger = with_input({9, 2, {3}, SeparableInput{{AllBlocks{}}}});
  EXPECT_THAT(refusal(stranger, [](LayerNumber, std::uint16_t) { return std::nullopt; }),
              HasSubstr("reads output 2 of layer 9, which is not known"));
  EXPECT_THAT(refusal(stranger, [](LayerNumber, std::uint16_t) { return std::vector<std::int64_t>{5}; }),
              HasSubstr("has a block grid (3,), but it is (5,)"));
}

TEST(HashLayer, TellsEveryFieldApart) {
  const auto hash = [](const Layer& layer, std::uint64_t input = 7) {
    return hash_layer(layer, [input](LayerNumber) { return LayerHash{input, 1}; });
  };
  Layer base = layer_of_grid({4});
  base.inputs.push_back({3, 0, {4}, SeparableInput{{SameBlock{0}}}});
  EXPECT_EQ(hash(base), hash(base));

  std::vector<Layer> others(12, base);
  others[0].name = "other";
  others[1].kernel = "other";
  others[2].params.push_back(std::byte{1});
  others[3].grid = {2, 2};
  others[4].outputs[0].dtype = DType::kInt64;
  others[5].outputs[0].chunks = ChunkGrid({DimChunks(39, 10)});
  others[6].inputs[0].output = 1;
  others[7].inputs[0].pieces = SeparableInput{{AllBlocks{}}};
  others[8].inputs[0].pieces = ExplicitInput{{0, 1, 2, 3, 4}, {0, 1, 2, 3}};
  others[9].pure = false;
  others[10].nonce = 5;
  others[11].task_params.resize(4);
  std::vector<LayerHash> hashes{hash(base), hash(base, 8)};
  for (const Layer& other : others) hashes.push_back(hash(other));
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());

  // Another session's number for the same input is no difference.
  Layer renumbered = base;
  renumbered.inputs[0].layer = 99;
  EXPECT_EQ(hash(renumbered), hash(base));
}

TEST(KeyText, NamesTheBlock) {
  Layer layer = layer_of_grid({3, 8});
  EXPECT_EQ(key_text(layer, {0x3f2a91c0ffffffff, 0}, 15), "test-3f2a91c0(1,7)");
  layer.outputs.push_back(layer.outputs[0]);
  EXPECT_EQ(key_text(layer, {0x3f2a91c0ffffffff, 0}, 0, 1), "test-3f2a91c0(0,0)[1]");
  EXPECT_EQ(key_text(layer_of_grid({}), {0x12, 0}, 0), "test-00000000()");
}

TEST(DeclaredBytes, CountsTheLastSmallerBlock) {
  Layer layer = layer_of_grid({2, 2});
  layer.outputs[0].chunks = ChunkGrid({DimChunks(15, 10), DimChunks(std::vector<std::int64_t>{3, kUnknown})});
  EXPECT_EQ(declared_nbytes(layer, 0, 0), 10u * 3 * 8);
  EXPECT_EQ(declared_nbytes(layer, 0, 1), 0u);
  EXPECT_EQ(declared_nbytes(layer, 0, 2), 5u * 3 * 8);
}

}  // namespace
}  // namespace tegula
