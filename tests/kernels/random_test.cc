// Random arrays: the layout of src/program.h against Random123 and long double mathematics; slices, transposes and
// chunks of one array; and whether the numbers are distributed as they should be.
#include <Random123/philox.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "tests/kernels/harness.h"

namespace tegula::test {
namespace {

struct Words {
  std::uint64_t lane0, lane1;
};

Words oracle_words(const RandomSource& source, std::uint32_t draw, std::uint64_t counter) {
  using Philox = r123::Philox4x32;
  const Philox::ctr_type c = {
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), draw, source.stream}};
  const Philox::key_type k = {{static_cast<std::uint32_t>(source.key), static_cast<std::uint32_t>(source.key >> 32)}};
  const Philox::ctr_type w = Philox()(c, k);
  return {w[0] | std::uint64_t{w[1]} << 32, w[2] | std::uint64_t{w[3]} << 32};
}

struct Place {
  std::uint64_t counter;
  int lane;
};

Place place_of(const RandomSource& source, const Shape& position) {
  if (source.shape.empty()) return {0, 0};
  std::uint64_t row = 0;
  for (std::size_t d = 0; d + 1 < source.shape.size(); ++d)
    row = row * static_cast<std::uint64_t>(source.shape[d]) + static_cast<std::uint64_t>(position[d]);
  const auto n = static_cast<std::uint64_t>(source.shape.back()), j = static_cast<std::uint64_t>(position.back());
  return {8 * ((n + 15) / 16) * row + 8 * (j / 16) + j % 8, static_cast<int>(j / 8 % 2)};
}

long double oracle_normal(Words w, int lane) {
  const long double u = (0x1p52L - static_cast<long double>(w.lane0 >> 12)) / 0x1p52L;
  const long double r = std::sqrt(-2 * std::log(u));
  const auto quarter = static_cast<unsigned>(w.lane1 >> 62) + (lane == 0 ? 1u : 0u);  // cos is sin a quarter on
  const long double t = static_cast<long double>((w.lane1 << 2) >> 12) / 0x1p52L - 0.5L;
  const long double x = 3.14159265358979323846264338327950288L / 2 * t;
  const long double sine = quarter % 2 == 0 ? std::sin(x) : std::cos(x);
  return r * (quarter % 4 >= 2 ? -sine : sine);
}

std::uint64_t oracle_integer(const RandomSource& source, Place place) {
  __extension__ typedef unsigned __int128 Wide;
  for (std::uint32_t draw = 0;; ++draw) {
    const Words w = oracle_words(source, draw, place.counter);
    const std::uint64_t word = place.lane == 0 ? w.lane0 : w.lane1;
    if (source.range == 0) return word + static_cast<std::uint64_t>(source.low_int);
    const Wide product = static_cast<Wide>(word) * source.range;
    const std::uint64_t threshold = static_cast<std::uint64_t>((static_cast<Wide>(1) << 64) % source.range);
    if (static_cast<std::uint64_t>(product) >= threshold)
      return static_cast<std::uint64_t>(product >> 64) + static_cast<std::uint64_t>(source.low_int);
  }
}

RandomSource source_of(Distribution distribution, DType dtype, Shape shape) {
  RandomSource source;
  source.distribution = distribution;
  source.dtype = dtype;
  source.key = 0x0123456789ABCDEFu;
  source.stream = 7;
  source.map = identity_map(static_cast<int>(shape.size()));
  source.shape = std::move(shape);
  if (distribution == Distribution::kIntegers) {
    source.low_int = -5;
    source.range = 1000;
  }
  return source;
}

Program program_of(RandomSource source, const Shape& shape) {
  Program program;
  program.sources = {std::move(source)};
  program.chunks = one_chunk(shape);
  return program;
}

