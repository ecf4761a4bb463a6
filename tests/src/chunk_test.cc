#include "src/chunk.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>

#include "tegula/error.h"

namespace tegula {
namespace {

std::vector<std::int64_t> random_shape(std::mt19937& random, int max_ndim, std::int64_t max_size) {
  Shape shape(random() % static_cast<unsigned>(max_ndim + 1));
  for (std::int64_t& size : shape) size = 1 + static_cast<std::int64_t>(random() % static_cast<unsigned>(max_size));
  return shape;
}

// The elements in logical order, found one by one.
template <typename T>
std::vector<T> values(const Chunk& chunk) {
  std::vector<T> result;
  const std::int64_t count = chunk.size();
  Shape position(chunk.shape().size());
  for (std::int64_t i = 0; i < count; ++i) {
    unravel(i, chunk.shape(), position);
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < position.size(); ++d) offset += position[d] * chunk.strides()[d];
    T value;
    std::memcpy(&value, chunk.data() + offset, sizeof(T));
    result.push_back(value);
  }
  return result;
}

template <typename T>
Chunk numbered(Shape shape) {
  Chunk chunk = Chunk::allocate(dtype_of<T>, std::move(shape));
  auto* data = reinterpret_cast<T*>(chunk.mutable_data());
  for (std::int64_t i = 0; i < chunk.size(); ++i) data[i] = static_cast<T>(i);
  return chunk;
}

TEST(Chunk, AllocatesContiguously) {
  const Chunk chunk = Chunk::allocate(DType::kFloat64, {3, 4});
  EXPECT_EQ(chunk.size(), 12);
  EXPECT_EQ(chunk.nbytes(), 96u);
  EXPECT_TRUE(chunk.contiguous());
  EXPECT_EQ(Chunk::allocate(DType::kInt8, {}).size(), 1);
  EXPECT_EQ(Chunk::allocate(DType::kInt8, {0, 5}).nbytes(), 0u);
  const std::int64_t huge = std::int64_t{1} << 61;
  EXPECT_THROW(Chunk::allocate(DType::kFloat64, {huge}), ShapeError);
  EXPECT_THROW(Chunk::allocate(DType::kFloat64, {-1}), ShapeError);
  EXPECT_EQ(Chunk::allocate(DType::kFloat64, {huge, huge, 0}).size(), 0);
}

TEST(Chunk, ViewsThatReachOutsideAreRefused) {
  const Buffer buffer = Buffer::allocate(80);
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_NO_THROW(Chunk(DType::kFloat64, {10}, {8}, buffer, 0));
  EXPECT_NO_THROW(Chunk(DType::kFloat64, {10}, {-8}, buffer, 72));
  EXPECT_NO_THROW(Chunk(DType::kFloat64, {1000}, {0}, buffer, 72));
  EXPECT_NO_THROW(Chunk(DType::kFloat64, {0, 7}, {huge, huge}, buffer, 0));
  EXPECT_NO_THROW(Chunk(DType::kFloat64, {2, 2}, {-8, 8}, buffer, 8));
  EXPECT_THROW(Chunk(DType::kFloat64, {11}, {8}, buffer, 0), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {10}, {8}, buffer, 1), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {10}, {-8}, buffer, 64), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {}, {}, buffer, 73), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {}, {}, buffer, SIZE_MAX), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {2}, {huge}, buffer, 0), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {huge}, {huge}, buffer, 0), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {2, 2}, {huge, -huge}, buffer, 0), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {3, 3}, {std::int64_t{1} << 63, 8}, buffer, 0), ShapeError);
  EXPECT_THROW(Chunk(DType::kFloat64, {10}, {}, buffer, 0), ShapeError);
}

TEST(Chunk, RandomBoxesAgainstPlainLoops) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    const Chunk whole = numbered<std::int32_t>(random_shape(random, 4, 7));
    Box box;
    for (const std::int64_t size : whole.shape()) {
      BoxDim dim;
      dim.start = static_cast<std::int64_t>(random() % static_cast<unsigned>(size));
      dim.step = static_cast<std::int64_t>(random() % 7) - 3;
      if (dim.step == 0) dim.step = 1;
      const std::int64_t most = dim.step > 0 ? (size - 1 - dim.start) / dim.step + 1 : dim.start / -dim.step + 1;
      dim.count = static_cast<std::int64_t>(random() % static_cast<unsigned>(most + 1));
      box.push_back(dim);
    }
    const Chunk view = whole.view(box);
    std::vector<std::int32_t> expected;
    Shape position(box.size());
    for (std::int64_t i = 0; i < view.size(); ++i) {
      unravel(i, view.shape(), position);
      for (std::size_t d = 0; d < box.size(); ++d) position[d] = box[d].start + box[d].step * position[d];
      expected.push_back(static_cast<std::int32_t>(ravel(position, whole.shape())));
    }
    ASSERT_EQ(values<std::int32_t>(view), expected);
    const Chunk compact = view.compact();
    ASSERT_TRUE(compact.contiguous());
    ASSERT_EQ(values<std::int32_t>(compact), expected);
    // A view of a view.
    if (view.size() > 0) {
      ASSERT_EQ(values<std::int32_t>(view.view(Box(box.size(), BoxDim{0, 1, 1}))).front(), expected.front());
    }
  }
}

