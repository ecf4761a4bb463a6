#include "tests/kernels/harness.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace tegula::test {

TestArray TestArray::zeros(DType dtype, Shape shape) {
  TestArray array;
  array.dtype = dtype;
  array.strides = contiguous_strides(shape, item_size(dtype));
  const auto bytes = static_cast<std::size_t>(element_count(shape)) * item_size(dtype);
  array.shape = std::move(shape);
  array.memory = std::make_shared<std::vector<std::byte>>(bytes + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(array.memory->data());
  array.data = array.memory->data() + (64 - address % 64) % 64;
  return array;
}

const std::byte* TestArray::at(std::int64_t index) const {
  const std::byte* element = data;
  for (std::size_t d = shape.size(); d-- > 0;) {
    element += index % shape[d] * strides[d];
    index /= shape[d];
  }
  return element;
}

Bytes TestArray::bytes() const {
  Bytes all;
  for (std::int64_t i = 0; i < size(); ++i) all.insert(all.end(), at(i), at(i) + item_size(dtype));
  return all;
}

TestArray TestArray::laid_out(const std::vector<int>& axis_order, unsigned backwards, std::int64_t gap,
                              std::int64_t misalign) const {
  const auto item = static_cast<std::int64_t>(item_size(dtype));
  TestArray other = *this;
  std::int64_t extent = item * (1 + gap);
  for (std::size_t k = axis_order.size(); k-- > 0;) {
    const auto d = static_cast<std::size_t>(axis_order[k]);
    other.strides[d] = extent;
    extent *= std::max<std::int64_t>(shape[d], 1);
    extent += gap * item;
  }
  other.memory = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(extent + (misalign + 16) * item));
  other.data = other.memory->data() + misalign * item;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if ((backwards >> d & 1) == 0 || shape[d] == 0) continue;
    other.data += other.strides[d] * (shape[d] - 1);
    other.strides[d] = -other.strides[d];
  }
  for (std::int64_t i = 0; i < size(); ++i) std::memcpy(const_cast<std::byte*>(other.at(i)), at(i), item_size(dtype));
  return other;
}

TestArray TestArray::slice(int axis, std::int64_t start, std::int64_t count, std::int64_t step) const {
  TestArray view = *this;
  const auto d = static_cast<std::size_t>(axis);
  view.data += strides[d] * start;
  view.strides[d] *= step;
  view.shape[d] = count;
  return view;
}

tegula_array TestArray::view() const {
  return {data, static_cast<std::int32_t>(dtype), static_cast<std::int32_t>(shape.size()), shape.data(),
          strides.data()};
}

namespace {

// What a kernel says and asks.
struct Dialogue {
  std::string failure;
  const TestTask& task;
};

void record_failure(tegula_context* context, const char* message) {
  static_cast<Dialogue*>(context->opaque)->failure = message;
}
int is_cancelled(tegula_context* context) {
  const auto& cancelled = static_cast<const Dialogue*>(context->opaque)->task.cancelled;
  return cancelled && cancelled() ? 1 : 0;
}

// The C view of a task; keeps what its pointers point to.
struct TaskView {
  explicit TaskView(const TestTask& task) {
    for (const TestInput& input : task.inputs) {
      std::vector<tegula_array> views;
      for (const TestArray& piece : input.pieces) views.push_back(piece.view());
      pieces.push_back(std::move(views));
      grids.push_back(input.grid.empty()
                          ? std::vector<std::int64_t>(std::max<std::size_t>(input.pieces.at(0).shape.size(), 1), 1)
                          : input.grid);
    }
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      inputs.push_back({static_cast<std::int32_t>(grids[i].size()), grids[i].data(), pieces[i].data()});
    }
    for (const auto& output : task.declared) {
      offsets.push_back(output.offset.empty() ? Shape(output.shape.size(), 0) : output.offset);
    }
    for (std::size_t i = 0; i < task.declared.size(); ++i) {
      const auto& output = task.declared[i];
      declared.push_back({static_cast<std::int32_t>(output.dtype), static_cast<std::int32_t>(output.shape.size()),
                          output.shape.data(), offsets[i].data()});
    }
    view.grid_ndim = static_cast<std::int32_t>(task.grid.size());
    view.grid = task.grid.data();
    view.block = task.block.data();
    view.n_inputs = static_cast<std::uint32_t>(inputs.size());
    view.inputs = inputs.data();
    view.n_outputs = static_cast<std::uint32_t>(declared.size());
    view.declared = declared.data();
    view.task_params = task.task_params.data();
    view.task_params_size = task.task_params.size();
  }
  std::vector<std::vector<tegula_array>> pieces;
  std::vector<std::vector<std::int64_t>> grids;
  std::vector<tegula_input> inputs;
  std::vector<Shape> offsets;
  std::vector<tegula_block> declared;
  tegula_task view{};
};

