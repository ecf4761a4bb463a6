#include "src/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>

#include "tegula/error.h"

namespace tegula {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

ConstantSource constant(double value) {
  ConstantSource source;
  std::memcpy(source.value.data(), &value, sizeof(value));
  return source;
}

RandomSource normal(Shape shape, PositionMap map) {
  RandomSource source;
  source.distribution = Distribution::kNormal;
  source.key = 42;
  source.shape = std::move(shape);
  source.map = std::move(map);
  source.a = 10;
  return source;
}

// (normal(10, 1, (1000, 500)) + 1)[::2, ::-3].sum(axis=1), with an input and a sequence thrown in.
Program example() {
  Program program;
  program.chunks = ChunkGrid({DimChunks(500, 200), DimChunks({60, 7, 100})});
  program.sources = {normal({1000, 500}, {{0, 1}, {0, 499}, {2, -3}}), constant(1),
                     IotaSource{DType::kInt64, {{1}, {0}, {1}}, 5, 2, 0, 1}, InputSource{0, DType::kFloat64, {-1, 1}}};
  program.code = {
      {Op::kAdd, DType::kFloat64, DType::kFloat64, {0, 1, 0}},
      {Op::kCast, DType::kInt64, DType::kFloat64, {2, 0, 0}},
      {Op::kLess, DType::kFloat64, DType::kBool, {4, 3, 0}},
      {Op::kSelect, DType::kFloat64, DType::kFloat64, {6, 4, 5}},
  };
  program.result = 7;
  program.reduction = Reduction{ReduceOp::kSum, DType::kFloat64, {false, true}};
  return program;
}

template <typename Change>
void refused(const char* message, Change change) {
  Program program = example();
  change(program);
  EXPECT_THAT([&] { verify(program); }, ThrowsMessage<ValueError>(HasSubstr(message)));
  // What comes over the wire is refused alike.
  EXPECT_THROW(decode_program(encode(program)), Error);
}

template <typename T>
T& source(Program& program, std::size_t index) {
  return std::get<T>(program.sources[index]);
}

TEST(Program, EncodingLeadsBack) {
  const Program program = example();
  EXPECT_EQ(decode_program(encode(program)), program);
  EXPECT_EQ(register_type(program, 0), DType::kFloat64);
  EXPECT_EQ(register_type(program, 6), DType::kBool);
  EXPECT_THROW(register_type(program, 8), ValueError);
}

TEST(Program, SourcesAndRegistersAreChecked) {
  refused("needs a source", [](Program& p) { p.sources.clear(); });
  refused("has more than 64", [](Program& p) { p.sources.resize(65, constant(1)); });
  refused("has more than 1024", [](Program& p) { p.code.resize(1025, p.code[0]); });
  refused("there is no register 8", [](Program& p) { p.result = 8; });
  refused("used before it is written", [](Program& p) { p.code[0].args[1] = 4; });
  refused("used before it is written", [](Program& p) { p.code[3].args[2] = 65535; });
  refused("an unused operand is not 0", [](Program& p) { p.code[1].args[1] = 1; });
  refused("register 2 is int64, not float64", [](Program& p) { p.code[0].args[1] = 2; });
  refused("register 4 is float64, not bool", [](Program& p) { p.code[3].args[0] = 4; });
  refused("less of float64 yields bool, not float64", [](Program& p) { p.code[2].to = DType::kFloat64; });
  refused("no operation number 200", [](Program& p) { p.code[0].op = static_cast<Op>(200); });
  refused("no dtype number 99", [](Program& p) { p.code[1].to = static_cast<DType>(99); });
}

TEST(Program, PositionsAreChecked) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  refused("reach outside a dimension of 1000", [](Program& p) { source<RandomSource>(p, 0).map.start[0] = 2; });
  refused("reach outside a dimension of 500", [](Program& p) { source<RandomSource>(p, 0).map.start[1] = 497; });
  refused("overflow", [](Program& p) { source<RandomSource>(p, 0).map.step[0] = kHuge; });
  refused("overflow", [](Program& p) { source<IotaSource>(p, 2).map.step[0] = -kHuge; });
  refused("no axis 2", [](Program& p) { source<RandomSource>(p, 0).map.axis[0] = 2; });
  refused("no axis -2", [](Program& p) { source<InputSource>(p, 3).axis[0] = -2; });
  refused("does not have 2 dimensions", [](Program& p) { source<RandomSource>(p, 0).map.step.pop_back(); });
  refused("does not have 1 dimensions", [](Program& p) { source<IotaSource>(p, 2).map.axis.push_back(0); });
  refused("run along axis 1", [](Program& p) { source<InputSource>(p, 3).axis[0] = 1; });
  refused("no input 64", [](Program& p) { source<InputSource>(p, 3).input = 64; });
  refused("negative size", [](Program& p) { source<RandomSource>(p, 0).shape[0] = -1; });
  refused("more than 2^63", [](Program& p) { source<RandomSource>(p, 0).shape = {kHuge, kHuge}; });
  refused("too many rows", [](Program& p) { source<RandomSource>(p, 0).shape = {kHuge, 1}; });
  refused("must be known", [](Program& p) {
    p.chunks = ChunkGrid({DimChunks(500, 200), DimChunks({60, 7, kUnknown})});
  });
  // Without elements there are no positions to be outside.
  Program empty = example();
  empty.chunks = ChunkGrid({DimChunks(0, 1), DimChunks(5, 5)});
  source<RandomSource>(empty, 0).map.start[0] = 1000;
  EXPECT_NO_THROW(verify(empty));
}

