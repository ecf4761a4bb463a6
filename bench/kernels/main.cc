// What an element costs in the kernels, beside hand-written loops over the same memory. One thread; nanoseconds of
// processor time per element, the least of several runs.
//
//   kernel_bench [LEVEL]     (portable, v3, v4; the best by default; TEGULA_KERNELS__PATH says where the libraries are)
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <functional>

#include "tests/kernels/harness.h"

namespace tegula::test {
namespace {

constexpr int kRepeats = 7;

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double ns_per_element(std::int64_t elements, const std::function<void()>& work) {
  double best = 1e300;
  for (int i = 0; i < kRepeats; ++i) {
    const double begin = processor_seconds();
    work();
    best = std::min(best, processor_seconds() - begin);
  }
  return best / static_cast<double>(elements) * 1e9;
}

void report(const char* what, double kernel, double by_hand = 0) {
  if (by_hand > 0) {
    std::printf("%-44s %8.3f ns   by hand %8.3f   ratio %.2f\n", what, kernel, by_hand, kernel / by_hand);
  } else {
    std::printf("%-44s %8.3f ns\n", what, kernel);
  }
}

double time_program(const Library& library, const Program& program, const std::vector<TestArray>& inputs) {
  ReadyTask task(library.kernel("tegula.program"), encode(program), program_task(program, inputs));
  return ns_per_element(element_count(program.chunks.shape()), [&] { task.run(); });
}

RandomSource random_source(Distribution distribution, DType dtype, Shape shape, std::int64_t step) {
  RandomSource source;
  source.distribution = distribution;
  source.dtype = dtype;
  source.key = 1;
  source.map = identity_map(static_cast<int>(shape.size()));
  for (auto& s : source.map.step) s = step;
  for (auto& extent : shape) extent *= step;
  source.shape = std::move(shape);
  source.range = 1000;
  return source;
}

void bench_random(const Library& library) {
  const Shape shape = {1000, 1000};
  const struct {
    const char* name;
    Distribution distribution;
    DType dtype;
    std::int64_t step;
  } cases[] = {{"normal float64", Distribution::kNormal, DType::kFloat64, 1},
               {"normal float64, every 2nd", Distribution::kNormal, DType::kFloat64, 2},
               {"normal float64, every 3rd", Distribution::kNormal, DType::kFloat64, 3},
               {"normal float32", Distribution::kNormal, DType::kFloat32, 1},
               {"uniform float64", Distribution::kUniform, DType::kFloat64, 1},
               {"uniform float32", Distribution::kUniform, DType::kFloat32, 1},
               {"integers below 1000, int64", Distribution::kIntegers, DType::kInt64, 1}};
  for (const auto& c : cases) {
    Program program;
    program.sources = {random_source(c.distribution, c.dtype, shape, c.step)};
    program.chunks = one_chunk(shape);
    report(c.name, time_program(library, program, {}));
  }
  // The headline: (normal + 1)[::2, ::2].sum(), nothing stored.
  Program program;
  program.sources = {random_source(Distribution::kNormal, DType::kFloat64, {2500, 2500}, 2), constant(1.0)};
  program.code = {instruction(Op::kAdd, DType::kFloat64, 0, 1)};
  program.result = 2;
  program.chunks = one_chunk({2500, 2500});
  Reduction sum;
  sum.axes = {true, true};
  program.reduction = sum;
  report("(normal + 1)[::2, ::2].sum(), per kept element", time_program(library, program, {}));
}

TestArray ramp(const Shape& shape) {
  TestArray array = TestArray::zeros(DType::kFloat64, shape);
  auto* x = reinterpret_cast<double*>(array.data);
  for (std::int64_t i = 0; i < array.size(); ++i) x[i] = 0.5 + static_cast<double>(i % 1000) * 1e-3;
  return array;
}

// sqrt(((a * 1.5 + b) * a - 2.5) * b + 0.25) / (a + 3.0): eight operations.
void bench_chain(const Library& library, std::int64_t n, const char* name) {
  const TestArray a = ramp({n}), b = ramp({n});
  const DType f64 = DType::kFloat64;
  Program program;
  program.sources = {input_source(0, f64, 1), input_source(1, f64, 1), constant(1.5),
                     constant(2.5),           constant(0.25),          constant(3.0)};
  program.code = {instruction(Op::kMultiply, f64, 0, 2), instruction(Op::kAdd, f64, 6, 1),
                  instruction(Op::kMultiply, f64, 7, 0), instruction(Op::kSubtract, f64, 8, 3),
                  instruction(Op::kMultiply, f64, 9, 1), instruction(Op::kAdd, f64, 10, 4),
                  instruction(Op::kAdd, f64, 0, 5),      instruction(Op::kDivide, f64, 11, 12)};
  program.result = 13;
  program.chunks = one_chunk({n});
  const double kernel = time_program(library, program, {a, b});

  TestArray out = TestArray::zeros(f64, {n});
  const auto* x = reinterpret_cast<const double*>(a.data);
  const auto* y = reinterpret_cast<const double*>(b.data);
  auto* z = reinterpret_cast<double*>(out.data);
  const double by_hand = ns_per_element(n, [&] {
    for (std::int64_t i = 0; i < n; ++i) z[i] = (((x[i] * 1.5 + y[i]) * x[i] - 2.5) * y[i] + 0.25) / (x[i] + 3.0);
  });
  report(name, kernel, by_hand);
}

void bench_add(const Library& library, std::int64_t n, const char* name) {
  const TestArray a = ramp({n});
  Program program;
  program.sources = {input_source(0, DType::kFloat64, 1), constant(1.0)};
  program.code = {instruction(Op::kAdd, DType::kFloat64, 0, 1)};
  program.result = 2;
  program.chunks = one_chunk({n});
  const double kernel = time_program(library, program, {a});
  TestArray out = TestArray::zeros(DType::kFloat64, {n});
  const auto* x = reinterpret_cast<const double*>(a.data);
  auto* z = reinterpret_cast<double*>(out.data);
  const double by_hand = ns_per_element(n, [&] {
    for (std::int64_t i = 0; i < n; ++i) z[i] = x[i] + 1.0;
  });
  report(name, kernel, by_hand);
}

void bench_mixed(const Library& library, std::int64_t n, const char* name) {
  TestArray a = TestArray::zeros(DType::kFloat32, {n});
  auto* values = reinterpret_cast<float*>(a.data);
  for (std::int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(i % 100);
  Program program;
  program.sources = {input_source(0, DType::kFloat32, 1), constant(1.0), constant(2.5)};
  program.code = {cast(DType::kFloat32, DType::kFloat64, 0), instruction(Op::kAdd, DType::kFloat64, 3, 1),
                  instruction(Op::kMultiply, DType::kFloat64, 4, 2), cast(DType::kFloat64, DType::kFloat32, 5)};
  program.result = 6;
  program.chunks = one_chunk({n});
  const double kernel = time_program(library, program, {a});
  TestArray out = TestArray::zeros(DType::kFloat32, {n});
  auto* z = reinterpret_cast<float*>(out.data);
  const double by_hand = ns_per_element(n, [&] {
    for (std::int64_t i = 0; i < n; ++i) z[i] = static_cast<float>((static_cast<double>(values[i]) + 1.0) * 2.5);
  });
  report(name, kernel, by_hand);
}

void bench_reductions(const Library& library) {
  const Shape shape = {2000, 2000};
  const TestArray a = ramp(shape);
  const auto* x = reinterpret_cast<const double*>(a.data);
  volatile double sink = 0;
  const double by_hand = ns_per_element(a.size(), [&] {
    double lanes[16] = {};
    for (std::int64_t i = 0; i + 16 <= a.size(); i += 16) {
      for (int l = 0; l < 16; ++l) lanes[l] += x[i + l];
    }
    sink = lanes[0] + lanes[15];
  });
  const struct {
    const char* name;
    ReduceOp op;
    std::vector<bool> axes;
  } cases[] = {{"sum of a stored chunk", ReduceOp::kSum, {true, true}},
               {"sum over axis 0", ReduceOp::kSum, {true, false}},
               {"sum over axis 1", ReduceOp::kSum, {false, true}},
               {"max of a stored chunk", ReduceOp::kMax, {true, true}},
               {"moments of a stored chunk", ReduceOp::kMoments, {true, true}},
               {"moments over axis 0", ReduceOp::kMoments, {true, false}}};
  for (const auto& c : cases) {
    Program program;
    program.sources = {input_source(0, DType::kFloat64, 2)};
    program.chunks = one_chunk(shape);
    Reduction reduction;
    reduction.op = c.op;
    reduction.axes = c.axes;
    program.reduction = reduction;
    report(c.name, time_program(library, program, {a}), by_hand);
  }
}

void bench_transpose(const Library& library) {
  const Shape shape = {2000, 2000};
  const TestArray a = ramp(shape);
  Program program;
  InputSource transposed = input_source(0, DType::kFloat64, 2);
  transposed.axis = {1, 0};
  program.sources = {transposed, constant(1.0)};
  program.code = {instruction(Op::kAdd, DType::kFloat64, 0, 1)};
  program.result = 2;
  program.chunks = one_chunk(shape);
  report("x.T + 1", time_program(library, program, {a}));
}

void bench_math(const Library& library) {
  const std::int64_t n = 1 << 20;
  const TestArray a = ramp({n});
  for (const Op op : {Op::kSqrt, Op::kExp, Op::kLog, Op::kSin, Op::kTanh}) {
    Program program;
    program.sources = {input_source(0, DType::kFloat64, 1)};
    program.code = {instruction(op, DType::kFloat64, 0)};
    program.result = 1;
    program.chunks = one_chunk({n});
    report(std::string(name_of(op)).c_str(), time_program(library, program, {a}));
  }
}

int run(int argc, char** argv) {
  const Library* library = &Library::best();
  for (const Library& candidate : Library::all()) {
    if (argc > 1 && candidate.level() == argv[1]) library = &candidate;
  }
  std::printf("level %s, %s\n", library->level().c_str(), Library::directory().c_str());
  bench_random(*library);
  bench_chain(*library, 20'000, "8 operations, in the second-level cache");
  bench_chain(*library, 8'000'000, "8 operations, in memory");
  bench_add(*library, 20'000, "x + 1, in the second-level cache");
  bench_add(*library, 16'000'000, "x + 1, in memory");
  bench_mixed(*library, 8'000'000, "float32((float64(x) + 1) * 2.5), in memory");
  bench_reductions(*library);
  bench_transpose(*library);
  bench_math(*library);
  return 0;
}

}  // namespace
}  // namespace tegula::test

int main(int argc, char** argv) { return tegula::test::run(argc, argv); }
