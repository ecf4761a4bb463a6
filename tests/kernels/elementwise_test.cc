// Every operation on every dtype that takes it, against the reference, element by element, with tiles and single
// elements as operands.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/kernels/harness.h"
#include "tests/kernels/reference.h"

namespace tegula::test {
namespace {

constexpr DType kAllDTypes[] = {DType::kBool,    DType::kInt8,      DType::kInt16,     DType::kInt32,  DType::kInt64,
                                DType::kUInt8,   DType::kUInt16,    DType::kUInt32,    DType::kUInt64, DType::kFloat32,
                                DType::kFloat64, DType::kComplex64, DType::kComplex128};

std::vector<Op> all_ops() {
  std::vector<Op> ops;
  for (int number = 0; number < 256; ++number) {
    try {
      arity(static_cast<Op>(number));
      ops.push_back(static_cast<Op>(number));
    } catch (const ValueError&) {
    }
  }
  return ops;
}

bool takes(Op op, DType dtype) {
  try {
    result_type(op, dtype);
    return true;
  } catch (const DTypeError&) {
    return false;
  }
}

template <typename T>
std::vector<T> integer_values() {
  using L = std::numeric_limits<T>;
  std::vector<T> values = {0,
                           1,
                           2,
                           3,
                           5,
                           7,
                           8,
                           31,
                           63,
                           64,
                           100,
                           L::max(),
                           L::min(),
                           static_cast<T>(L::max() - 1),
                           static_cast<T>(L::max() / 2)};
  if constexpr (std::is_signed_v<T>) {
    for (const int value : {-1, -2, -3, -7, -100}) values.push_back(static_cast<T>(value));
    values.push_back(static_cast<T>(L::min() + 1));
  }
  std::mt19937_64 random(1);
  while (values.size() < 40) values.push_back(static_cast<T>(random()));
  return values;
}

// `wild`: with numbers for which only exact operations have an answer worth comparing.
template <typename T>
std::vector<T> float_values(bool wild) {
  using L = std::numeric_limits<T>;
  std::vector<T> values = {0,      T(-0.0), 1,       -1, T(0.5), T(-0.5),      2,        -2,       3,  T(2.5), T(-2.5),
                           T(0.1), T(-0.9), T(1e-5), 10, -17,    T(1.0000001), T(20.25), T(-1e-3), 88, -100};
  if (wild) {
    values.insert(values.end(),
                  {L::infinity(), -L::infinity(), L::quiet_NaN(), L::max(), -L::max(), L::min(), L::denorm_min(),
                   -L::denorm_min(), L::epsilon(), T(255), T(256), T(-129), T(2147483648.0), T(-2147483649.0),
                   T(9.2233720368547758e18), T(1.8446744073709552e19)});
  }
  std::mt19937_64 random(2);
  while (values.size() < 60) {
    values.push_back(static_cast<T>(
        std::ldexp(static_cast<double>(random() % 2000000) / 1e6 - 1, static_cast<int>(random() % 12) - 4)));
  }
  return values;
}

TestArray sample(DType dtype, bool wild) {
  const auto array_of = [](auto values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return TestArray::of({n}, values);
  };
  const auto complex = [&]<typename T>(T) {
    std::vector<std::complex<T>> values;
    const auto parts = float_values<T>(false);
    for (std::size_t i = 0; i < parts.size(); ++i) values.emplace_back(parts[i], parts[(i * 7 + 3) % parts.size()]);
    if (wild) values.insert(values.end(), {{NAN, 1}, {1, NAN}, {INFINITY, 0}, {1, -INFINITY}, {0, 0}, {1, 1}});
    return array_of(values);
  };
  switch (dtype) {
    case DType::kBool:
      return array_of(std::vector<bool>{true, false});
    case DType::kInt8:
      return array_of(integer_values<std::int8_t>());
    case DType::kInt16:
      return array_of(integer_values<std::int16_t>());
    case DType::kInt32:
      return array_of(integer_values<std::int32_t>());
    case DType::kInt64:
      return array_of(integer_values<std::int64_t>());
    case DType::kUInt8:
      return array_of(integer_values<std::uint8_t>());
    case DType::kUInt16:
      return array_of(integer_values<std::uint16_t>());
    case DType::kUInt32:
      return array_of(integer_values<std::uint32_t>());
    case DType::kUInt64:
      return array_of(integer_values<std::uint64_t>());
    case DType::kFloat32:
      return array_of(float_values<float>(wild));
    case DType::kFloat64:
      return array_of(float_values<double>(wild));
    case DType::kComplex64:
      return complex(float{});
    case DType::kComplex128:
      return complex(double{});
  }
  throw std::runtime_error("no such dtype");
}

// All pairs (and, with a bool, triples) of the samples: a column, a row and a plane of the array of combinations.
struct Operands {
  std::vector<TestArray> arrays;
  Shape shape;
};

Operands operands_of(Op op, DType type, bool wild) {
  const TestArray values = sample(type, wild);
  const std::int64_t n = values.size();
  if (arity(op) == 1) return {{values}, {n}};
  TestArray a = TestArray::zeros(type, {n, n}), b = a;
  b = TestArray::zeros(type, {n, n});
  for (std::int64_t i = 0; i < n * n; ++i) {
    std::memcpy(a.data + static_cast<std::size_t>(i) * item_size(type), values.at(i / n), item_size(type));
    std::memcpy(b.data + static_cast<std::size_t>(i) * item_size(type), values.at(i % n), item_size(type));
  }
  if (arity(op) == 2) return {{a, b}, {n, n}};
  std::vector<bool> condition;
  for (std::int64_t i = 0; i < n * n; ++i) condition.push_back(i % 3 == 0);
  return {{TestArray::of<bool>({n, n}, condition), a, b}, {n, n}};
}

Program one_operation(Op op, DType type, DType to, const std::vector<TestArray>& inputs, const Shape& shape) {
  Program program;
  std::uint16_t next = 0;
  for (const TestArray& input : inputs)
    program.sources.push_back(input_source(next++, input.dtype, static_cast<int>(shape.size())));
  Instruction i = op == Op::kCast ? cast(type, to, 0)
                                  : instruction(op, type, 0, inputs.size() > 1 ? 1 : 0, inputs.size() > 2 ? 2 : 0);
  program.code = {i};
  program.result = next;
  program.chunks = one_chunk(shape);
  return program;
}

void compare(const TestArray& got, const Program& program, const std::vector<TestArray>& inputs, double ulps,
             const std::string& what) {
  int reported = 0;
  for (std::int64_t i = 0; i < got.size() && reported < 5; ++i) {
    std::array<Value, 3> args;
    for (std::size_t k = 0; k < inputs.size(); ++k) args[k] = Value::at(inputs[k].dtype, inputs[k].at(i));
    const std::string wrong = difference(Value::at(got.dtype, got.at(i)), reference_apply(program.code[0], args), ulps);
    if (wrong.empty()) continue;
    ++reported;
    ADD_FAILURE() << what << ", element " << i << ": " << wrong;
  }
}

// Where long double has no better answer, or the C library's own is in doubt, the wild numbers stay out.
bool compare_wild(Op op, DType type) {
  return kind_of(type) != DTypeKind::kComplex && !(op == Op::kFloorDivide || op == Op::kRemainder);
}
bool complex_is_exact(Op op) { return promised_ulps(op, DType::kComplex128) == 0; }

class EachDType : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Elementwise, EachDType, testing::ValuesIn(kAllDTypes),
                         [](const auto& param) { return std::string(name_of(param.param)); });

TEST_P(EachDType, OperationsAgreeWithTheReference) {
  const DType type = GetParam();
  for (const Library& library : Library::all()) {
    for (const Op op : all_ops()) {
      if (op == Op::kCast || !takes(op, type)) continue;
      const bool wild = compare_wild(op, type) || (kind_of(type) == DTypeKind::kComplex && complex_is_exact(op)) ||
                        kind_of(type) <= DTypeKind::kSigned;
      const Operands operands = operands_of(op, type, wild);
      const Program program = one_operation(op, type, type, operands.arrays, operands.shape);
      const std::string what =
          std::string(name_of(op)) + " of " + std::string(name_of(type)) + " on " + library.level();
      compare(run_program(library, program, operands.arrays), program, operands.arrays, promised_ulps(op, type), what);
    }
  }
}

// A scalar operand takes another loop; its answers are those of the loop over tiles, bit for bit.
TEST_P(EachDType, ScalarOperandsGiveTheSameBits) {
  const DType type = GetParam();
  const TestArray values = sample(type, true);
  const std::int64_t n = values.size();
  for (const Library& library : Library::all()) {
    for (const Op op : all_ops()) {
      if (arity(op) != 2 || !takes(op, type)) continue;
      const Operands operands = operands_of(op, type, true);
      const TestArray expected =
          run_program(library, one_operation(op, type, type, operands.arrays, operands.shape), operands.arrays);
      for (std::int64_t k = 0; k < n; k += 3) {
        for (const bool first : {true, false}) {
          Program program;
          program.sources = {input_source(0, type, 1), constant_source(type, values.at(k))};
          program.code = {first ? instruction(op, type, 1, 0) : instruction(op, type, 0, 1)};
          program.result = 2;
          program.chunks = one_chunk({n});
          const TestArray got = run_program(library, program, {values});
          for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t at = first ? k * n + i : i * n + k;
            const std::string wrong =
                difference(Value::at(got.dtype, got.at(i)), Value::at(expected.dtype, expected.at(at)), 0);
            ASSERT_EQ(wrong, "") << name_of(op) << " of " << name_of(type) << " on " << library.level();
          }
        }
      }
    }
  }
}

