#include <cstring>

#include "comm/codec_capnp.h"

namespace tegula::codec {

namespace {

constexpr std::size_t kMaxTaskGridNdim =
    2 * kMaxNdim;  // contractions have an axis for each of both operands' dimensions

// ---- outputs

std::uint64_t words_of(const ChunkGrid& chunks) {
  std::uint64_t words = words_of_structs<wire::DimChunks>(static_cast<std::uint64_t>(chunks.ndim()));
  for (const DimChunks& dim : chunks.dims()) {
    if (const auto* sizes = dim.explicit_sizes()) words += sizes->size();
  }
  return words;
}

void write_chunks(capnp::List<wire::DimChunks>::Builder to, const ChunkGrid& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) {
    const DimChunks& dim = from.dims()[i];
    to[i].setExtent(dim.extent());
    to[i].setChunk(dim.chunk());
    if (const auto* sizes = dim.explicit_sizes()) write_numbers(to[i].initSizes(list_size(sizes->size())), *sizes);
  }
}

ChunkGrid read_chunks(capnp::List<wire::DimChunks>::Reader from) {
  if (from.size() > kMaxNdim) invalid("chunks of " + std::to_string(from.size()) + " dimensions");
  check_structs<wire::DimChunks>(from, "chunks");
  std::vector<DimChunks> dims;
  dims.reserve(from.size());
  for (const auto dim : from) {
    if (const auto wire_sizes = dim.getSizes(); wire_sizes.size() > 0) {
      auto sizes = read_numbers<std::int64_t>(wire_sizes);
      std::int64_t sum = 0;
      for (const std::int64_t size : sizes) {
        if (size < kUnknown || __builtin_add_overflow(sum, size, &sum))
          invalid("a chunk of size " + std::to_string(size));
      }
      dims.emplace_back(std::move(sizes));
    } else {
      dims.emplace_back(dim.getExtent(), dim.getChunk());
    }
  }
  return ChunkGrid(std::move(dims));
}

void write_outputs(capnp::List<wire::OutputSpec>::Builder to, const std::vector<OutputSpec>& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) {
    to[i].setDtype(static_cast<std::uint8_t>(from[i].dtype));
    write_chunks(to[i].initChunks(list_size(from[i].chunks.dims().size())), from[i].chunks);
  }
}

std::vector<OutputSpec> read_outputs(capnp::List<wire::OutputSpec>::Reader from) {
  check_structs<wire::OutputSpec>(from, "outputs");
  std::vector<OutputSpec> outputs;
  outputs.reserve(from.size());
  for (const auto output : from) outputs.push_back({read_dtype(output.getDtype()), read_chunks(output.getChunks())});
  return outputs;
}

// ---- input rules

std::uint64_t words_of(const DimRule& rule) {
  const auto* pieces = std::get_if<Pieces>(&rule);
  if (pieces == nullptr) return 0;
  return words_of_struct<wire::Pieces>() + codec::words_of(pieces->begin) + pieces->block.size() +
         3 * pieces->box.size();
}

std::uint64_t words_of(const InputRule& rule) {
  std::uint64_t words = rule.grid.size();
  if (const auto* listed = std::get_if<ExplicitInput>(&rule.pieces)) {
    return words + words_of_struct<wire::ExplicitInput>() + codec::words_of(listed->begin) +
           codec::words_of(listed->index);
  }
  const auto& dims = std::get<SeparableInput>(rule.pieces).dims;
  words += words_of_structs<wire::DimRule>(dims.size());
  for (const DimRule& dim : dims) words += words_of(dim);
  return words;
}

struct DimRuleWriter {
  wire::DimRule::Builder to;

