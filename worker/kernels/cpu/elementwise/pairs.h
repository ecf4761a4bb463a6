// Two operations in one pass over a tile: what lies between them stays in a register. Each rounds by itself, so nothing
// changes but the time.
#pragma once

#include "worker/kernels/cpu/elementwise/loops.h"

namespace tegula::cpu {

// + - * / of float32 or float64.
bool is_pairable(Op op, DType type);
// second(first(a, b), c) or, swapped, second(c, first(a, b)); `scalars` as for find_loop. A first operation with two
// scalars has no loop.
Loop find_pair(Op first, Op second, bool swapped, DType type, unsigned scalars);
// first(double(a), b) or, swapped, first(b, double(a)), where a is an integer or a float32 tile and b (the loop's
// second operand) float64.
Loop find_cast_pair(DType from, Op second, bool swapped, unsigned scalars);
// float(first(a, b)) of float64.
Loop find_narrowing(Op first, unsigned scalars);

Loop find_float32_pair(Op first, Op second, bool swapped, unsigned scalars);
Loop find_float64_pair(Op first, Op second, bool swapped, unsigned scalars);

}  // namespace tegula::cpu
