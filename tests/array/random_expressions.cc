#include "tests/array/random_expressions.h"

#include <algorithm>
#include <numeric>

#include "src/shape.h"

namespace tegula::test {

Chunks ExpressionGenerator::chunks(const std::vector<std::int64_t>& shape) {
  std::vector<ChunkDim> dims;
  for (std::int64_t extent : shape) {
    if (pick(0, 2) > 0) {
      dims.push_back(ChunkDim(pick(1, std::max<std::int64_t>(extent, 1))));
      continue;
    }
    std::vector<std::int64_t> sizes;
    for (std::int64_t left = extent; left > 0;) {
      sizes.push_back(pick(pick(0, 9) == 0 ? 0 : 1, left));
      left -= sizes.back();
    }
    dims.push_back(ChunkDim(sizes));
  }
  return Chunks(dims);
}

std::vector<std::int64_t> ExpressionGenerator::shape() {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(pick(0, 9) == 0 ? 0 : pick(1, 3)));
  for (std::int64_t& size : shape) size = pick(0, 15) == 0 ? pick(0, 1) : pick(1, 12);
  return shape;
}

// Values are small integers, so that sums and products of them are exact whatever the order.
Array ExpressionGenerator::source(const std::vector<std::int64_t>& shape) {
  const std::int64_t count = element_count(shape);
  switch (pick(0, 5)) {
    case 0:
      return full(shape, pick(-3, 3), chunks(shape), pick(0, 1) ? DType::kFloat64 : DType::kInt32);
    case 1:
      return arange(pick(-5, 5), Scalar(100000), pick(1, 3), {64})(slice(shape.empty() ? 1 : shape.back()))
          .rechunk(chunks({shape.empty() ? 1 : shape.back()}));
    case 2: {
      HostArray values(DType::kFloat64, shape);
      for (double& x : values.span<double>()) x = static_cast<double>(pick(-9, 9));
      return from_host(values, chunks(shape));
    }
    case 3:
      return random::uniform(-4, 4, shape, chunks(shape), {.seed = static_cast<std::uint64_t>(count)})
          .astype(DType::kInt32)
          .astype(DType::kFloat32);
    default:
      return random::integers(-4, 5, shape, chunks(shape), {.seed = static_cast<std::uint64_t>(pick(0, 3))});
  }
}

Array ExpressionGenerator::index(const Array& x) {
  std::vector<IndexItem> items;
  for (std::int64_t extent : x.shape()) {
    switch (pick(0, 7)) {
      case 0:
        if (extent > 0) {
          items.push_back(IndexItem(pick(-extent, extent - 1)));
          break;
        }
        [[fallthrough]];
      case 1:
        items.push_back(IndexItem(_));
        break;
      case 2:
        if (items.size() + 2 < 6 && x.ndim() < 4) items.push_back(IndexItem(newaxis));
        items.push_back(IndexItem(_));
        break;
      default: {
        const std::int64_t step = pick(0, 1) ? pick(1, 3) : -pick(1, 3);
        const auto bound = [&]() -> SliceBound {
          if (pick(0, 2) == 0) return _;
          return pick(-extent - 2, extent + 2);
        };
        items.push_back(IndexItem(slice(bound(), bound(), step)));
      }
    }
  }
  return x.index(items);
}

const Array& ExpressionGenerator::any() {
  return pool_[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(pool_.size()) - 1))];
}

Array ExpressionGenerator::partner(const Array& x) {
  std::vector<Array> fitting;
  for (const Array& candidate : pool_) {
    try {
      broadcast_shapes(candidate.shape(), x.shape());
      fitting.push_back(candidate);
    } catch (const ShapeError&) {
    }
  }
  if (!fitting.empty() && pick(0, 4) > 0) {
    return fitting[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(fitting.size()) - 1))];
  }
  std::vector<std::int64_t> stretched = x.shape();
  for (std::int64_t& size : stretched) size = pick(0, 3) == 0 ? 1 : size;
  return source(stretched);
}

Array ExpressionGenerator::binary(const Array& a, const Array& b) {
  switch (pick(0, 6)) {
    case 0:
      return a.astype(DType::kInt64) - b;
    case 1:
      return maximum(a, b);
    case 2:
      return minimum(a, b);
    case 3:
      return where(a < b, a, b);
    case 4:
      return where(a >= b, b, 2);
    case 5:
      return logical_or(a == b, a < 1).astype(DType::kInt32);
    default:
      return a.astype(DType::kFloat64) + b;
  }
}

Array ExpressionGenerator::unary(const Array& x) {
  switch (pick(0, 5)) {
    case 0:
      return -x.astype(DType::kFloat64);
    case 1:
      return abs(x) + 1;
    case 2:
      return minimum(maximum(x, -50), 50) * 2;  // keeps products of products small
    case 3:
      return x.astype(pick(0, 1) ? DType::kFloat32 : DType::kInt64);
    case 4:
      return x - 3;
    default:
      return (x < 2).astype(DType::kInt64);
  }
}

Array ExpressionGenerator::reduction(const Array& x) {
  Axes axes;
  if (x.ndim() > 0 && pick(0, 2) > 0) axes = Axes(static_cast<int>(pick(-x.ndim(), x.ndim() - 1)));
  if (x.ndim() > 1 && pick(0, 4) == 0) axes = Axes{0, -1};
  const bool keepdims = pick(0, 1) == 1;
  const bool empty = x.size() == 0;
  switch (pick(0, empty ? 3 : 6)) {
    case 0:
      return x.any(axes, keepdims).astype(DType::kInt32);
    case 1:
      return x.all(axes, keepdims).astype(DType::kInt32);
    case 2:
      return minimum(maximum(x, -1), 1).prod(axes, keepdims);
    case 4:
      return x.min(axes, keepdims);
    case 5:
      return x.max(axes, keepdims);
    default:
      return minimum(maximum(x, -100), 100).sum(axes, keepdims);
  }
}

Array ExpressionGenerator::step() {
  switch (pick(0, 8)) {
    case 0:
      return source(shape());
    case 1:
    case 2: {
      const Array x = any();
      return binary(x, partner(x));
    }
    case 3:
      return unary(any());
    case 4:
    case 5:
      return index(any());
    case 6: {
      const Array x = any();
      std::vector<int> axes(static_cast<std::size_t>(x.ndim()));
      std::iota(axes.begin(), axes.end(), 0);
      std::shuffle(axes.begin(), axes.end(), engine_);
      return x.transpose(axes);
    }
    case 7: {
      const Array x = any();
      return x.rechunk(chunks(x.shape()));
    }
    default:
      return reduction(any());
  }
}

std::vector<Array> ExpressionGenerator::arrays() {
  pool_ = {source(shape())};
  const std::int64_t steps = pick(2, 20);
  for (std::int64_t i = 0; i < steps; ++i) {
    Array next = step();
    if (next.size() <= 5000 && next.ndim() <= 5) pool_.push_back(std::move(next));
  }
  std::vector<Array> chosen = {pool_.back()};
  for (std::int64_t more = pick(0, 2); more > 0; --more) chosen.push_back(any());
  // At the end also what rounds: var of anything that has elements.
  if (pool_.back().size() > 0) chosen.push_back(pool_.back().var());
  return chosen;
}

}  // namespace tegula::test
