// Reductions: the order of worker/kernels/cpu/reduce/tree.h, written down once more in the plainest way, bit for bit;
// that nothing about memory, tiles or fusion shows in it; and how exact the results are.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <numeric>
#include <random>

#include "tests/kernels/harness.h"

namespace tegula::test {
namespace {

template <typename T, typename Combine>
T combine_lanes(const std::vector<T>& x, std::size_t first, std::size_t count, T identity, Combine combine) {
  std::vector<T> lanes(16, identity);
  for (std::size_t i = 0; i < count; ++i) lanes[i % 16] = combine(lanes[i % 16], x[first + i]);
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lanes[l] = combine(lanes[l], lanes[l + half]);
  }
  return lanes[0];
}

// A last tile that is shorter than the others waits for nobody: it is the smallest, whatever its number.
template <typename T, typename Combine>
T tree(const std::vector<T>& x, T identity, Combine combine) {
  // Tiles wait for a neighbour of their level, where the binary counter of tiles carries.
  std::vector<std::pair<int, T>> waiting;
  std::size_t at = 0;
  for (; at + 1024 <= x.size(); at += 1024) {
    int level = 0;
    T value = combine_lanes(x, at, 1024, identity, combine);
    for (; !waiting.empty() && waiting.back().first == level; ++level) {
      value = combine(waiting.back().second, value);
      waiting.pop_back();
    }
    waiting.push_back({level, value});
  }
  if (at < x.size()) waiting.push_back({0, combine_lanes(x, at, x.size() - at, identity, combine)});
  T result = waiting.back().second;
  waiting.pop_back();
  for (; !waiting.empty(); waiting.pop_back()) result = combine(waiting.back().second, result);
  return result;
}

Program stored(DType dtype, const Shape& shape, Reduction reduction) {
  Program program;
  program.sources = {input_source(0, dtype, static_cast<int>(shape.size()))};
  program.chunks = one_chunk(shape);
  program.reduction = std::move(reduction);
  return program;
}

Reduction reduction_of(ReduceOp op, DType dtype, std::vector<bool> axes) {
  Reduction reduction;
  reduction.op = op;
  reduction.dtype = dtype;
  reduction.axes = std::move(axes);
  return reduction;
}

TestArray random_doubles(const Shape& shape, unsigned seed, double offset = 0) {
  TestArray array = TestArray::zeros(DType::kFloat64, shape);
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(offset, 1);
  auto* x = reinterpret_cast<double*>(array.data);
  for (std::int64_t i = 0; i < array.size(); ++i) x[i] = normal(random);
  return array;
}

// The elements that each output reduces, in C order of the reduced axes.
template <typename T>
std::vector<std::vector<T>> sequences(const TestArray& array, const std::vector<bool>& axes) {
  Shape kept_shape;
  for (std::size_t d = 0; d < array.shape.size(); ++d) kept_shape.push_back(axes[d] ? 1 : array.shape[d]);
  std::vector<std::vector<T>> all(static_cast<std::size_t>(element_count(kept_shape)));
  Shape position(array.shape.size());
  for (std::int64_t i = 0; i < array.size(); ++i) {
    unravel(i, array.shape, position);
    for (std::size_t d = 0; d < axes.size(); ++d) {
      if (axes[d]) position[d] = 0;
    }
    all[static_cast<std::size_t>(ravel(position, kept_shape))].push_back(array.get<T>(i));
  }
  return all;
}

std::vector<bool> bits_of(unsigned mask, std::size_t ndim) {
  std::vector<bool> bits;
  for (std::size_t d = 0; d < ndim; ++d) bits.push_back((mask >> d & 1) != 0);
  return bits;
}

const Shape kShapes[] = {{1},          {16},         {1023},        {1024},       {1025},      {5000},
                         {3000, 3},    {3, 3000},    {2000, 40},    {40, 2000},   {70, 130},   {2, 700, 5},
                         {7, 31, 200}, {200, 31, 7}, {4, 5, 6, 70}, {1, 90, 1},   {1000, 1},   {1, 1000},
                         {33, 1, 33},  {600, 600},   {5, 1, 2100},  {2100, 2, 1}, {40, 3, 50}, {31, 5, 1, 40}};

TEST(Reduce, SumsFollowTheTree) {
  for (const Library& library : Library::all()) {
    for (const Shape& shape : kShapes) {
      const TestArray x = random_doubles(shape, 1);
      for (unsigned mask = 0; mask < 1u << shape.size(); ++mask) {
        const auto axes = bits_of(mask, shape.size());
        const TestArray got = run_program(
            library, stored(DType::kFloat64, shape, reduction_of(ReduceOp::kSum, DType::kFloat64, axes)), {x});
        const auto each = sequences<double>(x, axes);
        for (std::size_t i = 0; i < each.size(); ++i) {
          ASSERT_EQ(got.get<double>(static_cast<std::int64_t>(i)),
                    tree(each[i], -0.0, [](double a, double b) { return a + b; }))
              << to_string(shape) << " axes " << mask << " output " << i << " on " << library.level();
        }
      }
    }
  }
}

TEST(Reduce, ProductsAndExtremesFollowTheTree) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  for (const Library& library : Library::all()) {
    for (const Shape& shape : {Shape{5000}, Shape{70, 130}, Shape{200, 31, 7}}) {
      TestArray x = random_doubles(shape, 2, 0.2);
      std::memcpy(x.data + 8 * 1000, &nan, 8);
      for (unsigned mask = 1; mask < 1u << shape.size(); ++mask) {
        const auto axes = bits_of(mask, shape.size());
        const auto each = sequences<double>(x, axes);
        const auto check = [&](ReduceOp op, double identity, auto combine) {
          const TestArray got =
              run_program(library, stored(DType::kFloat64, shape, reduction_of(op, DType::kFloat64, axes)), {x});
          for (std::size_t i = 0; i < each.size(); ++i) {
            const double expected = tree(each[i], identity, combine),
                         value = got.get<double>(static_cast<std::int64_t>(i));
            ASSERT_TRUE(value == expected || (std::isnan(value) && std::isnan(expected)))
                << name_of(op) << " " << value << " not " << expected;
          }
        };
        check(ReduceOp::kProd, 1.0, [](double a, double b) { return a * b; });
        check(ReduceOp::kMin, inf, [](double a, double b) { return a <= b || std::isnan(a) ? a : b; });
        check(ReduceOp::kMax, -inf, [](double a, double b) { return a >= b || std::isnan(a) ? a : b; });
      }
    }
  }
}

