#include <cmath>
#include <cstring>

#include "array/chunks.h"
#include "array/elementwise.h"
#include "array/files.h"
#include "array/views.h"
#include "src/hash.h"

namespace tegula {
namespace {

using detail::constant;
using detail::Generated;
using detail::make_expression;

constexpr std::size_t kMaxHostBytes = std::size_t{64} << 20;

Array filled(const std::vector<std::int64_t>& shape, const Scalar& value, const Chunks& chunks, DType dtype) {
  return Array(constant(value, dtype, detail::resolve_chunks(chunks, shape, dtype)));
}

Array generate(Source source, DType dtype, ChunkGrid chunks) {
  return Array(make_expression(Generated{std::move(source)}, {}, dtype, std::move(chunks)));
}

// Positions along axis `axis` of an array of `chunks`, as first + delta * position.
IotaSource positions(DType dtype, std::int32_t axis) {
  IotaSource source;
  source.dtype = dtype;
  source.map = {{axis}, {0}, {1}};
  return source;
}

std::string text_of(const Scalar& value) {
  if (value.is_integer()) {
    return value.dtype() == DType::kUInt64 ? std::to_string(static_cast<std::uint64_t>(value.as_int()))
                                           : std::to_string(value.as_int());
  }
  return std::to_string(value.as_double());
}

__extension__ using Wide = __int128;

// The value of an integer, which may need all 64 bits with or without a sign.
Wide exact(const Scalar& value) {
  const std::int64_t bits = value.as_int();
  return value.dtype() == DType::kUInt64 ? Wide{static_cast<std::uint64_t>(bits)} : Wide{bits};
}

// How many elements arange(start, stop, step) has.
std::int64_t integer_count(const Scalar& start, const Scalar& stop, const Scalar& step) {
  const Wide distance = exact(stop) - exact(start), stride = exact(step);
  if (distance == 0 || (distance > 0) != (stride > 0)) return 0;
  const Wide count = (distance - (stride > 0 ? 1 : -1)) / stride + 1;
  if (count > INT64_MAX) throw ValueError("arange has too many elements");
  return static_cast<std::int64_t>(count);
}

// As NumPy, which converts the first two values and goes on from there: a literal that doesn't fit is an error.
void check_first_values(const Scalar& start, const Scalar& step, std::int64_t count, DType dtype) {
  std::uint64_t element = 0;
  if (count > 0) start.store(dtype, &element);
  if (count < 2) return;
  const Wide second = exact(start) + exact(step);
  const Scalar value =
      second > INT64_MAX ? Scalar(static_cast<std::uint64_t>(second)) : static_cast<std::int64_t>(second);
  value.store(dtype, &element);
}

std::int64_t floating_count(double start, double stop, double step) {
  const double count = std::ceil((stop - start) / step);
  if (!std::isfinite(count) || count > 9e18) {
    throw ValueError("arange from " + std::to_string(start) + " to " + std::to_string(stop) + " in steps of " +
                     std::to_string(step) + " has no length");
  }
  return count > 0 ? static_cast<std::int64_t>(count) : 0;
}

}  // namespace

Array zeros(std::vector<std::int64_t> shape, const Chunks& chunks, DType dtype) {
  return filled(shape, 0, chunks, dtype);
}

Array ones(std::vector<std::int64_t> shape, const Chunks& chunks, DType dtype) {
  return filled(shape, 1, chunks, dtype);
}

Array full(std::vector<std::int64_t> shape, Scalar value, const Chunks& chunks, std::optional<DType> dtype) {
  return filled(shape, value, chunks, dtype.value_or(value.dtype()));
}

Array arange(Scalar start, Scalar stop, Scalar step, const Chunks& chunks, std::optional<DType> dtype) {
  bool integers = true, unsigned_too = false;
  for (const Scalar* value : {&start, &stop, &step}) {
    if (value->kind() == DTypeKind::kComplex) throw DTypeError("arange of complex128");
    integers = integers && value->is_integer();
    unsigned_too = unsigned_too || value->dtype() == DType::kUInt64;
  }
  // As NumPy, where int64 and uint64 meet in float64.
  const DType natural = integers && !unsigned_too ? DType::kInt64 : DType::kFloat64;
  if (step.as_double() == 0) {
    throw ValueError("arange from " + text_of(start) + " to " + text_of(stop) + " in steps of zero");
  }
  const DType result = dtype.value_or(natural);
  if (result == DType::kBool || kind_of(result) == DTypeKind::kComplex) {
    return arange(start, stop, step, chunks, natural).astype(result);
  }
  IotaSource source = positions(result, 0);
  std::int64_t count = 0;
  const bool to_integers = kind_of(result) <= DTypeKind::kSigned;
  if (integers) {
    count = integer_count(start, stop, step);
    if (to_integers) check_first_values(start, step, count, result);
    source.first_int = start.as_int();
    source.delta_int = step.as_int();
  } else {
    count = floating_count(start.as_double(), stop.as_double(), step.as_double());
  }
  source.first_float = start.as_double();
  source.delta_float = (start.as_double() + step.as_double()) - start.as_double();
  if (!integers && to_integers) {
    // As NumPy: the first two values are converted and the rest continues in integers.
    start.store(DType::kInt64, &source.first_int);
    std::int64_t second = 0;
    Scalar(start.as_double() + step.as_double()).store(DType::kInt64, &second);
    source.delta_int =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(second) - static_cast<std::uint64_t>(source.first_int));
  }
  return generate(source, result, detail::resolve_chunks(chunks, {count}, result));
}

