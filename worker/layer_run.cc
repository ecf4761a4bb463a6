#include "worker/layer_run.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "src/shape.h"
#include "worker/kernel_registry.h"

namespace tegula::worker {

static_assert(kMaxNdim == TEGULA_MAX_NDIM);

namespace {

constexpr std::size_t kMaxFailMessage = 4096;

// What a kernel is given as its tegula_context.
struct Context {
  tegula_context c{};
  std::string message;
  const std::atomic<bool>* cancel = nullptr;

  explicit Context(const std::atomic<bool>* flag) : cancel(flag) {
    c.opaque = this;
    c.fail = [](tegula_context* context, const char* text) {
      if (text == nullptr) return;
      static_cast<Context*>(context->opaque)->message.assign(text, strnlen(text, kMaxFailMessage));
    };
    c.cancelled = [](tegula_context* context) -> int {
      const auto* flag_of = static_cast<Context*>(context->opaque)->cancel;
      return flag_of != nullptr && flag_of->load(std::memory_order_relaxed) ? 1 : 0;
    };
  }
};

ErrorCode code_of(int result) {
  switch (result) {
    case TEGULA_EVALUE:
    case TEGULA_ESHAPE:
    case TEGULA_EDTYPE:
    case TEGULA_EFILE:
    case TEGULA_EFILECHANGED:
    case TEGULA_ECANCELLED:
    case TEGULA_ENOMEM:
      return static_cast<ErrorCode>(result);
    default:
      return ErrorCode::kKernelFailed;
  }
}
static_assert(static_cast<int>(ErrorCode::kValue) == TEGULA_EVALUE &&
              static_cast<int>(ErrorCode::kShape) == TEGULA_ESHAPE &&
              static_cast<int>(ErrorCode::kDType) == TEGULA_EDTYPE &&
              static_cast<int>(ErrorCode::kFile) == TEGULA_EFILE &&
              static_cast<int>(ErrorCode::kFileChanged) == TEGULA_EFILECHANGED &&
              static_cast<int>(ErrorCode::kCancelled) == TEGULA_ECANCELLED &&
              static_cast<int>(ErrorCode::kKernelFailed) == TEGULA_EFAILED &&
              static_cast<int>(ErrorCode::kOutOfMemory) == TEGULA_ENOMEM);

ErrorInfo error_of(ErrorCode code, std::string message) {
  ErrorInfo error;
  error.code = code;
  error.message = std::move(message);
  return error;
}

ErrorInfo error_of(int result, Context& context, const char* step) {
  if (context.message.empty()) {
    context.message =
        std::string("the kernel's ") + step + " failed with code " + std::to_string(result) + " and no message";
  }
  return error_of(code_of(result), std::move(context.message));
}

RunOutcome failed(ErrorInfo error) {
  RunOutcome outcome;
  outcome.kind = RunOutcome::Kind::kFailed;
  outcome.error = std::make_unique<ErrorInfo>(std::move(error));
  return outcome;
}

// Everything a kernel sees of its task. The vectors are kept by each thread from task to task, so that small tasks
// allocate little.
struct View {
  std::vector<std::int64_t> block;
  std::vector<tegula_array> pieces;
  std::vector<tegula_input> inputs;
  std::vector<Shape> declared_shapes;  // shape and offset of each output
  std::vector<tegula_block> declared;
  std::vector<tegula_output_plan> plans;
  std::vector<tegula_array> outputs;
  tegula_task task{};

  void set(const Layer& layer, const RunRequest& request, const void* prepared) {
    const std::uint32_t index = index_of(request.task);
    block.resize(layer.grid.size());
    unravel(index, layer.grid, block);
    task = {};
    task.prepared = prepared;
    task.index = index;
    task.grid_ndim = static_cast<std::int32_t>(layer.grid.size());
    task.grid = layer.grid.data();
    task.block = block.data();
    set_inputs(request.inputs);
    set_declared(layer);
    if (!layer.task_params.empty()) {
      task.task_params = layer.task_params[index].data();
      task.task_params_size = layer.task_params[index].size();
    }
    plans.assign(layer.outputs.size(), tegula_output_plan{});
  }

