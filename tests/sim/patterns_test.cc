#include "bench/sim/patterns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tegula/error.h"

namespace tegula::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

PatternOptions options_of(std::uint64_t tasks, std::uint32_t width = 0, bool keep = false) {
  PatternOptions options;
  options.tasks = tasks;
  options.width = width;
  options.keep = keep;
  options.chunk_bytes = 64;
  return options;
}

// What task `index` of a layer reads by one rule.
std::vector<std::uint32_t> inputs(const Pattern& pattern, LayerNumber layer, std::uint32_t index,
                                  std::size_t rule = 0) {
  std::vector<std::uint32_t> producers;
  for_each_producer(*pattern.layers[layer], rule, index,
                    [&](std::uint32_t producer) { producers.push_back(producer); });
  return producers;
}

// The tasks that are needed for the wants.
std::uint64_t needed(const Pattern& pattern) {
  std::vector<std::vector<bool>> need;
  for (const auto& layer : pattern.layers) need.emplace_back(layer->tasks());
  for (const msg::WantRange& range : pattern.wants) {
    for (std::uint32_t index = range.begin; index < range.end; ++index) need[range.layer][index] = true;
  }
  std::uint64_t count = 0;
  for (std::size_t layer = pattern.layers.size(); layer-- > 0;) {
    const Layer& description = *pattern.layers[layer];
    for (std::uint32_t index = 0; index < description.tasks(); ++index) {
      if (!need[layer][index]) continue;
      ++count;
      for (std::size_t rule = 0; rule < description.inputs.size(); ++rule) {
        for_each_producer(description, rule, index,
                          [&](std::uint32_t producer) { need[description.inputs[rule].layer][producer] = true; });
      }
    }
  }
  return count;
}

class EveryPattern : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryPattern, IsWhatASchedulerTakesAndNothingInItIsInVain) {
  for (const std::uint64_t tasks : {1, 2, 5, 100, 3000}) {
    for (const std::uint32_t width : {0, 1, 7, 64}) {
      for (const bool keep : {false, true}) {
        SCOPED_TRACE(testing::Message() << tasks << " tasks, width " << width << (keep ? ", kept" : ""));
        const Pattern pattern = make_pattern(GetParam(), options_of(tasks, width, keep));
        std::uint64_t count = 0;
        for (std::size_t layer = 0; layer < pattern.layers.size(); ++layer) {
          count += pattern.layers[layer]->tasks();
          EXPECT_NO_THROW(validate_layer(*pattern.layers[layer], [&](LayerNumber input, std::uint16_t output) {
            return input < layer ? std::optional(pattern.layers[input]->outputs.at(output).chunks.grid())
                                 : std::nullopt;
          }));
        }
        EXPECT_EQ(pattern.tasks, count);
        EXPECT_EQ(needed(pattern), count);
        if (keep) {
          EXPECT_EQ(pattern.wanted(), count);
        }
        if (tasks >= 3000) {
          EXPECT_GE(count, tasks * 9 / 10);
          EXPECT_LE(count, tasks);
        }
      }
    }
  }
}

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const PatternInfo& pattern : patterns()) names.emplace_back(pattern.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Patterns, EveryPattern, ::testing::ValuesIn(names()),
                         [](const auto& named) { return named.param; });

TEST(Patterns, TaskBenchReadsWhatItsPaperSays) {
  const Pattern stencil = make_pattern("stencil_1d", options_of(24, 8));
  EXPECT_THAT(inputs(stencil, 1, 0), ElementsAre(0, 1));
  EXPECT_THAT(inputs(stencil, 2, 4), ElementsAre(3, 4, 5));
  const Pattern butterflies = make_pattern("fft", options_of(40, 8));
  EXPECT_THAT(inputs(butterflies, 1, 3), ElementsAre(2, 3, 4));
  EXPECT_THAT(inputs(butterflies, 2, 3), ElementsAre(1, 3, 5));
  EXPECT_THAT(inputs(butterflies, 3, 3), ElementsAre(3, 7));
  EXPECT_THAT(inputs(butterflies, 4, 3), ElementsAre(2, 3, 4));
  const Pattern tree = make_pattern("tb_tree", options_of(23, 8));
  EXPECT_EQ(tree.layers[2]->tasks(), 4u);
  EXPECT_EQ(tree.layers[4]->tasks(), 8u);
  EXPECT_THAT(inputs(tree, 4, 5), ElementsAre(2));
  const Pattern spread = make_pattern("spread", options_of(40, 20));
  EXPECT_THAT(inputs(spread, 1, 3), ElementsAre(0, 3, 8, 12, 16));
  EXPECT_THAT(inputs(make_pattern("nearest", options_of(40, 20)), 1, 19), ElementsAre(17, 18, 19));
}

TEST(Patterns, RandomOnesFollowTheSeed) {
  PatternOptions options = options_of(500, 16);
  const auto third = [&] {
    return std::get<ExplicitInput>(make_pattern("random", options).layers[2]->inputs[0].pieces);
  };
  const ExplicitInput first = third();
  EXPECT_EQ(third(), first);
  options.seed = 1;
  EXPECT_NE(third(), first);
}

TEST(Patterns, AnomaliesReadTheMeanOfTheirOwnGroup) {
  const Pattern pattern = make_pattern("anomaly_mean", options_of(500));
  const auto columns = static_cast<std::uint32_t>(pattern.layers[0]->grid[1]);
  EXPECT_THAT(inputs(pattern, 1, 2 * columns + 1),
              ElementsAre(2 * columns + 1, 6 * columns + 1, 10 * columns + 1, 14 * columns + 1, 18 * columns + 1));
  EXPECT_THAT(inputs(pattern, 2, 6 * columns + 1, 1), ElementsAre(2 * columns + 1));
}

TEST(Patterns, HalosAreBoxes) {
  const Pattern pattern = make_pattern("stencil", options_of(18, 9));
  std::vector<std::size_t> sizes;
  for_each_input(*pattern.layers[1], 0, 4, [&](const InputPiece& piece) {
    sizes.push_back(static_cast<std::size_t>(piece.box[0].count * piece.box[1].count));
  });
  EXPECT_THAT(sizes, ElementsAre(1, 8, 1, 8, 64, 8, 1, 8, 1));
}

TEST(Patterns, NonsenseIsNamed) {
  const auto message = [](std::string_view name, const PatternOptions& options) -> std::string {
    try {
      make_pattern(name, options);
    } catch (const ValueError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message("stencl", options_of(5)), HasSubstr("'stencl'"));
  EXPECT_THAT(message("map", options_of(0)), HasSubstr("0 tasks"));
  EXPECT_THAT(message("map", options_of(std::uint64_t{1} << 30)), HasSubstr("268435456"));
  PatternOptions options = options_of(5);
  options.fan_in = 1;
  EXPECT_THAT(message("tree", options), HasSubstr("fan-in"));
}

}  // namespace
}  // namespace tegula::sim
