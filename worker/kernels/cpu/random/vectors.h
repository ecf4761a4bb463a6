// Vectors of 64-bit lanes, as wide as this level has them. Every operation used on them is exact or correctly rounded,
// lane by lane, so that the width never shows in a result.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace tegula::cpu {

#if defined(__AVX512F__) && defined(__AVX512DQ__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif
inline constexpr int kWidth = kVectorBytes / 8;

typedef std::uint64_t U64 __attribute__((vector_size(kVectorBytes)));
typedef double F64 __attribute__((vector_size(kVectorBytes)));

inline U64 broadcast(std::uint64_t value) { return U64{} + value; }

template <typename V>
V load(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof(V));
  return v;
}
template <typename V>
void store(void* to, V v) {
  std::memcpy(to, &v, sizeof(V));
}

inline F64 as_double(U64 v) { return reinterpret_cast<F64>(v); }
inline U64 as_bits(F64 v) { return reinterpret_cast<U64>(v); }

// (The maskz forms with every lane kept are the plain instructions; the plain intrinsics of g++ 12 warn about their own
// bodies.)

// The 64-bit products of the lower halves of the lanes; the upper halves may hold anything.
inline U64 multiply_low(U64 a, U64 b) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  return reinterpret_cast<U64>(
      _mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<U64>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<U64>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}

inline F64 square_root(F64 v) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  return reinterpret_cast<F64>(_mm512_maskz_sqrt_pd(0xFF, reinterpret_cast<__m512d>(v)));
#elif defined(__AVX2__)
  return reinterpret_cast<F64>(_mm256_sqrt_pd(reinterpret_cast<__m256d>(v)));
#elif defined(__SSE2__)
  return reinterpret_cast<F64>(_mm_sqrt_pd(reinterpret_cast<__m128d>(v)));
#else
  for (int i = 0; i < kWidth; ++i) v[i] = __builtin_sqrt(v[i]);
  return v;
#endif
}

}  // namespace tegula::cpu