TEST(Random, WordsAndUniformsAreRandom123s) {
  for (const Library& library : Library::all()) {
    const Shape shape = {5, 100};
    RandomSource source = source_of(Distribution::kUniform, DType::kFloat64, shape);
    const TestArray doubles = run_program(library, program_of(source, shape), {});
    source.dtype = DType::kFloat32;
    const TestArray floats = run_program(library, program_of(source, shape), {});
    RandomSource whole_words = source_of(Distribution::kIntegers, DType::kUInt64, shape);
    whole_words.range = 0;
    whole_words.low_int = 0;
    const TestArray words = run_program(library, program_of(whole_words, shape), {});
    for (std::int64_t i = 0; i < doubles.size(); ++i) {
      const Place place = place_of(source, {i / 100, i % 100});
      const Words w = oracle_words(source, 0, place.counter);
      const std::uint64_t word = place.lane == 0 ? w.lane0 : w.lane1;
      ASSERT_EQ(words.get<std::uint64_t>(i), word) << i << " on " << library.level();
      ASSERT_EQ(doubles.get<double>(i), static_cast<double>(word >> 11) * 0x1p-53);
      ASSERT_EQ(floats.get<float>(i), static_cast<float>(word >> 40) * 0x1p-24f);
    }
  }
}

TEST(Random, NormalsAreBoxMullersWithinFourUnits) {
  const Shape shape = {500, 1000};
  RandomSource source = source_of(Distribution::kNormal, DType::kFloat64, shape);
  const TestArray z = run_program(Library::best(), program_of(source, shape), {});
  double worst = 0;
  for (std::int64_t i = 0; i < z.size(); ++i) {
    const Place place = place_of(source, {i / 1000, i % 1000});
    const long double exact = oracle_normal(oracle_words(source, 0, place.counter), place.lane);
    const double unit = std::ldexp(1.0, std::ilogb(static_cast<double>(exact)) - 52);
    worst = std::max(worst, static_cast<double>(std::abs(z.get<double>(i) - exact)) / unit);
  }
  EXPECT_LE(worst, 4);
  RecordProperty("worst_error_in_units", std::to_string(worst));
}

TEST(Random, FloatNormalsAreRoundedDoubles) {
  const Shape shape = {3, 200};
  RandomSource source = source_of(Distribution::kNormal, DType::kFloat64, shape);
  source.a = 10;
  source.b = 3;
  const TestArray doubles = run_program(Library::best(), program_of(source, shape), {});
  source.dtype = DType::kFloat32;
  const TestArray floats = run_program(Library::best(), program_of(source, shape), {});
  for (std::int64_t i = 0; i < doubles.size(); ++i)
    ASSERT_EQ(floats.get<float>(i), static_cast<float>(doubles.get<double>(i)));
}

TEST(Random, IntegersAreLemires) {
  const DType dtypes[] = {DType::kInt8,  DType::kInt16,  DType::kInt32,  DType::kInt64,
                          DType::kUInt8, DType::kUInt16, DType::kUInt32, DType::kUInt64};
  // The last two reject about every third and every other draw.
  const std::uint64_t ranges[] = {1, 2, 100, 1000, 0xFFFFFFFF, 0x100000001, 0xC000000000000001, 0x8000000000000001};
  const Shape shape = {300};
  for (const Library& library : Library::all()) {
    for (const DType dtype : dtypes) {
      for (const std::uint64_t range : ranges) {
        RandomSource source = source_of(Distribution::kIntegers, dtype, shape);
        source.range = range;
        const TestArray got = run_program(library, program_of(source, shape), {});
        for (std::int64_t i = 0; i < got.size(); ++i) {
          const std::uint64_t expected = oracle_integer(source, place_of(source, {i}));
          ASSERT_EQ(std::memcmp(got.at(i), &expected, item_size(dtype)), 0)
              << name_of(dtype) << " below " << range << ", element " << i;
        }
      }
    }
  }
}

TEST(Random, LevelsGiveTheSameBits) {
  const Shape shape = {7, 333};
  for (const Distribution distribution : {Distribution::kUniform, Distribution::kNormal, Distribution::kIntegers}) {
    for (const DType dtype : {DType::kFloat64, DType::kFloat32, DType::kInt32}) {
      if ((distribution == Distribution::kIntegers) != (dtype == DType::kInt32)) continue;
      RandomSource source = source_of(distribution, dtype, shape);
      source.a = 2;
      source.b = 5;
      const Bytes expected = run_program(Library::all()[0], program_of(source, shape), {}).bytes();
      for (const Library& library : Library::all())
        EXPECT_EQ(run_program(library, program_of(source, shape), {}).bytes(), expected);
    }
  }
}

