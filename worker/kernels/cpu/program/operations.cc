#include "worker/kernels/cpu/program/operations.h"

#include <algorithm>
#include <utility>

#include "worker/kernels/cpu/elementwise/pairs.h"

namespace tegula::cpu {
namespace {

constexpr std::size_t kNone = SIZE_MAX;

// Finds which operation writes a register, and whether its value may vanish.
class Uses {
 public:
  Uses(const std::vector<Operation>& operations, std::uint16_t result) : operations_(operations) {
    for (std::size_t i = 0; i < operations.size(); ++i) {
      note(operations[i].out).writer = i;
      for (int k = 0; k < operations[i].n_args; ++k) ++note(operations[i].args[k]).reads;
    }
    ++note(result).reads;
  }
  // The operation that writes `reg`, when it is a single instruction with one reader.
  std::size_t only_for(std::uint16_t reg) {
    const Register& r = note(reg);
    if (r.writer == kNone || r.reads != 1) return kNone;
    const Operation& writer = operations_[r.writer];
    return writer.loop != nullptr && !writer.joined ? r.writer : kNone;
  }

 private:
  struct Register {
    std::size_t writer = kNone;
    int reads = 0;
  };
  Register& note(std::uint16_t reg) {
    if (reg >= registers_.size()) registers_.resize(reg + std::size_t{1});
    return registers_[reg];
  }
  const std::vector<Operation>& operations_;
  std::vector<Register> registers_;
};

// A commutative operation with its scalar second, as the loops of pairs have it.
void put_scalar_second(Operation* operation) {
  const bool commutative = operation->op == Op::kAdd || operation->op == Op::kMultiply;
  if (!commutative || operation->scalars != kScalarA) return;
  std::swap(operation->args[0], operation->args[1]);
  operation->scalars = kScalarB;
}

// `second` reads `first` as its operand k.
bool join_arithmetic(Operation first, Operation* second, int k) {
  if (!is_pairable(first.op, first.type) || !is_pairable(second->op, second->type) || first.type != second->type)
    return false;
  put_scalar_second(&first);
  const std::uint16_t other = second->args[1 - k];
  const unsigned scalars = first.scalars | ((second->scalars & (1u << (1 - k))) != 0 ? kScalarC : 0u);
  const Loop loop = find_pair(first.op, second->op, k == 1, second->type, scalars);
  if (loop == nullptr) return false;
  *second = {loop,       second->out, {first.args[0], first.args[1], other}, 3, scalars, second->op, second->type,
             second->to, true};
  return true;
}

bool join_cast(const Operation& first, Operation* second, int k) {
  if (first.op != Op::kCast || first.to != DType::kFloat64 || second->type != DType::kFloat64 ||
      !is_pairable(second->op, second->type))
    return false;
  const std::uint16_t other = second->args[1 - k];
  const unsigned scalars = (second->scalars & (1u << (1 - k))) != 0 ? kScalarB : kNoScalar;
  const Loop loop = find_cast_pair(first.type, second->op, k == 1, scalars);
  if (loop == nullptr) return false;
  *second = {loop, second->out, {first.args[0], other, 0}, 2, scalars, second->op, second->type, second->to, true};
  return true;
}

bool join_narrowing(const Operation& first, Operation* second) {
  if (second->op != Op::kCast || second->type != DType::kFloat64 || second->to != DType::kFloat32 ||
      !is_pairable(first.op, first.type))
    return false;
  const Loop loop = find_narrowing(first.op, first.scalars);
  if (loop == nullptr) return false;
  *second = {loop,       second->out, {first.args[0], first.args[1], 0}, 2, first.scalars, second->op, second->type,
             second->to, true};
  return true;
}

bool join(const Operation& first, Operation* second, int k) {
  if (second->n_args == 1) return join_narrowing(first, second);
  return join_arithmetic(first, second, k) || join_cast(first, second, k);
}

}  // namespace

void join_operations(std::vector<Operation>* operations, std::uint16_t result) {
  Uses uses(*operations, result);
  std::vector<bool> gone(operations->size(), false);
  for (std::size_t i = 0; i < operations->size(); ++i) {
    Operation& second = (*operations)[i];
    if (second.loop == nullptr || second.n_args > 2) continue;
    for (int k = 0; k < second.n_args && !second.joined; ++k) {
      const std::size_t writer = uses.only_for(second.args[k]);
      if (writer != kNone && join((*operations)[writer], &second, k)) gone[writer] = true;
    }
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < operations->size(); ++i) {
    if (!gone[i]) (*operations)[kept++] = (*operations)[i];
  }
  operations->resize(kept);
}

}  // namespace tegula::cpu
