#include "bench/eval/operations.h"

#include <functional>

#include "src/config.h"

namespace tegula::eval {
namespace {

using Operation = std::function<Array(Arguments&)>;
using Table = std::map<std::string, Operation, std::less<>>;

// Calls `f`, which is overloaded for array-array, array-scalar and scalar-array.
template <typename F>
Operation binary(F f) {
  return [f](Arguments& arguments) {
    const Operand a = arguments.operand(0, "x1");
    const Operand b = arguments.operand(1, "x2");
    const auto* array_a = std::get_if<Array>(&a);
    const auto* array_b = std::get_if<Array>(&b);
    if (array_a && array_b) return f(*array_a, *array_b);
    if (array_a) return f(*array_a, std::get<Scalar>(b));
    if (array_b) return f(std::get<Scalar>(a), *array_b);
    throw ValueError("one of the two operands must be an array");
  };
}

template <typename F>
Operation unary(F f) {
  return [f](Arguments& arguments) { return f(arguments.array(0, "x")); };
}

#define TEGULA_CALL(function) [](const auto&... x) { return function(x...); }
#define TEGULA_INFIX(op) [](const auto& a, const auto& b) { return a op b; }

void add_arithmetic(Table& table) {
  table["add"] = binary(TEGULA_INFIX(+));
  table["subtract"] = binary(TEGULA_INFIX(-));
  table["multiply"] = binary(TEGULA_INFIX(*));
  table["divide"] = table["true_divide"] = binary(TEGULA_INFIX(/));
  table["remainder"] = table["mod"] = binary(TEGULA_INFIX(%));
  table["equal"] = binary(TEGULA_INFIX(==));
  table["not_equal"] = binary(TEGULA_INFIX(!=));
  table["less"] = binary(TEGULA_INFIX(<));
  table["less_equal"] = binary(TEGULA_INFIX(<=));
  table["greater"] = binary(TEGULA_INFIX(>));
  table["greater_equal"] = binary(TEGULA_INFIX(>=));
  table["bitwise_and"] = binary(TEGULA_INFIX(&));
  table["bitwise_or"] = binary(TEGULA_INFIX(|));
  table["bitwise_xor"] = binary(TEGULA_INFIX(^));
  table["left_shift"] = binary(TEGULA_INFIX(<<));
  table["right_shift"] = binary(TEGULA_INFIX(>>));
#define TEGULA_ADD(name) table[#name] = binary(TEGULA_CALL(name))
  TEGULA_ADD(floor_divide);
  TEGULA_ADD(fmod);
  TEGULA_ADD(power);
  TEGULA_ADD(maximum);
  TEGULA_ADD(minimum);
  TEGULA_ADD(fmax);
  TEGULA_ADD(fmin);
  TEGULA_ADD(arctan2);
  TEGULA_ADD(hypot);
  TEGULA_ADD(copysign);
  TEGULA_ADD(logical_and);
  TEGULA_ADD(logical_or);
  TEGULA_ADD(logical_xor);
#undef TEGULA_ADD
}

void add_unary(Table& table) {
  table["negative"] = unary([](const Array& x) { return -x; });
  table["positive"] = unary([](const Array& x) { return +x; });
  table["invert"] = unary([](const Array& x) { return ~x; });
  table["absolute"] = unary([](const Array& x) { return abs(x); });
  table["real"] = unary([](const Array& x) { return x.real(); });
  table["imag"] = unary([](const Array& x) { return x.imag(); });
  table["conjugate"] = unary([](const Array& x) { return x.conj(); });
#define TEGULA_ADD(name) table[#name] = unary([](const Array& x) { return tegula::name(x); })
  TEGULA_ADD(sign);
  TEGULA_ADD(sqrt);
  TEGULA_ADD(cbrt);
  TEGULA_ADD(square);
  TEGULA_ADD(reciprocal);
  TEGULA_ADD(exp);
  TEGULA_ADD(exp2);
  TEGULA_ADD(expm1);
  TEGULA_ADD(log);
  TEGULA_ADD(log2);
  TEGULA_ADD(log10);
  TEGULA_ADD(log1p);
  TEGULA_ADD(sin);
  TEGULA_ADD(cos);
  TEGULA_ADD(tan);
  TEGULA_ADD(arcsin);
  TEGULA_ADD(arccos);
  TEGULA_ADD(arctan);
  TEGULA_ADD(sinh);
  TEGULA_ADD(cosh);
  TEGULA_ADD(tanh);
  TEGULA_ADD(arcsinh);
  TEGULA_ADD(arccosh);
  TEGULA_ADD(arctanh);
  TEGULA_ADD(floor);
  TEGULA_ADD(ceil);
  TEGULA_ADD(trunc);
  TEGULA_ADD(rint);
  TEGULA_ADD(isnan);
  TEGULA_ADD(isinf);
  TEGULA_ADD(isfinite);
  TEGULA_ADD(signbit);
  TEGULA_ADD(logical_not);
#undef TEGULA_ADD
}

Array select(Arguments& arguments) {
  const Array condition = arguments.array(0, "condition");
  const Operand a = arguments.operand(1, "x");
  const Operand b = arguments.operand(2, "y");
  const auto* array_a = std::get_if<Array>(&a);
  const auto* array_b = std::get_if<Array>(&b);
  if (array_a && array_b) return where(condition, *array_a, *array_b);
  if (array_a) return where(condition, *array_a, std::get<Scalar>(b));
  if (array_b) return where(condition, std::get<Scalar>(a), *array_b);
  throw ValueError("where: one of x and y must be an array");
}

void add_reductions(Table& table) {
#define TEGULA_ADD(name, ...)                                 \
  table[#name] = [](Arguments& arguments) {                   \
    const Array x = arguments.array(0, "a");                  \
    const Axes axes = arguments.axes(1, "axis");              \
    const bool keepdims = arguments.flag("keepdims");         \
    return x.name(axes, keepdims __VA_OPT__(, ) __VA_ARGS__); \
  }
  TEGULA_ADD(sum, arguments.dtype());
  TEGULA_ADD(prod, arguments.dtype());
  TEGULA_ADD(min);
  TEGULA_ADD(max);
  TEGULA_ADD(mean, arguments.dtype());
  TEGULA_ADD(var, arguments.number_or(Arguments::kKeywordOnly, "ddof", 0));
  TEGULA_ADD(std, arguments.number_or(Arguments::kKeywordOnly, "ddof", 0));
  TEGULA_ADD(any);
  TEGULA_ADD(all);
#undef TEGULA_ADD
}

void add_structure(Table& table) {
  table["where"] = &select;
  table["getitem"] = [](Arguments& arguments) {
    const Array x = arguments.array(0, "a");
    return Array(x.index(arguments.index(1)));
  };
  table["astype"] = [](Arguments& arguments) {
    const Array x = arguments.array(0, "a");
    return x.astype(dtype_from_name(arguments.text(1, "dtype")));
  };
  table["transpose"] = [](Arguments& arguments) {
    const Array x = arguments.array(0, "a");
    const Axes axes = arguments.axes(1, "axes");
    return x.transpose(axes.list.value_or(std::vector<int>{}));
  };
  table["rechunk"] = [](Arguments& arguments) {
    const Array x = arguments.array(0, "a");
    return x.rechunk(arguments.chunks(1));
  };
}

random::Options random_options(Arguments& arguments, DType otherwise) {
  random::Options options;
  options.dtype = arguments.dtype().value_or(otherwise);
  options.seed = static_cast<std::uint64_t>(arguments.integer(Arguments::kKeywordOnly, "seed"));
  return options;
}

void add_creation(Table& table) {
  table["zeros"] = [](Arguments& arguments) {
    const auto shape = arguments.shape(0, "shape");
    return zeros(shape, arguments.chunks(), arguments.dtype().value_or(DType::kFloat64));
  };
  table["ones"] = [](Arguments& arguments) {
    const auto shape = arguments.shape(0, "shape");
    return ones(shape, arguments.chunks(), arguments.dtype().value_or(DType::kFloat64));
  };
  table["full"] = [](Arguments& arguments) {
    const auto shape = arguments.shape(0, "shape");
    const Scalar value = arguments.scalar(1, "fill_value");
    return full(shape, value, arguments.chunks(), arguments.dtype());
  };
  table["arange"] = [](Arguments& arguments) {
    const Scalar start = arguments.scalar(0, "start");
    const Scalar stop = arguments.scalar(1, "stop");
    const Json* step = arguments.find(2, "step");
    return arange(start, stop, step ? parse_scalar(*step) : Scalar(1), arguments.chunks(), arguments.dtype());
  };
  table["linspace"] = [](Arguments& arguments) {
    const double start = arguments.number(0, "start");
    const double stop = arguments.number(1, "stop");
    const std::int64_t count = arguments.integer_or(2, "num", 50);
    const bool endpoint = arguments.flag("endpoint", true);
    return linspace(start, stop, count, arguments.chunks(), endpoint, arguments.dtype().value_or(DType::kFloat64));
  };
  table["eye"] = [](Arguments& arguments) {
    const std::int64_t rows = arguments.integer(0, "N");
    const std::int64_t columns = arguments.integer_or(1, "M", rows);
    const std::int64_t k = arguments.integer_or(2, "k", 0);
    return eye(rows, columns, k, arguments.chunks(), arguments.dtype().value_or(DType::kFloat64));
  };
  table["from_npy"] = [](Arguments& arguments) {
    const std::string path = arguments.text(0, "path");
    return from_npy(path, arguments.chunks());
  };
  table["random.uniform"] = [](Arguments& arguments) {
    const double low = arguments.number(0, "low");
    const double high = arguments.number(1, "high");
    const auto shape = arguments.shape(2, "size");
    return random::uniform(low, high, shape, arguments.chunks(), random_options(arguments, DType::kFloat64));
  };
  table["random.normal"] = [](Arguments& arguments) {
    const double mean = arguments.number(0, "loc");
    const double deviation = arguments.number(1, "scale");
    const auto shape = arguments.shape(2, "size");
    return random::normal(mean, deviation, shape, arguments.chunks(), random_options(arguments, DType::kFloat64));
  };
  table["random.integers"] = [](Arguments& arguments) {
    const std::int64_t low = arguments.integer(0, "low");
    const std::int64_t high = arguments.integer(1, "high");
    const auto shape = arguments.shape(2, "size");
    return random::integers(low, high, shape, arguments.chunks(), random_options(arguments, DType::kInt64));
  };
}

#undef TEGULA_CALL
#undef TEGULA_INFIX

const Table& operations() {
  static const Table table = [] {
    Table t;
    add_arithmetic(t);
    add_unary(t);
    add_reductions(t);
    add_structure(t);
    add_creation(t);
    return t;
  }();
  return table;
}

}  // namespace

std::vector<std::string> operation_names() {
  std::vector<std::string> names;
  for (const auto& [name, operation] : operations()) names.push_back(name);
  return names;
}

Array apply(const std::string& op, Arguments& arguments) {
  const auto found = operations().find(op);
  if (found == operations().end()) {
    const std::string near = nearest(op, operation_names());
    throw ValueError("unknown operation " + op + (near.empty() ? "" : "; did you mean " + near + "?"));
  }
  Array result = found->second(arguments);
  arguments.expect_all_used();
  return result;
}

}  // namespace tegula::eval
