#include "src/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "src/hash.h"
#include "tegula/error.h"

namespace tegula {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Shape, ElementCountIsCheckedForOverflow) {
  EXPECT_EQ(element_count(Shape{}), 1);
  EXPECT_EQ(element_count(Shape{3, 4}), 12);
  const std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_EQ(element_count(Shape{huge, 0, huge}), 0);
  EXPECT_THROW(element_count(Shape{huge, huge}), ShapeError);
  EXPECT_THAT([] { element_count(Shape{0, -3}); }, ThrowsMessage<ShapeError>(HasSubstr("(0, -3)")));
}

TEST(Shape, ContiguousStrides) {
  EXPECT_THAT(contiguous_strides(Shape{2, 3, 4}, 8), ElementsAre(96, 32, 8));
  EXPECT_TRUE(is_contiguous(Shape{2, 3, 4}, Strides{96, 32, 8}, 8));
  EXPECT_TRUE(is_contiguous(Shape{1, 3}, Strides{7, 8}, 8));  // the stride of one element is never used
  EXPECT_TRUE(is_contiguous(Shape{0, 3}, Strides{1, 1}, 8));
  EXPECT_FALSE(is_contiguous(Shape{2, 3}, Strides{32, 8}, 8));
  EXPECT_FALSE(is_contiguous(Shape{3}, Strides{-8}, 8));
  const std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_THROW(contiguous_strides(Shape{2, huge, huge}, 8), ShapeError);
}

TEST(Shape, Broadcasting) {
  EXPECT_THAT(broadcast_shapes(Shape{3, 4}, Shape{4}), ElementsAre(3, 4));
  EXPECT_THAT(broadcast_shapes(Shape{3, 1}, Shape{2, 1, 4}), ElementsAre(2, 3, 4));
  EXPECT_THAT(broadcast_shapes(Shape{}, Shape{5}), ElementsAre(5));
  EXPECT_THAT(broadcast_shapes(Shape{1}, Shape{0}), ElementsAre(0));
  EXPECT_THAT(
      [] {
        broadcast_shapes(Shape{3, 4}, Shape{5});
      },
      ThrowsMessage<ShapeError>(HasSubstr("cannot broadcast (3, 4) with (5,)")));
  EXPECT_THROW(broadcast_shapes(Shape{2}, Shape{0}), ShapeError);
}

TEST(Shape, Text) {
  EXPECT_EQ(to_string(Shape{}), "()");
  EXPECT_EQ(to_string(Shape{5}), "(5,)");
  EXPECT_EQ(to_string(Shape{3, 4}), "(3, 4)");
}

TEST(Shape, Axes) {
  EXPECT_EQ(normalize_axis(1, 2), 1);
  EXPECT_EQ(normalize_axis(-1, 2), 1);
  EXPECT_EQ(normalize_axis(-2, 2), 0);
  EXPECT_THAT([] { normalize_axis(3, 2); },
              ThrowsMessage<IndexError>(HasSubstr("axis 3 is out of range for an array of 2 dimensions")));
  EXPECT_THROW(normalize_axis(-3, 2), IndexError);
  EXPECT_THROW(normalize_axis(0, 0), IndexError);
}

TEST(Shape, RavelAndUnravelAreInverse) {
  const Shape grid{3, 4, 5};
  for (std::int64_t i = 0; i < 60; ++i) {
    Shape position(3);
    unravel(i, grid, position);
    EXPECT_EQ(ravel(position, grid), i);
    EXPECT_EQ(position[2], i % 5);
  }
  EXPECT_EQ(ravel(Shape{}, Shape{}), 0);
}

TEST(Hash, KnownValue) {
  // XXH3's own answer for no bytes, with seed 0.
  EXPECT_EQ(to_hex(hash_bytes({})), "99aa06d3014798d86001c324468d497f");
  const std::byte one[] = {std::byte{1}};
  EXPECT_NE(hash_bytes(one), hash_bytes({}));
}

}  // namespace
}  // namespace tegula
