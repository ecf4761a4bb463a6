// What must not compile, and what must.
#include <gtest/gtest.h>

#include <concepts>

#include "tegula/tegula.h"

namespace tegula {
namespace {

template <typename A>
concept AssignsIntoSlice = requires(A x, Array y) { x(0, _) = y; };
template <typename A>
concept MovesIntoSlice = requires(A x, Array y) { x(slice(_, _, 2)) = std::move(y); };
template <typename A>
concept AssignsScalarIntoSlice = requires(A x) { x(0) = 1.0; };
template <typename A>
concept AddsInPlaceToSlice = requires(A x, Array y) { x(0) += y; };
template <typename A>
concept IndexedByDouble = requires(A x) { x(1.5); };
template <typename A>
concept IsCondition = requires(A x) { x ? 1 : 0; };

// An assignment into a slice would be lost: arrays are values.
static_assert(!AssignsIntoSlice<Array&>);
static_assert(!AssignsIntoSlice<Array>);
static_assert(!MovesIntoSlice<Array&>);
static_assert(!AssignsScalarIntoSlice<Array&>);
static_assert(!AddsInPlaceToSlice<Array&>);
static_assert(std::is_const_v<decltype(std::declval<Array&>()(0))>);
static_assert(std::is_const_v<decltype(std::declval<Array>()(0))>);
// An Array has no truth value before it is computed.
static_assert(!IsCondition<Array>);

// Handles are values: rebinding the name is fine.
static_assert(std::copyable<Array>);
static_assert(requires(Array x, Array y) { x = y(0); });
static_assert(requires(const Array x) { x(1, slice(_, -1), newaxis, ellipsis, _); });
static_assert(std::same_as<decltype(1 + std::declval<Array>()), Array>);
static_assert(std::same_as<decltype(std::declval<Array>() < 2.5), Array>);

TEST(Api, SlicesOfRvaluesLiveOn) {
  const Array x = (ones({4, 6}, {2, 3}) + 1)(slice(_, _, 2), 1);
  EXPECT_EQ(x.shape(), (Array::Shape{2}));
}

}  // namespace
}  // namespace tegula
