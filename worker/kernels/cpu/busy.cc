// "tegula.busy": computes for as long as it is told to, and reads none of its inputs. For measuring how long tasks must
// be before the scheduler no longer shows (Task Bench's compute_bound).
//
// Parameters: the number of iterations, 64 bits. Each iteration replaces 64 numbers x, which begin as 0, 1, ... 63, by
// x * 0.5 + 1: 128 operations, 64 independent chains that approach 2. Element i of each output, all of which are
// float64, is number i mod 64.
#include <algorithm>
#include <array>
#include <string>

#include "src/bytes.h"
#include "src/shape.h"
#include "worker/kernels/cpu/guard.h"
#include "worker/kernels/cpu/kernels.h"
#include "worker/kernels/cpu/task.h"

namespace tegula::cpu {
namespace {

constexpr std::size_t kNumbers = 64;
constexpr std::uint64_t kBetweenQuestions = 4096;  // iterations: tens of microseconds

struct Busy {
  std::uint64_t iterations = 0;
};

int prepare(const void* params, std::size_t size, void** prepared, tegula_context* context) {
  return prepare_as<Busy>(prepared, context, [&] {
    ByteReader reader(bytes_of(params, size));
    const Busy busy{reader.get<std::uint64_t>()};
    reader.expect_end();
    return busy;
  });
}

int plan(const tegula_task* task, tegula_output_plan* outputs, std::size_t* scratch_bytes, tegula_context* context) {
  return guarded(context, [&] {
    *scratch_bytes = 0;
    for (std::uint32_t i = 0; i < task->n_outputs; ++i) {
      const tegula_block& block = declared_block(*task, i);
      if (checked_dtype(block.dtype) != DType::kFloat64) {
        throw DTypeError("tegula.busy: output " + std::to_string(i) + " is declared as " +
                         std::string(name_of(checked_dtype(block.dtype))) + "; it is float64");
      }
      write_plan(DType::kFloat64, shape_of(block), &outputs[i]);
    }
  });
}

void iterate(std::array<double, kNumbers>& numbers, std::uint64_t times) {
  std::array<double, kNumbers> x = numbers;  // of this function alone: it may stay in registers
  for (; times > 0; --times) {
    for (double& number : x) number = number * 0.5 + 1;
  }
  numbers = x;
}

int run(const tegula_task* task, tegula_array* outputs, void*, tegula_context* context) {
  std::array<double, kNumbers> numbers;
  for (std::size_t i = 0; i < kNumbers; ++i) numbers[i] = static_cast<double>(i);
  for (auto left = static_cast<const Busy*>(task->prepared)->iterations; left > 0;) {
    if (is_cancelled(context)) return report(context, TEGULA_ECANCELLED, "tegula.busy: no longer wanted");
    const std::uint64_t now = std::min(left, kBetweenQuestions);
    iterate(numbers, now);
    left -= now;
  }
  return guarded(context, [&] {
    for (std::uint32_t i = 0; i < task->n_outputs; ++i) {
      auto* values = static_cast<double*>(outputs[i].data);
      const auto count = static_cast<std::size_t>(element_count(shape_of(outputs[i])));
      for (std::size_t j = 0; j < count; ++j) values[j] = numbers[j % kNumbers];
    }
  });
}

}  // namespace

const tegula_kernel kBusyKernel = {"tegula.busy", prepare, release_as<Busy>, plan, run};

}  // namespace tegula::cpu
