// Expression programs: elementwise work as data. A program is what the array library fuses a chain of elementwise
// operations into; it travels as the parameters of the kernel "tegula.program", is verified before it runs, and runs
// the same on every backend.
//
// A program computes one array (or its first reduction step) block by block. For each element, at global position g of
// the array, it loads its sources, executes its instructions in order and yields one register. A register is a value of
// one dtype, written once (SSA): register i is source i for i < sources.size(), and instruction i - sources.size()
// after that.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/bytes.h"
#include "src/chunk_grid.h"
#include "tegula/dtype.h"

namespace tegula {

// How positions of the program's array map to positions of a source's own array: along the source's dimension d,
// position = start[d] + step[d] * g[axis[d]], or start[d] where axis[d] is -1. Slices with any step, transposes,
// broadcasts and integer indices all take this form, so pushing them into a source is arithmetic on these numbers.
struct PositionMap {
  std::vector<std::int32_t> axis;
  std::vector<std::int64_t> start;
  std::vector<std::int64_t> step;
  friend bool operator==(const PositionMap&, const PositionMap&) = default;
};

// The task's input of rule `input`, which has exactly one piece; the piece is used with its own positions (0, 0, ...)
// at the block's first element. map.start is 0 and map.step is 1 (or 0 where axis is -1): slicing is the rule's box.
struct InputSource {
  std::uint32_t input = 0;
  DType dtype = DType::kFloat64;
  // Per dimension of the piece: the array axis it runs along, or -1 for a dimension of size 1
  std::vector<std::int32_t> axis;
  friend bool operator==(const InputSource&, const InputSource&) = default;
};

struct ConstantSource {
  DType dtype = DType::kFloat64;
  alignas(16) std::array<std::uint8_t, 16> value{};  // one element, the unused bytes 0
  friend bool operator==(const ConstantSource&, const ConstantSource&) = default;
};

// first + delta * p, where p is the position along the one dimension of `map`. In int64 (wrapping) for integer dtypes
// and in float64, as first + p * delta with two roundings, for floating ones; then cast. arange, linspace; eye compares
// two of them.
struct IotaSource {
  DType dtype = DType::kInt64;
  PositionMap map;  // 1-d
  std::int64_t first_int = 0, delta_int = 1;
  double first_float = 0, delta_float = 1;
  friend bool operator==(const IotaSource&, const IotaSource&) = default;
};

// Random numbers, a function of the key and of the element's position in the array of shape `shape` alone (DESIGN D9:
// Philox4x32-10; rows are the last dimension; within a row, blocks of 16 elements; element j of the row takes counter
// 8*floor(j/16) + j mod 8 and lane floor(j/8) mod 2; each row starts a fresh block: row r starts at counter
// 8*ceil(n/16)*r; counter words: block 64 bits, draw 32, stream 32).
enum class Distribution : std::uint8_t {
  kUniform = 0,   // a + (b - a) * u, u in [0, 1) with 53 (float64) or 24 (float32) random bits; a = low, b = high
  kNormal = 1,    // a + b * z, z by Box-Muller from the pair of lanes; a = mean, b = standard deviation
  kIntegers = 2,  // low_int <= value < low_int + range (range 0: 2^64), unbiased: Lemire's multiply-shift with
                  // rejection by draw number
};
struct RandomSource {
  DType dtype = DType::kFloat64;  // kFloat32 or kFloat64; kIntegers: any integer dtype
  Distribution distribution = Distribution::kUniform;
  std::uint64_t key = 0;  // from the seed and the spawn path
  std::uint32_t stream = 0;
  std::vector<std::int64_t> shape;  // of the array as created
  PositionMap map;
  double a = 0, b = 1;
  std::int64_t low_int = 0;
  std::uint64_t range = 0;
  friend bool operator==(const RandomSource&, const RandomSource&) = default;
};

using Source = std::variant<InputSource, ConstantSource, IotaSource, RandomSource>;

// Operations, named as NumPy's ufuncs; semantics are NumPy's, total as DESIGN D14 says: integer // 0 and % 0 give 0,
// signed overflow wraps, a shift by the width or more gives 0 (>> of a negative: -1), a float to integer cast out of
// range saturates and NaN becomes 0. All operands have one dtype `type` (the lowering inserts casts; shifts too).
// Comparisons and predicates yield kBool; kAbsolute, kReal, kImag of complex yield the real dtype; kCast yields `to`;
// kSelect takes (bool, type, type). The numbers are wire format: append only.
// One row per group.
// clang-format off
enum class Op : std::uint8_t {
  kCast = 0, kPositive, kNegative, kAbsolute, kSign, kConjugate, kReal, kImag,
  kAdd = 16, kSubtract, kMultiply, kDivide, kFloorDivide, kRemainder, kPower, kMaximum, kMinimum, kFmax, kFmin, kArctan2,
    kHypot, kCopysign, kFmod,
  kSqrt = 48, kCbrt, kSquare, kReciprocal, kExp, kExp2, kExpm1, kLog, kLog2, kLog10, kLog1p, kSin, kCos, kTan, kArcsin,
    kArccos, kArctan,
  kSinh, kCosh, kTanh, kArcsinh, kArccosh, kArctanh, kFloor, kCeil, kTrunc, kRint,
  kEqual = 96, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIsnan, kIsinf, kIsfinite, kSignbit,
  kLogicalAnd = 112, kLogicalOr, kLogicalXor, kLogicalNot,
  kBitwiseAnd = 120, kBitwiseOr, kBitwiseXor, kInvert, kLeftShift, kRightShift,
  kSelect = 128,
};
// clang-format on

struct Instruction {
  Op op = Op::kPositive;
  DType type = DType::kFloat64;         // of the operands
  DType to = DType::kFloat64;           // of the result
  std::array<std::uint16_t, 3> args{};  // registers; unused ones 0
  friend bool operator==(const Instruction&, const Instruction&) = default;
};

// Reductions, and what a partial result looks like. Sums and products accumulate in `dtype` of Reduction. Every partial
// keeps all dimensions (reduced ones have size 1). kMean and kVariance have several components (sum & count; count,
// mean and M2 combined by Chan et al.'s formula), stored along an extra first dimension.
enum class ReduceOp : std::uint8_t { kSum = 0, kProd, kMin, kMax, kAny, kAll, kMoments };
// kMoments: count, mean, M2 (sum of squared deviations; |x - mean|^2 for complex is not offered)
inline constexpr int kMomentComponents = 3;
struct Reduction {
  ReduceOp op = ReduceOp::kSum;
  DType dtype = DType::kFloat64;  // of the accumulator and of the partial; kMoments: kFloat64 or kFloat32
  std::vector<bool> axes;         // per axis of the array: reduced or not
  friend bool operator==(const Reduction&, const Reduction&) = default;
};

struct Program {
  std::vector<Source> sources;
  std::vector<Instruction> code;
  std::uint16_t result = 0;            // the register that is yielded
  std::optional<Reduction> reduction;  // applied to the yielded value within the block; the yielded register's dtype is
                                       // cast to reduction->dtype
  // The array over which the program runs, before the reduction: the task's block in it is found from these. The
  // layer's declared outputs are what remains after the reduction, so they can't say.
  ChunkGrid chunks;
  friend bool operator==(const Program&, const Program&) = default;
};

// Combines partials of a reduction ("tegula.reduce"): the pieces of the one input, in row-major order, are combined per
// fixed tree. With kMoments the first dimension holds the components.
struct ReduceParams {
  Reduction reduction;  // axes: of the array, without the component dimension
  friend bool operator==(const ReduceParams&, const ReduceParams&) = default;
};

inline constexpr std::size_t kMaxProgramSources = 64;
inline constexpr std::size_t kMaxProgramLength = 1024;

DType register_type(const Program& program, std::uint16_t reg);
// The dtype an operation yields for operands of `type`; throws DTypeError naming both when it doesn't take them ("floor
// of complex128").
DType result_type(Op op, DType type);
int arity(Op op);
std::string_view name_of(Op op);        // NumPy's name
std::string_view name_of(ReduceOp op);  // "sum"

// Throws ValueError saying what is wrong: lengths, registers used before they are written, types that don't match,
// axes, maps.
void verify(const Program& program);
void verify(const ReduceParams& params);
Bytes encode(const Program& program);
Program decode_program(std::span<const std::byte> bytes);  // decodes and verifies
Bytes encode(const ReduceParams& params);
ReduceParams decode_reduce(std::span<const std::byte> bytes);
std::string to_string(const Program& program);  // one line per source and instruction, for explain()

}  // namespace tegula