  void set_inputs(const TaskInputs* from) {
    pieces.clear();
    inputs.clear();
    if (from == nullptr) return;
    for (const Chunk& chunk : from->pieces) {
      // Inputs are immutable; the C struct serves outputs too and so has no const.
      pieces.push_back({const_cast<std::byte*>(chunk.data()), static_cast<std::int32_t>(chunk.dtype()), chunk.ndim(),
                        chunk.shape().data(), chunk.strides().data()});
    }
    const std::int64_t* grid = from->grids.data();
    const tegula_array* first = pieces.data();
    for (const std::uint32_t ndim : from->ndim) {
      inputs.push_back({static_cast<std::int32_t>(ndim), grid, first});
      std::int64_t count = 1;
      for (std::uint32_t d = 0; d < ndim; ++d) count *= grid[d];
      first += count;
      grid += ndim;
    }
    task.n_inputs = static_cast<std::uint32_t>(inputs.size());
    task.inputs = inputs.data();
  }

  void set_declared(const Layer& layer) {
    declared.clear();
    declared_shapes.clear();
    declared_shapes.reserve(layer.outputs.size() * 2);  // pointers into it are kept
    for (const OutputSpec& output : layer.outputs) {
      // The outputs' grid has one block per task in the same order, but not always the task grid's dimensions.
      const std::span<const std::int64_t> position = position_in(output.chunks, layer.grid);
      declared_shapes.push_back(output.chunks.block_shape(position));
      declared_shapes.push_back(output.chunks.block_offset(position));
      declared.push_back({static_cast<std::int32_t>(output.dtype), output.chunks.ndim(),
                          declared_shapes[declared_shapes.size() - 2].data(), declared_shapes.back().data()});
    }
    task.n_outputs = static_cast<std::uint32_t>(declared.size());
    task.declared = declared.data();
  }