TEST(Reduce, FloatsAddInTheirOwnPrecision) {
  const Shape shape = {300, 70};
  TestArray x = TestArray::zeros(DType::kFloat32, shape);
  std::mt19937 random(3);
  auto* values = reinterpret_cast<float*>(x.data);
  for (std::int64_t i = 0; i < x.size(); ++i) values[i] = static_cast<float>(random()) * 1e-9f;
  for (unsigned mask = 1; mask < 4; ++mask) {
    const auto axes = bits_of(mask, 2);
    const auto each = sequences<float>(x, axes);
    for (const Library& library : Library::all()) {
      const TestArray got = run_program(
          library, stored(DType::kFloat32, shape, reduction_of(ReduceOp::kSum, DType::kFloat32, axes)), {x});
      for (std::size_t i = 0; i < each.size(); ++i) {
        ASSERT_EQ(got.get<float>(static_cast<std::int64_t>(i)),
                  tree(each[i], -0.0f, [](float a, float b) { return a + b; }));
      }
    }
  }
}

TEST(Reduce, MemoryDoesNotShow) {
  // Axes in any order of strides, backwards, with gaps, off alignment: the same elements, the same bits.
  std::mt19937 random(4);
  for (const Shape& shape : {Shape{300, 70}, Shape{9, 130, 11}, Shape{2, 3, 500}}) {
    const TestArray x = random_doubles(shape, 5);
    std::vector<int> order(shape.size());
    std::iota(order.begin(), order.end(), 0);
    for (unsigned mask = 1; mask < 1u << shape.size(); ++mask) {
      for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMoments}) {
        const Program program =
            stored(DType::kFloat64, shape, reduction_of(op, DType::kFloat64, bits_of(mask, shape.size())));
        const Bytes expected = run_program(Library::all()[0], program, {x}).bytes();
        for (const Library& library : Library::all()) {
          for (int round = 0; round < 8; ++round) {
            std::shuffle(order.begin(), order.end(), random);
            const TestArray other = x.laid_out(order, random() % 8, random() % 3, random() % 5);
            ASSERT_EQ(run_program(library, program, {other}).bytes(), expected) << to_string(shape) << " axes " << mask;
          }
        }
      }
    }
  }
}

