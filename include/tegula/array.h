// Chunked n-d arrays: lazy expressions whose shape, dtype and chunks are known when written. Nothing is computed before
// compute() or persist().
//
//   using namespace tegula;
//   Client client;                                                       // embedded, or Client("tcp://host:8786")
//   Array x = random::normal(10, 1, {20000, 20000}, {2000, 2000});
//   double total = (x + 1)(slice(_, _, 2), slice(_, _, 2)).sum().compute().item<double>();
//
// Semantics are NumPy 2's. Errors of shape, dtype, axis and index are thrown at the line that writes the expression.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tegula/client.h"
#include "tegula/dtype.h"
#include "tegula/error.h"
#include "tegula/host_array.h"

namespace tegula {

namespace detail {
struct Expression;
using ExpressionPtr = std::shared_ptr<const Expression>;
}  // namespace detail

// ---- Chunk specifications ----
// Per dimension: a size (100), a list of sizes ({50, 50, 20}), -1 for the whole dimension, or "auto". For all
// dimensions: a list of those, one of those for every dimension, or a byte size for "auto": Chunks::automatic("64MiB").
struct ChunkDim {
  ChunkDim(int size) : value(static_cast<std::int64_t>(size)) {}                                    // NOLINT
  ChunkDim(std::int64_t size) : value(size) {}                                                      // NOLINT
  ChunkDim(std::initializer_list<std::int64_t> sizes) : value(std::vector<std::int64_t>(sizes)) {}  // NOLINT
  ChunkDim(std::vector<std::int64_t> sizes) : value(std::move(sizes)) {}                            // NOLINT
  ChunkDim(const char* automatic) : value(std::string(automatic)) {}                                // NOLINT  "auto"
  std::variant<std::int64_t, std::vector<std::int64_t>, std::string> value;
};
class Chunks {
 public:
  Chunks() : uniform_(ChunkDim("auto")) {}                          // "auto" by the configured chunk size
  Chunks(std::initializer_list<ChunkDim> dims) : dims_(dims) {}     // NOLINT
  Chunks(std::vector<ChunkDim> dims) : dims_(std::move(dims)) {}    // NOLINT
  Chunks(int size) : uniform_(ChunkDim(size)) {}                    // NOLINT  for every dimension
  Chunks(const char* automatic) : uniform_(ChunkDim(automatic)) {}  // NOLINT  "auto"
  static Chunks automatic(const std::string& bytes);                // "auto" with chunks of about this many bytes

  const std::optional<ChunkDim>& uniform() const { return uniform_; }
  const std::vector<ChunkDim>& dims() const { return dims_; }
  const std::string& limit() const { return limit_; }

 private:
  std::optional<ChunkDim> uniform_;
  std::vector<ChunkDim> dims_;
  std::string limit_;
};

// ---- Indexing ----
struct Omitted {};
inline constexpr Omitted _{};  // an omitted bound: slice(_, _, 2) is Python's ::2
struct SliceBound {
  SliceBound(Omitted) {}                    // NOLINT
  SliceBound(int v) : value(v) {}           // NOLINT
  SliceBound(std::int64_t v) : value(v) {}  // NOLINT
  std::optional<std::int64_t> value;
};
struct Slice {
  std::optional<std::int64_t> start, stop, step;
};
Slice slice(SliceBound start, SliceBound stop, SliceBound step = _);
inline Slice slice(SliceBound stop) { return slice(_, stop, _); }
struct NewAxis {};
inline constexpr NewAxis newaxis{};
struct Ellipsis {};
inline constexpr Ellipsis ellipsis{};
struct IndexItem {
  IndexItem(int i) : value(static_cast<std::int64_t>(i)) {}  // NOLINT
  IndexItem(std::int64_t i) : value(i) {}                    // NOLINT
  IndexItem(Slice s) : value(s) {}                           // NOLINT
  IndexItem(Omitted) : value(Slice{}) {}                     // NOLINT
  IndexItem(NewAxis n) : value(n) {}                         // NOLINT
  IndexItem(Ellipsis e) : value(e) {}                        // NOLINT
  std::variant<std::int64_t, Slice, NewAxis, Ellipsis> value;
};

// Which axes a reduction takes: all of them, one, or several.
struct Axes {
  Axes() = default;
  Axes(int axis) : list(std::vector<int>{axis}) {}                         // NOLINT
  Axes(std::initializer_list<int> axes) : list(std::vector<int>(axes)) {}  // NOLINT
  Axes(std::vector<int> axes) : list(std::move(axes)) {}                   // NOLINT
  std::optional<std::vector<int>> list;                                    // nullopt: all
};

struct ComputeOptions {
  // false: every operation is its own layer and every intermediate chunk is stored (for comparison)
  bool optimize = true;