// Any slice, transpose, integer index, broadcast or diagonal of a random array has the elements of the whole array,
// whatever the blocks.
TEST(Random, MappedElementsAreThoseOfTheWholeArray) {
  std::mt19937 random(3);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  const std::int64_t steps[] = {1, 1, 2, 3, 4, 5, 8, 16, 17, -1, -2, -3, -4, -8, -16};
  for (int round = 0; round < 400; ++round) {
    Shape whole_shape;
    const int ndim = static_cast<int>(below(3)) + 1;
    for (int d = 0; d < ndim; ++d) whole_shape.push_back(d == ndim - 1 ? 1 + below(400) : 1 + below(6));
    const DType dtype = round % 3 == 0 ? DType::kFloat32 : DType::kFloat64;
    const Distribution distribution = round % 4 == 0   ? Distribution::kIntegers
                                      : round % 4 == 1 ? Distribution::kUniform
                                                       : Distribution::kNormal;
    RandomSource source =
        source_of(distribution, distribution == Distribution::kIntegers ? DType::kInt16 : dtype, whole_shape);
    const Library& library = Library::all()[static_cast<std::size_t>(round) % Library::all().size()];
    const TestArray all = run_program(library, program_of(source, whole_shape), {});

    // The view's axes are a permutation of the array's, some of them dropped; one more may be broadcast.
    Shape shape;
    std::vector<int> order(static_cast<std::size_t>(ndim));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    for (const int d : order) {
      const auto extent = whole_shape[static_cast<std::size_t>(d)];
      const std::int64_t step = steps[static_cast<std::size_t>(below(std::ssize(steps)))];
      const std::int64_t start = below(extent);
      const std::int64_t room = step > 0 ? (extent - 1 - start) / step : start / -step;
      source.map.start[static_cast<std::size_t>(d)] = start;
      source.map.step[static_cast<std::size_t>(d)] = step;
      if (below(5) == 0) {
        source.map.axis[static_cast<std::size_t>(d)] = -1;
      } else {
        source.map.axis[static_cast<std::size_t>(d)] = static_cast<std::int32_t>(shape.size());
        shape.push_back(room + 1);
      }
    }
    if (below(4) == 0) shape.push_back(3);
    std::vector<DimChunks> dims;
    for (const auto extent : shape) dims.push_back(DimChunks(extent, 1 + below(extent)));
    Program program = program_of(source, shape);
    program.chunks = ChunkGrid(dims);

    std::vector<std::int64_t> block(shape.size());
    for (std::int64_t b = 0; b < program.chunks.blocks() && b < 6; ++b) {
      unravel((b * 7919) % program.chunks.blocks(), program.chunks.grid(), block);
      const TestArray got = run_program(library, program, {}, block);
      const Shape offset = program.chunks.block_offset(block);
      Shape position(shape.size());
      for (std::int64_t i = 0; i < got.size(); ++i) {
        unravel(i, got.shape, position);
        std::int64_t index = 0;
        for (std::size_t d = 0; d < whole_shape.size(); ++d) {
          std::int64_t p = source.map.start[d];
          if (source.map.axis[d] >= 0) {
            const auto axis = static_cast<std::size_t>(source.map.axis[d]);
            p += source.map.step[d] * (offset[axis] + position[axis]);
          }
          index = index * whole_shape[d] + p;
        }
        ASSERT_EQ(std::memcmp(got.at(i), all.at(index), item_size(got.dtype)), 0)
            << "round " << round << ", element " << i;
      }
    }
  }
}

