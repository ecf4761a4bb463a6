// "tegula.assemble": puts the pieces of its one input side by side, in row-major order of the piece grid: a rechunk, or
// the copy of a view.
#include <algorithm>
#include <string>
#include <vector>

#include "src/chunk.h"
#include "tegula/error.h"
#include "worker/kernels/cpu/guard.h"
#include "worker/kernels/cpu/kernels.h"
#include "worker/kernels/cpu/task.h"

namespace tegula::cpu {
namespace {

int prepare(const void*, std::size_t, void** prepared, tegula_context*) {
  *prepared = nullptr;
  return TEGULA_OK;
}

void release(void*) {}

// Where the pieces lie along each dimension: offsets, and the extent at the end.
using Cuts = std::vector<std::vector<std::int64_t>>;

// Checks that the pieces tile the declared block without gap.
Cuts checked_cuts(const tegula_task& task) {
  if (task.n_inputs != 1) throw ValueError("tegula.assemble takes one input, not " + std::to_string(task.n_inputs));
  const tegula_block& block = declared_block(task, 0);
  const tegula_input& input = task.inputs[0];
  // A 0-d array has one piece, however its grid is written.
  const std::int32_t ndim = block.ndim;
  if (input.ndim != ndim && !(ndim == 0 && piece_count(input) == 1)) {
    throw ShapeError("tegula.assemble: pieces in a grid of " + std::to_string(input.ndim) +
                     " dimensions for a block of " + std::to_string(ndim));
  }
  const std::span<const std::int64_t> grid(input.piece_grid, static_cast<std::size_t>(ndim));
  Cuts cuts(static_cast<std::size_t>(ndim));
  std::vector<std::int64_t> position(static_cast<std::size_t>(ndim), 0);
  for (std::size_t d = 0; d < cuts.size(); ++d)
    cuts[d].assign(static_cast<std::size_t>(std::max<std::int64_t>(grid[d], 0)) + 1, -1);
  const std::int64_t pieces = piece_count(input);
  for (std::int64_t i = 0; i < pieces; ++i) {
    const tegula_array& piece = input.pieces[i];
    check_array(piece);
    if (piece.dtype != block.dtype || piece.ndim != ndim) {
      throw DTypeError("tegula.assemble: a piece of " + std::string(name_of(checked_dtype(piece.dtype))) + " and " +
                       std::to_string(piece.ndim) + " dimensions in a block of " +
                       std::string(name_of(checked_dtype(block.dtype))) + " and " + std::to_string(ndim));
    }
    unravel(i, grid, position);
    for (std::size_t d = 0; d < cuts.size(); ++d) {
      std::int64_t& size = cuts[d][static_cast<std::size_t>(position[d])];
      if (size == -1) size = piece.shape[d];
      if (size != piece.shape[d])
        throw ShapeError("tegula.assemble: pieces of unequal sizes along dimension " + std::to_string(d));
    }
  }
  for (std::size_t d = 0; d < cuts.size(); ++d) {
    std::int64_t offset = 0;
    for (std::int64_t& cut : cuts[d]) {
      const std::int64_t size = std::max<std::int64_t>(cut, 0);
      cut = offset;
      if (__builtin_add_overflow(offset, size, &offset)) throw ShapeError("tegula.assemble: the pieces are too large");
    }
    if (cuts[d].back() != block.shape[d]) {
      throw ShapeError("tegula.assemble: pieces of " + std::to_string(cuts[d].back()) + " elements along dimension " +
                       std::to_string(d) + " for a block of shape " + to_string(shape_of(block)));
    }
  }
  return cuts;
}

int plan(const tegula_task* task, tegula_output_plan* outputs, std::size_t* scratch_bytes, tegula_context* context) {
  return guarded(context, [&] {
    *scratch_bytes = 0;
    checked_cuts(*task);
    plan_as_declared(*task, outputs);
  });
}

int run(const tegula_task* task, tegula_array* outputs, void*, tegula_context* context) {
  bool finished = true;
  const int code = guarded(context, [&] {
    const Cuts cuts = checked_cuts(*task);
    const tegula_input& input = task->inputs[0];
    const tegula_array& out = outputs[0];
    const std::size_t size = item_size(checked_dtype(out.dtype));
    const std::span<const std::int64_t> strides(out.strides, cuts.size());
    std::vector<std::int64_t> position(cuts.size(), 0);
    const std::int64_t pieces = piece_count(input);
    for (std::int64_t i = 0; i < pieces && finished; ++i) {
      const tegula_array& piece = input.pieces[i];
      if (element_count(shape_of(piece)) == 0) continue;
      unravel(i, {input.piece_grid, cuts.size()}, position);
      auto* to = static_cast<std::byte*>(out.data);
      for (std::size_t d = 0; d < cuts.size(); ++d) to += cuts[d][static_cast<std::size_t>(position[d])] * strides[d];
      copy_strided(shape_of(piece), size, static_cast<const std::byte*>(piece.data), {piece.strides, cuts.size()}, to,
                   strides);
      finished = !is_cancelled(context);
    }
  });
  return code != TEGULA_OK ? code : finished ? TEGULA_OK : TEGULA_ECANCELLED;
}

}  // namespace

const tegula_kernel kAssembleKernel = {"tegula.assemble", prepare, release, plan, run};

}  // namespace tegula::cpu
