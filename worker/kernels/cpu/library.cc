// The library's table. What it needs of the processor is checked before the first kernel can be called.
#include <iterator>

#include "worker/kernels/cpu/kernels.h"

namespace tegula::cpu {
namespace {

bool processor_can_run_this() {
#if defined(__x86_64__)
#if defined(__AVX512F__)
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl")) {
    return false;
  }
#endif
#if defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2") ||
      !__builtin_cpu_supports("fma"))
    return false;
#endif
#endif
  return true;
}

}  // namespace
}  // namespace tegula::cpu

extern "C" const tegula_library* tegula_kernel_library(void) {
  using namespace tegula::cpu;
  static const tegula_kernel kernels[] = {kNopKernel,       kBusyKernel,    kHogKernel,
                                          kProgramKernel,   kReduceKernel,  kAssembleKernel,
                                          kFromBytesKernel, kReadNpyKernel, kWriteNpyKernel};
  static const tegula_library library = {TEGULA_KERNEL_ABI, "cpu", TEGULA_KERNEL_LEVEL,
                                         static_cast<uint32_t>(std::size(kernels)), kernels};
  return processor_can_run_this() ? &library : nullptr;
}
