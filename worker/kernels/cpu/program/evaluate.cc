#include "worker/kernels/cpu/program/evaluate.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "src/chunk.h"
#include "tegula/error.h"
#include "worker/kernels/cpu/program/stream.h"
#include "worker/kernels/cpu/program/strided_copy.h"
#include "worker/kernels/cpu/task.h"

namespace tegula::cpu {
namespace {

constexpr std::size_t kScalarBytes = 16;
constexpr std::int64_t kIotaChunk = 256;

std::size_t round_up_64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

void check_input(const InputSource& source, const tegula_task& task, const Shape& block) {
  const tegula_array& piece = single_piece(task, source.input);
  const std::string name = "input " + std::to_string(source.input);
  if (checked_dtype(piece.dtype) != source.dtype) {
    throw DTypeError(name + " is " + std::string(name_of(checked_dtype(piece.dtype))) + ", the program reads " +
                     std::string(name_of(source.dtype)));
  }
  Shape expected;
  for (const std::int32_t axis : source.axis) expected.push_back(axis < 0 ? 1 : block[static_cast<std::size_t>(axis)]);
  if (!std::ranges::equal(shape_of(piece), expected)) {
    throw ShapeError(name + " has shape " + to_string(shape_of(piece)) + ", the program reads " + to_string(expected));
  }
}

// Adds up what one dimension of a map contributes, at the block's first element and per step along each axis of the
// block.
struct MapTerms {
  LinearPair origin;
  LinearPair step[kMaxNdim];
};
void add_dimension(const PositionMap& map, std::size_t d, const Shape& block_offset, std::uint64_t weight,
                   std::uint64_t LinearPair::*part, MapTerms* terms) {
  const auto start = static_cast<std::uint64_t>(map.start[d]);
  terms->origin.*part += weight * start;
  if (map.axis[d] < 0) return;
  const auto axis = static_cast<std::size_t>(map.axis[d]);
  const auto step = static_cast<std::uint64_t>(map.step[d]);
  terms->origin.*part += weight * step * static_cast<std::uint64_t>(block_offset[axis]);
  terms->step[axis].*part += weight * step;
}

MapTerms terms_of(const InputSource& source, const tegula_array& piece) {
  MapTerms terms;
  for (std::size_t d = 0; d < source.axis.size(); ++d) {
    if (source.axis[d] >= 0) terms.step[source.axis[d]].first = static_cast<std::uint64_t>(piece.strides[d]);
  }
  return terms;
}
// first: the row's first counter; second: the position in the row.
MapTerms terms_of(const RandomSource& source, const Shape& block_offset) {
  MapTerms terms;
  if (source.shape.empty()) return terms;
  const std::size_t last = source.shape.size() - 1;
  add_dimension(source.map, last, block_offset, 1, &LinearPair::second, &terms);
  std::uint64_t weight = 8 * ((static_cast<std::uint64_t>(source.shape[last]) + 15) / 16);
  for (std::size_t d = last; d-- > 0;) {
    add_dimension(source.map, d, block_offset, weight, &LinearPair::first, &terms);
    weight *= static_cast<std::uint64_t>(source.shape[d]);
  }
  return terms;
}
MapTerms terms_of(const IotaSource& source, const Shape& block_offset) {
  MapTerms terms;
  add_dimension(source.map, 0, block_offset, 1, &LinearPair::second, &terms);
  return terms;
}

}  // namespace

BlockPlace place_block(const CompiledProgram& program, const tegula_task& task) {
  const ChunkGrid& chunks = program.program().chunks;
  const Shape grid = chunks.grid();
  const std::span<const std::int64_t> block = task_block(task, grid, "the program's");
  BlockPlace place{chunks.block_shape(block), chunks.block_offset(block)};
  for (const Source& source : program.program().sources) {
    if (const auto* input = std::get_if<InputSource>(&source)) check_input(*input, task, place.shape);
  }
  return place;
}

std::size_t Evaluator::scratch_bytes(const CompiledProgram& program) {
  return round_up_64(program.registers().size() * kScalarBytes) +
         round_up_64(program.registers().size() * sizeof(void*)) +
         static_cast<std::size_t>(program.slots()) * program.slot_bytes();
}

Evaluator::Evaluator(const CompiledProgram& program, const BlockPlace& place, const tegula_task& task,
                     std::byte* scratch)
    : program_(program), place_(place), task_(task), scalars_(scratch), walks_(program.sources().size()) {
  const std::size_t registers = program.registers().size();
  slots_ = scratch + round_up_64(registers * kScalarBytes);
  values_ = reinterpret_cast<const void**>(slots_);
  slots_ += round_up_64(registers * sizeof(void*));
  for (std::size_t i = 0; i < registers; ++i) values_[i] = scalars_ + i * kScalarBytes;
  compute_scalars();
}

void Evaluator::compute_scalars() {
  for (const Step& step : program_.scalar_steps()) {
    std::byte* out = scalars_ + step.out * kScalarBytes;
    if (step.loop != nullptr) {
      step.loop(out, values_[step.args[0]], values_[step.args[1]], values_[step.args[2]], 1);
      continue;
    }
    if (const auto* constant = std::get_if<ConstantSource>(&program_.program().sources[step.out])) {
      std::memcpy(out, constant->value.data(), kScalarBytes);
      continue;
    }
    bind_source(step.out, {});
    load(step.out, 0, 1, out, out);
  }
}

bool Evaluator::reads_across(int inner_axis) const {
  for (const Step& step : program_.steps()) {
    if (step.loop != nullptr) continue;
    const auto* input = std::get_if<InputSource>(&program_.program().sources[step.out]);
    if (input == nullptr) continue;
    const tegula_array& piece = task_.inputs[input->input].pieces[0];
    std::int64_t inner = 0, outer = INT64_MAX;
    for (std::size_t d = 0; d < input->axis.size(); ++d) {
      if (piece.shape[d] == 1) continue;
      const std::int64_t stride = std::abs(piece.strides[d]);
      if (input->axis[d] == inner_axis) {
        inner = stride;
      } else {
        outer = std::min(outer, stride);
      }
    }
    if (inner > outer) return true;
  }
  return false;
}

void Evaluator::set_box(std::span<const BoxAxis> axes) {
  for (const Step& step : program_.steps()) {
    if (step.loop == nullptr) bind_source(step.out, axes);
  }
}

void Evaluator::bind_source(std::size_t source, std::span<const BoxAxis> axes) {
  MapTerms terms;
  const Source& description = program_.program().sources[source];
  if (const auto* input = std::get_if<InputSource>(&description)) {
    terms = terms_of(*input, task_.inputs[input->input].pieces[0]);
  } else if (const auto* random = std::get_if<RandomSource>(&description)) {
    terms = terms_of(*random, place_.offset);
  } else if (const auto* iota = std::get_if<IotaSource>(&description)) {
    terms = terms_of(*iota, place_.offset);
  }
  for (const BoxAxis& axis : axes) {
    const LinearPair& step = terms.step[axis.axis];
    terms.origin.first += step.first * static_cast<std::uint64_t>(axis.low);
    terms.origin.second += step.second * static_cast<std::uint64_t>(axis.low);
  }
  LinearWalk& walk = walks_[source];
  walk.begin(terms.origin);
  for (const BoxAxis& axis : axes) walk.add_axis(axis.size, terms.step[axis.axis]);
}

const std::byte* Evaluator::in_place(std::size_t source, const InputSource& input, std::int64_t begin,
                                     std::int64_t count) const {
  const LinearWalk& walk = walks_[source];
  if (walk.inner_step().first != item_size(input.dtype) || !walk.in_one_run(begin, count)) return nullptr;
  const auto* data = static_cast<const std::byte*>(task_.inputs[input.input].pieces[0].data);
  return data + static_cast<std::int64_t>(walk.at(begin).first);
}

std::optional<Evaluator::StoredRows> Evaluator::stored_rows(std::int64_t width) const {
  const std::uint16_t result = program_.result();
  if (program_.computes() || program_.registers()[result].scalar) return std::nullopt;
  const auto* input = std::get_if<InputSource>(&program_.program().sources[result]);
  if (input == nullptr) return std::nullopt;
  const auto stride = walks_[result].even_rows(width, item_size(input->dtype));
  if (!stride) return std::nullopt;
  const auto* data = static_cast<const std::byte*>(task_.inputs[input->input].pieces[0].data);
  return StoredRows{data + static_cast<std::int64_t>(walks_[result].at(0).first), static_cast<std::int64_t>(*stride)};
}

void Evaluator::prefetch(std::int64_t begin, std::int64_t count) const {
  if (count <= 0 || !program_.wants_prefetch()) return;
  for (const Step& step : program_.steps()) {
    if (step.loop != nullptr) continue;
    const auto* input = std::get_if<InputSource>(&program_.program().sources[step.out]);
    if (input == nullptr) continue;
    const std::byte* first = in_place(step.out, *input, begin, count);
    if (first != nullptr) cpu::prefetch(first, static_cast<std::size_t>(count) * item_size(input->dtype));
  }
}

const void* Evaluator::load(std::size_t source, std::int64_t begin, std::int64_t count, void* slot, void* into) {
  const Source& description = program_.program().sources[source];
  if (const auto* input = std::get_if<InputSource>(&description); input != nullptr && into == nullptr) {
    if (const std::byte* data = in_place(source, *input, begin, count)) return data;
  }
  auto* to = static_cast<std::byte*>(into != nullptr ? into : slot);
  if (std::holds_alternative<InputSource>(description)) {
    load_input(source, begin, count, to);
  } else if (std::holds_alternative<RandomSource>(description)) {
    load_random(source, begin, count, to);
  } else {
    load_iota(source, begin, count, to);
  }
  return to;
}

void Evaluator::load_input(std::size_t source, std::int64_t begin, std::int64_t count, std::byte* to) {
  const auto& input = std::get<InputSource>(program_.program().sources[source]);
  const auto* data = static_cast<const std::byte*>(task_.inputs[input.input].pieces[0].data);
  const std::size_t size = item_size(input.dtype);
  const auto stride = static_cast<std::int64_t>(walks_[source].inner_step().first);
  const auto area = stride == static_cast<std::int64_t>(size) ? std::nullopt : walks_[source].rectangle(begin, count);
  if (area &&
      static_cast<std::int64_t>(area->row_step.first) == static_cast<std::int64_t>(size)) {  // a piece of a transpose
    const std::int64_t shape[] = {area->rows, area->columns};
    const std::int64_t from[] = {static_cast<std::int64_t>(size), stride};
    const std::int64_t strides[] = {area->columns * static_cast<std::int64_t>(size), static_cast<std::int64_t>(size)};
    copy_strided(shape, size, data + static_cast<std::int64_t>(area->origin.first), from, to, strides);
    return;
  }
  walks_[source].for_each_run(begin, count, [&](LinearPair at, std::int64_t length, std::int64_t done) {
    gather_run(to + static_cast<std::size_t>(done) * size, data + static_cast<std::int64_t>(at.first), stride, length,
               size);
  });
}

void Evaluator::load_random(std::size_t source, std::int64_t begin, std::int64_t count, std::byte* to) {
  const RandomSpec& spec = *program_.sources()[source].random;
  const std::size_t size = item_size(spec.dtype);
  const LinearPair step = walks_[source].inner_step();
  walks_[source].for_each_run(begin, count, [&](LinearPair at, std::int64_t length, std::int64_t done) {
    std::byte* out = to + static_cast<std::size_t>(done) * size;
    const RandomRun run{at.first, step.first, static_cast<std::int64_t>(at.second),
                        static_cast<std::int64_t>(step.second)};
    if (length > 1 && step.first == 0 && step.second == 0) {
      fill_random(spec, run, 1, out);
      gather_run(out + size, out, 0, length - 1, size);
    } else {
      fill_random(spec, run, length, out);
    }
  });
}

void Evaluator::load_iota(std::size_t source, std::int64_t begin, std::int64_t count, std::byte* to) {
  const auto& iota = std::get<IotaSource>(program_.program().sources[source]);
  const Loop cast = program_.sources()[source].iota_cast;
  const std::size_t size = item_size(iota.dtype);
  const std::uint64_t step = walks_[source].inner_step().second;
  const bool floating = kind_of(iota.dtype) >= DTypeKind::kFloat;
  const auto fill = [&](std::uint64_t position, std::int64_t length, std::byte* out) {
    alignas(64) double floats[kIotaChunk];
    alignas(64) std::uint64_t ints[kIotaChunk];
    for (std::int64_t i = 0; i < length; ++i) ints[i] = position + step * static_cast<std::uint64_t>(i);
    if (floating) {
      for (std::int64_t i = 0; i < length; ++i)
        floats[i] = iota.first_float + static_cast<double>(static_cast<std::int64_t>(ints[i])) * iota.delta_float;
      cast(out, floats, nullptr, nullptr, length);
    } else {
      for (std::int64_t i = 0; i < length; ++i)
        ints[i] = static_cast<std::uint64_t>(iota.first_int) + ints[i] * static_cast<std::uint64_t>(iota.delta_int);
      cast(out, ints, nullptr, nullptr, length);
    }
  };
  walks_[source].for_each_run(begin, count, [&](LinearPair at, std::int64_t length, std::int64_t done) {
    for (std::int64_t i = 0; i < length; i += kIotaChunk) {
      fill(at.second + step * static_cast<std::uint64_t>(i), std::min(kIotaChunk, length - i),
           to + static_cast<std::size_t>(done + i) * size);
    }
  });
}

const void* Evaluator::evaluate(std::int64_t begin, std::int64_t count, void* into) {
  const std::uint16_t result = program_.result();
  for (const Step& step : program_.steps()) {
    void* const target = step.out == result ? into : nullptr;
    if (step.loop == nullptr) {
      values_[step.out] = load(step.out, begin, count, slot_of(step.out), target);
    } else {
      void* const out = target != nullptr ? target : slot_of(step.out);
      step.loop(out, values_[step.args[0]], values_[step.args[1]], values_[step.args[2]], count);
      values_[step.out] = out;
    }
  }
  if (!program_.registers()[result].scalar) return values_[result];
  void* const out = into != nullptr ? into : slot_of(result);
  gather_run(out, static_cast<const std::byte*>(values_[result]), 0, count, item_size(program_.result_dtype()));
  return out;
}

}  // namespace tegula::cpu
