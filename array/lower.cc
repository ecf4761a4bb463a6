#include "array/lower.h"

#include <algorithm>
#include <cstring>

#include "array/views.h"
#include "src/chunk.h"

namespace tegula::detail {
namespace {

// The bytes of one block of a C-contiguous array, C-contiguous.
Bytes block_bytes(const HostArray& values, const ChunkGrid& chunks, std::span<const std::int64_t> block) {
  const std::size_t item = item_size(values.dtype());
  const Shape shape = chunks.block_shape(block), offset = chunks.block_offset(block);
  const Strides strides = contiguous_strides(values.shape(), item);
  const auto* first = static_cast<const std::byte*>(values.data());
  for (std::size_t d = 0; d < shape.size(); ++d) first += offset[d] * strides[d];
  Bytes bytes(static_cast<std::size_t>(element_count(shape)) * item);
  if (!bytes.empty()) copy_strided(shape, item, first, strides, bytes.data(), contiguous_strides(shape, item));
  return bytes;
}

}  // namespace

ExpressionPtr without_relabels(ExpressionPtr root) {
  while (is_relabel(*root)) root = root->inputs[0];
  return root;
}

Emitted Lowering::add(Layer layer) {
  std::int64_t tasks = 1;
  for (std::int64_t blocks : layer.grid) {
    if (__builtin_mul_overflow(tasks, blocks, &tasks) || tasks > kMaxTasksPerLayer) {
      throw ValueError("an array in " + to_string(layer.grid) + " chunks is more than the " +
                       std::to_string(kMaxTasksPerLayer) + " tasks that one layer may have; use larger chunks");
    }
  }
  Emitted emitted{static_cast<LayerNumber>(graph_.layers.size()), 0, layer.outputs[0].chunks};
  graph_.layers.push_back(std::make_shared<const Layer>(std::move(layer)));
  return emitted;
}

void Lowering::emit(int node) {
  const Expression& expression = *plan_[node].expression;
  if (expression.as<Reduce>()) {
    emit_reduction(node);
  } else if (expression.as<Rechunk>() && !plan_.transparent(node)) {
    emit_rechunk(node);
  } else if (expression.as<NpyFile>()) {
    emit_npy(node);
  } else if (expression.as<HostValues>()) {
    emit_host(node);
  } else if (expression.as<Stored>()) {
    emit_stored(node);
  } else {
    emit_program(node);
  }
}

void Lowering::emit_rechunk(int node) {
  const Expression& expression = *plan_[node].expression;
  Layer layer;
  layer.name = "rechunk";
  layer.kernel = "tegula.assemble";
  layer.grid = task_grid(expression.chunks);
  layer.outputs = {{expression.dtype, expression.chunks}};
  layer.inputs = {input_rechunked(emitted(plan_[node].inputs[0]), expression.chunks)};
  emitted_[node] = add(std::move(layer));
}

void Lowering::emit_npy(int node) {
  const Expression& expression = *plan_[node].expression;
  Layer layer;
  layer.name = "read-npy";
  layer.kernel = "tegula.read_npy";
  layer.grid = task_grid(expression.chunks);
  layer.outputs = {{expression.dtype, expression.chunks}};
  layer.params = encode(expression.as<NpyFile>()->params);
  emitted_[node] = add(std::move(layer));
}

void Lowering::emit_host(int node) {
  const Expression& expression = *plan_[node].expression;
  Layer layer;
  layer.name = "from-host";
  layer.kernel = "tegula.from_bytes";
  layer.grid = task_grid(expression.chunks);
  layer.outputs = {{expression.dtype, expression.chunks}};
  const Shape grid = expression.chunks.grid();
  Shape block(grid.size());
  for (std::int64_t i = 0; i < expression.chunks.blocks(); ++i) {
    unravel(i, grid, block);
    layer.task_params.push_back(block_bytes(expression.as<HostValues>()->values, expression.chunks, block));
  }
  emitted_[node] = add(std::move(layer));
}

void Lowering::emit_stored(int node) {
  const Expression& expression = *plan_[node].expression;
  const Stored& stored = *expression.as<Stored>();
  const auto& handle = stored.results->layer();
  if (!graph_.external.empty() && graph_.external[0]->client() != handle->client()) {
    throw ValueError("arrays persisted by different clients (" + graph_.external[0]->client()->scheduler_address() +
                     " and " + handle->client()->scheduler_address() + ") can't be computed together");
  }
  const auto known = std::find(graph_.external.begin(), graph_.external.end(), handle);
  const auto position = static_cast<LayerNumber>(known - graph_.external.begin());
  if (known == graph_.external.end()) graph_.external.push_back(handle);
  emitted_[node] = {kExternalLayer + position, stored.results->output(), expression.chunks};
}

Lowered lower(const Plan& plan) {
  Lowering lowering(plan);
  for (std::size_t i = 0; i < plan.nodes().size(); ++i) {
    if (plan.nodes()[i].stored) lowering.emit(static_cast<int>(i));
  }
  Lowered lowered;
  for (const ExpressionPtr& root : plan.roots()) lowered.roots.push_back(lowering.emitted(plan.find(*root)));
  lowered.graph = lowering.take_graph();
  return lowered;
}

}  // namespace tegula::detail