  void operator()(const ConstantBlock& rule) { to.setConstantBlock(rule.block); }
  void operator()(const SameBlock& rule) { to.setSameBlock(static_cast<std::uint8_t>(rule.axis)); }
  void operator()(const FanIn& rule) {
    auto fan_in = to.initFanIn();
    fan_in.setAxis(static_cast<std::uint8_t>(rule.axis));
    fan_in.setFactor(rule.factor);
  }
  void operator()(const AllBlocks&) { to.setAllBlocks(); }
  void operator()(const Pieces& rule) {
    auto pieces = to.initPieces();
    pieces.setAxis(static_cast<std::uint8_t>(rule.axis));
    write_numbers(pieces.initBegin(list_size(rule.begin.size())), rule.begin);
    write_numbers(pieces.initBlock(list_size(rule.block.size())), rule.block);
    write_boxes(pieces.initBox(list_size(rule.box.size() * 3)), rule.box);
  }
};

int read_axis(std::uint8_t axis) {
  if (axis >= kMaxTaskGridNdim) invalid("axis " + std::to_string(axis) + " of a task grid");
  return axis;
}

DimRule read_dim_rule(wire::DimRule::Reader from) {
  switch (from.which()) {
    case wire::DimRule::CONSTANT_BLOCK:
      if (from.getConstantBlock() < 0) invalid("block " + std::to_string(from.getConstantBlock()));
      return ConstantBlock{from.getConstantBlock()};
    case wire::DimRule::SAME_BLOCK:
      return SameBlock{read_axis(from.getSameBlock())};
    case wire::DimRule::FAN_IN: {
      const auto fan_in = from.getFanIn();
      if (fan_in.getFactor() < 1) invalid("fan-in by " + std::to_string(fan_in.getFactor()));
      return FanIn{read_axis(fan_in.getAxis()), fan_in.getFactor()};
    }
    case wire::DimRule::ALL_BLOCKS:
      return AllBlocks{};
    case wire::DimRule::PIECES: {
      const auto pieces = from.getPieces();
      return Pieces{read_axis(pieces.getAxis()), read_numbers<std::uint32_t>(pieces.getBegin()),
                    read_numbers<std::int64_t>(pieces.getBlock()), read_boxes(pieces.getBox())};
    }
  }
  invalid("unknown kind of dimension rule");
}

void write_inputs(capnp::List<wire::InputRule>::Builder to, const std::vector<InputRule>& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) {
    const InputRule& rule = from[i];
    auto input = to[i];
    input.setLayer(rule.layer);
    input.setOutput(rule.output);
    write_numbers(input.initGrid(list_size(rule.grid.size())), rule.grid);
    if (const auto* listed = std::get_if<ExplicitInput>(&rule.pieces)) {
      auto lists = input.initExplicit();
      write_numbers(lists.initBegin(list_size(listed->begin.size())), listed->begin);
      write_numbers(lists.initIndex(list_size(listed->index.size())), listed->index);
    } else {
      const auto& dims = std::get<SeparableInput>(rule.pieces).dims;
      auto rules = input.initSeparable(list_size(dims.size()));
      for (capnp::uint d = 0; d < rules.size(); ++d) std::visit(DimRuleWriter{rules[d]}, dims[d]);
    }
  }
}

std::vector<InputRule> read_inputs(capnp::List<wire::InputRule>::Reader from) {
  check_structs<wire::InputRule>(from, "input rules");
  std::vector<InputRule> inputs;
  inputs.reserve(from.size());
  for (const auto input : from) {
    InputRule rule;
    rule.layer = input.getLayer();
    rule.output = input.getOutput();
    rule.grid = read_sizes(input.getGrid(), kMaxTaskGridNdim, kMaxTasksPerLayer, "an input's grid");
    if (input.isExplicit()) {
      const auto lists = input.getExplicit();
      rule.pieces =
          ExplicitInput{read_numbers<std::uint32_t>(lists.getBegin()), read_numbers<std::uint32_t>(lists.getIndex())};
    } else if (input.isSeparable()) {
      const auto rules = input.getSeparable();
      if (rules.size() > kMaxTaskGridNdim) invalid("an input rule of " + std::to_string(rules.size()) + " dimensions");
      check_structs<wire::DimRule>(rules, "dimension rules");
      SeparableInput separable;
      for (const auto dim : rules) separable.dims.push_back(read_dim_rule(dim));
      rule.pieces = std::move(separable);
    } else {
      invalid("unknown kind of input rule");
    }
    inputs.push_back(std::move(rule));
  }
  return inputs;
}

