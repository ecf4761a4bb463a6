#include "array/chunks.h"

#include <gmock/gmock.h>

#include <random>

#include "tegula/tegula.h"

namespace tegula {
namespace {

using detail::common_cuts;
using detail::refines;
using detail::resolve_chunks;
using detail::slice_cuts;
using testing::ElementsAre;
using testing::HasSubstr;
using Sizes = std::vector<std::int64_t>;

std::vector<Sizes> resolved(const Chunks& spec, const Shape& shape, DType dtype = DType::kFloat64) {
  return detail::sizes_of(resolve_chunks(spec, shape, dtype));
}

template <typename F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Chunks, SizesListsWholeAndUniform) {
  EXPECT_THAT(resolved({4, -1}, {10, 3}), ElementsAre(Sizes{4, 4, 2}, Sizes{3}));
  EXPECT_THAT(resolved({{4, 5, 1}, 2}, {10, 3}), ElementsAre(Sizes{4, 5, 1}, Sizes{2, 1}));
  EXPECT_THAT(resolved(Chunks(2), {5, 3}), ElementsAre(Sizes{2, 2, 1}, Sizes{2, 1}));
  EXPECT_THAT(resolved({100}, {5}), ElementsAre(Sizes{5}));
  EXPECT_THAT(resolved({3}, {0}), ElementsAre(Sizes{0}));
  EXPECT_THAT(resolved({ChunkDim({2, 0, 3})}, {5}), ElementsAre(Sizes{2, 0, 3}));
  EXPECT_THAT(resolved({}, {}), ElementsAre());
}

TEST(Chunks, AutoIsNearSquareAndBelowTheLimit) {
  const ChunkGrid grid = resolve_chunks(Chunks::automatic("8MiB"), {20000, 20000}, DType::kFloat64);
  EXPECT_LE(grid.dim(0).chunk() * grid.dim(1).chunk(), 1 << 20);
  EXPECT_GE(grid.dim(0).chunk() * grid.dim(1).chunk(), (1 << 20) * 8 / 10);
  EXPECT_EQ(grid.dim(0).chunk(), grid.dim(1).chunk());
  // A short dimension leaves its share to the long one.
  const ChunkGrid thin = resolve_chunks(Chunks::automatic("8MiB"), {10, 1 << 20}, DType::kFloat64);
  EXPECT_EQ(thin.dim(0).chunk(), 10);
  EXPECT_NEAR(static_cast<double>(thin.dim(1).chunk()), (1 << 20) / 10.0, 10000);
  // Fixed dimensions count.
  const ChunkGrid mixed = resolve_chunks({"auto", 1000}, {1 << 20, 1000}, DType::kFloat64);
  EXPECT_LE(mixed.dim(0).chunk() * 1000 * 8, 128 << 20);
  EXPECT_THAT(resolved("auto", {0, 5}), ElementsAre(Sizes{0}, Sizes{5}));
  EXPECT_THAT(resolved("auto", {7}), ElementsAre(Sizes{7}));
}

TEST(Chunks, ErrorsNameTheValues) {
  EXPECT_THAT(message_of([] {
                zeros({100}, {ChunkDim({50, 60})});
              }),
              HasSubstr("chunks (50, 60) add up to 110, not to 100 along axis 0 of shape (100,)"));
  EXPECT_THAT(message_of([] {
                zeros({10, 10}, {5, 5, 5});
              }),
              HasSubstr("chunks for 3 dimensions given for the shape (10, 10)"));
  EXPECT_THAT(message_of([] { zeros({10}, {0}); }), HasSubstr("chunk size 0 along axis 0"));
  EXPECT_THAT(message_of([] { zeros({10}, {-7}); }), HasSubstr("chunk size -7"));
  EXPECT_THAT(message_of([] { zeros({10}, {ChunkDim({12, -2})}); }), HasSubstr("(12, -2)"));
  EXPECT_THAT(message_of([] { zeros({10}, "atuo"); }), HasSubstr("\"atuo\""));
  EXPECT_THAT(message_of([] { zeros({-3}); }), HasSubstr("(-3,)"));
  EXPECT_THROW(zeros({10}, {5, 5}), ShapeError);
  EXPECT_THROW(zeros({10}, "atuo"), ValueError);
  EXPECT_THROW(zeros({10}, Chunks::automatic("much")), ValueError);
  EXPECT_THROW(zeros({std::int64_t{1} << 40, std::int64_t{1} << 40}), ShapeError);
  EXPECT_THROW(zeros({std::int64_t{1} << 61}, -1, DType::kComplex128), ShapeError);  // 2^65 bytes
}

DimChunks random_cuts(std::mt19937& engine, std::int64_t extent) {
  Sizes sizes;
  for (std::int64_t left = extent; left > 0;) {
    sizes.push_back(std::uniform_int_distribution<std::int64_t>(0, std::min<std::int64_t>(left, 5))(engine));
    left -= sizes.back();
  }
  return DimChunks(sizes);
}

TEST(Chunks, CommonCutsRefineBothAndNothingMore) {
  std::mt19937 engine(1);
  for (int i = 0; i < 200; ++i) {
    const DimChunks a = random_cuts(engine, 20), b = random_cuts(engine, 20);
    const DimChunks common = common_cuts(a, b);
    EXPECT_TRUE(refines(common, a) && refines(common, b));
    EXPECT_LE(common.blocks(), a.blocks() + b.blocks());
    EXPECT_EQ(common.extent(), 20);
    EXPECT_EQ(common_cuts(a, a), a);
  }
  EXPECT_EQ(common_cuts(DimChunks(10, 4), DimChunks(10, 4)), DimChunks(10, 4));
  EXPECT_FALSE(refines(DimChunks(10, 4), DimChunks(10, 3)));
}

TEST(Chunks, CutsOfASliceFollowTheBlocks) {
  std::mt19937 engine(2);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine); };
  for (int i = 0; i < 500; ++i) {
    const DimChunks dim = random_cuts(engine, 20);
    const std::int64_t step = pick(0, 1) ? pick(1, 7) : -pick(1, 7);
    const std::int64_t start = pick(0, 19);
    const std::int64_t most = step > 0 ? (19 - start) / step + 1 : start / -step + 1;
    const std::int64_t count = pick(1, static_cast<int>(most));
    Sizes expected;
    std::int64_t last_block = -1;
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t block = dim.block_at(start + k * step);
      if (block != last_block) expected.push_back(0);
      ++expected.back();
      last_block = block;
    }
    EXPECT_EQ(slice_cuts(dim, start, step, count), DimChunks(expected));
  }
  EXPECT_EQ(slice_cuts(DimChunks(20, 6), 3, 1, 0), DimChunks(0, 1));
}

TEST(Chunks, OperandsAreCutAlike) {
  const Array a = ones({10}, {ChunkDim({4, 6})}), b = ones({10}, {ChunkDim({7, 3})});
  EXPECT_THAT((a + b).chunks(), ElementsAre(Sizes{4, 3, 3}));
  EXPECT_THAT((a + 1).chunks(), ElementsAre(Sizes{4, 6}));
  const Array column = ones({3, 1}, {2, 1});
  EXPECT_THAT((column + a).chunks(), ElementsAre(Sizes{2, 1}, Sizes{4, 6}));
}

}  // namespace
}  // namespace tegula