TEST(Reduce, MemoryDoesNotShowInAnyDType) {
  std::mt19937 random(41);
  const std::pair<ReduceOp, std::vector<DType>> cases[] = {
      {ReduceOp::kSum, {DType::kFloat32, DType::kComplex64, DType::kComplex128, DType::kUInt8, DType::kInt16}},
      {ReduceOp::kProd, {DType::kComplex64, DType::kInt32}},
      {ReduceOp::kMax, {DType::kComplex128, DType::kInt8, DType::kBool, DType::kFloat32}},
      {ReduceOp::kMoments, {DType::kFloat32}},
      {ReduceOp::kAny, {DType::kBool}},
      {ReduceOp::kAll, {DType::kBool}}};
  for (const Shape& shape : {Shape{150, 70}, Shape{70, 150}, Shape{9, 40, 11}, Shape{2000, 2}}) {
    std::vector<int> order(shape.size());
    std::iota(order.begin(), order.end(), 0);
    for (const auto& [op, dtypes] : cases) {
      for (const DType dtype : dtypes) {
        TestArray x = TestArray::zeros(dtype, shape);
        const std::size_t bytes = static_cast<std::size_t>(x.size()) * item_size(dtype);
        // Small numbers, and bools that are true in several ways.
        if (kind_of(dtype) < DTypeKind::kFloat) {
          for (std::size_t i = 0; i < bytes; ++i) x.data[i] = static_cast<std::byte>(random() % 3);
        } else if (item_size(dtype) == 4 || dtype == DType::kComplex64) {
          for (std::size_t i = 0; i < bytes; i += 4) {
            const float value = static_cast<float>(random() % 1000) / 500 - 1;
            std::memcpy(x.data + i, &value, 4);
          }
        } else {
          for (std::size_t i = 0; i < bytes; i += 8) {
            const double value = static_cast<double>(random() % 1000) / 500 - 1;
            std::memcpy(x.data + i, &value, 8);
          }
        }
        for (unsigned mask = 1; mask < 1u << shape.size(); ++mask) {
          const Program program = stored(dtype, shape, reduction_of(op, dtype, bits_of(mask, shape.size())));
          const Bytes expected = run_program(Library::all()[0], program, {x}).bytes();
          for (const Library& library : Library::all()) {
            for (int round = 0; round < 4; ++round) {
              std::shuffle(order.begin(), order.end(), random);
              const TestArray other = x.laid_out(order, random() % 8, random() % 3, random() % 5);
              ASSERT_EQ(run_program(library, program, {other}).bytes(), expected)
                  << name_of(op) << " of " << name_of(dtype) << " " << to_string(shape) << " axes " << mask << " on "
                  << library.level();
            }
          }
        }
      }
    }
  }
}

// x + 1 reduced on the way, and x + 1 stored and then reduced; so too for a random array and its slices.
TEST(Reduce, FusionDoesNotShow) {
  for (const Library& library : Library::all()) {
    for (const Shape& shape : {Shape{5000}, Shape{333, 77}, Shape{40, 9, 50}, Shape{2, 3000}}) {
      for (unsigned mask = 1; mask < 1u << shape.size(); ++mask) {
        for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMoments}) {
          Program fused;
          RandomSource source;
          source.distribution = Distribution::kNormal;
          source.map = identity_map(static_cast<int>(shape.size()));
          for (std::size_t d = 0; d < shape.size(); ++d) {
            source.map.step[d] = 2;
            source.shape.push_back(2 * shape[d]);
          }
          fused.sources = {source, constant(1.0)};
          fused.code = {instruction(Op::kAdd, DType::kFloat64, 0, 1)};
          fused.result = 2;
          fused.chunks = one_chunk(shape);
          const TestArray yields = run_program(library, fused, {});
          fused.reduction = reduction_of(op, DType::kFloat64, bits_of(mask, shape.size()));
          const Program second = stored(DType::kFloat64, shape, *fused.reduction);
          ASSERT_EQ(run_program(library, fused, {}).bytes(), run_program(library, second, {yields}).bytes())
              << to_string(shape) << " axes " << mask;
        }
      }
    }
  }
}