Array arange(Scalar stop) { return arange(0, stop); }

Array linspace(double start, double stop, std::int64_t count, const Chunks& chunks, bool endpoint, DType dtype) {
  if (count < 0) throw ValueError("linspace with " + std::to_string(count) + " samples");
  if (dtype == DType::kBool) return linspace(start, stop, count, chunks, endpoint, DType::kFloat64).astype(dtype);
  if (kind_of(dtype) <= DTypeKind::kSigned) {
    return floor(linspace(start, stop, count, chunks, endpoint, DType::kFloat64)).astype(dtype);
  }
  const std::int64_t intervals = endpoint ? count - 1 : count;
  IotaSource source = positions(DType::kFloat64, 0);
  source.first_float = start;
  source.delta_float = intervals > 0 ? (stop - start) / static_cast<double>(intervals) : stop - start;
  const ChunkGrid grid = detail::resolve_chunks(chunks, {count}, dtype);
  Array values = generate(source, DType::kFloat64, grid);
  // The last sample is `stop` itself, which the arithmetic may miss by a rounding.
  const double last = start + static_cast<double>(intervals) * source.delta_float;
  if (endpoint && count > 1 && last != stop) {
    const Array position = generate(positions(DType::kInt64, 0), DType::kInt64, grid);
    values = where(position == count - 1, stop, values);
  }
  return values.astype(dtype);
}

Array eye(std::int64_t rows, std::optional<std::int64_t> columns, std::int64_t k, const Chunks& chunks, DType dtype) {
  const ChunkGrid grid = detail::resolve_chunks(chunks, {rows, columns.value_or(rows)}, dtype);
  IotaSource row = positions(DType::kInt64, 0);
  row.first_int = k;
  const Array on_diagonal =
      generate(row, DType::kInt64, grid) == generate(positions(DType::kInt64, 1), DType::kInt64, grid);
  return on_diagonal.astype(dtype);
}

Array from_host(const HostArray& values, const Chunks& chunks) {
  if (values.nbytes() > kMaxHostBytes) {
    throw ValueError("from_host of " + std::to_string(values.nbytes()) + " bytes; at most " +
                     std::to_string(kMaxHostBytes) + " travel inside a graph (write a .npy file and use from_npy)");
  }
  ChunkGrid grid = detail::resolve_chunks(chunks, values.shape(), values.dtype());
  // A copy of its own: the caller may go on writing to the memory.
  HostArray copy(values.dtype(), values.shape());
  if (values.nbytes() > 0) std::memcpy(copy.data(), values.data(), values.nbytes());
  const LayerHash content = hash_bytes({static_cast<const std::byte*>(copy.data()), copy.nbytes()});
  return Array(make_expression(detail::HostValues{copy, content}, {}, values.dtype(), std::move(grid)));
}

Array from_npy(const std::string& path, const Chunks& chunks) {
  ReadNpyParams params;
  params.path = detail::absolute_path(path);
  params.header = read_npy_header(params.path, &params.stamp);
  const PositionMap map = detail::identity_map(static_cast<int>(params.header.shape.size()));
  params.axis = map.axis;
  params.start = map.start;
  params.step = map.step;
  ChunkGrid grid = detail::resolve_chunks(chunks, params.header.shape, params.header.dtype);
  const DType dtype = params.header.dtype;
  return Array(make_expression(detail::NpyFile{std::move(params)}, {}, dtype, std::move(grid)));
}

}  // namespace tegula
