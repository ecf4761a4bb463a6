#include "tests/array/reference.h"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <unordered_map>

#include "array/views.h"
#include "src/shape.h"

namespace tegula::test {
namespace {

using detail::Expression;

template <typename F>
auto dispatch(DType dtype, F f) {
  switch (dtype) {
    case DType::kBool:
      return f(bool{});
    case DType::kInt32:
      return f(std::int32_t{});
    case DType::kInt64:
      return f(std::int64_t{});
    case DType::kFloat32:
      return f(float{});
    case DType::kFloat64:
      return f(double{});
    default:
      throw std::logic_error("the reference has no " + std::string(name_of(dtype)));
  }
}

// Positions of all elements of a shape, in order.
template <typename F>
void for_each_position(const Shape& shape, F visit) {
  std::vector<std::int64_t> position(shape.size());
  for (std::int64_t i = 0; i < element_count(shape); ++i) {
    unravel(i, shape, position);
    visit(i, position);
  }
}

std::int64_t linear(const PositionMap& map, const Shape& shape, const std::vector<std::int64_t>& position) {
  std::vector<std::int64_t> mapped(shape.size());
  for (std::size_t d = 0; d < shape.size(); ++d) {
    mapped[d] = map.start[d];
    if (map.axis[d] >= 0) mapped[d] += map.step[d] * position[static_cast<std::size_t>(map.axis[d])];
  }
  return ravel(mapped, shape);
}

class Evaluator {
 public:
  explicit Evaluator(const Client& client) : client_(client) {}

  HostArray operator()(const Expression& expression) {
    const auto found = done_.find(expression.token);
    if (found != done_.end()) return found->second;
    const HostArray values = compute(expression);
    done_.emplace(expression.token, values);
    return values;
  }

 private:
  HostArray compute(const Expression& e) {
    if (const auto* generated = e.as<detail::Generated>()) return generate(e, generated->source);
    std::vector<HostArray> inputs;
    for (const auto& input : e.inputs) inputs.push_back((*this)(*input));
    if (const auto* view = e.as<detail::View>()) return gather(inputs[0], view->map, e.shape);
    if (e.as<detail::Rechunk>()) return inputs[0];
    if (const auto* reduce = e.as<detail::Reduce>()) return reduced(e, inputs[0], reduce->reduction);
    if (const auto* host = e.as<detail::HostValues>()) return host->values;
    if (const auto* elementwise = e.as<detail::Elementwise>()) return apply(e, elementwise->op, inputs);
    throw std::logic_error("the reference has no such node");
  }

  static HostArray gather(const HostArray& from, const PositionMap& map, const Shape& shape) {
    HostArray to(from.dtype(), shape);
    const std::size_t item = item_size(from.dtype());
    for_each_position(shape, [&](std::int64_t i, const std::vector<std::int64_t>& position) {
      std::memcpy(
          static_cast<char*>(to.data()) + static_cast<std::size_t>(i) * item,
          static_cast<const char*>(from.data()) + static_cast<std::size_t>(linear(map, from.shape(), position)) * item,
          item);
    });
    return to;
  }

  HostArray generate(const Expression& e, const Source& source) {
    HostArray values(e.dtype, e.shape);
    if (const auto* constant = std::get_if<ConstantSource>(&source)) {
      for (std::int64_t i = 0; i < values.size(); ++i) {
        std::memcpy(static_cast<char*>(values.data()) + static_cast<std::size_t>(i) * item_size(e.dtype),
                    constant->value.data(), item_size(e.dtype));
      }
      return values;
    }
    if (const auto* iota = std::get_if<IotaSource>(&source)) {
      dispatch(e.dtype, [&]<typename T>(T) {
        for_each_position(e.shape, [&](std::int64_t i, const std::vector<std::int64_t>& position) {
          const std::int64_t p =
              iota->map.start[0] +
              iota->map.step[0] * position.at(static_cast<std::size_t>(std::max(iota->map.axis[0], 0)));
          values.span<T>()[static_cast<std::size_t>(i)] =
              std::is_integral_v<T> ? static_cast<T>(iota->first_int + iota->delta_int * p)
                                    : static_cast<T>(iota->first_float + static_cast<double>(p) * iota->delta_float);
        });
      });
      return values;
    }
    const auto& random = std::get<RandomSource>(source);
    RandomSource whole = random;
    whole.map = detail::identity_map(static_cast<int>(random.shape.size()));
    std::vector<DimChunks> dims;
    for (std::int64_t size : random.shape) dims.push_back(DimChunks(size, std::max<std::int64_t>(size, 1)));
    const HostArray all = Array(detail::make_expression(detail::Generated{whole}, {}, e.dtype, ChunkGrid(dims)))
                              .compute(client_, {false});
    return gather(all, random.map, e.shape);
  }

