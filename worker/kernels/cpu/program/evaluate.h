// Evaluates a compiled program over boxes of a task's block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tegula/kernel.h"
#include "worker/kernels/cpu/program/compiled.h"
#include "worker/kernels/cpu/program/walk.h"

namespace tegula::cpu {

// One axis of an iteration space: positions [low, low + size) of that axis of the block.
struct BoxAxis {
  int axis;
  std::int64_t low, size;
};

// The task's block in the program's array.
struct BlockPlace {
  Shape shape, offset;
};
// Finds the block and checks the task's inputs against the program. Throws ShapeError, DTypeError, ValueError.
BlockPlace place_block(const CompiledProgram& program, const tegula_task& task);

class Evaluator {
 public:
  static std::size_t scratch_bytes(const CompiledProgram& program);
  // `place` and `task` are what place_block accepted; all arguments must outlive the evaluator. Computes the scalars.
  Evaluator(const CompiledProgram& program, const BlockPlace& place, const tegula_task& task, std::byte* scratch);

  // Whether an input lies across the block: with smaller strides along outer axes than along `inner_axis`. Then
  // neighbours in memory are used only rows later, and narrow strips of the block find them in the cache still.
  bool reads_across(int inner_axis) const;
  // The iteration space: the box spanned by `axes`, from the outermost inwards; the block's other axes stay at position
  // 0. Axes may come in any order, so that a reduction sees its elements in the order it needs.
  void set_box(std::span<const BoxAxis> axes);
  // Elements [begin, begin + count) of the space in row-major order, count <= program.tile(). Returns where they are:
  // `into`, if given, else memory that stays valid until the next call.
  const void* evaluate(std::int64_t begin, std::int64_t count, void* into);
  // When the program yields a stored array as it is, and the space is rows of `width` elements that lie evenly spaced
  // in memory: those.
  struct StoredRows {
    const std::byte* first;
    std::int64_t stride;  // bytes
  };
  std::optional<StoredRows> stored_rows(std::int64_t width) const;
  // Asks for the stored elements that evaluating this range will read, where they lie together.
  void prefetch(std::int64_t begin, std::int64_t count) const;

 private:
  void bind_source(std::size_t source, std::span<const BoxAxis> axes);
  // Where elements [begin, begin + count) of an input lie together in memory, or null.
  const std::byte* in_place(std::size_t source, const InputSource& input, std::int64_t begin, std::int64_t count) const;
  // Puts elements of a source into `into`, or returns where they lie already (only if `into` is null).
  const void* load(std::size_t source, std::int64_t begin, std::int64_t count, void* slot, void* into);
  void load_input(std::size_t source, std::int64_t begin, std::int64_t count, std::byte* to);
  void load_random(std::size_t source, std::int64_t begin, std::int64_t count, std::byte* to);
  void load_iota(std::size_t source, std::int64_t begin, std::int64_t count, std::byte* to);
  void compute_scalars();
  std::byte* slot_of(std::uint16_t reg) const {
    return slots_ + static_cast<std::size_t>(program_.registers()[reg].slot) * program_.slot_bytes();
  }

  const CompiledProgram& program_;
  const BlockPlace& place_;
  const tegula_task& task_;
  std::byte* scalars_;  // 16 bytes per register
  std::byte* slots_;
  const void** values_;            // per register: where its tile or scalar is
  std::vector<LinearWalk> walks_;  // per source
};

}  // namespace tegula::cpu
