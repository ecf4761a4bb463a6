// Random programs against an interpreter that computes one element at a time; sources of every kind; bad programs and
// tasks.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/kernels/harness.h"
#include "tests/kernels/reference.h"

namespace tegula::test {
namespace {

using Random = std::mt19937_64;

std::int64_t below(Random& random, std::int64_t n) {
  return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
}

// Values that survive a few operations: small, some of them zero.
TestArray random_array(DType dtype, const Shape& shape, Random& random) {
  TestArray array = TestArray::zeros(dtype, shape);
  const TestArray doubles = [&] {
    TestArray d = TestArray::zeros(DType::kFloat64, shape);
    auto* values = reinterpret_cast<double*>(d.data);
    for (std::int64_t i = 0; i < d.size(); ++i)
      values[i] = static_cast<double>(below(random, 41) - 20) / (kind_of(dtype) >= DTypeKind::kFloat ? 4 : 1);
    return d;
  }();
  for (std::int64_t i = 0; i < array.size(); ++i) {
    const Value value =
        reference_apply(cast(DType::kFloat64, dtype, 0), {Value::at(DType::kFloat64, doubles.at(i)), {}, {}});
    std::memcpy(array.data + static_cast<std::size_t>(i) * item_size(dtype), value.bytes.data(), item_size(dtype));
  }
  return array;
}

// A program over `shape` whose answers the reference gives bit for bit, and its inputs.
struct RandomProgram {
  Program program;
  std::vector<TestArray> inputs;  // as given to the kernel: laid out anyhow
};

const DType kProgramDTypes[] = {DType::kFloat64, DType::kFloat64, DType::kFloat32, DType::kInt32,
                                DType::kInt64,   DType::kUInt8,   DType::kBool,    DType::kComplex128};

void add_source(RandomProgram* made, const Shape& shape, Random& random) {
  Program& program = made->program;
  const DType dtype = kProgramDTypes[below(random, std::ssize(kProgramDTypes))];
  const auto kind = below(random, 10);
  if (kind < 2) {
    const TestArray one = random_array(dtype, {}, random);
    program.sources.push_back(constant_source(dtype, one.at(0)));
    return;
  }
  if (kind < 3 && kind_of(dtype) != DTypeKind::kBool && kind_of(dtype) != DTypeKind::kComplex && !shape.empty()) {
    IotaSource iota;
    iota.dtype = dtype;
    iota.map = {
        {static_cast<std::int32_t>(below(random, std::ssize(shape)))}, {below(random, 10) - 5}, {below(random, 7) - 3}};
    iota.first_int = below(random, 100) - 50;
    iota.delta_int = below(random, 9) - 4;
    iota.first_float = 0.5;
    iota.delta_float = 0.25;
    program.sources.push_back(iota);
    return;
  }
  // An input along some of the axes, in any order, with dimensions of size 1 between them.
  InputSource source;
  source.input = static_cast<std::uint32_t>(made->inputs.size());
  source.dtype = dtype;
  std::vector<std::int32_t> axes;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (below(random, 6) != 0) axes.push_back(static_cast<std::int32_t>(d));
  }
  if (below(random, 3) == 0) std::shuffle(axes.begin(), axes.end(), random);
  if (below(random, 4) == 0) axes.insert(axes.begin() + below(random, std::ssize(axes) + 1), -1);
  source.axis = axes;
  Shape input_shape;
  std::vector<int> order;
  for (const auto axis : axes) {
    order.push_back(static_cast<int>(order.size()));
    input_shape.push_back(axis < 0 ? 1 : shape[static_cast<std::size_t>(axis)]);
  }
  TestArray input = random_array(dtype, input_shape, random);
  if (below(random, 2) == 0) {
    std::shuffle(order.begin(), order.end(), random);
    input = input.laid_out(order, static_cast<unsigned>(random() % 16), below(random, 3), below(random, 3));
  }
  made->inputs.push_back(input);
  program.sources.push_back(source);
}

bool usable(Op op, DType type) {
  // Exact ones only: what rounds otherwise may come out otherwise, and an integer cast shows it.
  if (promised_ulps(op, type) != 0) return false;
  if (op == Op::kFloorDivide && kind_of(type) == DTypeKind::kFloat) return false;
  try {
    result_type(op, type);
    return true;
  } catch (const DTypeError&) {
    return false;
  }
}

RandomProgram random_program(const Shape& shape, Random& random) {
  RandomProgram made;
  Program& program = made.program;
  program.chunks = one_chunk(shape);
  const auto n_sources = 1 + below(random, 5);
  for (std::int64_t i = 0; i < n_sources; ++i) add_source(&made, shape, random);
  // Mostly arithmetic, so that chains form and are joined.
  const Op common[] = {Op::kAdd, Op::kSubtract, Op::kMultiply, Op::kDivide, Op::kAdd, Op::kMultiply};
  const auto length = below(random, 14);
  for (std::int64_t i = 0; i < length; ++i) {
    const auto registers = static_cast<std::int64_t>(program.sources.size() + program.code.size());
    const auto pick = [&] {
      return static_cast<std::uint16_t>(below(random, 2) == 0 ? registers - 1 : below(random, registers));
    };
    const std::uint16_t a = pick();
    const DType type = register_type(program, a);
    if (below(random, 5) == 0) {
      program.code.push_back(cast(type, kProgramDTypes[below(random, std::ssize(kProgramDTypes))], a));
      continue;
    }
    const Op op =
        below(random, 3) != 0 ? common[below(random, std::ssize(common))] : static_cast<Op>(below(random, 130));
    try {
      if (op == Op::kCast || !usable(op, type)) continue;
    } catch (const ValueError&) {
      continue;  // no such operation
    }
    const auto of_type = [&](DType wanted) -> std::optional<std::uint16_t> {
      for (int attempt = 0; attempt < 20; ++attempt) {
        const std::uint16_t reg = pick();
        if (register_type(program, reg) == wanted) return reg;
      }
      return std::nullopt;
    };
    if (op == Op::kSelect) {
      const auto condition = of_type(DType::kBool);
      if (condition) program.code.push_back(instruction(op, type, *condition, a, of_type(type).value_or(a)));
    } else if (arity(op) == 2) {
      const std::uint16_t b = of_type(type).value_or(a);
      program.code.push_back(below(random, 2) == 0 ? instruction(op, type, a, b) : instruction(op, type, b, a));
    } else {
      program.code.push_back(instruction(op, type, a));
    }
  }
  program.result = static_cast<std::uint16_t>(program.sources.size() + program.code.size() - 1);
  return made;
}

Value reference_iota(const IotaSource& iota, std::int64_t p) {
  if (kind_of(iota.dtype) >= DTypeKind::kFloat) {
    const double product = static_cast<double>(p) * iota.delta_float;
    return reference_apply(cast(DType::kFloat64, iota.dtype, 0), {Value::of(iota.first_float + product), {}, {}});
  }
  return reference_apply(cast(DType::kInt64, iota.dtype, 0), {Value::of(iota.first_int + p * iota.delta_int), {}, {}});
}

// The program at one position.
Value reference_at(const RandomProgram& made, const Shape& position) {
  std::vector<Value> registers;
  for (const Source& source : made.program.sources) {
    if (const auto* value = std::get_if<ConstantSource>(&source)) {
      registers.push_back(Value::at(value->dtype, reinterpret_cast<const std::byte*>(value->value.data())));
    } else if (const auto* iota = std::get_if<IotaSource>(&source)) {
      const auto axis = static_cast<std::size_t>(iota->map.axis[0]);
      registers.push_back(reference_iota(*iota, iota->map.start[0] + iota->map.step[0] * position[axis]));
    } else {
      const auto& input = std::get<InputSource>(source);
      const TestArray& array = made.inputs[input.input];
      const std::byte* element = array.data;
      for (std::size_t d = 0; d < input.axis.size(); ++d) {
        if (input.axis[d] >= 0) element += array.strides[d] * position[static_cast<std::size_t>(input.axis[d])];
      }
      registers.push_back(Value::at(input.dtype, element));
    }
  }
  for (const Instruction& i : made.program.code) {
    registers.push_back(reference_apply(i, {registers[i.args[0]], registers[i.args[1]], registers[i.args[2]]}));
  }
  return registers[made.program.result];
}

TEST(Program, RandomProgramsAgreeWithTheReference) {
  Random random(12);
  const Shape shapes[] = {{},     {1},      {7},      {255},    {256},      {257},        {1000},
                          {3, 5}, {20, 33}, {2, 300}, {300, 2}, {4, 1, 60}, {3, 4, 5, 6}, {1, 513}};
  for (int round = 0; round < 1500; ++round) {
    const Shape& shape = shapes[below(random, std::ssize(shapes))];
    const RandomProgram made = random_program(shape, random);
    const Library& library = Library::all()[static_cast<std::size_t>(round) % Library::all().size()];
    const TestArray got = run_program(library, made.program, made.inputs);
    Shape position(shape.size());
    for (std::int64_t i = 0; i < got.size(); ++i) {
      unravel(i, shape, position);
      const std::string wrong = difference(Value::at(got.dtype, got.at(i)), reference_at(made, position), 0);
      ASSERT_EQ(wrong, "") << "round " << round << " on " << library.level() << ", element " << i << " of\n"
                           << to_string(made.program);
    }
  }
}

TEST(Program, LargeResultsAreStreamedToTheSameBits) {
  // Large enough to be written past the caches, with a tail that is not.
  const Shape shape = {3, 400'003};
  Random random(13);
  const TestArray x = random_array(DType::kFloat64, shape, random);
  Program program;
  program.sources = {input_source(0, DType::kFloat64, 2), constant(3.0)};
  program.code = {instruction(Op::kMultiply, DType::kFloat64, 0, 1)};
  program.result = 2;
  program.chunks = one_chunk(shape);
  for (const Library& library : Library::all()) {
    const TestArray got = run_program(library, program, {x});
    for (std::int64_t i = 0; i < got.size(); ++i) {
      if (got.get<double>(i) != x.get<double>(i) * 3.0) FAIL() << "element " << i << " on " << library.level();
    }
  }
}

TEST(Program, BlocksKnowTheirPlace) {
  // arange and an identity matrix, cut into uneven blocks.
  Program program;
  IotaSource rows, columns;
  rows.map = {{0}, {0}, {1}};
  columns.map = {{1}, {0}, {1}};
  program.sources = {rows, columns};
  program.code = {instruction(Op::kEqual, DType::kInt64, 0, 1)};
  program.result = 2;
  program.chunks = ChunkGrid({DimChunks(10, 4), DimChunks({3, 5, 2})});
  for (const Library& library : Library::all()) {
    for (std::int64_t r = 0; r < 3; ++r) {
      for (std::int64_t c = 0; c < 3; ++c) {
        const TestArray got = run_program(library, program, {}, {r, c});
        const Shape offset = program.chunks.block_offset(std::vector<std::int64_t>{r, c});
        for (std::int64_t i = 0; i < got.size(); ++i) {
          EXPECT_EQ(got.get<std::uint8_t>(i), offset[0] + i / got.shape[1] == offset[1] + i % got.shape[1]);
        }
      }
    }
  }
}

TEST(Program, EmptyBlocksAndConstants) {
  for (const Library& library : Library::all()) {
    Program program;
    program.sources = {constant(2.5f)};
    program.chunks = one_chunk({3, 700});
    const TestArray full = run_program(library, program, {});
    EXPECT_EQ(full.values<float>(), std::vector<float>(2100, 2.5f));
    program.chunks = one_chunk({3, 0});
    EXPECT_EQ(run_program(library, program, {}).size(), 0);
    program.sources = {input_source(0, DType::kFloat32, 2)};
    EXPECT_EQ(run_program(library, program, {TestArray::zeros(DType::kFloat32, {3, 0})}).size(), 0);
  }
}

TEST(Program, CancelledTasksEnd) {
  Program program;
  program.sources = {constant(1.0)};
  program.chunks = one_chunk({3'000'000});
  int asked = 0;
  const auto code = [&](std::optional<Reduction> reduction) {
    program.reduction = std::move(reduction);
    TestTask task = program_task(program, {});
    task.cancelled = [&asked] { return ++asked > 0; };
    try {
      Library::best().run("tegula.program", encode(program), task);
    } catch (const KernelFailure& failure) {
      return failure.code;
    }
    return static_cast<int>(TEGULA_OK);
  };
  EXPECT_EQ(code(std::nullopt), TEGULA_ECANCELLED);
  EXPECT_EQ(code(Reduction{ReduceOp::kSum, DType::kFloat64, {true}}), TEGULA_ECANCELLED);
  EXPECT_EQ(asked, 2) << "and do not go on after the answer";
}

// ---- Bad input ----

Program add_one() {
  Program program;
  program.sources = {input_source(0, DType::kFloat64, 2), constant(1.0)};
  program.code = {instruction(Op::kAdd, DType::kFloat64, 0, 1)};
  program.result = 2;
  program.chunks = one_chunk({4, 5});
  return program;
}

int code_of(const Bytes& params, const TestTask& task) {
  try {
    Library::best().run("tegula.program", params, task);
  } catch (const KernelFailure& failure) {
    EXPECT_STRNE(failure.what(), "");
    return failure.code;
  }
  return TEGULA_OK;
}

TEST(Program, RefusesTasksThatDoNotFit) {
  const Program program = add_one();
  const Bytes params = encode(program);
  const TestTask good = program_task(program, {TestArray::zeros(DType::kFloat64, {4, 5})});
  EXPECT_EQ(code_of(params, good), TEGULA_OK);
  TestTask task = good;
  task.inputs.clear();
  EXPECT_EQ(code_of(params, task), TEGULA_EVALUE);
  task = good;
  task.inputs[0].pieces = {TestArray::zeros(DType::kFloat64, {4, 6})};
  EXPECT_EQ(code_of(params, task), TEGULA_ESHAPE);
  task.inputs[0].pieces = {TestArray::zeros(DType::kFloat32, {4, 5})};
  EXPECT_EQ(code_of(params, task), TEGULA_EDTYPE);
  task.inputs[0].pieces = {good.inputs[0].pieces[0], good.inputs[0].pieces[0]};
  task.inputs[0].grid = {2, 1};
  EXPECT_EQ(code_of(params, task), TEGULA_EVALUE);
  task = good;
  task.block = {0, 1};
  EXPECT_NE(code_of(params, task), TEGULA_OK);
  task = good;
  task.grid = {2, 1};
  EXPECT_NE(code_of(params, task), TEGULA_OK);
  task = good;
  task.declared[0].shape = {4, 6};
  EXPECT_EQ(code_of(params, task), TEGULA_ESHAPE);
  task = good;
  task.declared[0].dtype = DType::kFloat32;
  EXPECT_EQ(code_of(params, task), TEGULA_EDTYPE);
}

TEST(Program, SurvivesDamagedParameters) {
  Random random(14);
  for (int round = 0; round < 3000; ++round) {
    const Shape shape = {below(random, 4) + 1, below(random, 40) + 1};
    const RandomProgram made = random_program(shape, random);
    Bytes params = encode(made.program);
    const TestTask task = program_task(made.program, made.inputs);
    if (round % 3 == 0) {
      params.resize(static_cast<std::size_t>(below(random, std::ssize(params))));
    } else {
      for (auto changes = 1 + below(random, 4); changes > 0; --changes) {
        params[static_cast<std::size_t>(below(random, std::ssize(params)))] = static_cast<std::byte>(random());
      }
    }
    // Whatever it means now: an answer or an error, and nothing written where it should not be (the harness looks
    // behind the scratch memory, AddressSanitizer everywhere).
    try {
      Library::all()[0].run("tegula.program", params, task);
    } catch (const KernelFailure&) {
    }
  }
}

}  // namespace
}  // namespace tegula::test
