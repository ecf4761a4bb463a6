// "tegula.hog": takes memory that it has told nobody about, as a kernel with a bug does, and gives it back. For seeing
// what becomes of the others when a task takes more than there is (`tegula-bench chaos`).
//
// Parameters: bytes, 64 bits. Each page of them is written. Outputs are as those of tegula.nop, zeros.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "src/bytes.h"
#include "src/shape.h"
#include "worker/kernels/cpu/guard.h"
#include "worker/kernels/cpu/kernels.h"
#include "worker/kernels/cpu/task.h"

namespace tegula::cpu {
namespace {

constexpr std::size_t kBetweenQuestions = std::size_t{16} << 20;  // bytes: some milliseconds

struct Hog {
  std::uint64_t bytes = 0;
};

int prepare(const void* params, std::size_t size, void** prepared, tegula_context* context) {
  return prepare_as<Hog>(prepared, context, [&] {
    ByteReader reader(bytes_of(params, size));
    const Hog hog{reader.get<std::uint64_t>()};
    reader.expect_end();
    return hog;
  });
}

// From the system, and not from operator new: what a sanitizer or malloc's own limits say of a size is not the
// question.
struct Unmap {
  std::size_t size;
  void operator()(void* address) const { munmap(address, size); }
};
std::unique_ptr<void, Unmap> take(std::size_t size) {
  void* address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  return {address, Unmap{size}};
}

int run(const tegula_task* task, tegula_array* outputs, void* scratch, tegula_context* context) {
  const std::size_t size = static_cast<const Hog*>(task->prepared)->bytes;
  bool stopped = false;
  const int status = guarded(context, [&] {
    if (size == 0) return;
    const auto taken = take(size);
    for (std::size_t at = 0; at < size && !stopped; at += kBetweenQuestions) {
      std::memset(static_cast<char*>(taken.get()) + at, 1, std::min(kBetweenQuestions, size - at));
      stopped = is_cancelled(context);
    }
  });
  if (stopped) return report(context, TEGULA_ECANCELLED, "tegula.hog: no longer wanted");
  return status == TEGULA_OK ? kNopKernel.run(task, outputs, scratch, context) : status;
}

int plan(const tegula_task* task, tegula_output_plan* outputs, std::size_t* scratch_bytes, tegula_context* context) {
  return kNopKernel.plan(task, outputs, scratch_bytes, context);
}

}  // namespace

const tegula_kernel kHogKernel = {"tegula.hog", prepare, release_as<Hog>, plan, run};

}  // namespace tegula::cpu