// Memory for scratch with a canary behind it.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : bytes_(bytes), memory_(bytes + 64 + kCanary, std::byte{0xA5}) {}
  std::byte* data() { return memory_.data() + (64 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 64) % 64; }
  bool intact() {
    return std::all_of(data() + bytes_, memory_.data() + memory_.size(),
                       [](std::byte b) { return b == std::byte{0xA5}; });
  }

 private:
  static constexpr std::size_t kCanary = 64;
  std::size_t bytes_;
  std::vector<std::byte> memory_;
};

}  // namespace

std::string Library::directory() {
  const char* path = std::getenv("TEGULA_KERNELS__PATH");
  return path != nullptr ? path : "lib/tegula/kernels";
}

const std::vector<Library>& Library::all() {
  static const std::vector<Library> libraries = [] {
    std::vector<Library> found;
    for (const char* level : {"portable", "v3", "v4"}) {
      const std::string path = directory() + "/libtegula_cpu_" + level + ".so";
      if (!std::filesystem::exists(path)) continue;
      if (std::string(level) == "v3" && !__builtin_cpu_supports("avx2")) continue;
      if (std::string(level) == "v4" && !__builtin_cpu_supports("avx512dq")) continue;
      void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle == nullptr) throw std::runtime_error(dlerror());
      const auto entry = reinterpret_cast<tegula_kernel_library_fn>(dlsym(handle, "tegula_kernel_library"));
      if (entry == nullptr) throw std::runtime_error(path + " has no tegula_kernel_library");
      Library library;
      library.level_ = level;
      library.table_ = entry();
      if (library.table_ != nullptr) found.push_back(library);
    }
    if (found.empty()) throw std::runtime_error("no kernel libraries in " + directory());
    return found;
  }();
  return libraries;
}

const tegula_kernel& Library::kernel(const std::string& name) const {
  for (std::uint32_t i = 0; i < table_->n_kernels; ++i) {
    if (table_->kernels[i].name == name) return table_->kernels[i];
  }
  throw std::runtime_error("no kernel " + name);
}

struct ReadyTask::State {
  State(const tegula_kernel& of, TestTask with) : kernel(of), task(std::move(with)), view(task) {}

  void check(int code) const {
    if (code != TEGULA_OK) throw KernelFailure(code, dialogue.failure);
  }

  const tegula_kernel& kernel;
  TestTask task;
  Dialogue dialogue{{}, task};
  tegula_context context{&dialogue, &record_failure, &is_cancelled};
  TaskView view;
  std::unique_ptr<void, void (*)(void*)> prepared{nullptr, nullptr};
  std::vector<TestArray> results;
  std::vector<tegula_array> outputs;
  std::optional<Scratch> scratch;
};

