#include "src/graph_rules.h"

namespace tegula {
namespace {

std::uint32_t stride_of(const std::vector<std::int64_t>& grid, std::size_t axis) {
  std::int64_t stride = 1;
  for (std::size_t d = grid.size(); d-- > axis + 1;) stride *= grid[d];
  return static_cast<std::uint32_t>(stride);
}

struct DimCompiler {
  const Layer& layer;
  RuleDim& dim;

  void axis(int axis) const {
    const auto a = static_cast<std::size_t>(axis);
    dim.axis = static_cast<std::uint32_t>(axis);
    dim.axis_size = static_cast<std::uint32_t>(layer.grid[a]);
    dim.axis_stride = stride_of(layer.grid, a);
  }
  void operator()(const ConstantBlock& rule) const {
    dim.kind = RuleDim::Kind::kConstant;
    dim.value = static_cast<std::uint32_t>(rule.block);
  }
  void operator()(const SameBlock& rule) const {
    dim.kind = RuleDim::Kind::kSame;
    axis(rule.axis);
  }
  void operator()(const FanIn& rule) const {
    dim.kind = RuleDim::Kind::kFanIn;
    axis(rule.axis);
    dim.value = static_cast<std::uint32_t>(std::min<std::int64_t>(rule.factor, dim.blocks));
  }
  void operator()(const AllBlocks&) const { dim.kind = RuleDim::Kind::kAll; }
  void operator()(const Pieces& rule) const {
    dim.kind = RuleDim::Kind::kPieces;
    axis(rule.axis);
    dim.pieces = &rule;
  }
};

// No position of the axis names a block twice.
bool distinct_blocks(const Pieces& pieces) {
  std::vector<std::int64_t> blocks;
  for (std::size_t p = 0; p + 1 < pieces.begin.size(); ++p) {
    blocks.assign(pieces.block.begin() + pieces.begin[p], pieces.block.begin() + pieces.begin[p + 1]);
    std::sort(blocks.begin(), blocks.end());
    if (std::adjacent_find(blocks.begin(), blocks.end()) != blocks.end()) return false;
  }
  return true;
}

bool distinct_indices(const ExplicitInput& list) {
  std::vector<std::uint32_t> seen;
  for (std::size_t i = 0; i + 1 < list.begin.size(); ++i) {
    seen.assign(list.index.begin() + list.begin[i], list.index.begin() + list.begin[i + 1]);
    std::sort(seen.begin(), seen.end());
    if (std::adjacent_find(seen.begin(), seen.end()) != seen.end()) return false;
  }
  return true;
}

}  // namespace

std::span<const RuleDim> compile_dims(const Layer& layer, const InputRule& rule, std::span<RuleDim> dims) {
  const auto& separable = std::get<SeparableInput>(rule.pieces);
  for (std::size_t d = 0; d < separable.dims.size(); ++d) {
    dims[d] = RuleDim{};
    dims[d].blocks = static_cast<std::uint32_t>(rule.grid[d]);
    dims[d].block_stride = stride_of(rule.grid, d);
    std::visit(DimCompiler{layer, dims[d]}, separable.dims[d]);
  }
  return dims.first(separable.dims.size());
}

CompiledRule::CompiledRule(const Layer& layer, std::size_t rule) {
  const InputRule& input = layer.inputs[rule];
  if (const auto* list = std::get_if<ExplicitInput>(&input.pieces)) {
    list_ = list;
    distinct_ = distinct_indices(*list);
    return;
  }
  dims_.resize(input.grid.size());
  compile_dims(layer, input, dims_);
  for (const RuleDim& dim : dims_) {
    if (dim.kind == RuleDim::Kind::kPieces && !distinct_blocks(*dim.pieces)) distinct_ = false;
  }
}

InverseList::InverseList(std::vector<std::uint64_t> pairs) {
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  values_.reserve(pairs.size());
  for (std::uint64_t entry : pairs) {
    const auto key = static_cast<std::uint32_t>(entry >> 32);
    if (keys_.empty() || keys_.back() != key) {
      keys_.push_back(key);
      begin_.push_back(static_cast<std::uint32_t>(values_.size()));
    }
    values_.push_back(static_cast<std::uint32_t>(entry));
  }
  begin_.push_back(static_cast<std::uint32_t>(values_.size()));
  dense_ = !keys_.empty() && keys_.back() + 1 == keys_.size();
}

std::span<const std::uint32_t> InverseList::operator[](std::uint32_t key) const {
  std::size_t at = key;
  if (!dense_) {
    const auto found = std::lower_bound(keys_.begin(), keys_.end(), key);
    if (found == keys_.end() || *found != key) return {};
    at = static_cast<std::size_t>(found - keys_.begin());
  }
  if (at >= keys_.size()) return {};
  return std::span(values_).subspan(begin_[at], begin_[at + 1] - begin_[at]);
}

ConsumerTable::ConsumerTable(const Layer& layer, std::size_t rule) {
  const InputRule& input = layer.inputs[rule];
  std::uint32_t producers = 1;
  for (std::int64_t blocks : input.grid) producers *= static_cast<std::uint32_t>(blocks);

  if (const auto* list = std::get_if<ExplicitInput>(&input.pieces)) {
    explicit_ = true;
    std::vector<std::uint64_t> pairs;
    pairs.reserve(list->index.size());
    for (std::uint32_t task = 0; task + 1 < list->begin.size(); ++task) {
      for (std::uint32_t i = list->begin[task]; i < list->begin[task + 1]; ++i) {
        pairs.push_back(InverseList::pair(list->index[i], task));
      }
    }
    list_ = InverseList(std::move(pairs));
    covers_all_ = list_.keys() == producers;
    return;
  }

  axes_.resize(layer.grid.size());
  for (std::size_t a = 0; a < axes_.size(); ++a) {
    axes_[a].size = static_cast<std::uint32_t>(layer.grid[a]);
    axes_[a].stride = stride_of(layer.grid, a);
  }
  std::array<RuleDim, kMaxNdim> dims;
  for (const RuleDim& dim : compile_dims(layer, input, dims)) {
    if (dim.kind == RuleDim::Kind::kAll) continue;
    if (dim.kind == RuleDim::Kind::kConstant) {
      constants_.push_back(dim);
      continue;
    }
    Source source{dim, {}};
    if (dim.kind == RuleDim::Kind::kPieces) {
      std::vector<std::uint64_t> pairs;
      pairs.reserve(dim.pieces->block.size());
      for (std::uint32_t p = 0; p < dim.axis_size; ++p) {
        for (std::uint32_t i = dim.pieces->begin[p]; i < dim.pieces->begin[p + 1]; ++i) {
          pairs.push_back(InverseList::pair(static_cast<std::uint32_t>(dim.pieces->block[i]), p));
        }
      }
      source.inverse = InverseList(std::move(pairs));
    }
    axes_[dim.axis].sources.push_back(std::move(source));
  }
  covers_all_ = compute_covers_all();
}

ConsumerTable::Positions ConsumerTable::Source::positions(std::uint32_t block) const {
  switch (dim.kind) {
    case RuleDim::Kind::kSame:
      return {block, block < dim.axis_size ? 1u : 0u, dim.axis_stride, nullptr};
    case RuleDim::Kind::kFanIn: {
      const std::uint32_t position = block / dim.value;
      return {position, position < dim.axis_size ? 1u : 0u, dim.axis_stride, nullptr};
    }
    default: {
      const auto list = inverse[block];
      return {0, static_cast<std::uint32_t>(list.size()), dim.axis_stride, list.data()};
    }
  }
}

bool ConsumerTable::select(std::uint32_t producer, std::array<Positions, kMaxTaskAxes>& walked, std::size_t& count,
                           std::uint32_t& base, Crossed& crossed) const {
  const auto block_along = [producer](const RuleDim& dim) { return producer / dim.block_stride % dim.blocks; };
  for (const RuleDim& dim : constants_) {
    if (block_along(dim) != dim.value) return false;
  }
  for (const Axis& axis : axes_) {
    Positions allowed{0, axis.size, axis.stride, nullptr};
    for (std::size_t s = 0; s < axis.sources.size(); ++s) {
      const Source& source = axis.sources[s];
      const Positions here = source.positions(block_along(source.dim));
      if (s == 0) {
        allowed = here;
        continue;
      }
      std::vector<std::uint32_t> both;
      std::uint32_t j = 0;
      for (std::uint32_t i = 0; i < allowed.count && j < here.count; ++i) {
        const std::uint32_t position = allowed.at(i) / axis.stride;
        while (j < here.count && here.at(j) / axis.stride < position) ++j;
        if (j < here.count && here.at(j) / axis.stride == position) both.push_back(position);
      }
      crossed.push_back(std::move(both));
      allowed = {0, static_cast<std::uint32_t>(crossed.back().size()), axis.stride, crossed.back().data()};
    }
    if (allowed.count == 0) return false;
    if (allowed.count == 1) {
      base += allowed.at(0);
    } else {
      walked[count++] = allowed;
    }
  }
  return true;
}

std::uint64_t ConsumerTable::count(std::uint32_t producer) const {
  if (explicit_) return list_[producer].size();
  Crossed crossed;
  std::array<Positions, kMaxTaskAxes> walked;
  std::size_t axes = 0;
  std::uint32_t base = 0;
  if (!select(producer, walked, axes, base, crossed)) return 0;
  std::uint64_t count = 1;
  for (std::size_t a = 0; a < axes; ++a) count *= walked[a].count;
  return count;
}

bool ConsumerTable::covers(const Axis& axis) const {
  if (axis.sources.size() == 1) {
    const Source& source = axis.sources.front();
    switch (source.dim.kind) {
      case RuleDim::Kind::kSame:
        return axis.size >= source.dim.blocks;
      case RuleDim::Kind::kFanIn:
        return static_cast<std::uint64_t>(axis.size) * source.dim.value >= source.dim.blocks;
      default:
        return source.inverse.keys() == source.dim.blocks;
    }
  }
  // Several dimensions driven by one axis: each combination of their blocks must be read at some position. Only small
  // ones are tried out; saying no costs a walk, never an answer.
  constexpr std::uint64_t kMostCombinations = 4096;
  std::uint64_t combinations = 1;
  for (const Source& source : axis.sources) {
    combinations *= source.dim.blocks;
    if (combinations > kMostCombinations) return false;
  }
  for (std::uint64_t combination = 0; combination < combinations; ++combination) {
    bool read = false;
    for (std::uint32_t position = 0; position < axis.size && !read; ++position) {
      std::uint64_t rest = combination;
      read = true;
      for (const Source& source : axis.sources) {
        const Positions positions = source.positions(static_cast<std::uint32_t>(rest % source.dim.blocks));
        rest /= source.dim.blocks;
        bool listed = false;
        for (std::uint32_t k = 0; k < positions.count && !listed; ++k) {
          listed = positions.at(k) / axis.stride == position;
        }
        read = read && listed;
      }
    }
    if (!read) return false;
  }
  return true;
}

bool ConsumerTable::compute_covers_all() const {
  const bool constants =
      std::all_of(constants_.begin(), constants_.end(), [](const RuleDim& dim) { return dim.blocks == 1; });
  return constants && std::all_of(axes_.begin(), axes_.end(),
                                  [this](const Axis& axis) { return axis.sources.empty() || covers(axis); });
}

}  // namespace tegula
