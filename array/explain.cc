// explain(): the expression as written, the optimized form (what each layer's programs compute), and the layers.
#include <fmt/format.h>

#include <ostream>
#include <unordered_map>

#include "array/lower.h"
#include "array/views.h"
#include "src/config.h"

namespace tegula {
namespace detail {
namespace {

const Generated* scalar_of(const Expression& expression) {
  const auto* generated = expression.as<Generated>();
  return generated != nullptr && generated->scalar ? generated : nullptr;
}

std::string type_text(const Expression& expression) {
  return fmt::format("{} {} in chunks {}", name_of(expression.dtype), to_string(expression.shape),
                     expression.chunks.to_string());
}

// "add(%0, 1)", "%1[::2, ::2]"
std::string call_text(const Expression& expression, const std::vector<std::string>& operands) {
  const std::string what = describe(expression);
  if (what.starts_with("[")) return operands[0] + what;
  if (operands.empty()) return what;
  return fmt::format("{}({})", what, fmt::join(operands, ", "));
}

std::string expression_text(const ExpressionPtr& root) {
  std::string text;
  std::unordered_map<LayerHash, std::string> names;
  int numbered = 0;
  for (const Expression* expression : topological_order({root})) {
    if (scalar_of(*expression)) {
      names[expression->token] = describe(*expression);
      continue;
    }
    std::vector<std::string> operands;
    for (const ExpressionPtr& input : expression->inputs) operands.push_back(names.at(input->token));
    std::string name = fmt::format("%{}", numbered++);
    text += fmt::format("{} = {}: {}\n", name, call_text(*expression, operands), type_text(*expression));
    names[expression->token] = std::move(name);
  }
  return text;
}

// How a program's positions i0, i1, ... index an array: "[2*i0, 3 + i1]"; nothing where it is the same.
std::string map_text(const PositionMap& map, int ndim) {
  if (map.axis.empty() || is_identity(map, ndim)) return "";
  std::vector<std::string> dims;
  for (std::size_t d = 0; d < map.axis.size(); ++d) {
    if (map.axis[d] < 0) {
      dims.push_back(std::to_string(map.start[d]));
      continue;
    }
    const std::string step = map.step[d] == 1 ? "" : map.step[d] == -1 ? "-" : fmt::format("{}*", map.step[d]);
    const std::string start = map.start[d] == 0 ? "" : fmt::format("{} + ", map.start[d]);
    dims.push_back(fmt::format("{}{}i{}", start, step, map.axis[d]));
  }
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

std::string region_text(const Plan& plan, int node, const std::vector<std::string>& names) {
  const Expression& top = *plan[node].expression;
  const int ndim = (top.as<Reduce>() ? *top.inputs[0] : top).chunks.ndim();
  std::string text;
  std::vector<std::string> values;
  int numbered = 0;
  for (const RegionItem& item : plan.region(node)) {
    const Expression& expression = *plan[item.node].expression;
    std::vector<std::string> operands;
    for (std::size_t operand : item.items) operands.push_back(values[operand]);
    std::string call = item.input ? names[static_cast<std::size_t>(item.node)] : call_text(expression, operands);
    if (item.items.empty()) call += map_text(item.map, ndim);
    if (scalar_of(expression)) {
      values.push_back(std::move(call));
      continue;
    }
    values.push_back(fmt::format("v{}", numbered++));
    text += fmt::format("    {} = {}\n", values.back(), call);
  }
  return text;
}

std::string plan_text(const Plan& plan) {
  std::string text;
  std::vector<std::string> names(plan.nodes().size());
  int stored = 0;
  for (std::size_t i = 0; i < plan.nodes().size(); ++i) {
    if (!plan.nodes()[i].stored) continue;
    const int number = static_cast<int>(i);
    const Expression& expression = *plan[number].expression;
    names[i] = fmt::format("#{}", stored++);
    text += fmt::format("{}: {}\n", names[i], type_text(expression));
    const bool computed = expression.as<Reduce>() || expression.as<Elementwise>() || expression.as<View>() ||
                          expression.as<Generated>() || plan.transparent(number);
    if (computed) text += region_text(plan, number, names);
    if (computed && !expression.as<Reduce>()) continue;
    const std::string from =
        expression.as<Rechunk>() ? "(" + names[static_cast<std::size_t>(plan[number].inputs[0])] + ")" : "";
    text += fmt::format("    {}{}\n", describe(expression), from);
  }
  return text;
}

std::uint64_t output_bytes(const Layer& layer) {
  std::uint64_t bytes = 0;
  for (const OutputSpec& output : layer.outputs) {
    bytes += static_cast<std::uint64_t>(element_count(output.chunks.shape())) * item_size(output.dtype);
  }
  return bytes;
}

std::string indented(const std::string& lines) {
  std::string text;
  for (std::size_t begin = 0; begin < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', begin), lines.size());
    text += "    " + lines.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return text;
}

std::string layers_text(const Graph& graph) {
  std::string text;
  for (std::size_t i = 0; i < graph.layers.size(); ++i) {
    const Layer& layer = *graph.layers[i];
    text += fmt::format("layer {} {}: {}, {} tasks, {} in results\n", i, layer.name, layer.kernel, layer.tasks(),
                        format_bytes(output_bytes(layer)));
    if (layer.kernel == "tegula.program") text += indented(to_string(decode_program(layer.params)));
  }
  return text;
}

}  // namespace
}  // namespace detail

std::string Explanation::text() const {
  return "expression\n" + expression + "\noptimized\n" + optimized + "\nlayers\n" + layers;
}

std::ostream& operator<<(std::ostream& out, const Explanation& explanation) { return out << explanation.text(); }

Explanation Array::explain(const ComputeOptions& options) const {
  const detail::Plan plan({detail::without_relabels(expression_)}, options.optimize);
  const detail::Lowered lowered = detail::lower(plan);
  return {detail::expression_text(expression_), detail::plan_text(plan), detail::layers_text(lowered.graph)};
}

}  // namespace tegula
