// A program made ready to run: loops found, registers given places, neighbouring operations joined.
#pragma once

#include <complex>
#include <cstdint>
#include <optional>
#include <vector>

#include "src/program.h"
#include "worker/kernels/cpu/program/operations.h"
#include "worker/kernels/cpu/random/fill.h"

namespace tegula::cpu {

// One pass over a tile: a loop or, where there is none, the loading of source `out`. Registers are those of the
// program, and after them further ones that compiling adds.
using Step = Operation;

struct CompiledSource {
  std::optional<RandomSpec> random;  // for a RandomSource
  Loop iota_cast = nullptr;          // for an IotaSource: from int64 or float64 to its dtype
};

struct Register {
  DType dtype = DType::kFloat64;
  // The same for the whole block: kept as one element, computed once a task.
  bool scalar = false;
  // Where the tile lies, if it has no better place: the number of its slot, or -1 for an unused register and for a
  // scalar (but for the result).
  std::int32_t slot = -1;
};

class CompiledProgram {
 public:
  // Throws DTypeError or ValueError for what the library has no loop for.
  explicit CompiledProgram(Program program);

  const Program& program() const { return program_; }
  const std::vector<CompiledSource>& sources() const { return sources_; }
  const std::vector<Register>& registers() const { return registers_; }
  const std::vector<Step>& scalar_steps() const { return scalar_steps_; }  // of one element, once a task
  const std::vector<Step>& steps() const { return steps_; }                // of a tile
  std::uint16_t result() const { return result_; }
  DType result_dtype() const { return registers_[result_].dtype; }
  bool computes() const { return passes_ > 0; }  // and does not just yield a source
  // With few passes over a tile the processor waits for memory; with more, its own prefetching is ahead and ours is in
  // the way.
  bool wants_prefetch() const { return passes_ <= 2; }
  int slots() const { return slots_; }
  std::int64_t tile() const { return tile_; }  // elements
  std::size_t slot_bytes() const { return slot_bytes_; }

 private:
  void compile_sources();
  void compile_code();
  std::vector<bool> needed_registers() const;
  void add_step(const Instruction& instruction, std::uint16_t out, bool needed);
  Op simplified(const Instruction& instruction) const;
  bool reads_memory() const;
  void assign_slots();

  Program program_;
  std::vector<CompiledSource> sources_;
  std::vector<Register> registers_;
  std::vector<Step> scalar_steps_, steps_;
  std::uint16_t result_ = 0;
  int slots_ = 0;
  int passes_ = 0;
  std::int64_t tile_ = 0;
  std::size_t slot_bytes_ = 0;
};

}  // namespace tegula::cpu