// ---- per-task parameters

std::uint64_t task_param_bytes(const Layer& layer) {
  std::uint64_t bytes = 0;
  for (const Bytes& params : layer.task_params) bytes += params.size();
  return bytes;
}

void write_task_params(wire::Layer::Builder to, const Layer& from) {
  if (from.task_params.empty()) return;
  auto ends = to.initTaskParamEnds(list_size(from.task_params.size()));
  auto bytes = to.initTaskParamBytes(list_size(task_param_bytes(from)));
  std::uint32_t end = 0;
  for (capnp::uint i = 0; i < ends.size(); ++i) {
    const Bytes& params = from.task_params[i];
    if (!params.empty()) std::memcpy(bytes.begin() + end, params.data(), params.size());
    end += static_cast<std::uint32_t>(params.size());
    ends.set(i, end);
  }
}

std::vector<Bytes> read_task_params(wire::Layer::Reader from) {
  const auto ends = from.getTaskParamEnds();
  const auto bytes = from.getTaskParamBytes();
  const auto* first = reinterpret_cast<const std::byte*>(bytes.begin());
  std::vector<Bytes> params;
  params.reserve(ends.size());
  std::uint32_t begin = 0;
  for (const std::uint32_t end : ends) {
    if (end < begin || end > bytes.size()) invalid("task parameters that end at byte " + std::to_string(end));
    params.emplace_back(first + begin, first + end);
    begin = end;
  }
  if (begin != bytes.size()) invalid("task parameters that belong to no task");
  return params;
}

}  // namespace

std::uint64_t words_of(const Layer& layer) {
  std::uint64_t words = words_of(layer.name) + words_of(layer.kernel) + words_of_bytes(layer.params.size()) +
                        layer.grid.size() + words_of_structs<wire::OutputSpec>(layer.outputs.size()) +
                        words_of_structs<wire::InputRule>(layer.inputs.size());
  for (const OutputSpec& output : layer.outputs) words += words_of(output.chunks);
  for (const InputRule& input : layer.inputs) words += words_of(input);
  return words + words_of_bytes(4 * layer.task_params.size()) + words_of_bytes(task_param_bytes(layer));
}

void write_layer(wire::Layer::Builder to, const Layer& from) {
  write_text(to.initName(list_size(from.name.size())), from.name);
  write_text(to.initKernel(list_size(from.kernel.size())), from.kernel);
  auto params = to.initParams(list_size(from.params.size()));
  if (!from.params.empty()) std::memcpy(params.begin(), from.params.data(), from.params.size());
  write_numbers(to.initGrid(list_size(from.grid.size())), from.grid);
  write_outputs(to.initOutputs(list_size(from.outputs.size())), from.outputs);
  write_inputs(to.initInputs(list_size(from.inputs.size())), from.inputs);
  to.setPure(from.pure);
  to.setNonce(from.nonce);
  write_task_params(to, from);
}

msg::LayerPtr read_layer(wire::Layer::Reader from) {
  auto layer = std::make_shared<Layer>();
  layer->name = read_text(from.getName());
  layer->kernel = read_text(from.getKernel());
  const auto params = from.getParams();
  const auto* bytes = reinterpret_cast<const std::byte*>(params.begin());
  layer->params.assign(bytes, bytes + params.size());
  layer->grid = read_sizes(from.getGrid(), kMaxTaskGridNdim, kMaxTasksPerLayer, "a task grid");
  layer->outputs = read_outputs(from.getOutputs());
  layer->inputs = read_inputs(from.getInputs());
  layer->pure = from.getPure();
  layer->nonce = from.getNonce();
  layer->task_params = read_task_params(from);
  return layer;
}

}  // namespace tegula::codec
