#include <fmt/core.h>

#include <array>

#include "src/bytes.h"
#include "src/graph.h"
#include "src/hash.h"
#include "src/shape.h"

namespace tegula {
namespace {

void write(ByteWriter& out, const ChunkGrid& grid) {
  out.put(static_cast<std::uint64_t>(grid.ndim()));
  for (const DimChunks& dim : grid.dims()) {
    out.put(dim.extent());
    out.put(static_cast<std::uint8_t>(dim.regular()));
    if (dim.regular()) {
      out.put(dim.chunk());
    } else {
      out.put_list(*dim.explicit_sizes());
    }
  }
}

struct DimWriter {
  ByteWriter& out;
  void tag(std::uint8_t tag) const { out.put(tag); }
  void operator()(const ConstantBlock& rule) const {
    tag(0);
    out.put(rule.block);
  }
  void operator()(const SameBlock& rule) const {
    tag(1);
    out.put(static_cast<std::int64_t>(rule.axis));
  }
  void operator()(const FanIn& rule) const {
    tag(2);
    out.put(static_cast<std::int64_t>(rule.axis));
    out.put(rule.factor);
  }
  void operator()(const AllBlocks&) const { tag(3); }
  void operator()(const Pieces& rule) const {
    tag(4);
    out.put(static_cast<std::int64_t>(rule.axis));
    out.put_list(rule.begin);
    out.put_list(rule.block);
    out.put(static_cast<std::uint64_t>(rule.box.size()));
    for (const BoxDim& box : rule.box) {
      out.put(box.start);
      out.put(box.count);
      out.put(box.step);
    }
  }
};

struct InputWriter {
  ByteWriter& out;
  void operator()(const SeparableInput& input) const {
    out.put(std::uint8_t{0});
    out.put(static_cast<std::uint64_t>(input.dims.size()));
    for (const DimRule& dim : input.dims) std::visit(DimWriter{out}, dim);
  }
  void operator()(const ExplicitInput& input) const {
    out.put(std::uint8_t{1});
    out.put_list(input.begin);
    out.put_list(input.index);
  }
};

}  // namespace

LayerHash hash_layer(const Layer& layer, const std::function<LayerHash(LayerNumber)>& input_hash) {
  ByteWriter out;
  out.put(std::uint8_t{1});  // of this list of fields; a new one when it changes
  out.put_string(layer.name);
  out.put_string(layer.kernel);
  out.put_bytes(layer.params);
  out.put_list(layer.grid);
  out.put(static_cast<std::uint64_t>(layer.outputs.size()));
  for (const OutputSpec& output : layer.outputs) {
    out.put(output.dtype);
    write(out, output.chunks);
  }
  out.put(static_cast<std::uint64_t>(layer.inputs.size()));
  for (const InputRule& input : layer.inputs) {
    const LayerHash producer = input_hash(input.layer);
    out.put(producer.high);
    out.put(producer.low);
    out.put(input.output);
    out.put_list(input.grid);
    std::visit(InputWriter{out}, input.pieces);
  }
  out.put(static_cast<std::uint8_t>(layer.pure));
  out.put(layer.nonce);
  out.put(static_cast<std::uint64_t>(layer.task_params.size()));
  for (const Bytes& params : layer.task_params) out.put_bytes(params);
  return hash_bytes(out.bytes());
}

std::string key_text(const Layer& layer, const LayerHash& hash, std::uint32_t index, std::uint16_t output) {
  std::string text = fmt::format("{}-{:08x}(", layer.name, hash.high >> 32);
  std::vector<std::int64_t> position(layer.grid.size());
  unravel(index, layer.grid, position);
  for (std::size_t d = 0; d < position.size(); ++d) text += fmt::format("{}{}", d == 0 ? "" : ",", position[d]);
  text += ")";
  if (layer.outputs.size() > 1) text += fmt::format("[{}]", output);
  return text;
}

}  // namespace tegula
