// The operations: names, operand counts, and which dtypes each takes.
#include "src/program.h"

#include <algorithm>
#include <string>

#include "tegula/error.h"

namespace tegula {
namespace {

enum : std::uint8_t { kB = 1, kI = 2, kF = 4, kC = 8, kNumbers = kI | kF | kC, kAll = kB | kNumbers };
enum class Yields : std::uint8_t { kSame, kTruth, kRealPart };

struct OpFacts {
  Op op;
  std::string_view name;
  int arity;
  std::uint8_t takes;
  Yields yields = Yields::kSame;
};

constexpr OpFacts kOps[] = {
    {Op::kCast, "astype", 1, kAll},
    {Op::kPositive, "positive", 1, kNumbers},
    {Op::kNegative, "negative", 1, kNumbers},
    {Op::kAbsolute, "absolute", 1, kAll, Yields::kRealPart},
    {Op::kSign, "sign", 1, kNumbers},
    {Op::kConjugate, "conjugate", 1, kNumbers},
    {Op::kReal, "real", 1, kAll, Yields::kRealPart},
    {Op::kImag, "imag", 1, kAll, Yields::kRealPart},
    {Op::kAdd, "add", 2, kAll},
    {Op::kSubtract, "subtract", 2, kNumbers},
    {Op::kMultiply, "multiply", 2, kAll},
    {Op::kDivide, "divide", 2, kF | kC},
    {Op::kFloorDivide, "floor_divide", 2, kI | kF},
    {Op::kRemainder, "remainder", 2, kI | kF},
    {Op::kPower, "power", 2, kNumbers},
    {Op::kMaximum, "maximum", 2, kAll},
    {Op::kMinimum, "minimum", 2, kAll},
    {Op::kFmax, "fmax", 2, kAll},
    {Op::kFmin, "fmin", 2, kAll},
    {Op::kArctan2, "arctan2", 2, kF},
    {Op::kHypot, "hypot", 2, kF},
    {Op::kCopysign, "copysign", 2, kF},
    {Op::kFmod, "fmod", 2, kI | kF},
    {Op::kSqrt, "sqrt", 1, kF | kC},
    {Op::kCbrt, "cbrt", 1, kF},
    {Op::kSquare, "square", 1, kNumbers},
    {Op::kReciprocal, "reciprocal", 1, kNumbers},
    {Op::kExp, "exp", 1, kF | kC},
    {Op::kExp2, "exp2", 1, kF | kC},
    {Op::kExpm1, "expm1", 1, kF | kC},
    {Op::kLog, "log", 1, kF | kC},
    {Op::kLog2, "log2", 1, kF | kC},
    {Op::kLog10, "log10", 1, kF | kC},
    {Op::kLog1p, "log1p", 1, kF | kC},
    {Op::kSin, "sin", 1, kF | kC},
    {Op::kCos, "cos", 1, kF | kC},
    {Op::kTan, "tan", 1, kF | kC},
    {Op::kArcsin, "arcsin", 1, kF | kC},
    {Op::kArccos, "arccos", 1, kF | kC},
    {Op::kArctan, "arctan", 1, kF | kC},
    {Op::kSinh, "sinh", 1, kF | kC},
    {Op::kCosh, "cosh", 1, kF | kC},
    {Op::kTanh, "tanh", 1, kF | kC},
    {Op::kArcsinh, "arcsinh", 1, kF | kC},
    {Op::kArccosh, "arccosh", 1, kF | kC},
    {Op::kArctanh, "arctanh", 1, kF | kC},
    {Op::kFloor, "floor", 1, kF},
    {Op::kCeil, "ceil", 1, kF},
    {Op::kTrunc, "trunc", 1, kF},
    {Op::kRint, "rint", 1, kF | kC},
    {Op::kEqual, "equal", 2, kAll, Yields::kTruth},
    {Op::kNotEqual, "not_equal", 2, kAll, Yields::kTruth},
    {Op::kLess, "less", 2, kAll, Yields::kTruth},
    {Op::kLessEqual, "less_equal", 2, kAll, Yields::kTruth},
    {Op::kGreater, "greater", 2, kAll, Yields::kTruth},
    {Op::kGreaterEqual, "greater_equal", 2, kAll, Yields::kTruth},
    {Op::kIsnan, "isnan", 1, kAll, Yields::kTruth},
    {Op::kIsinf, "isinf", 1, kAll, Yields::kTruth},
    {Op::kIsfinite, "isfinite", 1, kAll, Yields::kTruth},
    {Op::kSignbit, "signbit", 1, kF, Yields::kTruth},
    {Op::kLogicalAnd, "logical_and", 2, kAll, Yields::kTruth},
    {Op::kLogicalOr, "logical_or", 2, kAll, Yields::kTruth},
    {Op::kLogicalXor, "logical_xor", 2, kAll, Yields::kTruth},
    {Op::kLogicalNot, "logical_not", 1, kAll, Yields::kTruth},
    {Op::kBitwiseAnd, "bitwise_and", 2, kB | kI},
    {Op::kBitwiseOr, "bitwise_or", 2, kB | kI},
    {Op::kBitwiseXor, "bitwise_xor", 2, kB | kI},
    {Op::kInvert, "invert", 1, kB | kI},
    {Op::kLeftShift, "left_shift", 2, kI},
    {Op::kRightShift, "right_shift", 2, kI},
    {Op::kSelect, "where", 3, kAll},
};

// By number, so that a look-up costs nothing; entry 0 stands for "no such operation".
constexpr std::array<std::uint8_t, 256> kIndexOfOp = [] {
  std::array<std::uint8_t, 256> index{};
  for (std::size_t i = 0; i < std::size(kOps); ++i) {
    index[static_cast<std::size_t>(kOps[i].op)] = static_cast<std::uint8_t>(i + 1);
  }
  return index;
}();

const OpFacts& facts(Op op) {
  const std::uint8_t index = kIndexOfOp[static_cast<std::size_t>(op)];
  if (index == 0) throw ValueError("there is no operation number " + std::to_string(static_cast<int>(op)));
  return kOps[index - 1];
}

std::uint8_t kind_bit(DType dtype) {
  switch (kind_of(dtype)) {
    case DTypeKind::kBool:
      return kB;
    case DTypeKind::kUnsigned:
    case DTypeKind::kSigned:
      return kI;
    case DTypeKind::kFloat:
      return kF;
    case DTypeKind::kComplex:
      return kC;
  }
  return 0;
}

}  // namespace

DType result_type(Op op, DType type) {
  const OpFacts& f = facts(op);
  if ((f.takes & kind_bit(type)) == 0) {
    throw DTypeError(std::string(f.name) + " of " + std::string(name_of(type)) + " is not defined");
  }
  switch (f.yields) {
    case Yields::kSame:
      return type;
    case Yields::kTruth:
      return DType::kBool;
    case Yields::kRealPart:
      return type == DType::kComplex64 ? DType::kFloat32 : type == DType::kComplex128 ? DType::kFloat64 : type;
  }
  return type;
}

int arity(Op op) { return facts(op).arity; }
std::string_view name_of(Op op) { return facts(op).name; }

std::string_view name_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return "sum";
    case ReduceOp::kProd:
      return "prod";
    case ReduceOp::kMin:
      return "min";
    case ReduceOp::kMax:
      return "max";
    case ReduceOp::kAny:
      return "any";
    case ReduceOp::kAll:
      return "all";
    case ReduceOp::kMoments:
      return "moments";
  }
  throw ValueError("there is no reduction number " + std::to_string(static_cast<int>(op)));
}

DType register_type(const Program& program, std::uint16_t reg) {
  const std::size_t sources = program.sources.size();
  if (reg < sources) {
    return std::visit([](const auto& source) { return source.dtype; }, program.sources[reg]);
  }
  if (reg - sources >= program.code.size()) {
    throw ValueError("there is no register " + std::to_string(reg) + " in a program of " + std::to_string(sources) +
                     " sources and " + std::to_string(program.code.size()) + " instructions");
  }
  return program.code[reg - sources].to;
}

}  // namespace tegula
