// Random arrays. An array is a function of a key, a stream and the element's position (program.h, RandomSource).
//
// From seeds to keys: key = mix(seed), where mix is the finalizer of splitmix64 applied to seed + golden ratio: a
// bijection, so different seeds have different keys, and near seeds have unrelated ones. An array with a seed of its
// own is stream 0 of that key. The generator behind the others starts with a key from the system's entropy (or from
// seed()) and gives each array the next stream; after 2^32 streams it goes on with mix(key).
#include <cmath>
#include <limits>
#include <mutex>
#include <random>
#include <string>

#include "array/chunks.h"
#include "array/expression.h"
#include "array/views.h"

namespace tegula {
namespace {

std::uint64_t mix(std::uint64_t seed) {
  std::uint64_t z = seed + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

struct Generator {
  std::mutex mutex;
  std::uint64_t key;
  std::uint64_t next_stream = 0;

  Generator() {
    std::random_device entropy;
    key = mix((static_cast<std::uint64_t>(entropy()) << 32) | entropy());
  }
};

Generator& generator() {
  static Generator instance;
  return instance;
}

Array make_random(RandomSource source, DType dtype, const std::vector<std::int64_t>& shape, const Chunks& chunks,
                  const random::Options& options) {
  source.dtype = dtype;
  ChunkGrid grid = detail::resolve_chunks(chunks, shape, source.dtype);
  if (options.seed) {
    source.key = mix(*options.seed);
    source.stream = 0;
  } else {
    Generator& global = generator();
    const std::lock_guard lock(global.mutex);
    if (global.next_stream > std::numeric_limits<std::uint32_t>::max()) {
      global.key = mix(global.key);
      global.next_stream = 0;
    }
    source.key = global.key;
    source.stream = static_cast<std::uint32_t>(global.next_stream++);
  }
  source.shape = shape;
  source.map = detail::identity_map(static_cast<int>(shape.size()));
  if (shape.empty()) {  // a single value is the one element of a row
    source.shape = {1};
    source.map = {{-1}, {0}, {0}};
  }
  return Array(detail::make_expression(detail::Generated{std::move(source)}, {}, dtype, std::move(grid)));
}

DType real_dtype(const char* what, const random::Options& options) {
  const DType dtype = options.dtype.value_or(DType::kFloat64);
  if (kind_of(dtype) != DTypeKind::kFloat) {
    throw DTypeError(std::string(what) + " random numbers of " + std::string(name_of(dtype)));
  }
  return dtype;
}

// Number of values in [low, high), 0 meaning 2^64.
std::uint64_t width(std::int64_t low, std::int64_t high) {
  return static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
}

// Whether every value of [low, high) is one of `dtype`.
bool holds_range(DType dtype, std::int64_t low, std::int64_t high) {
  const int bits = static_cast<int>(item_size(dtype)) * 8;
  if (dtype == DType::kUInt64) return low >= 0;
  if (kind_of(dtype) == DTypeKind::kUnsigned) return low >= 0 && high - 1 <= (std::int64_t{1} << bits) - 1;
  if (bits == 64) return true;
  return low >= -(std::int64_t{1} << (bits - 1)) && high - 1 <= (std::int64_t{1} << (bits - 1)) - 1;
}

}  // namespace

namespace random {

void seed(std::uint64_t seed) {
  Generator& global = generator();
  const std::lock_guard lock(global.mutex);
  global.key = mix(seed);
  global.next_stream = 0;
}

Array uniform(double low, double high, std::vector<std::int64_t> shape, const Chunks& chunks, const Options& options) {
  const DType dtype = real_dtype("uniform", options);
  if (!std::isfinite(high - low)) {
    throw ValueError("uniform from " + std::to_string(low) + " to " + std::to_string(high) +
                     ": the range is no number");
  }
  RandomSource source;
  source.distribution = Distribution::kUniform;
  source.a = low;
  source.b = high;
  return make_random(std::move(source), dtype, shape, chunks, options);
}

Array normal(double mean, double standard_deviation, std::vector<std::int64_t> shape, const Chunks& chunks,
             const Options& options) {
  const DType dtype = real_dtype("normal", options);
  if (!(standard_deviation >= 0)) {
    throw ValueError("normal with a standard deviation of " + std::to_string(standard_deviation) +
                     ", which is negative or no number");
  }
  RandomSource source;
  source.distribution = Distribution::kNormal;
  source.a = mean;
  source.b = standard_deviation;
  return make_random(std::move(source), dtype, shape, chunks, options);
}

Array integers(std::int64_t low, std::int64_t high, std::vector<std::int64_t> shape, const Chunks& chunks,
               const Options& options) {
  const DType dtype = options.dtype.value_or(DType::kInt64);
  if (kind_of(dtype) != DTypeKind::kSigned && kind_of(dtype) != DTypeKind::kUnsigned) {
    throw DTypeError("random integers of " + std::string(name_of(dtype)));
  }
  const std::string range = "[" + std::to_string(low) + ", " + std::to_string(high) + ")";
  if (low >= high) throw ValueError("random integers in " + range + ": the range is empty");
  if (!holds_range(dtype, low, high)) {
    throw ValueError("random integers in " + range + " are out of bounds for " + std::string(name_of(dtype)));
  }
  RandomSource source;
  source.distribution = Distribution::kIntegers;
  source.low_int = low;
  source.range = width(low, high);
  return make_random(std::move(source), dtype, shape, chunks, options);
}

}  // namespace random
}  // namespace tegula
