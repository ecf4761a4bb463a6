// The kernels of this library, one per file.
#pragma once

#include "tegula/kernel.h"

namespace tegula::cpu {

extern const tegula_kernel kNopKernel;
extern const tegula_kernel kBusyKernel;
extern const tegula_kernel kHogKernel;
extern const tegula_kernel kProgramKernel;
extern const tegula_kernel kReduceKernel;
extern const tegula_kernel kAssembleKernel;
extern const tegula_kernel kFromBytesKernel;
extern const tegula_kernel kReadNpyKernel;
extern const tegula_kernel kWriteNpyKernel;

}  // namespace tegula::cpu
