// A pair of independent standard normals from two random words, by Box and Muller's transform. Built from + - * / sqrt
// and integer operations alone, each rounded by itself, so the bits are the same on every machine.
//
//   u = (2^52 - (w0 >> 12)) / 2^52, in (0, 1]        r = sqrt(-2 log u)
//   theta = (pi / 2) (q + t): q = the top two bits of w1, t = the next 52 bits / 2^52 - 1/2
//   z0 = r cos(theta), z1 = r sin(theta)
//
// Against the exact value for the same words, z0 and z1 are within 4 units in the last place (3.3 seen).
// The largest |z| is sqrt(104 log 2) = 8.49.
#pragma once

#include <cstdint>

#include "worker/kernels/cpu/random/vectors.h"

namespace tegula::cpu {

struct NormalPair {
  F64 z0, z1;
};

// -2 log u for u in [2^-52, 1], normal numbers.
inline F64 minus_two_log(F64 u) {
  // u = 2^e m with m in [sqrt(1/2), sqrt(2)): the offset moves the border between exponents from 1 to sqrt(1/2).
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E00000000, kOne = 0x3FF0000000000000, kMantissa = 0x000FFFFFFFFFFFFF;
  constexpr std::uint64_t k2To52 = 0x4330000000000000;
  const U64 shifted = as_bits(u) + (kOne - kSqrtHalf);
  const F64 e = as_double((shifted >> 52) | k2To52) - (4503599627370496.0 + 1023.0);
  const F64 m = as_double((shifted & kMantissa) + kSqrtHalf);
  // log m = 2 atanh(s) = 2 s (1 + z P(z)), s = (m - 1) / (m + 1), z = s^2; P is minimax to 2^-57.
  const F64 s = (m - 1.0) / (m + 1.0);
  const F64 z = s * s;
  F64 p = z * 0x1.2b5900de53b32p-4 + 0x1.39fe51a7c18f9p-4;
  p = p * z + 0x1.7462b51cb66b1p-4;
  p = p * z + 0x1.c71c62e3f11e6p-4;
  p = p * z + 0x1.2492492df281ap-3;
  p = p * z + 0x1.99999999952d7p-3;
  p = p * z + 0x1.5555555555558p-2;
  const F64 s4 = s * -4.0;
  return e * -0x1.62e42fefa39efp+0 + (s4 + s4 * (z * p));
}

inline NormalPair box_muller(U64 w0, U64 w1) {
  constexpr std::uint64_t kOne = 0x3FF0000000000000, kSign = 0x8000000000000000;
  const F64 r = square_root(minus_two_log(2.0 - as_double((w0 >> 12) | kOne)));

  // sin and cos of (pi / 2) t, |t| <= 1/2, by minimax polynomials to 2^-55 and better.
  const F64 t = as_double(((w1 << 2) >> 12) | kOne) - 1.5;
  const F64 y = t * t;
  F64 sine = y * 0x1.e3f38399551bfp-25 - 0x1.e30071afc3e59p-19;
  sine = sine * y + 0x1.50782fda12d96p-13;
  sine = sine * y - 0x1.32d2cce2e5b19p-8;
  sine = sine * y + 0x1.466bc677587f8p-4;
  sine = sine * y - 0x1.4abbce625be41p-1;
  sine = t * (sine * y + 0x1.921fb54442d18p+0);
  F64 cosine = y * -0x1.b2f3eb054afcdp-28 + 0x1.f9ce245cada0bp-22;
  cosine = cosine * y - 0x1.a6d1eef479be1p-16;
  cosine = cosine * y + 0x1.e1f5068688d5bp-11;
  cosine = cosine * y - 0x1.55d3c7e3cb241p-6;
  cosine = cosine * y + 0x1.03c1f081b5ac0p-2;
  cosine = cosine * y - 0x1.3bd3cc9be45dep+0;
  cosine = cosine * y + 1.0;

  // Quarter turns: odd quadrants swap the two; signs follow from the two bits.
  const U64 odd = U64{} - ((w1 >> 62) & 1);
  const U64 s = as_bits(sine), c = as_bits(cosine);
  const U64 sin_bits = ((s & ~odd) | (c & odd)) ^ (w1 & kSign);
  const U64 cos_bits = ((c & ~odd) | (s & odd)) ^ ((w1 ^ (w1 << 1)) & kSign);
  return {r * as_double(cos_bits), r * as_double(sin_bits)};
}

}  // namespace tegula::cpu
