// to_npy: the workers write into a file that has its full size from the start.
#include "array/compute.h"
#include "array/files.h"
#include "array/lower.h"

namespace tegula {
namespace {

// One task per chunk, whose result is nothing.
Layer write_layer(const detail::Emitted& from, const WriteNpyParams& params) {
  Layer layer;
  layer.name = "write-npy";
  layer.kernel = "tegula.write_npy";
  layer.params = encode(params);
  layer.grid = params.chunks.grid();
  std::vector<DimChunks> dims;
  for (std::int64_t blocks : layer.grid) dims.push_back(DimChunks(blocks, 1));
  if (dims.empty()) {
    dims.push_back(DimChunks(0, 1));
  } else {
    dims[0] = DimChunks(std::vector<std::int64_t>(static_cast<std::size_t>(layer.grid[0]), 0));
  }
  layer.outputs = {{DType::kUInt8, ChunkGrid(std::move(dims))}};
  SeparableInput same;
  for (int axis = 0; axis < params.chunks.ndim(); ++axis) same.dims.push_back(SameBlock{axis});
  layer.inputs = {{from.layer, from.output, layer.grid, std::move(same)}};
  return layer;
}

}  // namespace

void to_npy(const Array& array, const std::string& path, const Client& client) {
  const std::vector<detail::ExpressionPtr> roots = {detail::without_relabels(array.expression())};
  detail::check_clients(roots, client);
  detail::Lowered lowered = detail::lower(detail::Plan(roots, /*optimize=*/true));

  const Bytes header = npy_header(array.dtype(), array.shape());
  detail::NewFile file(path, header.size() + array.nbytes());
  file.write(0, header.data(), header.size());
  // Shape and chunks are those of the computed form: other dimensions of size 1 than the array's, but the same bytes.
  const ChunkGrid& chunks = roots[0]->chunks;
  const WriteNpyParams params{file.temporary_path(), array.dtype(), chunks.shape(), header.size(), chunks};
  const auto want = static_cast<std::uint32_t>(lowered.graph.layers.size());
  lowered.graph.layers.push_back(std::make_shared<const Layer>(write_layer(lowered.roots[0], params)));
  client.impl()->submit(lowered.graph, {{want, 0}})[0]->wait();
  file.commit();
}

}  // namespace tegula