TEST_P(EachDType, CastsAgreeWithTheReference) {
  const DType type = GetParam();
  const TestArray values = sample(type, true);
  for (const Library& library : Library::all()) {
    for (const DType to : kAllDTypes) {
      const Program program = one_operation(Op::kCast, type, to, {values}, values.shape);
      const std::string what =
          std::string(name_of(type)) + " to " + std::string(name_of(to)) + " on " + library.level();
      compare(run_program(library, program, {values}), program, {values}, 0, what);
    }
  }
}

// On x86 every operation gives the same bits on every level (the C library's complex functions included: it is the same
// library).
TEST_P(EachDType, LevelsGiveTheSameBits) {
  const DType type = GetParam();
  for (const Op op : all_ops()) {
    if (op == Op::kCast || !takes(op, type)) continue;
    const Operands operands = operands_of(op, type, true);
    const Program program = one_operation(op, type, type, operands.arrays, operands.shape);
    const TestArray expected = run_program(Library::all()[0], program, operands.arrays);
    for (const Library& library : Library::all()) {
      const TestArray got = run_program(library, program, operands.arrays);
      for (std::int64_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(difference(Value::at(got.dtype, got.at(i)), Value::at(expected.dtype, expected.at(i)), 0), "")
            << name_of(op) << " of " << name_of(type) << " on " << library.level() << ", element " << i;
      }
    }
  }
}