TEST(Program, ValuesOfSourcesAreChecked) {
  refused("unused bytes", [](Program& p) { source<ConstantSource>(p, 1).value[12] = 1; });
  refused("neither 0 nor 1", [](Program& p) { p.sources[1] = ConstantSource{DType::kBool, {2}}; });
  refused("random numbers of int64", [](Program& p) { source<RandomSource>(p, 0).dtype = DType::kInt64; });
  refused("random integers of float64",
          [](Program& p) { source<RandomSource>(p, 0).distribution = Distribution::kIntegers; });
  refused("no distribution number 9",
          [](Program& p) { source<RandomSource>(p, 0).distribution = static_cast<Distribution>(9); });
  refused("a sequence of bool", [](Program& p) { source<IotaSource>(p, 2).dtype = DType::kBool; });
}

TEST(Program, ReductionsAreChecked) {
  refused("does not fit a program of 2 dimensions", [](Program& p) { p.reduction->axes.push_back(true); });
  refused("no reduction number 12", [](Program& p) { p.reduction->op = static_cast<ReduceOp>(12); });
  refused("sum in bool", [](Program& p) { p.reduction->dtype = DType::kBool; });
  refused("any in float64", [](Program& p) { p.reduction->op = ReduceOp::kAny; });
  refused("moments in int64", [](Program& p) {
    p.reduction->op = ReduceOp::kMoments;
    p.reduction->dtype = DType::kInt64;
  });
  refused("imaginary", [](Program& p) {
    p.sources.push_back(ConstantSource{DType::kComplex128, {}});
    p.code.clear();
    p.result = 4;
  });
}

TEST(Program, ReduceParameters) {
  const ReduceParams params{{ReduceOp::kMoments, DType::kFloat32, {true, false, true}}};
  EXPECT_EQ(decode_reduce(encode(params)), params);
  ReduceParams wrong = params;
  wrong.reduction.axes.resize(16);
  EXPECT_THROW(decode_reduce(encode(wrong)), ValueError);
  wrong = params;
  wrong.reduction.dtype = DType::kInt8;
  EXPECT_THROW(decode_reduce(encode(wrong)), ValueError);
  EXPECT_THROW(decode_reduce(encode(example())), ValueError);
}

// Every program has one encoding: a cut written as a list where two numbers do is the same work under another hash.
TEST(Program, OtherEncodingsOfTheSameProgramAreRefused) {
  Program program = example();
  program.chunks = ChunkGrid({DimChunks(500, 200), DimChunks(167, 100)});
  Bytes bytes = encode(program);
  const std::int64_t regular[] = {167, 100};
  const auto* pattern = reinterpret_cast<const std::byte*>(regular);
  const auto found = std::search(bytes.begin(), bytes.end(), pattern, pattern + sizeof(regular));
  ASSERT_NE(found, bytes.end());
  const std::int64_t list[] = {2, 100, 67};
  const auto* replacement = reinterpret_cast<const std::byte*>(list);
  Bytes other(bytes.begin(), found);
  other.back() = std::byte{1};  // explicit
  other.insert(other.end(), replacement, replacement + sizeof(list));
  other.insert(other.end(), found + sizeof(regular), bytes.end());
  EXPECT_THAT([&] { decode_program(other); }, ThrowsMessage<ValueError>(HasSubstr("canonical")));
  EXPECT_NO_THROW(decode_program(bytes));
}

