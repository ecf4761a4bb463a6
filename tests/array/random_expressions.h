// Random expressions over everything that changes shapes, chunks and readers: what a plan has to get right.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "tegula/array.h"

namespace tegula::test {

class ExpressionGenerator {
 public:
  explicit ExpressionGenerator(std::uint64_t seed) : engine_(seed) {}

  // A few arrays that share parts of their expressions.
  std::vector<Array> arrays();

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {  // both included
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  Chunks chunks(const std::vector<std::int64_t>& shape);
  std::vector<std::int64_t> shape();
  Array source(const std::vector<std::int64_t>& shape);
  Array index(const Array& x);
  Array step();
  Array binary(const Array& a, const Array& b);
  Array unary(const Array& x);
  Array reduction(const Array& x);
  const Array& any();
  // One of the pool that broadcasts with `x`, or a new one.
  Array partner(const Array& x);

  std::mt19937_64 engine_;
  std::vector<Array> pool_;
};

}  // namespace tegula::test
