// Runs kernels as a worker does: opens the built libraries, plans, allocates, runs.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "src/bytes.h"
#include "src/program.h"
#include "src/shape.h"
#include "tegula/dtype.h"
#include "tegula/kernel.h"

namespace tegula::test {

// An array with its own bytes, at any strides and alignment.
struct TestArray {
  DType dtype = DType::kFloat64;
  Shape shape;
  Strides strides;
  std::shared_ptr<std::vector<std::byte>> memory;
  std::byte* data = nullptr;  // of element (0, 0, ...)

  static TestArray zeros(DType dtype, Shape shape);
  template <typename T>
  static TestArray of(Shape shape, const std::vector<T>& values) {
    TestArray array = zeros(dtype_of<T>, std::move(shape));
    if constexpr (std::is_same_v<T, bool>) {
      for (std::size_t i = 0; i < values.size(); ++i) array.data[i] = static_cast<std::byte>(values[i] ? 1 : 0);
    } else {
      std::memcpy(array.data, values.data(), values.size() * sizeof(T));
    }
    return array;
  }
  std::int64_t size() const { return element_count(shape); }
  // The element at a row-major index.
  const std::byte* at(std::int64_t index) const;
  template <typename T>
  T get(std::int64_t index) const {
    T value;
    std::memcpy(&value, at(index), sizeof(T));
    return value;
  }
  // All elements in row-major order.
  template <typename T>
  std::vector<T> values() const {
    std::vector<T> all;
    for (std::int64_t i = 0; i < size(); ++i) all.push_back(get<T>(i));
    return all;
  }
  Bytes bytes() const;  // of all elements in row-major order
  // The same elements elsewhere in memory: axes in another order of strides, some of them backwards, with gaps,
  // `misalign` items off.
  TestArray laid_out(const std::vector<int>& axis_order, unsigned backwards, std::int64_t gap,
                     std::int64_t misalign) const;
  TestArray slice(int axis, std::int64_t start, std::int64_t count, std::int64_t step) const;
  tegula_array view() const;
};

class KernelFailure : public std::runtime_error {
 public:
  KernelFailure(int error_code, const std::string& message) : std::runtime_error(message), code(error_code) {}
  int code;
};

// The pieces of one input, row-major over `grid` (all in one piece if empty).
struct TestInput {
  std::vector<TestArray> pieces;
  std::vector<std::int64_t> grid;
};

struct TestTask {
  std::vector<std::int64_t> grid, block;
  std::vector<TestInput> inputs;
  struct Declared {
    DType dtype = DType::kFloat64;
    Shape shape, offset;
  };
  std::vector<Declared> declared;
  Bytes task_params;
  std::function<bool()> cancelled;  // asked whenever the kernel asks; empty: it never is
};

// A task made ready: planned, its memory allocated. Runs any number of times.
class ReadyTask {
 public:
  // Throws KernelFailure with what the kernel reported.
  ReadyTask(const tegula_kernel& kernel, const Bytes& params, TestTask task);
  ~ReadyTask();
  ReadyTask(const ReadyTask&) = delete;
  ReadyTask& operator=(const ReadyTask&) = delete;
  void run();
  const std::vector<TestArray>& results() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Library {
 public:
  // The libraries built for levels that this processor runs, portable first.
  static const std::vector<Library>& all();
  static const Library& best() { return all().back(); }
  static std::string directory();

  const std::string& level() const { return level_; }
  const tegula_library* table() const { return table_; }
  const tegula_kernel& kernel(const std::string& name) const;
  // Throws KernelFailure with what the kernel reported.
  std::vector<TestArray> run(const std::string& kernel, const Bytes& params, const TestTask& task) const;
  TestArray run_one(const std::string& kernel, const Bytes& params, const TestTask& task) const {
    return run(kernel, params, task).at(0);
  }

 private:
  std::string level_;
  const tegula_library* table_ = nullptr;
};

// What is shared by tests of programs.
DimChunks whole(std::int64_t extent);
ChunkGrid one_chunk(const Shape& shape);
Shape reduced_shape(const Reduction& reduction, const Shape& block);
// Runs the program's block `block` with these inputs, one piece each.
TestTask program_task(const Program& program, const std::vector<TestArray>& inputs,
                      std::vector<std::int64_t> block = {});
TestArray run_program(const Library& library, const Program& program, const std::vector<TestArray>& inputs,
                      std::vector<std::int64_t> block = {});
ConstantSource constant_source(DType dtype, const void* value);
template <typename T>
ConstantSource constant(T value) {
  return constant_source(dtype_of<T>, &value);
}
InputSource input_source(std::uint32_t input, DType dtype, int ndim);
PositionMap identity_map(int ndim);
Instruction instruction(Op op, DType type, std::uint16_t a, std::uint16_t b = 0, std::uint16_t c = 0);
Instruction cast(DType from, DType to, std::uint16_t a);

}  // namespace tegula::test