TEST(Program, HostileBytesAreRefusedOrMakeAVerifiedProgram) {
  std::mt19937_64 random(5);
  const Bytes original = encode(example());
  const std::uint64_t extremes[] = {0, 1, UINT64_MAX, std::uint64_t{1} << 63, (std::uint64_t{1} << 63) - 1, 1 << 20};
  int accepted = 0;
  for (int round = 0; round < 60000; ++round) {
    Bytes bytes = original;
    switch (random() % 4) {
      case 0:
        bytes.resize(random() % (2 * bytes.size()), static_cast<std::byte>(random()));
        break;
      case 1:
        for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
        bytes[0] = original[0];
        break;
      case 2: {
        const std::uint64_t value = extremes[random() % std::size(extremes)];
        std::memcpy(bytes.data() + random() % (bytes.size() - sizeof(value)), &value, sizeof(value));
        break;
      }
      default:
        for (unsigned i = 0; i <= random() % 3; ++i) {
          bytes[random() % bytes.size()] = static_cast<std::byte>(random() % 16);
        }
    }
    try {
      const Program program = decode_program(bytes);
      ASSERT_NO_THROW(verify(program));
      ASSERT_EQ(encode(program), bytes);
      ASSERT_FALSE(to_string(program).empty());
      ++accepted;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(accepted, 100);  // else the test says nothing about programs that pass
}

TEST(Program, OperationsAsNumPyHasThem) {
  EXPECT_EQ(result_type(Op::kAbsolute, DType::kComplex64), DType::kFloat32);
  EXPECT_EQ(result_type(Op::kIsnan, DType::kInt8), DType::kBool);
  EXPECT_EQ(result_type(Op::kAdd, DType::kBool), DType::kBool);
  EXPECT_EQ(arity(Op::kSelect), 3);
  EXPECT_EQ(name_of(Op::kArctan2), "arctan2");
  EXPECT_EQ(name_of(ReduceOp::kProd), "prod");
  EXPECT_THAT([] { result_type(Op::kFloor, DType::kComplex128); },
              ThrowsMessage<DTypeError>(HasSubstr("floor of complex128")));
  EXPECT_THROW(result_type(Op::kSubtract, DType::kBool), DTypeError);
  EXPECT_THROW(result_type(Op::kBitwiseAnd, DType::kFloat32), DTypeError);
  EXPECT_THROW(result_type(static_cast<Op>(9), DType::kInt8), ValueError);
  // Names are different, and the numbers in use are the ones of the format.
  std::set<std::string_view> names;
  for (int number = 0; number < 256; ++number) {
    try {
      EXPECT_TRUE(names.insert(name_of(static_cast<Op>(number))).second) << number;
    } catch (const ValueError&) {
    }
  }
  EXPECT_EQ(names.size(), 71u);
  EXPECT_EQ(static_cast<int>(Op::kArctan2), 27);
  EXPECT_EQ(static_cast<int>(Op::kSelect), 128);
}

TEST(Program, Text) {
  EXPECT_EQ(to_string(example()),
            "over ((200, 200, 100), (60, 7, 100))\n"
            "%0 = normal(10, 1) key 000000000000002a stream 0 of (1000, 500)[2*i0, 499 + -3*i1] : float64\n"
            "%1 = constant 1 : float64\n"
            "%2 = 5 + 2 * [i1] : int64\n"
            "%3 = input 0[0, i1] : float64\n"
            "%4 = add %0, %1 : float64\n"
            "%5 = astype %2 : float64\n"
            "%6 = less %4, %3 : bool\n"
            "%7 = where %6, %4, %5 : float64\n"
            "yield sum of %7 over axes (1) : float64\n");
}

}  // namespace
}  // namespace tegula