TEST(Random, RowsAsLongAsTheyCome) {
  constexpr std::int64_t step = std::int64_t{1} << 58, count = 16;
  RandomSource source = source_of(Distribution::kUniform, DType::kFloat64, {step * count});
  source.map.step = {step};
  for (const Library& library : Library::all()) {
    const TestArray got = run_program(library, program_of(source, {count}), {});
    for (std::int64_t i = 0; i < count; ++i) {
      const Place place = place_of(source, {step * i});
      const Words words = oracle_words(source, 0, place.counter);
      EXPECT_EQ(got.get<double>(i), static_cast<double>((place.lane == 0 ? words.lane0 : words.lane1) >> 11) * 0x1p-53);
    }
  }
}

TEST(Random, ZeroDimensionalArraysHaveOneElement) {
  RandomSource source = source_of(Distribution::kUniform, DType::kFloat64, {});
  const TestArray got = run_program(Library::best(), program_of(source, {}), {});
  EXPECT_EQ(got.get<double>(0), static_cast<double>(oracle_words(source, 0, 0).lane0 >> 11) * 0x1p-53);
}

// ---- Distribution. The numbers are fixed, so these can't fail by chance. ----

std::vector<double> sample(Distribution distribution, std::int64_t n) {
  return run_program(Library::best(), program_of(source_of(distribution, DType::kFloat64, {n}), {n}), {})
      .values<double>();
}

// Kolmogorov and Smirnov's distance, times sqrt(n): 1.95 is passed by one sample in a thousand.
double distance(std::vector<double> values, double (*cumulative)(double)) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  double largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double p = cumulative(values[i]);
    largest = std::max({largest, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return largest * std::sqrt(n);
}

TEST(Random, NormalsAreDistributedNormally) {
  constexpr std::int64_t n = 1'000'000;
  const std::vector<double> z = sample(Distribution::kNormal, n);
  double moments[5] = {};
  for (const double x : z) {
    double power = 1;
    for (double& moment : moments) moment += power, power *= x;
  }
  for (double& moment : moments) moment /= n;
  EXPECT_NEAR(moments[1], 0, 4e-3);  // four standard errors each
  EXPECT_NEAR(moments[2], 1, 6e-3);
  EXPECT_NEAR(moments[3], 0, 16e-3);
  EXPECT_NEAR(moments[4], 3, 40e-3);
  EXPECT_LT(distance(z, [](double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }), 1.95);
  // Tails: 2.7e-3 beyond 3, 6.3e-5 beyond 4.
  const auto beyond = [&](double limit) {
    return std::count_if(z.begin(), z.end(), [limit](double x) { return std::abs(x) > limit; });
  };
  EXPECT_NEAR(static_cast<double>(beyond(3)), 2700, 210);
  EXPECT_NEAR(static_cast<double>(beyond(4)), 63, 32);
  // Box-Muller partners lie 8 apart and must not know of each other, nor must neighbours.
  for (const std::size_t apart : {1u, 7u, 8u, 16u}) {
    double product = 0, square_product = 0;
    for (std::size_t i = 0; i + apart < z.size(); ++i) {
      product += z[i] * z[i + apart];
      square_product += (z[i] * z[i] - 1) * (z[i + apart] * z[i + apart] - 1);
    }
    EXPECT_NEAR(product / n, 0, 4e-3) << apart;
    EXPECT_NEAR(square_product / n, 0, 9e-3) << apart;
  }
}

TEST(Random, UniformsAreDistributedUniformly) {
  const std::vector<double> u = sample(Distribution::kUniform, 1'000'000);
  EXPECT_LT(distance(u, [](double x) { return x; }), 1.95);
  EXPECT_GE(*std::min_element(u.begin(), u.end()), 0.0);
  EXPECT_LT(*std::max_element(u.begin(), u.end()), 1.0);
}

TEST(Random, KeysAndStreamsGiveOtherNumbers) {
  RandomSource source = source_of(Distribution::kUniform, DType::kFloat64, {100});
  const Bytes first = run_program(Library::best(), program_of(source, {100}), {}).bytes();
  source.key ^= 1;
  const Bytes second = run_program(Library::best(), program_of(source, {100}), {}).bytes();
  source.stream ^= 1;
  const Bytes third = run_program(Library::best(), program_of(source, {100}), {}).bytes();
  EXPECT_NE(first, second);
  EXPECT_NE(second, third);
}

}  // namespace
}  // namespace tegula::test