  std::span<const std::int64_t> position_in(const ChunkGrid& chunks, const std::vector<std::int64_t>& task_grid) {
    const bool same = static_cast<std::size_t>(chunks.ndim()) == task_grid.size() && [&] {
      for (int d = 0; d < chunks.ndim(); ++d) {
        if (chunks.dim(d).blocks() != task_grid[static_cast<std::size_t>(d)]) return false;
      }
      return true;
    }();
    if (same) return block;
    output_block.resize(static_cast<std::size_t>(chunks.ndim()));
    unravel(static_cast<std::int64_t>(task.index), chunks.grid(), output_block);
    return output_block;
  }
  std::vector<std::int64_t> output_block;
};

// What the kernel planned for an output, checked: against nonsense and against what the layer declares.
void check_plan(const tegula_output_plan& plan, const tegula_block& declared, std::size_t output) {
  const std::string which = "output " + std::to_string(output);
  if (plan.ndim < 0 || plan.ndim > kMaxNdim) {
    throw Error(ErrorCode::kKernelFailed,
                "the kernel planned " + std::to_string(plan.ndim) + " dimensions for " + which);
  }
  const std::span<const std::int64_t> shape(plan.shape, static_cast<std::size_t>(plan.ndim));
  const std::span<const std::int64_t> wanted(declared.shape, static_cast<std::size_t>(declared.ndim));
  bool same = shape.size() == wanted.size() && plan.dtype == declared.dtype;
  for (std::size_t d = 0; same && d < shape.size(); ++d) same = shape[d] == wanted[d] || wanted[d] == kUnknown;
  if (!same) {
    const std::string planned_type = plan.dtype >= 0 && plan.dtype < kDTypeCount
                                         ? std::string(name_of(static_cast<DType>(plan.dtype)))
                                         : "dtype " + std::to_string(plan.dtype);
    throw Error(ErrorCode::kKernelFailed, "the kernel planned " + planned_type + " " + to_string(shape) + " for " +
                                              which + " where the layer declares " +
                                              std::string(name_of(static_cast<DType>(declared.dtype))) + " " +
                                              to_string(wanted));
  }
}

}  // namespace

LayerRun::LayerRun(msg::LayerPtr layer, const KernelRegistry& kernels, std::chrono::nanoseconds time_limit)
    : layer_(std::move(layer)), kernel_(kernels.find(layer_->kernel)), time_limit_(time_limit) {
  if (kernel_ != nullptr) return;
  tried_ = true;
  std::string known;
  for (const std::string& name : kernels.names()) known += (known.empty() ? "" : ", ") + name;
  error_ = error_of(ErrorCode::kKernelNotFound, "no loaded kernel library has the kernel '" + layer_->kernel +
                                                    "'; there is " + (known.empty() ? "none" : known));
}

LayerRun::~LayerRun() {
  if (ready_.load(std::memory_order_acquire)) kernel_->release(prepared_);
}

std::optional<ErrorInfo> LayerRun::prepare() {
  if (ready_.load(std::memory_order_acquire)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (ready_.load(std::memory_order_relaxed)) return std::nullopt;
  if (tried_) return error_;
  Context context(nullptr);
  try {
    const int result = kernel_->prepare(layer_->params.data(), layer_->params.size(), &prepared_, &context.c);
    if (result == TEGULA_OK) {
      ready_.store(true, std::memory_order_release);
      return std::nullopt;
    }
    error_ = error_of(result, context, "prepare");
  } catch (const std::bad_alloc&) {
    error_ = error_of(ErrorCode::kOutOfMemory, "out of memory while preparing the layer");
  } catch (const std::exception& error) {
    error_ = error_of(ErrorCode::kKernelFailed, error.what());
  } catch (...) {
    error_ = error_of(ErrorCode::kKernelFailed, "the kernel's prepare threw something that is no exception");
  }
  tried_ = error_.code != ErrorCode::kOutOfMemory;
  return error_;
}

RunOutcome LayerRun::run(const RunRequest& request, BufferPool& pool) {
  using Clock = std::chrono::steady_clock;
  static thread_local View view;
  const auto begin = Clock::now();
  RunOutcome outcome;
  try {
    if (auto error = prepare()) return failed(std::move(*error));
    Context context(request.cancelled);
    view.set(*layer_, request, prepared_);
    std::size_t scratch_bytes = 0;
    if (const int result = kernel_->plan(&view.task, view.plans.data(), &scratch_bytes, &context.c);
        result != TEGULA_OK) {
      return failed(error_of(result, context, "plan"));
    }
    outcome.need = scratch_bytes;
    for (std::size_t i = 0; i < view.plans.size(); ++i) {
      const tegula_output_plan& plan = view.plans[i];
      check_plan(plan, view.declared[i], i);
      const auto items = element_count(std::span(plan.shape, static_cast<std::size_t>(plan.ndim)));
      std::uint64_t bytes = 0;
      if (__builtin_mul_overflow(static_cast<std::uint64_t>(items), item_size(static_cast<DType>(plan.dtype)),
                                 &bytes) ||
          __builtin_add_overflow(outcome.need, bytes, &outcome.need)) {
        throw std::bad_alloc();
      }
    }
    if (outcome.need > request.granted) {
      outcome.kind = RunOutcome::Kind::kNeedsMore;
      return outcome;
    }
    outcome.outputs.reserve(view.plans.size());
    view.outputs.clear();
    for (const tegula_output_plan& plan : view.plans) {
      const auto dtype = static_cast<DType>(plan.dtype);
      Shape shape(plan.shape, plan.shape + plan.ndim);
      Strides strides = contiguous_strides(shape, item_size(dtype));
      Buffer buffer = pool.allocate(static_cast<std::size_t>(element_count(shape)) * item_size(dtype));
      outcome.outputs.emplace_back(dtype, std::move(shape), std::move(strides), std::move(buffer), 0);
    }
    for (Chunk& chunk : outcome.outputs) {
      view.outputs.push_back({chunk.mutable_data(), static_cast<std::int32_t>(chunk.dtype()), chunk.ndim(),
                              chunk.shape().data(), chunk.strides().data()});
    }
    Buffer scratch = pool.allocate(scratch_bytes);
    const int result = kernel_->run(&view.task, view.outputs.data(), scratch.mutable_data(), &context.c);
    outcome.compute_ns = static_cast<std::uint64_t>((Clock::now() - begin).count());
    if (result != TEGULA_OK) {
      const std::uint64_t took = outcome.compute_ns;
      outcome = failed(error_of(result, context, "run"));
      outcome.compute_ns = took;
    }
    return outcome;
  } catch (const std::bad_alloc&) {
    outcome =
        failed(error_of(ErrorCode::kOutOfMemory, "out of memory: the task planned " + std::to_string(outcome.need) +
                                                     " bytes for its outputs and scratch"));
  } catch (const Error& error) {
    outcome = failed(error_of(error.code(), error.what()));
  } catch (const std::exception& error) {
    outcome = failed(error_of(ErrorCode::kKernelFailed, error.what()));
  } catch (...) {
    outcome = failed(error_of(ErrorCode::kKernelFailed, "the kernel threw something that is no exception"));
  }
  outcome.compute_ns = static_cast<std::uint64_t>((Clock::now() - begin).count());
  return outcome;
}

}  // namespace tegula::worker
