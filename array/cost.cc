#include "array/cost.h"

namespace tegula::detail {
namespace {

double source_cost(const Source& source) {
  if (std::holds_alternative<ConstantSource>(source)) return 0;
  const auto* random = std::get_if<RandomSource>(&source);
  if (random == nullptr) return 0.2;  // iota
  const double scale = random->dtype == DType::kFloat32 ? 0.5 : 1;
  switch (random->distribution) {
    case Distribution::kUniform:
      return 1.5 * scale;
    case Distribution::kNormal:
      return 3.5 * scale;
    case Distribution::kIntegers:
      return 2;
  }
  return 2;
}

double op_cost(Op op) {
  switch (op) {
    case Op::kDivide:
    case Op::kSqrt:
    case Op::kReciprocal:
      return 0.7;
    case Op::kFloorDivide:
    case Op::kRemainder:
    case Op::kFmod:
      return 3;
    case Op::kPower:
      return 15;
    case Op::kArctan2:
    case Op::kHypot:
      return 10;
    default:
      if (op >= Op::kCbrt && op <= Op::kArctanh && op != Op::kSquare) return 5;
      return 0.15;
  }
}

}  // namespace

double compute_cost(const Expression& expression) {
  if (const auto* generated = expression.as<Generated>()) return source_cost(generated->source);
  if (const auto* elementwise = expression.as<Elementwise>()) return op_cost(elementwise->op);
  return 0;
}

double store_cost(DType dtype) { return 0.3 * static_cast<double>(item_size(dtype)); }
double load_cost(DType dtype) { return 0.15 * static_cast<double>(item_size(dtype)); }

}  // namespace tegula::detail