  static HostArray apply(const Expression& e, Op op, const std::vector<HostArray>& inputs) {
    HostArray out(e.dtype, e.shape);
    const auto n = static_cast<std::size_t>(out.size());
    dispatch(inputs.back().dtype(), [&]<typename T>(T) {
      if (op == Op::kCast) {
        dispatch(e.dtype, [&]<typename To>(To) {
          for (std::size_t i = 0; i < n; ++i) out.span<To>()[i] = static_cast<To>(inputs[0].span<T>()[i]);
        });
        return;
      }
      if (op == Op::kSelect) {
        for (std::size_t i = 0; i < n; ++i) {
          out.span<T>()[i] = inputs[0].span<bool>()[i] ? inputs[1].span<T>()[i] : inputs[2].span<T>()[i];
        }
        return;
      }
      for (std::size_t i = 0; i < n; ++i) {
        const T a = inputs[0].span<T>()[i], b = inputs.back().span<T>()[i];
        if (e.dtype == DType::kBool) {
          out.span<bool>()[i] = truth(op, a, b);
        } else {
          out.span<T>()[i] = value(op, a, b);
        }
      }
    });
    return out;
  }

  template <typename T>
  static bool truth(Op op, T a, T b) {
    switch (op) {
      case Op::kLess:
        return a < b;
      case Op::kGreaterEqual:
        return a >= b;
      case Op::kEqual:
        return a == b;
      case Op::kLogicalAnd:
        return a && b;
      case Op::kLogicalOr:
        return a || b;
      case Op::kLogicalNot:
        return !a;
      default:
        throw std::logic_error("the reference has no " + std::string(name_of(op)));
    }
  }

  template <typename T>
  static T value(Op op, T a, T b) {
    if constexpr (!std::is_same_v<T, bool>) {
      switch (op) {
        case Op::kAdd:
          return a + b;
        case Op::kSubtract:
          return a - b;
        case Op::kMultiply:
          return a * b;
        case Op::kDivide:
          if constexpr (std::is_floating_point_v<T>) return a / b;
          break;
        case Op::kMaximum:
          return std::isnan(static_cast<double>(a)) || a > b ? a : b;
        case Op::kMinimum:
          return std::isnan(static_cast<double>(a)) || a < b ? a : b;
        case Op::kNegative:
          return -a;
        case Op::kAbsolute:
          return a < 0 ? -a : a;
        default:
          break;
      }
    }
    throw std::logic_error("the reference has no " + std::string(name_of(op)));
  }

  // In long double, or exactly for integers; the caller compares floating results with a tolerance.
  static HostArray reduced(const Expression& e, const HostArray& input, const Reduction& reduction) {
    const bool moments = reduction.op == ReduceOp::kMoments;
    Shape kept = e.shape;
    if (moments) kept.erase(kept.begin());
    HostArray out(e.dtype, e.shape);
    const auto cells = static_cast<std::size_t>(element_count(kept));
    std::vector<std::vector<long double>> groups(cells);
    for_each_position(input.shape(), [&](std::int64_t i, std::vector<std::int64_t> position) {
      for (std::size_t d = 0; d < position.size(); ++d) position[d] = reduction.axes[d] ? 0 : position[d];
      dispatch(input.dtype(), [&]<typename T>(T) {
        groups[static_cast<std::size_t>(ravel(position, kept))].push_back(
            static_cast<long double>(input.span<T>()[static_cast<std::size_t>(i)]));
      });
    });
    dispatch(e.dtype, [&]<typename T>(T) {
      for (std::size_t cell = 0; cell < cells; ++cell) {
        if (moments) {
          long double mean = 0, m2 = 0;
          const auto count = static_cast<long double>(groups[cell].size());
          for (long double x : groups[cell]) mean += x / count;
          for (long double x : groups[cell]) m2 += (x - mean) * (x - mean);
          out.span<T>()[cell] = static_cast<T>(count);
          out.span<T>()[cells + cell] = static_cast<T>(mean);
          out.span<T>()[2 * cells + cell] = static_cast<T>(m2);
        } else {
          out.span<T>()[cell] = static_cast<T>(fold(reduction.op, groups[cell]));
        }
      }
    });
    return out;
  }

  static long double fold(ReduceOp op, const std::vector<long double>& values) {
    const bool starts_empty = op == ReduceOp::kMin || op == ReduceOp::kMax;
    long double result = starts_empty ? values.at(0) : op == ReduceOp::kProd || op == ReduceOp::kAll ? 1 : 0;
    for (long double x : values) {
      switch (op) {
        case ReduceOp::kSum:
          result += x;
          break;
        case ReduceOp::kProd:
          result *= x;
          break;
        case ReduceOp::kMin:
          result = std::isnan(x) || x < result ? x : result;
          break;
        case ReduceOp::kMax:
          result = std::isnan(x) || x > result ? x : result;
          break;
        case ReduceOp::kAny:
          result = result != 0 || x != 0;
          break;
        default:
          result = result != 0 && x != 0;
          break;
      }
    }
    return result;
  }

  const Client& client_;
  std::unordered_map<LayerHash, HostArray> done_;
};

}  // namespace

HostArray evaluate(const detail::ExpressionPtr& expression, const Client& client) {
  return Evaluator(client)(*expression);
}

}  // namespace tegula::test
