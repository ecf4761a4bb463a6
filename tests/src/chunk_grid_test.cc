#include "src/chunk_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "src/bytes.h"
#include "src/codec.h"
#include "tegula/error.h"

namespace tegula {
namespace {

using ::testing::ElementsAre;

DimChunks list(std::vector<std::int64_t> sizes) { return DimChunks(std::move(sizes)); }

void expect_sizes(const DimChunks& dim, const std::vector<std::int64_t>& sizes) {
  ASSERT_EQ(dim.blocks(), static_cast<std::int64_t>(sizes.size()));
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto block = static_cast<std::int64_t>(i);
    EXPECT_EQ(dim.size(block), sizes[i]);
    EXPECT_EQ(dim.offset(block), offset);
    for (std::int64_t p = offset; p < offset + sizes[i]; ++p) EXPECT_EQ(dim.block_at(p), block) << "position " << p;
    offset += sizes[i];
  }
  EXPECT_EQ(dim.extent(), offset);
}

TEST(DimChunks, RegularCuts) {
  expect_sizes(DimChunks(10, 4), {4, 4, 2});
  expect_sizes(DimChunks(8, 4), {4, 4});
  expect_sizes(DimChunks(3, 100), {3});
  expect_sizes(DimChunks(0, 5), {0});
  expect_sizes(DimChunks(), {0});
  EXPECT_EQ(DimChunks(std::int64_t{1} << 62, 1).blocks(), std::int64_t{1} << 62);
}

TEST(DimChunks, ListsThatAreRegularAreKeptAsTwoNumbers) {
  EXPECT_TRUE(list({5, 5, 5, 3}).regular());
  EXPECT_EQ(list({5, 5, 5, 3}), DimChunks(18, 5));
  EXPECT_EQ(list({7}), DimChunks(7, 100));
  EXPECT_EQ(list({0}), DimChunks(0, 1));
  EXPECT_FALSE(list({5, 3, 5}).regular());
  EXPECT_FALSE(list({5, 6}).regular());
  EXPECT_FALSE(list({5, 0}).regular());
  EXPECT_EQ(list({5, 3, 5}), list({5, 3, 5}));
  EXPECT_FALSE(list({5, 3, 5}) == list({5, 5, 3}));
}

TEST(DimChunks, RandomListsAgainstTheLists) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int64_t> sizes(1 + random() % 6);
    for (std::int64_t& size : sizes) size = static_cast<std::int64_t>(random() % 4);
    expect_sizes(DimChunks(sizes), sizes);
  }
}

TEST(DimChunks, UnknownSizes) {
  const DimChunks dim({4, kUnknown, 4});
  EXPECT_EQ(dim.extent(), kUnknown);
  EXPECT_EQ(dim.offset(1), 4);
  EXPECT_EQ(dim.offset(2), kUnknown);
  EXPECT_EQ(dim.size(1), kUnknown);
  EXPECT_EQ(dim.block_at(3), 0);
}

TEST(DimChunks, WhatIsNoCutIsRefused) {
  EXPECT_THROW(DimChunks(-1, 5), ShapeError);
  EXPECT_THROW(DimChunks(5, 0), ShapeError);
  EXPECT_THROW(DimChunks(5, -1), ShapeError);
  EXPECT_THROW(DimChunks(std::vector<std::int64_t>{}), ShapeError);
  EXPECT_THROW(list({3, -2}), ShapeError);
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_THROW(list({huge, huge, 1}), ShapeError);
}

TEST(ChunkGrid, BlocksOfAnArray) {
  const ChunkGrid grid({DimChunks(10, 4), list({3, 1, 3})});
  EXPECT_THAT(grid.shape(), ElementsAre(10, 7));
  EXPECT_THAT(grid.grid(), ElementsAre(3, 3));
  EXPECT_EQ(grid.blocks(), 9);
  EXPECT_THAT(grid.block_shape(Shape{2, 1}), ElementsAre(2, 1));
  EXPECT_THAT(grid.block_offset(Shape{2, 1}), ElementsAre(8, 3));
  EXPECT_EQ(ChunkGrid().blocks(), 1);
}

TEST(ChunkGrid, Text) {
  EXPECT_EQ(ChunkGrid({DimChunks(5000, 2000), DimChunks(500, 500)}).to_string(), "((2000, 2000, 1000), (500,))");
  EXPECT_EQ(ChunkGrid({DimChunks(20000, 2000)}).to_string(), "((2000 x 10),)");
  EXPECT_EQ(ChunkGrid({DimChunks(20500, 2000)}).to_string(), "((2000 x 10, 500),)");
  EXPECT_EQ(ChunkGrid({list({1, 2, kUnknown})}).to_string(), "((1, 2, ?),)");
  EXPECT_EQ(ChunkGrid().to_string(), "()");
  std::vector<std::int64_t> many(100);
  std::iota(many.begin(), many.end(), 1);
  EXPECT_EQ(ChunkGrid({DimChunks(many)}).to_string(), "((1, 2, 3, 4, 5, 6, 7, ..., 100),)");
}

TEST(ChunkGrid, EncodingLeadsBack) {
  for (const ChunkGrid& grid : {ChunkGrid(), ChunkGrid({DimChunks(10, 4), list({3, 1, 3})}),
                                ChunkGrid({list({1, kUnknown})}), ChunkGrid({DimChunks(0, 1)})}) {
    ByteWriter out;
    put_chunk_grid(out, grid);
    ByteReader in(out.bytes());
    EXPECT_EQ(get_chunk_grid(in), grid);
    EXPECT_TRUE(in.at_end());
  }
}

}  // namespace
}  // namespace tegula
