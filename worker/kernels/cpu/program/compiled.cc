#include "worker/kernels/cpu/program/compiled.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tegula/error.h"

namespace tegula::cpu {
namespace {

// A tile of the widest register takes this much: with the few tiles that are alive at a time it stays in the
// first-level cache.
constexpr std::size_t kSlotBytes = 2048;
// Programs that read no memory leave more of it to their tiles.
constexpr std::size_t kGeneratedSlotBytes = 4096;
// Where nothing is computed the tile is a buffer between two strides, and larger ones cost less.
constexpr std::size_t kCopySlotBytes = 8192;

bool is_scalar(const PositionMap& map) {
  for (std::size_t d = 0; d < map.axis.size(); ++d) {
    if (map.axis[d] >= 0 && map.step[d] != 0) return false;
  }
  return true;
}

struct IsScalarSource {
  bool operator()(const ConstantSource&) const { return true; }
  bool operator()(const InputSource& source) const {
    return std::all_of(source.axis.begin(), source.axis.end(), [](std::int32_t axis) { return axis < 0; });
  }
  bool operator()(const IotaSource& source) const { return is_scalar(source.map); }
  bool operator()(const RandomSource& source) const { return is_scalar(source.map); }
};

}  // namespace

CompiledProgram::CompiledProgram(Program program) : program_(std::move(program)) {
  compile_sources();
  compile_code();
  assign_slots();
}

void CompiledProgram::compile_sources() {
  for (const Source& source : program_.sources) {
    CompiledSource compiled;
    if (const auto* random = std::get_if<RandomSource>(&source)) compiled.random.emplace(*random);
    if (const auto* iota = std::get_if<IotaSource>(&source)) {
      const bool floating = kind_of(iota->dtype) >= DTypeKind::kFloat;
      compiled.iota_cast = find_cast(floating ? DType::kFloat64 : DType::kInt64, iota->dtype);
    }
    sources_.push_back(std::move(compiled));
    Register reg;
    reg.dtype = std::visit([](const auto& s) { return s.dtype; }, source);
    reg.scalar = std::visit(IsScalarSource{}, source);
    registers_.push_back(reg);
  }
}

// Registers that the result needs.
std::vector<bool> CompiledProgram::needed_registers() const {
  const std::size_t n_sources = program_.sources.size();
  std::vector<bool> needed(n_sources + program_.code.size(), false);
  needed[program_.result] = true;
  for (std::size_t i = program_.code.size(); i-- > 0;) {
    if (!needed[n_sources + i]) continue;
    for (int k = 0; k < arity(program_.code[i].op); ++k)
      needed[program_.code[i].args[static_cast<std::size_t>(k)]] = true;
  }
  return needed;
}

void CompiledProgram::compile_code() {
  const std::vector<bool> needed = needed_registers();
  const std::size_t n_sources = program_.sources.size();
  std::vector<bool> loaded(n_sources, false);
  const auto load = [&](std::uint16_t reg) {
    if (reg >= n_sources || loaded[reg]) return;
    loaded[reg] = true;
    Step step;
    step.out = reg;
    (registers_[reg].scalar ? scalar_steps_ : steps_).push_back(step);
  };
  for (std::size_t i = 0; i < program_.code.size(); ++i) {
    if (needed[n_sources + i]) {
      for (int k = 0; k < arity(program_.code[i].op); ++k) load(program_.code[i].args[static_cast<std::size_t>(k)]);
    }
    add_step(program_.code[i], static_cast<std::uint16_t>(n_sources + i), needed[n_sources + i]);
  }
  load(program_.result);
  result_ = program_.result;
  if (program_.reduction && program_.reduction->dtype != registers_[result_].dtype) {
    Instruction cast;
    cast.op = Op::kCast;
    cast.type = registers_[result_].dtype;
    cast.to = program_.reduction->dtype;
    cast.args[0] = result_;
    result_ = static_cast<std::uint16_t>(registers_.size());
    add_step(cast, result_, true);
  }
  join_operations(&steps_, result_);
}

void CompiledProgram::add_step(const Instruction& instruction, std::uint16_t out, bool needed) {
  Register reg;
  reg.dtype = instruction.to;
  const int n_args = arity(instruction.op);
  unsigned scalars = 0;
  for (int k = 0; k < n_args; ++k) {
    if (registers_[instruction.args[static_cast<std::size_t>(k)]].scalar) scalars |= 1u << k;
  }
  reg.scalar = scalars == (1u << n_args) - 1;
  registers_.push_back(reg);
  if (!needed) return;
  Step step;
  step.op = simplified(instruction);
  step.loop = find_loop(step.op, instruction.type, instruction.to, reg.scalar ? 0 : scalars);
  if (step.loop == nullptr) {
    throw DTypeError(std::string(name_of(instruction.op)) + " of " + std::string(name_of(instruction.type)) +
                     " is not offered");
  }
  step.out = out;
  std::copy(instruction.args.begin(), instruction.args.end(), step.args);
  step.n_args = static_cast<std::uint16_t>(arity(step.op));
  step.scalars = scalars;
  step.type = instruction.type;
  step.to = instruction.to;
  (reg.scalar ? scalar_steps_ : steps_).push_back(step);
}

// A power with a constant exponent of 2 is a square: exact, and NumPy's choice, too. (The loops for powers do the same,
// only later.)
Op CompiledProgram::simplified(const Instruction& instruction) const {
  if (instruction.op != Op::kPower || kind_of(instruction.type) < DTypeKind::kFloat ||
      instruction.args[1] >= program_.sources.size()) {
    return instruction.op;
  }
  const auto* exponent = std::get_if<ConstantSource>(&program_.sources[instruction.args[1]]);
  if (exponent == nullptr) return instruction.op;
  std::complex<double> value;
  find_cast(instruction.type, DType::kComplex128)(&value, exponent->value.data(), nullptr, nullptr, 1);
  return value == std::complex<double>(2.0) ? Op::kSquare : instruction.op;
}

bool CompiledProgram::reads_memory() const {
  return std::any_of(steps_.begin(), steps_.end(), [this](const Step& step) {
    return step.loop == nullptr && std::holds_alternative<InputSource>(program_.sources[step.out]);
  });
}

void CompiledProgram::assign_slots() {
  std::vector<std::size_t> last_use(registers_.size(), 0);
  std::size_t widest = item_size(registers_[result_].dtype);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    widest = std::max(widest, item_size(registers_[step.out].dtype));
    if (step.loop != nullptr) ++passes_;
    for (int k = 0; k < step.n_args; ++k) last_use[step.args[k]] = i;
  }
  last_use[result_] = steps_.size();
  slot_bytes_ = passes_ == 0 ? kCopySlotBytes : reads_memory() ? kSlotBytes : kGeneratedSlotBytes;
  tile_ = static_cast<std::int64_t>(slot_bytes_ / widest);

  std::vector<std::int32_t> free;
  const auto take = [&] {
    if (free.empty()) return static_cast<std::int32_t>(slots_++);
    const std::int32_t slot = free.back();
    free.pop_back();
    return slot;
  };
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    registers_[step.out].slot = take();
    for (int k = 0; k < step.n_args; ++k) {
      Register& arg = registers_[step.args[k]];
      // A register may be an operand twice; it is given back once.
      if (!arg.scalar && last_use[step.args[k]] == i && std::find(free.begin(), free.end(), arg.slot) == free.end())
        free.push_back(arg.slot);
    }
  }
  if (registers_[result_].scalar) registers_[result_].slot = take();
}

}  // namespace tegula::cpu
