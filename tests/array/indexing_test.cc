// Basic indexing and transposition against the plain meaning of each index.
#include <gmock/gmock.h>

#include <random>

#include "src/shape.h"
#include "tegula/tegula.h"
#include "tests/support/graph_runner.h"

namespace tegula {
namespace {

using testing::HasSubstr;

// 0, 1, 2, ... in C order, so that a value says where it comes from.
Array numbered(const Shape& shape, const Chunks& chunks) {
  HostArray values(DType::kInt64, shape);
  std::int64_t next = 0;
  for (std::int64_t& value : values.span<std::int64_t>()) value = next++;
  return from_host(values, chunks);
}

// Python's slice.indices by its definition: the positions one after the other.
std::vector<std::int64_t> positions(const Slice& s, std::int64_t extent) {
  const std::int64_t step = s.step.value_or(1);
  const auto wrap = [&](std::int64_t v) { return v < 0 ? v + extent : v; };
  std::int64_t start = s.start ? wrap(*s.start) : (step > 0 ? 0 : extent - 1);
  std::int64_t stop = s.stop ? wrap(*s.stop) : (step > 0 ? extent : -1);
  if (step > 0) {
    start = std::max<std::int64_t>(start, 0);
    stop = std::min(stop, extent);
  } else {
    start = std::min(start, extent - 1);
    stop = std::max<std::int64_t>(stop, -1);
  }
  std::vector<std::int64_t> result;
  for (std::int64_t p = start; step > 0 ? p < stop : p > stop; p += step) result.push_back(p);
  return result;
}

TEST(Indexing, AnySliceOfAnyChunks) {
  test::GraphRunner runner;
  std::mt19937 engine(7);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine);
  };
  for (int i = 0; i < 300; ++i) {
    const Shape shape = {pick(0, 9), pick(1, 9)};
    const Array x = numbered(shape, {static_cast<int>(pick(1, 9)), static_cast<int>(pick(1, 9))});
    Slice slices[2];
    for (Slice& s : slices) {
      if (pick(0, 3)) s.start = pick(-12, 12);
      if (pick(0, 3)) s.stop = pick(-12, 12);
      if (pick(0, 3)) s.step = pick(0, 1) ? pick(1, 4) : -pick(1, 4);
    }
    const auto rows = positions(slices[0], shape[0]), columns = positions(slices[1], shape[1]);
    const HostArray got = x.index({slices[0], slices[1]}).compute(runner.client());
    ASSERT_EQ(got.shape(), (Shape{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(columns.size())}));
    std::size_t k = 0;
    for (std::int64_t r : rows) {
      for (std::int64_t c : columns) ASSERT_EQ(got.span<std::int64_t>()[k++], r * shape[1] + c);
    }
  }
}

TEST(Indexing, ExtremeBoundsAndSteps) {
  test::GraphRunner runner;
  const Array x = numbered({5}, {2});
  EXPECT_EQ(x(slice(_, _, INT64_MIN)).compute(runner.client()).item<int>(), 4);
  EXPECT_EQ(x(slice(INT64_MIN, INT64_MAX, INT64_MAX)).compute(runner.client()).item<int>(), 0);
  EXPECT_EQ(x(slice(INT64_MAX, INT64_MIN, -1)).shape(), Shape{5});
  EXPECT_EQ(x(slice(3, 3)).shape(), Shape{0});
}

TEST(Indexing, IntegersNewAxesAndEllipsis) {
  test::GraphRunner runner;
  const Array x = numbered({3, 4, 5}, {2, 3, 2});
  const Client client = runner.client();
  EXPECT_EQ(x(1, 2, 3).compute(client).item<int>(), 33);
  EXPECT_EQ(x(-1, -1, -1).compute(client).item<int>(), 59);
  EXPECT_EQ(x(1).shape(), (Shape{4, 5}));
  EXPECT_EQ(x(ellipsis, 1).shape(), (Shape{3, 4}));
  EXPECT_EQ(x(newaxis, 1, ellipsis, newaxis).shape(), (Shape{1, 4, 5, 1}));
  EXPECT_EQ(x(0, ellipsis, slice(_, _, 3)).shape(), (Shape{4, 2}));
  const HostArray column = x(2, slice(_, _, -1), 4).compute(client);
  EXPECT_THAT(column.span<std::int64_t>(), testing::ElementsAre(59, 54, 49, 44));
}

TEST(Indexing, ChunksFollowTheParent) {
  const Array x = zeros({10, 10}, {4, 5});
  EXPECT_THAT(x(slice(_, _, 2)).chunks()[0], testing::ElementsAre(2, 2, 1));
  EXPECT_THAT(x(slice(_, _, -1)).chunks()[0], testing::ElementsAre(2, 4, 4));
  EXPECT_THAT(x(slice(5, 6)).chunks()[0], testing::ElementsAre(1));
  EXPECT_THAT(x(slice(_, _, 9)).chunks()[0], testing::ElementsAre(1, 1));
  EXPECT_EQ(x(_, _).expression(), x.expression());
}

TEST(Indexing, Transposes) {
  test::GraphRunner runner;
  const Array x = numbered({2, 3, 4}, {1, 2, 3});
  const HostArray t = x.transpose({2, 0, 1}).compute(runner.client());
  ASSERT_EQ(t.shape(), (Shape{4, 2, 3}));
  const auto view = t.view<std::int64_t>();
  for (int a = 0; a < 2; ++a) {
    for (int b = 0; b < 3; ++b) {
      for (int c = 0; c < 4; ++c) ASSERT_EQ(view(c, a, b), (a * 3 + b) * 4 + c);
    }
  }
  EXPECT_EQ(x.T().shape(), (Shape{4, 3, 2}));
  EXPECT_EQ(x.T().T().compute(runner.client()).span<std::int64_t>()[5], 5);
}

template <typename F>
std::string message_of(F f) {
  try {
    f();
  } catch (const IndexError& error) {
    return error.what();
  }
  return "no IndexError";
}

TEST(Indexing, ErrorsNameTheValues) {
  const Array x = zeros({3, 4});
  EXPECT_THAT(message_of([&] { x(3); }), HasSubstr("index 3 is out of bounds for axis 0 with size 3"));
  EXPECT_THAT(message_of([&] { x(0, -5); }), HasSubstr("index -5 is out of bounds for axis 1 with size 4"));
  EXPECT_THAT(message_of([&] { x(0, 0, 0); }), HasSubstr("too many indices: 3 for an array of shape (3, 4)"));
  EXPECT_THAT(message_of([&] { x(ellipsis, ellipsis); }), HasSubstr("single ellipsis"));
  EXPECT_THAT(message_of([&] { x.transpose({0, 0}); }), HasSubstr("axis 0 is repeated"));
  EXPECT_THAT(message_of([&] { x.transpose({0, 2}); }), HasSubstr("axis 2"));
  EXPECT_THROW(x.transpose({0}), ShapeError);
  EXPECT_THROW(slice(0, 1, 0), ValueError);
  EXPECT_THROW(x.sum(2), IndexError);
  EXPECT_THROW(x.sum({0, -2}), ValueError);
}

}  // namespace
}  // namespace tegula
