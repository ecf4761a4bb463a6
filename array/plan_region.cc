// What one program computes, and keeping that within a program's limits.
#include <algorithm>
#include <map>

#include "array/plan.h"
#include "array/views.h"

namespace tegula::detail {
namespace {

// A node seen through a map, as a sortable key.
std::vector<std::int64_t> key_of(int node, bool aligned, const PositionMap& map) {
  std::vector<std::int64_t> key = {node, aligned};
  key.insert(key.end(), map.axis.begin(), map.axis.end());
  key.insert(key.end(), map.start.begin(), map.start.end());
  key.insert(key.end(), map.step.begin(), map.step.end());
  return key;
}

struct Place {
  int node = 0;
  PositionMap map;
  bool aligned = true;
};

// A node on its way into the region: its operands are being collected.
struct Frame {
  std::vector<std::int64_t> key;
  RegionItem item;
};

constexpr std::size_t kSplitLength = kMaxProgramLength / 4;
constexpr std::size_t kSplitSources = kMaxProgramSources / 4;

struct Load {
  std::size_t operations = 0, sources = 0;
  bool large() const { return operations >= kSplitLength || sources >= kSplitSources; }
};

bool is_operation(const RegionItem& item) { return !item.items.empty(); }

Load exact_load(const std::vector<RegionItem>& items, std::size_t top, const std::vector<bool>& cut) {
  Load load;
  std::vector<bool> seen(top + 1);
  std::vector<std::size_t> stack = {top};
  while (!stack.empty()) {
    const std::size_t i = stack.back();
    stack.pop_back();
    if (seen[i]) continue;
    seen[i] = true;
    if (i != top && (cut[i] || !is_operation(items[i]))) {
      ++load.sources;
      continue;
    }
    ++load.operations;
    stack.insert(stack.end(), items[i].items.begin(), items[i].items.end());
  }
  return load;
}

}  // namespace

std::vector<RegionItem> Plan::region(int root) const {
  const PlanNode& top = (*this)[root];
  const bool reduction = top.expression->as<Reduce>() != nullptr;
  const int start = reduction ? top.inputs[0] : root;

  // Follows views down to a source, an operation or a stored node.
  const auto settle = [&](Place place) {
    for (;;) {
      const PlanNode& node = (*this)[place.node];
      const bool expand = place.node == root;
      if (node.stored && place.aligned && !expand) return place;
      if (const auto* view = node.expression->as<View>()) {
        place.map = compose(view->map, place.map);
      } else if (node.expression->as<Rechunk>()) {
        place.aligned = false;
      } else {
        return place;
      }
      place.node = node.inputs[0];
    }
  };
  std::vector<RegionItem> items;
  std::map<std::vector<std::int64_t>, std::size_t> done;
  std::vector<Frame> stack;
  // The item of a place that is known already; else a frame for it is pushed.
  const auto enter = [&](Place wanted) -> std::optional<std::size_t> {
    Place place = settle(std::move(wanted));
    const PlanNode& node = (*this)[place.node];
    const bool input = node.stored && place.aligned && place.node != root;
    if (const auto* generated = node.expression->as<Generated>();
        !input && generated && std::holds_alternative<ConstantSource>(generated->source)) {
      place.map = {};  // the same everywhere
    }
    auto key = key_of(place.node, place.aligned, place.map);
    if (auto found = done.find(key); found != done.end()) return found->second;
    stack.push_back({std::move(key), {place.node, std::move(place.map), input, place.aligned, {}}});
    return std::nullopt;
  };
  enter({start, identity_map((*this)[start].expression->chunks.ndim()), true});
  while (!stack.empty()) {
    Frame& frame = stack.back();
    const PlanNode& node = (*this)[frame.item.node];
    const bool leaf = frame.item.input || !node.expression->as<Elementwise>();
    if (!leaf && frame.item.items.size() < node.inputs.size()) {
      const int operand = node.inputs[frame.item.items.size()];
      const std::size_t depth = stack.size();
      const auto known = enter({operand, frame.item.map, frame.item.aligned});  // may move `frame`
      if (known) stack[depth - 1].item.items.push_back(*known);
      continue;
    }
    done.emplace(std::move(frame.key), items.size());
    items.push_back(std::move(frame.item));
    stack.pop_back();
  }
  return items;
}

bool Plan::split_large_programs() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const auto* rechunk = nodes_[i].expression->as<Rechunk>();
    if (nodes_[i].stored && !(rechunk && !transparent(static_cast<int>(i))) && !split(static_cast<int>(i)))
      return false;
  }
  return true;
}

// Stores nodes inside the program of `root` until it fits. The first node (operands first) whose own part reaches a
// quarter of a limit is stored: it has at most three operands below that, so it fits itself.
bool Plan::split(int root) {
  const std::vector<RegionItem> items = region(root);
  if (items.size() <= kMaxProgramSources) return true;
  Load whole;
  for (const RegionItem& item : items) ++(is_operation(item) ? whole.operations : whole.sources);
  if (whole.operations <= kMaxProgramLength && whole.sources <= kMaxProgramSources) return true;

  std::vector<bool> cut(items.size());
  std::vector<Load> loads(items.size());
  for (std::size_t i = 0; i + 1 < items.size(); ++i) {
    if (!is_operation(items[i])) {
      loads[i].sources = 1;
      continue;
    }
    loads[i].operations = 1;
    for (std::size_t operand : items[i].items) {
      loads[i].operations += loads[operand].operations;
      loads[i].sources += loads[operand].sources;
    }
    if (!loads[i].large()) continue;
    loads[i] = exact_load(items, i, cut);
    if (!loads[i].large()) continue;
    if (!items[i].aligned) return false;
    nodes_[static_cast<std::size_t>(items[i].node)].stored = true;
    cut[i] = true;
    loads[i] = {0, 1};
  }
  return true;
}

}  // namespace tegula::detail
