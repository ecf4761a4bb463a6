#include "src/graph.h"

#include <array>

#include "src/graph_rules.h"
#include "src/shape.h"

namespace tegula {
namespace {

// Calls `use` with a view of the rule whose dimensions live on the stack.
template <typename Use>
auto with_view(const Layer& layer, std::size_t rule, Use&& use) {
  const InputRule& input = layer.inputs[rule];
  if (const auto* list = std::get_if<ExplicitInput>(&input.pieces)) return use(RuleView(*list));
  std::array<RuleDim, kMaxNdim> dims;
  return use(RuleView(compile_dims(layer, input, dims)));
}

bool has_pieces(const SeparableInput& input) {
  for (const DimRule& dim : input.dims) {
    if (std::holds_alternative<Pieces>(dim)) return true;
  }
  return false;
}

// The pieces of one dimension for one task: first and count of blocks, or a stretch of a Pieces list.
struct DimPieces {
  std::int64_t count = 0;
  std::int64_t first = 0;
  const Pieces* pieces = nullptr;

  std::int64_t block(std::int64_t k) const {
    return pieces != nullptr ? pieces->block[static_cast<std::size_t>(first + k)] : first + k;
  }
  BoxDim box(std::int64_t k) const {
    return pieces != nullptr ? pieces->box[static_cast<std::size_t>(first + k)] : BoxDim{0, kUnknown, 1};
  }
};

DimPieces pieces_of(const RuleDim& dim, std::uint32_t index) {
  const std::int64_t position = dim.position(index);
  switch (dim.kind) {
    case RuleDim::Kind::kConstant:
      return {1, dim.value, nullptr};
    case RuleDim::Kind::kSame:
      return {1, position, nullptr};
    case RuleDim::Kind::kFanIn: {
      const std::int64_t first = position * dim.value;
      return {std::min<std::int64_t>(dim.value, dim.blocks - first), first, nullptr};
    }
    case RuleDim::Kind::kAll:
      return {dim.blocks, 0, nullptr};
    case RuleDim::Kind::kPieces: {
      const auto p = static_cast<std::size_t>(position);
      const std::int64_t first = dim.pieces->begin[p];
      return {dim.pieces->begin[p + 1] - first, first, dim.pieces};
    }
  }
  return {};
}

void for_each_separable(const Layer& layer, const InputRule& input, std::uint32_t index,
                        const std::function<void(const InputPiece&)>& visit, std::vector<std::int64_t>* piece_grid) {
  std::array<RuleDim, kMaxNdim> storage;
  const auto dims = compile_dims(layer, input, storage);
  const bool boxes = has_pieces(std::get<SeparableInput>(input.pieces));
  std::array<DimPieces, kMaxNdim> pieces;
  std::int64_t total = 1;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    pieces[d] = pieces_of(dims[d], index);
    total *= pieces[d].count;
  }
  if (piece_grid != nullptr) {
    piece_grid->clear();
    for (std::size_t d = 0; d < dims.size(); ++d) piece_grid->push_back(pieces[d].count);
  }
  std::array<std::int64_t, kMaxNdim> at{};
  InputPiece piece;
  if (boxes) piece.box.resize(dims.size());
  for (std::int64_t i = 0; i < total; ++i) {
    piece.index = 0;
    for (std::size_t d = 0; d < dims.size(); ++d) {
      piece.index += static_cast<std::uint32_t>(pieces[d].block(at[d])) * dims[d].block_stride;
      if (boxes) piece.box[d] = pieces[d].box(at[d]);
    }
    visit(piece);
    for (std::size_t d = dims.size(); d-- > 0 && ++at[d] == pieces[d].count;) at[d] = 0;
  }
}

}  // namespace

std::uint32_t Layer::tasks() const {
  std::int64_t tasks = 1;
  for (std::int64_t size : grid) tasks *= size;
  return static_cast<std::uint32_t>(tasks);
}

void for_each_input(const Layer& layer, std::size_t rule, std::uint32_t index,
                    const std::function<void(const InputPiece&)>& visit, std::vector<std::int64_t>* piece_grid) {
  const InputRule& input = layer.inputs[rule];
  if (const auto* list = std::get_if<ExplicitInput>(&input.pieces)) {
    if (piece_grid != nullptr) piece_grid->assign(1, list->begin[index + 1] - list->begin[index]);
    RuleView(*list).for_each(index, [&](std::uint32_t producer) { visit({producer, {}}); });
    return;
  }
  for_each_separable(layer, input, index, visit, piece_grid);
}

void for_each_producer(const Layer& layer, std::size_t rule, std::uint32_t index,
                       const std::function<void(std::uint32_t)>& visit) {
  with_view(layer, rule, [&](const RuleView& view) { view.for_each(index, visit); });
}

std::uint64_t producer_count(const Layer& layer, std::size_t rule, std::uint32_t index) {
  return with_view(layer, rule, [&](const RuleView& view) { return view.count(index); });
}

std::uint32_t producer_at(const Layer& layer, std::size_t rule, std::uint32_t index, std::uint64_t k) {
  return with_view(layer, rule, [&](const RuleView& view) { return view.at(index, k); });
}

struct ConsumerIndex::State {
  ConsumerTable table;
};

ConsumerIndex::ConsumerIndex(const Layer& layer, std::size_t rule)
    : state_(std::make_shared<const State>(State{ConsumerTable(layer, rule)})) {}

void ConsumerIndex::for_each(std::uint32_t producer, const std::function<void(std::uint32_t)>& visit) const {
  state_->table.for_each(producer, visit);
}

std::uint64_t ConsumerIndex::count(std::uint32_t producer) const { return state_->table.count(producer); }

bool ConsumerIndex::covers_all_producers() const { return state_->table.covers_all_producers(); }

std::size_t declared_nbytes(const Layer& layer, std::uint16_t output, std::uint32_t index) {
  const OutputSpec& spec = layer.outputs[output];
  std::size_t bytes = item_size(spec.dtype);
  std::uint32_t rest = index;
  for (int axis = spec.chunks.ndim(); axis-- > 0;) {
    const DimChunks& dim = spec.chunks.dim(axis);
    const auto blocks = static_cast<std::uint32_t>(dim.blocks());
    const std::int64_t size = dim.size(rest % blocks);
    rest /= blocks;
    if (size == kUnknown) return 0;
    bytes *= static_cast<std::size_t>(size);
  }
  return bytes;
}

}  // namespace tegula
