#include <string>

#include "src/codec.h"
#include "src/program.h"
#include "tegula/error.h"

namespace tegula {
namespace {

// The first byte of an encoded program: what these bytes are, and in which version of the format.
constexpr std::uint8_t kProgramFormat = 0xA1;
constexpr std::uint8_t kReduceFormat = 0xB1;

enum class SourceTag : std::uint8_t { kInput = 0, kConstant = 1, kIota = 2, kRandom = 3 };

void put_map(ByteWriter& out, const PositionMap& map) {
  out.put_list(map.axis);
  out.put_list(map.start);
  out.put_list(map.step);
}

PositionMap get_map(ByteReader& in) {
  PositionMap map;
  map.axis = in.get_list<std::int32_t>();
  map.start = in.get_list<std::int64_t>();
  map.step = in.get_list<std::int64_t>();
  return map;
}

struct PutSource {
  ByteWriter& out;

  void operator()(const InputSource& source) const {
    out.put(SourceTag::kInput);
    out.put(source.dtype);
    out.put(source.input);
    out.put_list(source.axis);
  }
  void operator()(const ConstantSource& source) const {
    out.put(SourceTag::kConstant);
    out.put(source.dtype);
    for (const std::uint8_t byte : source.value) out.put(byte);
  }
  void operator()(const IotaSource& source) const {
    out.put(SourceTag::kIota);
    out.put(source.dtype);
    put_map(out, source.map);
    out.put(source.first_int);
    out.put(source.delta_int);
    out.put(source.first_float);
    out.put(source.delta_float);
  }
  void operator()(const RandomSource& source) const {
    out.put(SourceTag::kRandom);
    out.put(source.dtype);
    out.put(source.distribution);
    out.put(source.key);
    out.put(source.stream);
    out.put_list(source.shape);
    put_map(out, source.map);
    out.put(source.a);
    out.put(source.b);
    out.put(source.low_int);
    out.put(source.range);
  }
};

InputSource get_input(ByteReader& in) {
  InputSource source;
  source.dtype = get_dtype(in);
  source.input = in.get<std::uint32_t>();
  source.axis = in.get_list<std::int32_t>();
  return source;
}

ConstantSource get_constant(ByteReader& in) {
  ConstantSource source;
  source.dtype = get_dtype(in);
  for (std::uint8_t& byte : source.value) byte = in.get<std::uint8_t>();
  return source;
}

IotaSource get_iota(ByteReader& in) {
  IotaSource source;
  source.dtype = get_dtype(in);
  source.map = get_map(in);
  source.first_int = in.get<std::int64_t>();
  source.delta_int = in.get<std::int64_t>();
  source.first_float = in.get<double>();
  source.delta_float = in.get<double>();
  return source;
}

RandomSource get_random(ByteReader& in) {
  RandomSource source;
  source.dtype = get_dtype(in);
  source.distribution = in.get<Distribution>();
  source.key = in.get<std::uint64_t>();
  source.stream = in.get<std::uint32_t>();
  source.shape = in.get_list<std::int64_t>();
  source.map = get_map(in);
  source.a = in.get<double>();
  source.b = in.get<double>();
  source.low_int = in.get<std::int64_t>();
  source.range = in.get<std::uint64_t>();
  return source;
}

Source get_source(ByteReader& in) {
  switch (in.get<SourceTag>()) {
    case SourceTag::kInput:
      return get_input(in);
    case SourceTag::kConstant:
      return get_constant(in);
    case SourceTag::kIota:
      return get_iota(in);
    case SourceTag::kRandom:
      return get_random(in);
  }
  throw ValueError("a program has a source of an unknown kind");
}

void put_reduction(ByteWriter& out, const Reduction& reduction) {
  out.put(reduction.op);
  out.put(reduction.dtype);
  put_flags(out, reduction.axes);
}

Reduction get_reduction(ByteReader& in) {
  Reduction reduction;
  reduction.op = in.get<ReduceOp>();
  reduction.dtype = get_dtype(in);
  reduction.axes = get_flags(in);
  return reduction;
}

Instruction get_instruction(ByteReader& in) {
  Instruction instruction;
  instruction.op = in.get<Op>();
  instruction.type = get_dtype(in);
  instruction.to = get_dtype(in);
  for (std::uint16_t& arg : instruction.args) arg = in.get<std::uint16_t>();
  return instruction;
}

void expect_format(ByteReader& in, std::uint8_t format, const char* what) {
  if (in.get<std::uint8_t>() != format) throw ValueError(std::string("these bytes are no ") + what);
}

// A count that is checked against `limit` before anything is allocated for it.
std::uint16_t get_count(ByteReader& in, std::size_t limit, const char* what) {
  const auto count = in.get<std::uint16_t>();
  if (count > limit) {
    throw ValueError("a program with " + std::to_string(count) + " " + what + " has more than " +
                     std::to_string(limit));
  }
  return count;
}

}  // namespace

Bytes encode(const Program& program) {
  // What is longer could not be counted in 16 bits.
  if (program.sources.size() > kMaxProgramSources || program.code.size() > kMaxProgramLength) verify(program);
  ByteWriter out;
  out.put(kProgramFormat);
  out.put(static_cast<std::uint16_t>(program.sources.size()));
  for (const Source& source : program.sources) std::visit(PutSource{out}, source);
  out.put(static_cast<std::uint16_t>(program.code.size()));
  for (const Instruction& instruction : program.code) {
    out.put(instruction.op);
    out.put(instruction.type);
    out.put(instruction.to);
    for (const std::uint16_t arg : instruction.args) out.put(arg);
  }
  out.put(program.result);
  out.put(static_cast<std::uint8_t>(program.reduction.has_value()));
  if (program.reduction) put_reduction(out, *program.reduction);
  put_chunk_grid(out, program.chunks);
  return out.take();
}

Program decode_program(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  expect_format(in, kProgramFormat, "program");
  Program program;
  program.sources.resize(get_count(in, kMaxProgramSources, "sources"));
  for (Source& source : program.sources) source = get_source(in);
  program.code.resize(get_count(in, kMaxProgramLength, "instructions"));
  for (Instruction& instruction : program.code) instruction = get_instruction(in);
  program.result = in.get<std::uint16_t>();
  if (get_bool(in)) program.reduction = get_reduction(in);
  program.chunks = get_chunk_grid(in);
  in.expect_end();
  verify(program);
  expect_canonical(encode(program), bytes, "the bytes of a program");
  return program;
}

Bytes encode(const ReduceParams& params) {
  ByteWriter out;
  out.put(kReduceFormat);
  put_reduction(out, params.reduction);
  return out.take();
}

ReduceParams decode_reduce(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  expect_format(in, kReduceFormat, "reduction");
  ReduceParams params;
  params.reduction = get_reduction(in);
  in.expect_end();
  verify(params);
  return params;
}

}  // namespace tegula
