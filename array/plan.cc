#include "array/plan.h"

#include <algorithm>

#include "array/cost.h"
#include "array/narrow.h"
#include "array/views.h"

namespace tegula::detail {
namespace {

double size_of(const Expression& expression) { return static_cast<double>(element_count(expression.shape)); }

// A program may read a node through this many different maps before it is stored whatever it costs: keeps what a plan
// looks at bounded.
constexpr std::size_t kMaxDemands = 32;

bool is_trivial(const Expression& expression) {
  const auto* generated = expression.as<Generated>();
  return generated != nullptr && !std::holds_alternative<RandomSource>(generated->source);
}

}  // namespace

Plan::Plan(std::vector<ExpressionPtr> roots, bool optimize)
    : roots_(optimize ? narrow_file_reads(roots) : std::move(roots)), rechunks_free_(optimize) {
  build();
  store_what_must_be();
  if (!optimize) {
    store_everything();
    return;
  }
  choose_stored();
  if (split_large_programs()) return;
  // A program grew too large below a free rechunk, where nothing can be stored: copy instead.
  rechunks_free_ = false;
  for (PlanNode& node : nodes_) node.stored = false;
  store_what_must_be();
  choose_stored();
  split_large_programs();
}

void Plan::build() {
  for (const Expression* expression : topological_order(roots_)) {
    PlanNode node;
    node.expression = expression;
    const bool position_only = expression->as<Elementwise>() || expression->as<View>() || expression->as<Rechunk>();
    node.generated = position_only || expression->as<Generated>();
    for (const ExpressionPtr& input : expression->inputs) {
      node.inputs.push_back(index_.at(input->token));
      node.generated = node.generated && nodes_[static_cast<std::size_t>(node.inputs.back())].generated;
    }
    index_.emplace(expression->token, static_cast<int>(nodes_.size()));
    nodes_.push_back(std::move(node));
  }
}

bool Plan::transparent(int node) const {
  return rechunks_free_ && (*this)[node].generated && (*this)[node].expression->as<Rechunk>();
}

void Plan::store_what_must_be() {
  for (const ExpressionPtr& root : roots_) nodes_[static_cast<std::size_t>(find(*root))].stored = true;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Expression& expression = *nodes_[i].expression;
    if (expression.as<Elementwise>() || expression.as<View>() || expression.as<Generated>()) continue;
    if (transparent(static_cast<int>(i))) continue;
    nodes_[i].stored = true;
    if (expression.as<Rechunk>()) nodes_[static_cast<std::size_t>(nodes_[i].inputs[0])].stored = true;
  }
}

void Plan::store_everything() {
  for (PlanNode& node : nodes_) {
    const auto* generated = node.expression->as<Generated>();
    const auto* view = node.expression->as<View>();
    if ((generated == nullptr || !generated->scalar) && (view == nullptr || !view->implicit)) node.stored = true;
  }
}

double Plan::elements_of_program(int node) const {
  const PlanNode& program = (*this)[node];
  if (program.expression->as<Reduce>()) return size_of(*(*this)[program.inputs[0]].expression);
  return size_of(*program.expression);
}

// Per element, of everything that inlining a node would compute (shared operands counted each time).
std::vector<double> Plan::costs() const {
  std::vector<double> costs(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Expression& expression = *nodes_[i].expression;
    if (nodes_[i].stored) {
      costs[i] = load_cost(expression.dtype);
      continue;
    }
    costs[i] = compute_cost(expression);
    for (int input : nodes_[i].inputs) costs[i] += costs[static_cast<std::size_t>(input)];
    costs[i] = std::min(costs[i], 1e9);
  }
  return costs;
}

bool Plan::cheaper_inlined(int node, const std::vector<Demand>& demands, double cost) const {
  const Expression& expression = *(*this)[node].expression;
  const auto* view = expression.as<View>();
  if (is_trivial(expression) || (view != nullptr && view->implicit)) return true;
  if (demands.size() > kMaxDemands) return false;
  double elements = 0;
  for (const Demand& demand : demands) elements += elements_of_program(demand.program);
  const double size = size_of(expression);
  const double inlined = elements * cost;
  const double stored = size * (cost + store_cost(expression.dtype)) + elements * load_cost(expression.dtype) +
                        static_cast<double>(expression.chunks.blocks()) * kTaskCost;
  return inlined <= stored;
}

void Plan::choose_stored() {
  const std::vector<double> cost = costs();
  std::vector<std::vector<Demand>> demands(nodes_.size());
  const auto demand = [&](int node, Demand wanted) {
    auto& list = demands[static_cast<std::size_t>(node)];
    if (list.size() <= kMaxDemands && std::find(list.begin(), list.end(), wanted) == list.end()) {
      list.push_back(std::move(wanted));
    }
  };
  const auto pass_on = [&](const PlanNode& node, const Demand& wanted) {
    const auto* view = node.expression->as<View>();
    const bool rechunk = node.expression->as<Rechunk>() != nullptr;
    for (int input : node.inputs) {
      demand(input, {wanted.program, view ? compose(view->map, wanted.map) : wanted.map, wanted.aligned && !rechunk});
    }
  };
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    PlanNode& node = nodes_[i];
    const int number = static_cast<int>(i);
    if (!node.stored) node.stored = !cheaper_inlined(number, demands[i], cost[i]);
    for (const Demand& wanted : demands[i]) {
      if (!node.stored || !wanted.aligned) pass_on(node, wanted);
    }
    if (!node.stored || (node.expression->as<Rechunk>() && !transparent(number))) continue;
    // Its own program; a reduction's runs over its input.
    const Expression& over = node.expression->as<Reduce>() ? *node.expression->inputs[0] : *node.expression;
    pass_on(node, {number, identity_map(over.chunks.ndim()), true});
  }
}

}  // namespace tegula::detail