  int priority = 0;  // tasks of greater priority go first, whoever asked for them; equal ones share the workers fairly

  // These hold for what is computed anew for this call. Where equal work is under way already, that is shared as it is.
  unsigned retries = 0;                      // failures of each task that are forgiven, at most 65535
  std::chrono::milliseconds retry_delay{0};  // before the first further attempt; doubled for each one after it
  std::vector<std::string> workers = {};     // run only on these: names, addresses ("tcp://10.0.0.2:9000") or hosts
  bool allow_other_workers = false;          // on others while none of `workers` is there
  // How long each task may take; 0: as the workers' configuration says (worker.time-limit, off by default). A task that
  // takes longer fails with a TaskError of code kTimeout.
  std::chrono::milliseconds time_limit{0};
  // What each task occupies while it runs, of what workers have in all (tegula-worker --resources): {{"GPU", 1}}.
  // Amounts from 1e-6 to 1e12. "memory" every worker has: bytes, of its memory limit, that are reserved for each task
  // beside its inputs, from 1 to 1e15; a task may run where the limit is no less. It takes what is left where that is
  // not so much. compute() and persist() throw ValueError for other amounts.
  std::map<std::string, double> resources = {};
};

// What an array is and how it would be computed: the expression, its optimized form, the layers. print or stream it.
struct Explanation {
  std::string expression, optimized, layers;
  std::string text() const;
};
std::ostream& operator<<(std::ostream& out, const Explanation& explanation);

// ---- Array ----
// An immutable handle on an expression; copying is free. Safe to share between threads.
class Array {
 public:
  using Shape = std::vector<std::int64_t>;

  const Shape& shape() const;
  DType dtype() const;
  int ndim() const { return static_cast<int>(shape().size()); }
  std::int64_t size() const;                              // elements
  std::uint64_t nbytes() const;                           // if it existed at once
  std::vector<std::vector<std::int64_t>> chunks() const;  // sizes along each dimension
  Shape num_blocks() const;                               // chunks along each dimension

  // Basic indexing as NumPy's: integers, slices with any step, ellipsis, newaxis. Throws IndexError.
  // The result is const, so that `x(0, _) = y` doesn't compile: arrays are values, nothing assigns into them.
  template <typename... Items>
  const Array operator()(Items... items) const {
    return index({IndexItem(items)...});
  }
  const Array index(const std::vector<IndexItem>& items) const;

  Array astype(DType dtype) const;
  Array transpose(const std::vector<int>& axes = {}) const;  // empty: reversed
  Array T() const { return transpose(); }
  Array rechunk(const Chunks& chunks) const;
  Array real() const;
  Array imag() const;
  Array conj() const;

  // Reductions; dtype rules as NumPy's (sum of int8 is int64; mean of integers is float64). min and max of nothing
  // throw ValueError.
  Array sum(Axes axes = {}, bool keepdims = false, std::optional<DType> dtype = std::nullopt) const;
  Array prod(Axes axes = {}, bool keepdims = false, std::optional<DType> dtype = std::nullopt) const;
  Array min(Axes axes = {}, bool keepdims = false) const;
  Array max(Axes axes = {}, bool keepdims = false) const;
  Array mean(Axes axes = {}, bool keepdims = false, std::optional<DType> dtype = std::nullopt) const;
  Array var(Axes axes = {}, bool keepdims = false, double ddof = 0) const;
  Array std(Axes axes = {}, bool keepdims = false, double ddof = 0) const;
  Array any(Axes axes = {}, bool keepdims = false) const;
  Array all(Axes axes = {}, bool keepdims = false) const;