TEST(Reduce, IntegersWrap) {
  for (const Library& library : Library::all()) {
    const Shape shape = {130, 50};
    TestArray x = TestArray::zeros(DType::kInt64, shape);
    std::mt19937_64 random(6);
    auto* values = reinterpret_cast<std::uint64_t*>(x.data);
    for (std::int64_t i = 0; i < x.size(); ++i) values[i] = random() | 1;
    for (unsigned mask = 1; mask < 4; ++mask) {
      const auto axes = bits_of(mask, 2);
      const auto each = sequences<std::uint64_t>(x, axes);
      const TestArray sum =
          run_program(library, stored(DType::kInt64, shape, reduction_of(ReduceOp::kSum, DType::kInt64, axes)), {x});
      const TestArray product =
          run_program(library, stored(DType::kInt64, shape, reduction_of(ReduceOp::kProd, DType::kInt64, axes)), {x});
      const TestArray least =
          run_program(library, stored(DType::kInt64, shape, reduction_of(ReduceOp::kMin, DType::kInt64, axes)), {x});
      for (std::size_t i = 0; i < each.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        std::uint64_t expected_sum = 0, expected_product = 1;
        std::int64_t expected_least = std::numeric_limits<std::int64_t>::max();
        for (const std::uint64_t v : each[i]) {
          expected_sum += v;
          expected_product *= v;
          expected_least = std::min(expected_least, static_cast<std::int64_t>(v));
        }
        ASSERT_EQ(sum.get<std::uint64_t>(at), expected_sum);
        ASSERT_EQ(product.get<std::uint64_t>(at), expected_product);
        ASSERT_EQ(least.get<std::int64_t>(at), expected_least);
      }
    }
  }
}

TEST(Reduce, ElementsAreCastToTheReductionsDType) {
  const Shape shape = {3, 400};
  TestArray x = TestArray::zeros(DType::kInt8, shape);
  std::memset(x.data, 100, 1200);
  for (const Library& library : Library::all()) {
    const TestArray sum = run_program(
        library, stored(DType::kInt8, shape, reduction_of(ReduceOp::kSum, DType::kInt64, {true, true})), {x});
    EXPECT_EQ(sum.get<std::int64_t>(0), 120000);
    const TestArray mean = run_program(
        library, stored(DType::kInt8, shape, reduction_of(ReduceOp::kMoments, DType::kFloat64, {false, true})), {x});
    EXPECT_EQ(mean.shape, (Shape{3, 3, 1}));
    EXPECT_EQ(mean.values<double>(), (std::vector<double>{400, 400, 400, 100, 100, 100, 0, 0, 0}));
  }
}

TEST(Reduce, AnyAndAllTakeNanForTrue) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const TestArray x = TestArray::of<double>({3, 2}, {0, 0, nan, 0, nan, 1});
  for (const Library& library : Library::all()) {
    const auto run = [&](ReduceOp op) {
      return run_program(library, stored(DType::kFloat64, x.shape, reduction_of(op, DType::kBool, {false, true})), {x})
          .values<std::uint8_t>();
    };
    EXPECT_EQ(run(ReduceOp::kAny), (std::vector<std::uint8_t>{0, 1, 1}));
    EXPECT_EQ(run(ReduceOp::kAll), (std::vector<std::uint8_t>{0, 0, 1}));
  }
}

TEST(Reduce, ComplexNumbers) {
  using C = std::complex<double>;
  const TestArray re = random_doubles({1500}, 7), im = random_doubles({1500}, 8);
  std::vector<C> values;
  for (std::int64_t i = 0; i < 1500; ++i) values.push_back({re.get<double>(i), im.get<double>(i)});
  values[3] = values[9] = {-9, 1};
  values[11] = {-9, -1};
  const TestArray x = TestArray::of<C>({1500}, values);
  const auto expected_sum = tree(values, C(-0.0, -0.0), [](C a, C b) { return a + b; });
  const auto expected_product = tree(values, C(1, 0), [](C a, C b) {
    return C(a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real());
  });
  for (const Library& library : Library::all()) {
    const auto run = [&](ReduceOp op) {
      return run_program(library, stored(DType::kComplex128, {1500}, reduction_of(op, DType::kComplex128, {true})), {x})
          .get<C>(0);
    };
    EXPECT_EQ(run(ReduceOp::kSum), expected_sum);
    EXPECT_EQ(run(ReduceOp::kProd), expected_product);
    EXPECT_EQ(run(ReduceOp::kMin), C(-9, -1));
    // Rows that are not whole, and neighbours side by side.
    const TestArray sums = run_program(
        library, stored(DType::kComplex128, {30, 50}, reduction_of(ReduceOp::kSum, DType::kComplex128, {true, false})),
        {TestArray::of<C>({30, 50}, values)});
    C column = 0;
    for (int r = 0; r < 30; ++r) column += values[static_cast<std::size_t>(r * 50 + 7)];
    EXPECT_NEAR(std::abs(sums.get<C>(7) - column), 0, 1e-12);
  }
}

