// Reduces what a program yields over a task's block, without storing it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/kernels/cpu/program/evaluate.h"
#include "worker/kernels/cpu/reduce/reducer.h"

namespace tegula::cpu {

// How the block is walked. It never shows in the result: each output's elements come in C order of the reduced axes
// either way.
class BlockReduction {
 public:
  BlockReduction(const CompiledProgram& program, const BlockPlace& place);

  Shape output_shape() const;  // reduced axes have size 1; moments have their components in front
  std::size_t scratch_bytes() const;
  // Writes the output; returns false when the task was cancelled.
  bool run(Evaluator& evaluator, std::byte* scratch, void* out, tegula_context* context) const;

 private:
  class CancelWatch;
  bool push_columns(Evaluator& evaluator, std::byte* scratch, std::int64_t width, CancelWatch* watch) const;
  bool run_rows(Evaluator& evaluator, std::byte* scratch, std::byte* out, tegula_context* context) const;
  bool run_columns(Evaluator& evaluator, std::byte* scratch, std::byte* out, tegula_context* context) const;

  const CompiledProgram& program_;
  const Reduction& reduction_;
  const Reducer& reducer_;
  Shape block_;
  std::vector<int> kept_, reduced_;  // axes
  std::int64_t outputs_ = 1;         // of one component
  std::int64_t length_ = 1;          // elements that one output reduces
  // Rows: one output after the other, its elements one after the other. Columns: strips of neighbouring outputs side by
  // side.
  bool by_columns_ = false;
  std::int64_t strip_ = 1;  // columns: outputs per strip, at most
};

}  // namespace tegula::cpu
