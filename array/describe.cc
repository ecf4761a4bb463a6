// Nodes in words.
#include <fmt/format.h>

#include <cstring>

#include "array/expression.h"
#include "array/views.h"

namespace tegula::detail {
namespace {

std::string constant_text(const ConstantSource& source) {
  HostArray value(source.dtype, {});
  std::memcpy(value.data(), source.value.data(), item_size(source.dtype));
  return to_string(value);
}

struct SourceText {
  std::string operator()(const InputSource& source) const { return fmt::format("input {}", source.input); }
  std::string operator()(const ConstantSource& source) const { return constant_text(source); }
  std::string operator()(const IotaSource& source) const {
    if (kind_of(source.dtype) <= DTypeKind::kSigned) {
      return fmt::format("iota({}, step {})", source.first_int, source.delta_int);
    }
    return fmt::format("iota({}, step {})", source.first_float, source.delta_float);
  }
  std::string operator()(const RandomSource& source) const {
    switch (source.distribution) {
      case Distribution::kUniform:
        return fmt::format("uniform({}, {})", source.a, source.b);
      case Distribution::kNormal:
        return fmt::format("normal({}, {})", source.a, source.b);
      case Distribution::kIntegers:
        return fmt::format("integers({}, {})", source.low_int,
                           static_cast<std::int64_t>(static_cast<std::uint64_t>(source.low_int) + source.range));
    }
    return "random";
  }
};

std::string short_source_name(const Source& source) {
  if (std::holds_alternative<ConstantSource>(source)) return "full";
  if (std::holds_alternative<IotaSource>(source)) return "iota";
  switch (std::get<RandomSource>(source).distribution) {
    case Distribution::kUniform:
      return "uniform";
    case Distribution::kNormal:
      return "normal";
    case Distribution::kIntegers:
      return "integers";
  }
  return "random";
}

// What a view takes of one dimension, as an index.
std::string index_text(const PositionMap& map, std::size_t d, const Expression& view) {
  const std::int64_t extent = view.inputs[0]->shape[d];
  if (map.axis[d] < 0) return std::to_string(map.start[d]);
  const std::int64_t count = view.shape[static_cast<std::size_t>(map.axis[d])];
  const std::int64_t start = map.start[d], step = map.step[d];
  const std::int64_t first = step > 0 ? 0 : extent - 1;
  const std::int64_t stop = start + count * step;
  const bool to_end = step > 0 ? stop >= extent : stop < 0;
  std::string text = start == first ? ":" : fmt::format("{}:", start);
  if (!to_end) text += std::to_string(stop);
  if (step != 1) text += fmt::format(":{}", step);
  return text;
}

// "[::2, 3, newaxis, :]", or nothing when the dimensions change their order.
std::string slice_text(const PositionMap& map, const Expression& view) {
  std::string text;
  int next = 0;
  const auto add = [&text](const std::string& item) { text += (text.empty() ? "" : ", ") + item; };
  const auto add_new_axes = [&](int until) {
    for (; next < until; ++next) add("newaxis");
  };
  for (std::size_t d = 0; d < map.axis.size(); ++d) {
    if (map.axis[d] >= 0) {
      if (map.axis[d] < next) return "";
      add_new_axes(map.axis[d]);
      ++next;
    }
    add(index_text(map, d, view));
  }
  add_new_axes(view.chunks.ndim());
  return "[" + text + "]";
}

struct NodeText {
  const Expression& expression;
  std::string operator()(const Generated& node) const { return std::visit(SourceText{}, node.source); }
  std::string operator()(const Elementwise& node) const {
    if (node.op == Op::kCast) return std::string(name_of(expression.dtype));
    return std::string(name_of(node.op));
  }
  std::string operator()(const View& node) const {
    if (is_identity(node.map, expression.chunks.ndim())) return "refine";
    if (node.implicit && !is_relabel(expression)) return "broadcast";
    const std::string text = slice_text(node.map, expression);
    return text.empty() ? "transpose" : text;
  }
  std::string operator()(const Rechunk&) const { return "rechunk"; }
  std::string operator()(const Reduce& node) const {
    std::string axes;
    for (std::size_t axis = 0; axis < node.reduction.axes.size(); ++axis) {
      if (node.reduction.axes[axis]) axes += fmt::format("{}{}", axes.empty() ? "" : ", ", axis);
    }
    return fmt::format("{}[axis {}]", name_of(node.reduction.op), axes);
  }
  std::string operator()(const NpyFile& node) const { return fmt::format("npy(\"{}\")", node.params.path); }
  std::string operator()(const HostValues&) const { return "from_host"; }
  std::string operator()(const Stored& node) const {
    return fmt::format("stored({})", node.results->layer()->description().name);
  }
};

struct ShortName {
  std::string operator()(const Generated& node) const { return short_source_name(node.source); }
  std::string operator()(const Elementwise& node) const { return std::string(name_of(node.op)); }
  std::string operator()(const View&) const { return "slice"; }
  std::string operator()(const Rechunk&) const { return "rechunk"; }
  std::string operator()(const Reduce& node) const { return std::string(name_of(node.reduction.op)); }
  std::string operator()(const NpyFile&) const { return "read-npy"; }
  std::string operator()(const HostValues&) const { return "from-host"; }
  std::string operator()(const Stored&) const { return "stored"; }
};

}  // namespace

std::string describe(const Expression& expression) { return std::visit(NodeText{expression}, expression.node); }

std::string short_name(const Expression& expression) { return std::visit(ShortName{}, expression.node); }

}  // namespace tegula::detail