ReadyTask::ReadyTask(const tegula_kernel& kernel, const Bytes& params, TestTask task)
    : state_(std::make_unique<State>(kernel, std::move(task))) {
  State& s = *state_;
  void* raw = nullptr;
  s.check(kernel.prepare(params.data(), params.size(), &raw, &s.context));
  s.prepared = {raw, kernel.release};
  s.view.view.prepared = raw;
  std::vector<tegula_output_plan> plans(s.task.declared.size());
  std::size_t scratch_bytes = 0;
  s.check(kernel.plan(&s.view.view, plans.data(), &scratch_bytes, &s.context));
  for (const auto& plan : plans) {
    s.results.push_back(TestArray::zeros(static_cast<DType>(plan.dtype), Shape(plan.shape, plan.shape + plan.ndim)));
  }
  for (const TestArray& result : s.results) s.outputs.push_back(result.view());
  s.scratch.emplace(scratch_bytes);
}

ReadyTask::~ReadyTask() = default;

void ReadyTask::run() {
  State& s = *state_;
  s.check(s.kernel.run(&s.view.view, s.outputs.data(), s.scratch->data(), &s.context));
  if (!s.scratch->intact()) throw std::runtime_error(std::string(s.kernel.name) + " wrote behind its scratch memory");
}

const std::vector<TestArray>& ReadyTask::results() const { return state_->results; }

std::vector<TestArray> Library::run(const std::string& name, const Bytes& params, const TestTask& task) const {
  ReadyTask ready(kernel(name), params, task);
  ready.run();
  return ready.results();
}

DimChunks whole(std::int64_t extent) { return DimChunks(extent, std::max<std::int64_t>(extent, 1)); }

ChunkGrid one_chunk(const Shape& shape) {
  std::vector<DimChunks> dims;
  for (const auto extent : shape) dims.push_back(whole(extent));
  return ChunkGrid(dims);
}

Shape reduced_shape(const Reduction& reduction, const Shape& block) {
  Shape shape;
  if (reduction.op == ReduceOp::kMoments) shape.push_back(kMomentComponents);
  for (std::size_t d = 0; d < block.size(); ++d) shape.push_back(reduction.axes[d] ? 1 : block[d]);
  return shape;
}

TestTask program_task(const Program& program, const std::vector<TestArray>& inputs, std::vector<std::int64_t> block) {
  TestTask task;
  task.grid = program.chunks.grid();
  task.block = block.empty() ? std::vector<std::int64_t>(task.grid.size(), 0) : std::move(block);
  for (const TestArray& input : inputs) task.inputs.push_back({{input}, {}});
  const Shape shape = program.chunks.block_shape(task.block);
  const DType yields = register_type(program, program.result);
  if (program.reduction) {
    task.declared.push_back({program.reduction->dtype, reduced_shape(*program.reduction, shape), {}});
  } else {
    task.declared.push_back({yields, shape, program.chunks.block_offset(task.block)});
  }
  return task;
}

TestArray run_program(const Library& library, const Program& program, const std::vector<TestArray>& inputs,
                      std::vector<std::int64_t> block) {
  return library.run_one("tegula.program", encode(program), program_task(program, inputs, std::move(block)));
}

ConstantSource constant_source(DType dtype, const void* value) {
  ConstantSource source;
  source.dtype = dtype;
  std::memcpy(source.value.data(), value, item_size(dtype));
  return source;
}

InputSource input_source(std::uint32_t input, DType dtype, int ndim) {
  InputSource source;
  source.input = input;
  source.dtype = dtype;
  for (int d = 0; d < ndim; ++d) source.axis.push_back(d);
  return source;
}

PositionMap identity_map(int ndim) {
  PositionMap map;
  for (int d = 0; d < ndim; ++d) map.axis.push_back(d);
  map.start.assign(static_cast<std::size_t>(ndim), 0);
  map.step.assign(static_cast<std::size_t>(ndim), 1);
  return map;
}

Instruction instruction(Op op, DType type, std::uint16_t a, std::uint16_t b, std::uint16_t c) {
  Instruction i;
  i.op = op;
  i.type = type;
  i.to = result_type(op, type);
  i.args = {a, b, c};
  return i;
}

Instruction cast(DType from, DType to, std::uint16_t a) {
  Instruction i;
  i.op = Op::kCast;
  i.type = from;
  i.to = to;
  i.args = {a, 0, 0};
  return i;
}

}  // namespace tegula::test
