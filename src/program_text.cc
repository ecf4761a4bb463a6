#include <fmt/format.h>

#include <complex>
#include <cstring>
#include <string>

#include "src/program.h"

namespace tegula {
namespace {

template <typename T>
T value_as(const ConstantSource& source) {
  T value;
  std::memcpy(&value, source.value.data(), sizeof(T));
  return value;
}

std::string constant_text(const ConstantSource& source) {
  switch (source.dtype) {
    case DType::kBool:
      return source.value[0] != 0 ? "true" : "false";
    case DType::kInt8:
      return fmt::format("{}", static_cast<int>(value_as<std::int8_t>(source)));
    case DType::kInt16:
      return fmt::format("{}", value_as<std::int16_t>(source));
    case DType::kInt32:
      return fmt::format("{}", value_as<std::int32_t>(source));
    case DType::kInt64:
      return fmt::format("{}", value_as<std::int64_t>(source));
    case DType::kUInt8:
      return fmt::format("{}", static_cast<unsigned>(value_as<std::uint8_t>(source)));
    case DType::kUInt16:
      return fmt::format("{}", value_as<std::uint16_t>(source));
    case DType::kUInt32:
      return fmt::format("{}", value_as<std::uint32_t>(source));
    case DType::kUInt64:
      return fmt::format("{}", value_as<std::uint64_t>(source));
    case DType::kFloat32:
      return fmt::format("{}", value_as<float>(source));
    case DType::kFloat64:
      return fmt::format("{}", value_as<double>(source));
    case DType::kComplex64: {
      const auto value = value_as<std::complex<float>>(source);
      return fmt::format("{}{:+}j", value.real(), value.imag());
    }
    case DType::kComplex128: {
      const auto value = value_as<std::complex<double>>(source);
      return fmt::format("{}{:+}j", value.real(), value.imag());
    }
  }
  return "?";
}

// "[i0, 4 + 2*i1, 7]"
std::string map_text(const PositionMap& map) {
  std::string text = "[";
  for (std::size_t d = 0; d < map.axis.size(); ++d) {
    if (d > 0) text += ", ";
    if (map.axis[d] < 0) {
      text += fmt::format("{}", map.start[d]);
      continue;
    }
    if (map.start[d] != 0) text += fmt::format("{} + ", map.start[d]);
    if (map.step[d] != 1) text += fmt::format("{}*", map.step[d]);
    text += fmt::format("i{}", map.axis[d]);
  }
  return text + "]";
}

struct SourceText {
  std::string operator()(const InputSource& source) const {
    std::string axes;
    for (std::size_t d = 0; d < source.axis.size(); ++d) {
      if (d > 0) axes += ", ";
      axes += source.axis[d] < 0 ? std::string("0") : fmt::format("i{}", source.axis[d]);
    }
    return fmt::format("input {}[{}]", source.input, axes);
  }
  std::string operator()(const ConstantSource& source) const { return "constant " + constant_text(source); }
  std::string operator()(const IotaSource& source) const {
    if (kind_of(source.dtype) == DTypeKind::kFloat) {
      return fmt::format("{} + {} * {}", source.first_float, source.delta_float, map_text(source.map));
    }
    return fmt::format("{} + {} * {}", source.first_int, source.delta_int, map_text(source.map));
  }
  std::string operator()(const RandomSource& source) const {
    std::string what;
    switch (source.distribution) {
      case Distribution::kUniform:
        what = fmt::format("uniform({}, {})", source.a, source.b);
        break;
      case Distribution::kNormal:
        what = fmt::format("normal({}, {})", source.a, source.b);
        break;
      case Distribution::kIntegers:
        what = fmt::format("integers({}, +{})", source.low_int, source.range);
        break;
    }
    return fmt::format("{} key {:016x} stream {} of {}{}", what, source.key, source.stream, to_string(source.shape),
                       map_text(source.map));
  }
};

std::string instruction_text(const Instruction& instruction) {
  std::string text(name_of(instruction.op));
  for (int i = 0; i < arity(instruction.op); ++i) {
    text += fmt::format("{} %{}", i > 0 ? "," : "", instruction.args[static_cast<std::size_t>(i)]);
  }
  return text;
}

}  // namespace

std::string to_string(const Program& program) {
  std::string text = fmt::format("over {}\n", program.chunks.to_string());
  std::size_t reg = 0;
  for (const Source& source : program.sources) {
    const DType dtype = register_type(program, static_cast<std::uint16_t>(reg));
    text += fmt::format("%{} = {} : {}\n", reg++, std::visit(SourceText{}, source), name_of(dtype));
  }
  for (const Instruction& instruction : program.code) {
    text += fmt::format("%{} = {} : {}\n", reg++, instruction_text(instruction), name_of(instruction.to));
  }
  if (!program.reduction) return text + fmt::format("yield %{}\n", program.result);
  std::string axes;
  for (std::size_t i = 0; i < program.reduction->axes.size(); ++i) {
    if (program.reduction->axes[i]) axes += fmt::format("{}{}", axes.empty() ? "" : ", ", i);
  }
  return text + fmt::format("yield {} of %{} over axes ({}) : {}\n", name_of(program.reduction->op), program.result,
                            axes, name_of(program.reduction->dtype));
}

}  // namespace tegula
