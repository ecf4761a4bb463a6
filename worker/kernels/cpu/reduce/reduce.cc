// "tegula.reduce": combines partial results, piece by piece in row-major order, in the order of tree.h.
#include <algorithm>
#include <array>
#include <string>

#include "src/program.h"
#include "worker/kernels/cpu/guard.h"
#include "worker/kernels/cpu/kernels.h"
#include "worker/kernels/cpu/program/strided_copy.h"
#include "worker/kernels/cpu/program/walk.h"
#include "worker/kernels/cpu/reduce/reducer.h"
#include "worker/kernels/cpu/task.h"

namespace tegula::cpu {
namespace {

constexpr std::int64_t kStrip = 128;  // outputs at a time

struct Prepared {
  Reduction reduction;
  const Reducer* combiner;
};

int prepare(const void* params, std::size_t size, void** prepared, tegula_context* context) {
  return prepare_as<Prepared>(prepared, context, [&] {
    ReduceParams decoded = decode_reduce(bytes_of(params, size));
    const Reducer* combiner = find_combiner(decoded.reduction.op, decoded.reduction.dtype);
    if (combiner == nullptr) {
      throw DTypeError(std::string(name_of(decoded.reduction.op)) + " in " +
                       std::string(name_of(decoded.reduction.dtype)) + " is not offered");
    }
    return Prepared{std::move(decoded.reduction), combiner};
  });
}

// Every piece has the shape of the declared block.
void check_pieces(const Prepared& prepared, const tegula_task& task) {
  if (task.n_inputs != 1) throw ValueError("tegula.reduce takes one input, not " + std::to_string(task.n_inputs));
  const tegula_block& block = declared_block(task, 0);
  const std::size_t components = prepared.reduction.op == ReduceOp::kMoments ? 1 : 0;
  if (checked_dtype(block.dtype) != prepared.reduction.dtype)
    throw DTypeError("tegula.reduce: the declared dtype is not the reduction's");
  if (static_cast<std::size_t>(block.ndim) != prepared.reduction.axes.size() + components ||
      (components != 0 && block.shape[0] != kMomentComponents)) {
    throw ShapeError("tegula.reduce: a partial of shape " + to_string(shape_of(block)) +
                     " does not fit a reduction over " + std::to_string(prepared.reduction.axes.size()) + " axes");
  }
  for (std::size_t d = 0; d < prepared.reduction.axes.size(); ++d) {
    if (prepared.reduction.axes[d] && block.shape[d + components] != 1) {
      throw ShapeError("tegula.reduce: axis " + std::to_string(d) + " is reduced but has size " +
                       std::to_string(block.shape[d + components]));
    }
  }
  const std::int64_t pieces = piece_count(task.inputs[0]);
  if (pieces <= 0) throw ValueError("tegula.reduce: no pieces");
  for (std::int64_t i = 0; i < pieces; ++i) {
    const tegula_array& piece = task.inputs[0].pieces[i];
    check_array(piece);
    if (checked_dtype(piece.dtype) != prepared.reduction.dtype ||
        !std::ranges::equal(shape_of(piece), shape_of(block))) {
      throw ShapeError("tegula.reduce: a piece of " + std::string(name_of(checked_dtype(piece.dtype))) + " and shape " +
                       to_string(shape_of(piece)) + " among partials of shape " + to_string(shape_of(block)));
    }
  }
}

int plan(const tegula_task* task, tegula_output_plan* outputs, std::size_t* scratch_bytes, tegula_context* context) {
  return guarded(context, [&] {
    const auto& prepared = *static_cast<const Prepared*>(task->prepared);
    check_pieces(prepared, *task);
    plan_as_declared(*task, outputs);
    *scratch_bytes = prepared.combiner->state_bytes(kStrip, piece_count(task->inputs[0]));
  });
}

// Copies elements [begin, begin + count) of one component of a piece, in C order, to `out`.
void gather(const tegula_array& piece, int first_dim, std::int64_t component, std::int64_t begin, std::int64_t count,
            std::size_t size, std::byte* out) {
  LinearWalk walk;
  const auto start = first_dim == 0 ? 0 : static_cast<std::uint64_t>(piece.strides[0] * component);
  walk.begin({start, 0});
  for (int d = first_dim; d < piece.ndim; ++d)
    walk.add_axis(piece.shape[d], {static_cast<std::uint64_t>(piece.strides[d]), 0});
  const auto stride = static_cast<std::int64_t>(walk.inner_step().first);
  const auto* data = static_cast<const std::byte*>(piece.data);
  walk.for_each_run(begin, count, [&](LinearPair at, std::int64_t length, std::int64_t done) {
    gather_run(out + static_cast<std::size_t>(done) * size, data + static_cast<std::int64_t>(at.first), stride, length,
               size);
  });
}

// Rows of (count, mean, M2) triples, as the combiner of moments takes them.
template <typename T>
void interleave_components(const T* components, std::int64_t count, T* triples) {
  for (int k = 0; k < kMomentComponents; ++k) {
    for (std::int64_t i = 0; i < count; ++i) triples[i * kMomentComponents + k] = components[k * kStrip + i];
  }
}

int run(const tegula_task* task, tegula_array* outputs, void* scratch, tegula_context* context) {
  bool finished = true;
  const int code = guarded(context, [&] {
    const auto& prepared = *static_cast<const Prepared*>(task->prepared);
    check_pieces(prepared, *task);
    const bool moments = prepared.reduction.op == ReduceOp::kMoments;
    const int components = components_of(prepared.reduction.op);
    const std::size_t size = item_size(prepared.reduction.dtype);
    const std::int64_t outputs_each = element_count(shape_of(outputs[0])) / components;
    const std::int64_t pieces = piece_count(task->inputs[0]);
    alignas(64) std::byte parts[kMomentComponents * kStrip * 16];
    alignas(64) std::byte triples[kMomentComponents * kStrip * 8];
    for (std::int64_t begin = 0; begin < outputs_each && finished; begin += kStrip) {
      const std::int64_t count = std::min(kStrip, outputs_each - begin);
      prepared.combiner->begin(scratch, count, pieces);
      for (std::int64_t i = 0; i < pieces; ++i) {
        const tegula_array& piece = task->inputs[0].pieces[i];
        for (int k = 0; k < components; ++k) {
          gather(piece, moments ? 1 : 0, k, begin, count, size, parts + static_cast<std::size_t>(k * kStrip) * size);
        }
        if (moments && size == sizeof(float)) {
          interleave_components(reinterpret_cast<const float*>(parts), count, reinterpret_cast<float*>(triples));
        } else if (moments) {
          interleave_components(reinterpret_cast<const double*>(parts), count, reinterpret_cast<double*>(triples));
        }
        prepared.combiner->push(scratch, moments ? triples : parts, 1, 0);
      }
      prepared.combiner->finish(
          scratch, static_cast<std::byte*>(outputs[0].data) + static_cast<std::size_t>(begin) * size, outputs_each);
      finished = !is_cancelled(context);
    }
  });
  return code != TEGULA_OK ? code : finished ? TEGULA_OK : TEGULA_ECANCELLED;
}

}  // namespace

const tegula_kernel kReduceKernel = {"tegula.reduce", prepare, release_as<Prepared>, plan, run};

}  // namespace tegula::cpu
