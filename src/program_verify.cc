// What a program must satisfy before it runs. Programs come from other processes: whatever passes here must not be able
// to read or write outside an array, to loop for ever or to ask for something that no kernel has.
#include <algorithm>
#include <string>

#include "src/graph.h"
#include "src/program.h"
#include "tegula/error.h"

namespace tegula {
namespace {

// Positions of a source's element, computed in 64 bits by kernels.
struct Range {
  std::int64_t low = 0, high = 0;
};

std::string numbered(const char* what, std::size_t index) { return std::string(what) + " " + std::to_string(index); }

void check_dtype(DType dtype) {
  if (static_cast<int>(dtype) >= kDTypeCount) {
    throw ValueError("there is no dtype number " + std::to_string(static_cast<int>(dtype)));
  }
}

class Verifier {
 public:
  explicit Verifier(const Program& program) : program_(program) {}

  void check() {
    check_sizes();
    check_chunks();
    for (std::size_t i = 0; i < program_.sources.size(); ++i) {
      const std::string name = numbered("source", i);
      std::visit([&](const auto& source) { check_source(source, name); }, program_.sources[i]);
    }
    for (std::size_t i = 0; i < program_.code.size(); ++i) check_instruction(i);
    const DType result = register_type(program_, program_.result);
    if (program_.reduction) check_reduction(*program_.reduction, result);
  }

 private:
  void check_sizes() const {
    if (program_.sources.empty()) throw ValueError("a program needs a source");
    if (program_.sources.size() > kMaxProgramSources) {
      throw ValueError("a program of " + std::to_string(program_.sources.size()) + " sources has more than " +
                       std::to_string(kMaxProgramSources));
    }
    if (program_.code.size() > kMaxProgramLength) {
      throw ValueError("a program of " + std::to_string(program_.code.size()) + " instructions has more than " +
                       std::to_string(kMaxProgramLength));
    }
  }

  void check_chunks() {
    if (program_.chunks.ndim() > kMaxNdim) {
      throw ValueError("a program over " + std::to_string(program_.chunks.ndim()) + " dimensions has more than " +
                       std::to_string(kMaxNdim));
    }
    for (const DimChunks& dim : program_.chunks.dims()) {
      if (dim.extent() == kUnknown) throw ValueError("the chunk sizes of a program must be known");
    }
    elements_ = element_count(program_.chunks.shape());
    if (program_.chunks.blocks() > kMaxTasksPerLayer) {
      throw ValueError("a program over " + std::to_string(program_.chunks.blocks()) + " chunks has too many");
    }
  }

  void check_axis(std::int32_t axis, const std::string& name) const {
    if (axis < -1 || axis >= program_.chunks.ndim()) {
      throw ValueError(name + ": there is no axis " + std::to_string(axis) + " in an array of " +
                       std::to_string(program_.chunks.ndim()) + " dimensions");
    }
  }

  // The positions that dimension `d` of the map takes. Throws when they leave int64.
  Range positions(const PositionMap& map, std::size_t d, const std::string& name) const {
    check_axis(map.axis[d], name);
    Range range{map.start[d], map.start[d]};
    if (map.axis[d] < 0) return range;
    const std::int64_t extent = program_.chunks.dim(map.axis[d]).extent();
    std::int64_t last = 0;
    if (__builtin_mul_overflow(map.step[d], std::max<std::int64_t>(extent - 1, 0), &last) ||
        __builtin_add_overflow(last, map.start[d], &last)) {
      throw ValueError(name + ": start " + std::to_string(map.start[d]) + " and step " + std::to_string(map.step[d]) +
                       " overflow along " + std::to_string(extent) + " elements");
    }
    return {std::min(range.low, last), std::max(range.high, last)};
  }

  static void check_map_size(const PositionMap& map, std::size_t ndim, const std::string& name) {
    if (map.axis.size() != ndim || map.start.size() != ndim || map.step.size() != ndim) {
      throw ValueError(name + ": its position map does not have " + std::to_string(ndim) + " dimensions");
    }
  }