TEST(Chunk, ABoxMaySayAllOfADimension) {
  const Chunk chunk = Chunk::allocate(DType::kInt32, {3, 4});
  const Chunk rows = chunk.view({BoxDim{2, 2, -2}, BoxDim{0, kUnknown, 1}});
  EXPECT_EQ(rows.shape(), (Shape{2, 4}));
  EXPECT_EQ(rows.data(), chunk.data() + 2 * 4 * 4);
  EXPECT_THROW(chunk.view({BoxDim{1, kUnknown, 1}, BoxDim{0, kUnknown, 1}}), IndexError);
}

TEST(Chunk, BoxesOutsideAreRefused) {
  const Chunk chunk = numbered<double>({10, 3});
  const auto view = [&chunk](BoxDim dim) { return chunk.view({dim, {0, 3, 1}}); };
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_NO_THROW(view({0, 10, 1}));
  EXPECT_NO_THROW(view({9, 10, -1}));
  EXPECT_NO_THROW(view({50, 0, 1}));
  EXPECT_NO_THROW(view({9, 1, huge}));
  EXPECT_THROW(view({0, 11, 1}), IndexError);
  EXPECT_THROW(view({-1, 2, 1}), IndexError);
  EXPECT_THROW(view({9, 11, -1}), IndexError);
  EXPECT_THROW(view({0, 5, 0}), IndexError);
  EXPECT_THROW(view({0, -2, 1}), IndexError);
  EXPECT_THROW(view({0, -1, 2}), IndexError);
  EXPECT_THROW(view({0, huge, huge}), IndexError);
  EXPECT_THROW(view({huge, 1, 1}), IndexError);
  EXPECT_THROW(chunk.view({{0, 1, 1}}), IndexError);
}

TEST(Chunk, CompactKeepsWhatIsCompactAlready) {
  const Chunk chunk = numbered<double>({10, 3});
  EXPECT_EQ(chunk.compact().data(), chunk.data());
  EXPECT_EQ(chunk.view({{0, 6, 1}, {0, 3, 1}}).compact().data(), chunk.data());
  EXPECT_NE(chunk.view({{0, 2, 1}, {0, 3, 1}}).compact().data(), chunk.data());  // frees the rest of the buffer
  EXPECT_NE(chunk.view({{0, 10, 1}, {0, 2, 1}}).compact().data(), chunk.data());
}

TEST(Chunk, BroadcastViewsCompact) {
  const Chunk row = numbered<std::int16_t>({4});
  const Chunk wide(DType::kInt16, {3, 4}, {0, 2}, row.buffer(), 0);
  const Chunk compact = wide.compact();
  EXPECT_EQ(values<std::int16_t>(compact), (std::vector<std::int16_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}));
}

// Arbitrary strides on both sides, each with every element size, against element-by-element copies.
TEST(CopyStrided, RandomLayoutsAgainstPlainLoops) {
  std::mt19937 random(3);
  for (int round = 0; round < 1500; ++round) {
    const std::size_t item = std::size_t{1} << (random() % 5);
    const bool large = round % 10 == 0;  // so that tiles are crossed
    const Shape shape = random_shape(random, large ? 2 : 5, large ? 150 : 5);
    // A layout: dimensions in random order, gaps between them, some reversed.
    const auto layout = [&](std::int64_t& offset, std::int64_t& bytes) {
      std::vector<std::size_t> order(shape.size());
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      Strides strides(shape.size());
      std::int64_t stride = static_cast<std::int64_t>(item) * (1 + static_cast<std::int64_t>(random() % 2));
      offset = 0;
      for (const std::size_t d : order) {
        strides[d] = stride;
        stride *= shape[d];
        if (random() % 3 == 0) stride += static_cast<std::int64_t>(item);
        if (random() % 4 == 0) {
          offset += strides[d] * (shape[d] - 1);
          strides[d] = -strides[d];
        }
      }
      bytes = stride;
      return strides;
    };
    std::int64_t from_offset = 0, from_bytes = 0, to_offset = 0, to_bytes = 0;
    Strides from_strides = layout(from_offset, from_bytes);
    const Strides to_strides = layout(to_offset, to_bytes);
    if (random() % 5 == 0 && !shape.empty()) {  // broadcast
      std::int64_t& stride = from_strides[random() % shape.size()];
      if (stride > 0) stride = 0;
    }
    std::vector<std::byte> from(static_cast<std::size_t>(from_bytes) + item);
    for (std::byte& byte : from) byte = static_cast<std::byte>(random());
    std::vector<std::byte> to(static_cast<std::size_t>(to_bytes) + item, std::byte{0xEE});
    std::vector<std::byte> expected = to;
    Shape position(shape.size());
    for (std::int64_t i = 0; i < element_count(shape); ++i) {
      unravel(i, shape, position);
      std::int64_t source = from_offset, target = to_offset;
      for (std::size_t d = 0; d < shape.size(); ++d) {
        source += position[d] * from_strides[d];
        target += position[d] * to_strides[d];
      }
      std::memcpy(expected.data() + target, from.data() + source, item);
    }
    copy_strided(shape, item, from.data() + from_offset, from_strides, to.data() + to_offset, to_strides);
    ASSERT_EQ(to, expected) << "round " << round << ", shape " << to_string(shape) << ", item " << item;
  }
}

TEST(CopyStrided, NothingToCopy) { copy_strided(Shape{0, 3}, 8, nullptr, Strides{8, 8}, nullptr, Strides{8, 8}); }

}  // namespace
}  // namespace tegula