TEST(Elementwise, BytesOtherThanZeroAreTrue) {
  TestArray odd = TestArray::zeros(DType::kBool, {4});
  const std::byte bytes[] = {std::byte{0}, std::byte{1}, std::byte{2}, std::byte{255}};
  std::memcpy(odd.data, bytes, 4);
  for (const Library& library : Library::all()) {
    const TestArray count =
        run_program(library, one_operation(Op::kCast, DType::kBool, DType::kInt32, {odd}, {4}), {odd});
    EXPECT_EQ(count.values<std::int32_t>(), (std::vector<std::int32_t>{0, 1, 1, 1}));
    const TestArray same =
        run_program(library, one_operation(Op::kLogicalAnd, DType::kBool, DType::kBool, {odd, odd}, {4}), {odd, odd});
    EXPECT_EQ(same.values<std::uint8_t>(), (std::vector<std::uint8_t>{0, 1, 1, 1}));
  }
}

// Whether the 2 is a constant, a stored element for all or one of many: that it was stored must not show.
template <typename T>
void check_squares(const std::vector<T>& values) {
  const auto n = static_cast<std::int64_t>(values.size());
  const DType dtype = dtype_of<T>;
  const TestArray x = TestArray::of<T>({n}, values), two = TestArray::of<T>({}, {T(2)}),
                  twos = TestArray::of<T>({n}, std::vector<T>(values.size(), T(2)));
  Program square;
  square.sources = {input_source(0, dtype, 1)};
  square.code = {instruction(Op::kSquare, dtype, 0)};
  square.result = 1;
  square.chunks = one_chunk({n});
  Program power = square;
  power.code = {instruction(Op::kPower, dtype, 0, 1)};
  power.result = 2;
  for (const Library& library : Library::all()) {
    const Bytes expected = run_program(library, square, {x}).bytes();
    power.sources = {input_source(0, dtype, 1), constant(T(2))};
    EXPECT_EQ(run_program(library, power, {x}).bytes(), expected) << name_of(dtype) << ", a constant";
    power.sources = {input_source(0, dtype, 1), input_source(1, dtype, 0)};
    EXPECT_EQ(run_program(library, power, {x, two}).bytes(), expected) << name_of(dtype) << ", one element";
    power.sources = {input_source(0, dtype, 1), input_source(1, dtype, 1)};
    EXPECT_EQ(run_program(library, power, {x, twos}).bytes(), expected) << name_of(dtype) << ", a tile";
  }
}

TEST(Elementwise, PowersOfTwoAreSquares) {
  std::mt19937_64 random(3);
  std::vector<double> doubles;
  for (int i = 0; i < 20'000; ++i) {
    const double mantissa = static_cast<double>(random() >> 11) * 0x1p-52 - 1;
    doubles.push_back(std::ldexp(mantissa, static_cast<int>(random() % 120) - 60));
  }
  const std::vector<float> floats(doubles.begin(), doubles.end());
  check_squares(doubles);
  check_squares(floats);
  std::vector<std::complex<double>> complex;
  std::vector<std::complex<float>> complex_floats;
  for (std::size_t i = 0; i + 1 < doubles.size(); i += 2) {
    complex.emplace_back(doubles[i], doubles[i + 1]);
    complex_floats.emplace_back(floats[i], floats[i + 1]);
  }
  check_squares(complex);
  check_squares(complex_floats);
}

}  // namespace
}  // namespace tegula::test