  // Computes and fetches. Without a client: Client::current(). Throws the task's error, ClosedError; ValueError when
  // the result doesn't fit in this machine's memory (checked before anything is sent).
  HostArray compute(const ComputeOptions& options = {}) const;
  HostArray compute(const Client& client, const ComputeOptions& options = {}) const;
  // Into the caller's memory: C-contiguous, exactly nbytes() bytes. Throws ValueError on another size, DTypeError
  // through the typed form, which takes this array's own element type.
  void compute_into(void* data, std::size_t nbytes, const Client& client, const ComputeOptions& options = {}) const;
  template <Element T>
  void compute_into(std::span<T> values, const Client& client, const ComputeOptions& options = {}) const {
    if (dtype() != dtype_of<T>) {
      throw DTypeError("compute_into a span of " + std::string(name_of(dtype_of<T>)) + ", but the array is " +
                       std::string(name_of(dtype())));
    }
    compute_into(values.data(), values.size_bytes(), client, options);
  }
  // Starts computing now and returns an array that stands for the stored chunks. wait() waits for them, cancel() gives
  // up on them.
  Array persist(const ComputeOptions& options = {}) const;
  Array persist(const Client& client, const ComputeOptions& options = {}) const;
  // These five only for persisted arrays; others: ValueError.
  void wait(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const;
  FutureStatus status() const;
  void cancel() const;
  // The key of the task that makes the chunk at this position, for Client::task() and the command `tegula`. Throws
  // IndexError for a position outside of num_blocks().
  std::string key(const Shape& block) const;
  // Waits for the chunks, then has each of them on so many workers, until they are lost or freed. Throws as wait(), and
  // ValueError when there are fewer workers or none has room.
  void replicate(unsigned workers) const;

  Explanation explain(const ComputeOptions& options = {}) const;

  const detail::ExpressionPtr& expression() const { return expression_; }                   // internal
  explicit Array(detail::ExpressionPtr expression) : expression_(std::move(expression)) {}  // internal

 private:
  detail::ExpressionPtr expression_;
};

// Results that are on their way: what compute_async gives.
class Future {
 public:
  HostArray result(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const;  // waits; throws as compute()
  FutureStatus status() const;
  void wait(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const;
  void cancel();

  struct Impl;
  explicit Future(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}  // internal

 private:
  std::shared_ptr<Impl> impl_;
};
Future compute_async(const Array& array, const Client& client, const ComputeOptions& options = {});
// Several at once: what they share is computed once.
std::vector<HostArray> compute(const std::vector<Array>& arrays, const Client& client,
                               const ComputeOptions& options = {});
std::vector<Array> persist(const std::vector<Array>& arrays, const Client& client, const ComputeOptions& options = {});

// ---- Creation ----
Array zeros(std::vector<std::int64_t> shape, const Chunks& chunks = {}, DType dtype = DType::kFloat64);
Array ones(std::vector<std::int64_t> shape, const Chunks& chunks = {}, DType dtype = DType::kFloat64);
Array full(std::vector<std::int64_t> shape, Scalar value, const Chunks& chunks = {},
           std::optional<DType> dtype = std::nullopt);
Array arange(Scalar start, Scalar stop, Scalar step = 1, const Chunks& chunks = {},
             std::optional<DType> dtype = std::nullopt);
Array arange(Scalar stop);
Array linspace(double start, double stop, std::int64_t count, const Chunks& chunks = {}, bool endpoint = true,
               DType dtype = DType::kFloat64);
Array eye(std::int64_t rows, std::optional<std::int64_t> columns = std::nullopt, std::int64_t k = 0,
          const Chunks& chunks = {}, DType dtype = DType::kFloat64);
// Small arrays travel inside the graph; ValueError above 64 MiB.
Array from_host(const HostArray& values, const Chunks& chunks = {});
// The file must be readable by the workers. FileError, DTypeError.
Array from_npy(const std::string& path, const Chunks& chunks = {});
// C order. FileError (disk full): nothing is left under `path`.
void to_npy(const Array& array, const std::string& path, const Client& client);

namespace random {
// The seed of the process-wide generator, from which each call of uniform(), normal() and integers() without a seed of
// its own takes a new stream. Safe from any thread; unseeded it starts from the system's entropy.
void seed(std::uint64_t seed);
struct Options {
  std::optional<DType> dtype;         // float64; of integers(): int64
  std::optional<std::uint64_t> seed;  // given: a function of this seed alone; else the next of the generator
};
Array uniform(double low, double high, std::vector<std::int64_t> shape, const Chunks& chunks = {},
              const Options& options = {});
Array normal(double mean, double standard_deviation, std::vector<std::int64_t> shape, const Chunks& chunks = {},
             const Options& options = {});
// [low, high). Throws ValueError when a value would not fit the dtype.
Array integers(std::int64_t low, std::int64_t high, std::vector<std::int64_t> shape, const Chunks& chunks = {},
               const Options& options = {});
}  // namespace random

// ---- Elementwise ----
// Array with array, and array with Scalar on either side.
#define TEGULA_BINARY(name)                    \
  Array name(const Array& a, const Array& b);  \
  Array name(const Array& a, const Scalar& b); \
  Array name(const Scalar& a, const Array& b);
TEGULA_BINARY(operator+)
TEGULA_BINARY(operator-)
TEGULA_BINARY(operator*)
TEGULA_BINARY(operator/)  // true division
TEGULA_BINARY(operator%)  // NumPy's remainder (sign of the divisor)
TEGULA_BINARY(operator==)
TEGULA_BINARY(operator!=)
TEGULA_BINARY(operator<)
TEGULA_BINARY(operator<=)
TEGULA_BINARY(operator>)
TEGULA_BINARY(operator>=)
TEGULA_BINARY(operator&)
TEGULA_BINARY(operator|)
TEGULA_BINARY(operator^)
TEGULA_BINARY(operator<<)
TEGULA_BINARY(operator>>)
TEGULA_BINARY(floor_divide)
TEGULA_BINARY(fmod)
TEGULA_BINARY(power)
TEGULA_BINARY(maximum)
TEGULA_BINARY(minimum)
TEGULA_BINARY(fmax)
TEGULA_BINARY(fmin)
TEGULA_BINARY(arctan2)
TEGULA_BINARY(hypot)
TEGULA_BINARY(copysign)
TEGULA_BINARY(logical_and)
TEGULA_BINARY(logical_or)
TEGULA_BINARY(logical_xor)
#undef TEGULA_BINARY

Array operator-(const Array& x);
Array operator+(const Array& x);
Array operator~(const Array& x);
#define TEGULA_UNARY(name) Array name(const Array& x);
TEGULA_UNARY(abs)
TEGULA_UNARY(sign)
TEGULA_UNARY(sqrt)
TEGULA_UNARY(cbrt)
TEGULA_UNARY(square)
TEGULA_UNARY(reciprocal)
TEGULA_UNARY(exp)
TEGULA_UNARY(exp2)
TEGULA_UNARY(expm1)
TEGULA_UNARY(log)
TEGULA_UNARY(log2)
TEGULA_UNARY(log10)
TEGULA_UNARY(log1p)
TEGULA_UNARY(sin)
TEGULA_UNARY(cos)
TEGULA_UNARY(tan)
TEGULA_UNARY(arcsin)
TEGULA_UNARY(arccos)
TEGULA_UNARY(arctan)
TEGULA_UNARY(sinh)
TEGULA_UNARY(cosh)
TEGULA_UNARY(tanh)
TEGULA_UNARY(arcsinh)
TEGULA_UNARY(arccosh)
TEGULA_UNARY(arctanh)
TEGULA_UNARY(floor)
TEGULA_UNARY(ceil)
TEGULA_UNARY(trunc)
TEGULA_UNARY(rint)
TEGULA_UNARY(isnan)
TEGULA_UNARY(isinf)
TEGULA_UNARY(isfinite)
TEGULA_UNARY(signbit)
TEGULA_UNARY(logical_not)
#undef TEGULA_UNARY
Array where(const Array& condition, const Array& a, const Array& b);
Array where(const Array& condition, const Array& a, const Scalar& b);
Array where(const Array& condition, const Scalar& a, const Array& b);

}  // namespace tegula