TEST(Reduce, OfNothing) {
  const TestArray none = TestArray::zeros(DType::kFloat64, {3, 0});
  for (const Library& library : Library::all()) {
    const auto run = [&](ReduceOp op, std::vector<bool> axes) {
      const DType dtype = op == ReduceOp::kAny || op == ReduceOp::kAll ? DType::kBool : DType::kFloat64;
      return run_program(library, stored(DType::kFloat64, none.shape, reduction_of(op, dtype, std::move(axes))),
                         {none});
    };
    const TestArray sums = run(ReduceOp::kSum, {false, true});
    EXPECT_EQ(sums.values<double>(), (std::vector<double>{0, 0, 0}));
    EXPECT_FALSE(std::signbit(sums.get<double>(0)));
    EXPECT_EQ(run(ReduceOp::kProd, {false, true}).values<double>(), (std::vector<double>{1, 1, 1}));
    EXPECT_EQ(run(ReduceOp::kAny, {true, true}).values<std::uint8_t>(), (std::vector<std::uint8_t>{0}));
    EXPECT_EQ(run(ReduceOp::kAll, {true, true}).values<std::uint8_t>(), (std::vector<std::uint8_t>{1}));
    EXPECT_EQ(run(ReduceOp::kMoments, {true, true}).values<double>(), (std::vector<double>{0, 0, 0}));
    EXPECT_EQ(run(ReduceOp::kMax, {true, false}).size(), 0);
    try {
      run(ReduceOp::kMax, {false, true});
      FAIL() << "the maximum of nothing";
    } catch (const KernelFailure& failure) {
      EXPECT_EQ(failure.code, TEGULA_EVALUE);
    }
  }
}

// Without elements there may be any number of positions.
TEST(Reduce, OfAHugeNothing) {
  Program program;
  program.sources = {constant(1.0)};
  program.chunks = one_chunk({std::int64_t{1} << 40, std::int64_t{1} << 40, 0});
  for (const Library& library : Library::all()) {
    for (const bool reduce_last : {false, true}) {
      program.reduction = reduction_of(ReduceOp::kSum, DType::kFloat64, {!reduce_last, !reduce_last, reduce_last});
      try {
        library.run("tegula.program", encode(program), program_task(program, {}));
        FAIL() << "2^80 positions";
      } catch (const KernelFailure& failure) {
        EXPECT_EQ(failure.code, TEGULA_ESHAPE);
      }
    }
    program.reduction = reduction_of(ReduceOp::kSum, DType::kFloat64, {true, false, false});
    EXPECT_EQ(run_program(library, program, {}).size(), 0);
  }
}

TEST(Reduce, SumsArePairwiseExact) {
  // A million tenths: one after the other they would be off by 1e-6.
  const std::int64_t n = 1'000'000;
  TestArray x = TestArray::zeros(DType::kFloat64, {n});
  auto* values = reinterpret_cast<double*>(x.data);
  for (std::int64_t i = 0; i < n; ++i) values[i] = 0.1;
  const TestArray got = run_program(
      Library::best(), stored(DType::kFloat64, {n}, reduction_of(ReduceOp::kSum, DType::kFloat64, {true})), {x});
  EXPECT_NEAR(got.get<double>(0), 100000, 1e-9);
}

TEST(Reduce, MomentsKeepTheirDigitsFarFromZero) {
  const std::int64_t n = 100'000;
  for (const double offset : {0.0, 1e3, 1e9}) {
    const TestArray x = random_doubles({n}, 9, offset);
    long double sum = 0, m2 = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += x.get<double>(i);
    const long double mean = sum / n;
    for (std::int64_t i = 0; i < n; ++i) m2 += (x.get<double>(i) - mean) * (x.get<double>(i) - mean);
    for (const Library& library : Library::all()) {
      const TestArray got = run_program(
          library, stored(DType::kFloat64, {n}, reduction_of(ReduceOp::kMoments, DType::kFloat64, {true})), {x});
      EXPECT_EQ(got.get<double>(0), static_cast<double>(n));
      EXPECT_NEAR(got.get<double>(1), static_cast<double>(mean), 1e-15 * (1 + offset));
      EXPECT_NEAR(got.get<double>(2) / static_cast<double>(m2), 1, 1e-15 * (100 + offset * 1e-2));
    }
  }
}

// ---- tegula.reduce ----

