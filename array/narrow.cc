#include "array/narrow.h"

#include <algorithm>
#include <unordered_map>

#include "array/views.h"

namespace tegula::detail {
namespace {

// Every axis of the view runs along a dimension of the input, in the same order.
bool only_slices(const Expression& view) {
  int next = 0;
  for (std::int32_t axis : view.as<View>()->map.axis) {
    if (axis < 0) continue;
    if (axis != next++) return false;
  }
  return next == view.chunks.ndim();
}

class Narrowing {
 public:
  explicit Narrowing(const std::vector<ExpressionPtr>& roots) {
    for (const ExpressionPtr& root : roots) ++readers_[root->token];
    order_ = topological_order(roots);
    for (const Expression* expression : order_) {
      // Shared nodes appear once in the order, so a reader counts once, however often it uses the input.
      for (const ExpressionPtr& input : expression->inputs) ++readers_[input->token];
    }
  }

  bool needed() const {
    return std::any_of(order_.begin(), order_.end(), [](const Expression* e) { return e->as<NpyFile>() != nullptr; });
  }

  std::vector<ExpressionPtr> apply(const std::vector<ExpressionPtr>& roots) {
    std::unordered_map<LayerHash, ExpressionPtr> originals;
    for (const ExpressionPtr& root : roots) originals.emplace(root->token, root);
    for (const Expression* expression : order_) {
      for (const ExpressionPtr& input : expression->inputs) originals.emplace(input->token, input);
    }
    for (const Expression* expression : order_) {
      narrowed_.emplace(expression->token, narrow(originals.at(expression->token)));
    }
    std::vector<ExpressionPtr> result;
    for (const ExpressionPtr& root : roots) result.push_back(narrowed_.at(root->token));
    return result;
  }

 private:
  ExpressionPtr narrow(const ExpressionPtr& expression) const {
    std::vector<ExpressionPtr> inputs;
    bool changed = false;
    for (const ExpressionPtr& input : expression->inputs) {
      inputs.push_back(narrowed_.at(input->token));
      changed = changed || inputs.back() != input;
    }
    if (inputs.size() == 1 && readers_.at(expression->inputs[0]->token) == 1) {
      if (const auto* file = inputs[0]->as<NpyFile>()) {
        if (expression->as<Rechunk>()) return make_expression(*file, {}, expression->dtype, expression->chunks);
        if (expression->as<View>() && only_slices(*expression)) return slice_of(*file, *expression);
      }
    }
    if (!changed) return expression;
    return make_expression(expression->node, std::move(inputs), expression->dtype, expression->chunks);
  }

  static ExpressionPtr slice_of(const NpyFile& file, const Expression& view) {
    // The view maps positions of the array as read so far, which the file's own map takes to positions in the file.
    const PositionMap map = compose({file.params.axis, file.params.start, file.params.step}, view.as<View>()->map);
    NpyFile sliced = file;
    sliced.params.axis = map.axis;
    sliced.params.start = map.start;
    sliced.params.step = map.step;
    return make_expression(std::move(sliced), {}, view.dtype, view.chunks);
  }

  std::vector<const Expression*> order_;
  std::unordered_map<LayerHash, int> readers_;
  std::unordered_map<LayerHash, ExpressionPtr> narrowed_;
};

}  // namespace

std::vector<ExpressionPtr> narrow_file_reads(const std::vector<ExpressionPtr>& roots) {
  Narrowing narrowing(roots);
  return narrowing.needed() ? narrowing.apply(roots) : roots;
}

}  // namespace tegula::detail
