// SLEEF's functions for this level's vectors. The "cinz" family gives the same bits for any vector width (it uses no
// fused multiply-add), so these functions agree between levels, too. Where SLEEF has no such entry points the standard
// library's functions stand in.
#pragma once

#include <cmath>

#if defined(__SSE2__)
#include <sleef.h>
#endif

namespace tegula::cpu {

#if defined(__AVX512F__)
using VectorF64 = __m512d;
using VectorF32 = __m512;
#define TEGULA_SLEEF_F64(name, ulp) Sleef_cinz_##name##d8_##ulp##avx512fnofma
#define TEGULA_SLEEF_F32(name, ulp) Sleef_cinz_##name##f16_##ulp##avx512fnofma
#elif defined(__AVX__)
using VectorF64 = __m256d;
using VectorF32 = __m256;
#define TEGULA_SLEEF_F64(name, ulp) Sleef_cinz_##name##d4_##ulp##avx
#define TEGULA_SLEEF_F32(name, ulp) Sleef_cinz_##name##f8_##ulp##avx
#elif defined(__SSE2__)
using VectorF64 = __m128d;
using VectorF32 = __m128;
#define TEGULA_SLEEF_F64(name, ulp) Sleef_cinz_##name##d2_##ulp##sse2
#define TEGULA_SLEEF_F32(name, ulp) Sleef_cinz_##name##f4_##ulp##sse2
#else
using VectorF64 = double;
using VectorF32 = float;
#endif

}  // namespace tegula::cpu