TestArray combine(const Library& library, const Reduction& reduction, const std::vector<TestArray>& pieces,
                  std::vector<std::int64_t> grid) {
  TestTask task;
  task.grid.assign(reduction.axes.size(), 1);
  task.block.assign(reduction.axes.size(), 0);
  task.inputs = {{pieces, std::move(grid)}};
  task.declared = {{reduction.dtype, pieces.at(0).shape, {}}};
  return library.run_one("tegula.reduce", encode(ReduceParams{reduction}), task);
}

TEST(Combine, PiecesFollowTheSameTree) {
  std::vector<TestArray> pieces;
  for (unsigned i = 0; i < 40; ++i)
    pieces.push_back(random_doubles({1, 300}, 100 + i).laid_out({1, 0}, i % 4, i % 2, i % 3));
  for (const Library& library : Library::all()) {
    const TestArray got =
        combine(library, reduction_of(ReduceOp::kSum, DType::kFloat64, {true, false}), pieces, {40, 1});
    for (std::int64_t c = 0; c < 300; ++c) {
      std::vector<double> sequence;
      for (const TestArray& piece : pieces) sequence.push_back(piece.get<double>(c));
      ASSERT_EQ(got.get<double>(c), tree(sequence, -0.0, [](double a, double b) { return a + b; }));
    }
  }
}

TEST(Combine, MomentsOfPartsAreThoseOfTheWhole) {
  const std::int64_t n = 9000;
  const TestArray x = random_doubles({n, 5}, 11, 1e6);
  for (const Library& library : Library::all()) {
    for (const DType dtype : {DType::kFloat64, DType::kFloat32}) {
      const Reduction reduction = reduction_of(ReduceOp::kMoments, dtype, {true, false});
      std::vector<TestArray> pieces;
      for (std::int64_t begin = 0; begin < n; begin += 1000) {
        const TestArray part = x.slice(0, begin, 1000, 1);
        pieces.push_back(run_program(library, stored(DType::kFloat64, part.shape, reduction), {part}));
      }
      pieces.push_back(TestArray::zeros(dtype, {3, 1, 5}));  // of an empty block
      const TestArray got = combine(library, reduction, pieces, {1, 10, 1});
      const TestArray whole = run_program(library, stored(DType::kFloat64, x.shape, reduction), {x});
      for (std::int64_t i = 0; i < 15; ++i) {
        const auto value = [&](const TestArray& a) {
          return dtype == DType::kFloat64 ? a.get<double>(i) : static_cast<double>(a.get<float>(i));
        };
        EXPECT_NEAR(value(got) / value(whole), 1, dtype == DType::kFloat64 ? 1e-9 : 2e-2);
      }
    }
  }
}

TEST(Combine, CancelledTasksEnd) {
  const Reduction reduction = reduction_of(ReduceOp::kSum, DType::kFloat64, {true, false});
  TestTask task;
  task.grid = task.block = {1, 1};
  task.block = {0, 0};
  const TestArray piece = random_doubles({1, 3000}, 1);
  task.inputs = {{{piece, piece}, {2, 1}}};
  task.declared = {{DType::kFloat64, {1, 3000}, {}}};
  task.cancelled = [] { return true; };
  try {
    Library::best().run("tegula.reduce", encode(ReduceParams{reduction}), task);
    FAIL() << "it went on";
  } catch (const KernelFailure& failure) {
    EXPECT_EQ(failure.code, TEGULA_ECANCELLED);
  }
}

TEST(Combine, RefusesPiecesThatDoNotFit) {
  const Reduction reduction = reduction_of(ReduceOp::kSum, DType::kFloat64, {true, false});
  const TestArray good = random_doubles({1, 5}, 1);
  const auto code_of = [&](const std::vector<TestArray>& pieces) {
    try {
      combine(Library::best(), reduction, pieces, {static_cast<std::int64_t>(pieces.size()), 1});
    } catch (const KernelFailure& failure) {
      return failure.code;
    }
    return 0;
  };
  EXPECT_EQ(code_of({good, good}), 0);
  EXPECT_EQ(code_of({good, random_doubles({1, 6}, 1)}), TEGULA_ESHAPE);
  EXPECT_EQ(code_of({good, TestArray::zeros(DType::kFloat32, {1, 5})}), TEGULA_ESHAPE);
  EXPECT_EQ(code_of({random_doubles({2, 5}, 1)}), TEGULA_ESHAPE);
}

}  // namespace
}  // namespace tegula::test