  void check_source(const InputSource& source, const std::string& name) const {
    check_dtype(source.dtype);
    if (source.input >= kMaxProgramSources) {
      throw ValueError(name + ": there is no input " + std::to_string(source.input));
    }
    if (source.axis.size() > static_cast<std::size_t>(kMaxNdim)) {
      throw ValueError(name + ": " + std::to_string(source.axis.size()) + " dimensions are too many");
    }
    std::array<bool, kMaxNdim> used{};
    for (const std::int32_t axis : source.axis) {
      check_axis(axis, name);
      if (axis < 0) continue;
      if (used[static_cast<std::size_t>(axis)]) {
        throw ValueError(name + ": two dimensions run along axis " + std::to_string(axis));
      }
      used[static_cast<std::size_t>(axis)] = true;
    }
  }

  static void check_source(const ConstantSource& source, const std::string& name) {
    check_dtype(source.dtype);
    for (std::size_t i = item_size(source.dtype); i < source.value.size(); ++i) {
      if (source.value[i] != 0) throw ValueError(name + ": unused bytes of a constant are not 0");
    }
    if (source.dtype == DType::kBool && source.value[0] > 1) {
      throw ValueError(name + ": a bool is neither 0 nor 1");
    }
  }

  void check_source(const IotaSource& source, const std::string& name) const {
    check_dtype(source.dtype);
    if (kind_of(source.dtype) == DTypeKind::kBool || kind_of(source.dtype) == DTypeKind::kComplex) {
      throw ValueError(name + ": a sequence of " + std::string(name_of(source.dtype)) + " is not defined");
    }
    check_map_size(source.map, 1, name);
    positions(source.map, 0, name);
  }

  void check_source(const RandomSource& source, const std::string& name) const {
    check_dtype(source.dtype);
    const DTypeKind kind = kind_of(source.dtype);
    switch (source.distribution) {
      case Distribution::kUniform:
      case Distribution::kNormal:
        if (kind != DTypeKind::kFloat) {
          throw ValueError(name + ": random numbers of " + std::string(name_of(source.dtype)) + " are not defined");
        }
        break;
      case Distribution::kIntegers:
        if (kind != DTypeKind::kSigned && kind != DTypeKind::kUnsigned) {
          throw ValueError(name + ": random integers of " + std::string(name_of(source.dtype)) + " are not defined");
        }
        break;
      default:
        throw ValueError(name + ": there is no distribution number " +
                         std::to_string(static_cast<int>(source.distribution)));
    }
    const std::size_t ndim = source.shape.size();
    if (ndim > static_cast<std::size_t>(kMaxNdim)) {
      throw ValueError(name + ": " + std::to_string(ndim) + " dimensions are too many");
    }
    const std::int64_t count = element_count(source.shape);
    // Every row starts a fresh block of 8 counters, so short rows spend more counters than they have elements.
    if (count > 0) {
      const std::int64_t row = ndim > 0 ? source.shape.back() : 1;
      const auto per_row = 8 * (static_cast<std::uint64_t>(row - 1) / 16 + 1);
      std::uint64_t counters = 0;
      if (__builtin_mul_overflow(per_row, static_cast<std::uint64_t>(count / row), &counters)) {
        throw ValueError(name + ": a random array of shape " + to_string(source.shape) + " has too many rows");
      }
    }
    check_map_size(source.map, ndim, name);
    for (std::size_t d = 0; d < ndim; ++d) {
      const Range range = positions(source.map, d, name);
      if (elements_ > 0 && (range.low < 0 || range.high >= source.shape[d])) {
        throw ValueError(name + ": positions " + std::to_string(range.low) + " to " + std::to_string(range.high) +
                         " reach outside a dimension of " + std::to_string(source.shape[d]) + " elements");
      }
    }
  }

