// The operations of a program on their way from instructions to loops, and the joining of neighbours.
#pragma once

#include <cstdint>
#include <vector>

#include "src/program.h"
#include "worker/kernels/cpu/elementwise/loops.h"

namespace tegula::cpu {

// An instruction with its loop. Sources are operations, too, with no loop: they load.
struct Operation {
  Loop loop = nullptr;
  std::uint16_t out = 0;
  std::uint16_t args[3] = {};
  std::uint16_t n_args = 0;
  unsigned scalars = 0;  // which operands are single elements
  Op op = Op::kPositive;
  DType type = DType::kFloat64, to = DType::kFloat64;
  bool joined = false;  // holds two instructions already
};

// Joins operations whose intermediate value nobody else reads (`result` is read from outside). Keeps the order of the
// rest.
void join_operations(std::vector<Operation>* operations, std::uint16_t result);

}  // namespace tegula::cpu
