// Programs: the sources and instructions of a region.
#include <algorithm>

#include "array/lower.h"
#include "array/views.h"

namespace tegula::detail {
namespace {

// A source as the program sees it: its own map after the region's.
Source placed(const Source& source, const PositionMap& map) {
  Source moved = source;
  if (auto* iota = std::get_if<IotaSource>(&moved)) iota->map = compose(iota->map, map);
  if (auto* random = std::get_if<RandomSource>(&moved)) random->map = compose(random->map, map);
  return moved;
}

template <typename T>
std::size_t find_or_add(std::vector<T>& list, T value) {
  const auto found = std::find(list.begin(), list.end(), value);
  const auto position = static_cast<std::size_t>(found - list.begin());
  if (found == list.end()) list.push_back(std::move(value));
  return position;
}

}  // namespace

Program Lowering::make_program(const std::vector<RegionItem>& region, const ChunkGrid& chunks, Layer& layer) const {
  Program program;
  program.chunks = chunks;
  const auto is_source = [](const RegionItem& item) { return item.items.empty(); };
  std::vector<std::size_t> registers(region.size());
  for (std::size_t i = 0; i < region.size(); ++i) {
    const RegionItem& item = region[i];
    if (!is_source(item)) continue;
    const Expression& expression = *plan_[item.node].expression;
    if (item.input) {
      const auto rule = find_or_add(layer.inputs, input_through(emitted(item.node), item.map, chunks));
      InputSource source{static_cast<std::uint32_t>(rule), expression.dtype, item.map.axis};
      registers[i] = find_or_add(program.sources, Source(std::move(source)));
    } else {
      registers[i] = find_or_add(program.sources, placed(expression.as<Generated>()->source, item.map));
    }
  }
  for (std::size_t i = 0; i < region.size(); ++i) {
    const RegionItem& item = region[i];
    if (is_source(item)) continue;
    const Expression& expression = *plan_[item.node].expression;
    Instruction instruction;
    instruction.op = expression.as<Elementwise>()->op;
    instruction.type = expression.inputs.back()->dtype;  // of a select's values, not of its condition
    instruction.to = expression.dtype;
    for (std::size_t k = 0; k < item.items.size(); ++k) {
      instruction.args[k] = static_cast<std::uint16_t>(registers[item.items[k]]);
    }
    registers[i] = program.sources.size() + program.code.size();
    program.code.push_back(instruction);
  }
  program.result = static_cast<std::uint16_t>(registers.back());
  return program;
}

void Lowering::emit_program(int node) {
  const Expression& expression = *plan_[node].expression;
  const std::vector<RegionItem> region = plan_.region(node);
  Layer layer;
  layer.name = region_name(plan_, expression, region);
  layer.kernel = "tegula.program";
  layer.grid = task_grid(expression.chunks);
  layer.outputs = {{expression.dtype, expression.chunks}};
  layer.params = encode(make_program(region, expression.chunks, layer));
  emitted_[node] = add(std::move(layer));
}

std::string region_name(const Plan& plan, const Expression& top, const std::vector<RegionItem>& region) {
  constexpr std::size_t kMaxNames = 4;
  std::vector<std::string> names;
  for (const RegionItem& item : region) {
    const Expression& expression = *plan[item.node].expression;
    if (item.input) continue;
    const auto* generated = expression.as<Generated>();
    if (generated != nullptr && std::holds_alternative<ConstantSource>(generated->source) && region.size() > 1)
      continue;
    std::string name = short_name(expression);
    if (names.empty() || names.back() != name) names.push_back(std::move(name));
  }
  if (names.empty()) names.push_back(short_name(top));
  std::string text = names[0];
  for (std::size_t i = 1; i < std::min(names.size(), kMaxNames); ++i) text += "-" + names[i];
  if (names.size() > kMaxNames) text += "-etc";
  return text;
}

}  // namespace tegula::detail