  void check_instruction(std::size_t index) const {
    const Instruction& instruction = program_.code[index];
    const std::string name = numbered("instruction", index);
    const int args = arity(instruction.op);  // throws where there is no such operation
    check_dtype(instruction.type);
    check_dtype(instruction.to);
    const DType yields = result_type(instruction.op, instruction.type);
    if (instruction.op != Op::kCast && instruction.to != yields) {
      throw ValueError(name + ": " + std::string(name_of(instruction.op)) + " of " +
                       std::string(name_of(instruction.type)) + " yields " + std::string(name_of(yields)) + ", not " +
                       std::string(name_of(instruction.to)));
    }
    for (int i = 0; i < static_cast<int>(instruction.args.size()); ++i) {
      const std::uint16_t reg = instruction.args[static_cast<std::size_t>(i)];
      if (i >= args) {
        if (reg != 0) throw ValueError(name + ": an unused operand is not 0");
        continue;
      }
      if (reg >= program_.sources.size() + index) {
        throw ValueError(name + ": register " + std::to_string(reg) + " is used before it is written");
      }
      const DType wanted = instruction.op == Op::kSelect && i == 0 ? DType::kBool : instruction.type;
      const DType given = register_type(program_, reg);
      if (given != wanted) {
        throw ValueError(name + ": register " + std::to_string(reg) + " is " + std::string(name_of(given)) + ", not " +
                         std::string(name_of(wanted)));
      }
    }
  }

  void check_reduction(const Reduction& reduction, DType result) const;

  const Program& program_;
  std::int64_t elements_ = 0;
};

void check_reduction_dtype(const Reduction& reduction) {
  check_dtype(reduction.dtype);
  const DTypeKind kind = kind_of(reduction.dtype);
  bool fits = true;
  switch (reduction.op) {
    case ReduceOp::kSum:
    case ReduceOp::kProd:
      fits = kind != DTypeKind::kBool;
      break;
    case ReduceOp::kMin:
    case ReduceOp::kMax:
      break;
    case ReduceOp::kAny:
    case ReduceOp::kAll:
      fits = kind == DTypeKind::kBool;
      break;
    case ReduceOp::kMoments:
      fits = kind == DTypeKind::kFloat;
      break;
    default:
      throw ValueError("there is no reduction number " + std::to_string(static_cast<int>(reduction.op)));
  }
  if (!fits) {
    throw ValueError("a reduction by " + std::string(name_of(reduction.op)) + " in " +
                     std::string(name_of(reduction.dtype)) + " is not defined");
  }
}

int most_reduced_dims(ReduceOp op) { return op == ReduceOp::kMoments ? kMaxNdim - 1 : kMaxNdim; }

void Verifier::check_reduction(const Reduction& reduction, DType result) const {
  check_reduction_dtype(reduction);
  if (reduction.axes.size() != static_cast<std::size_t>(program_.chunks.ndim()) ||
      program_.chunks.ndim() > most_reduced_dims(reduction.op)) {
    throw ValueError("a reduction over " + std::to_string(reduction.axes.size()) + " axes does not fit a program of " +
                     std::to_string(program_.chunks.ndim()) + " dimensions");
  }
  const bool truth = reduction.op == ReduceOp::kAny || reduction.op == ReduceOp::kAll;
  if (kind_of(result) == DTypeKind::kComplex && kind_of(reduction.dtype) != DTypeKind::kComplex && !truth) {
    throw ValueError("a reduction in " + std::string(name_of(reduction.dtype)) + " would lose the imaginary parts of " +
                     std::string(name_of(result)));
  }
}

}  // namespace

void verify(const Program& program) { Verifier(program).check(); }

void verify(const ReduceParams& params) {
  check_reduction_dtype(params.reduction);
  if (params.reduction.axes.size() > static_cast<std::size_t>(most_reduced_dims(params.reduction.op))) {
    throw ValueError("a reduction over " + std::to_string(params.reduction.axes.size()) + " axes has too many");
  }
}

}  // namespace tegula
