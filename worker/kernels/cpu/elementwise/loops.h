// Elementwise loops, found by operation and dtype. All of them run over plain contiguous tiles.
#pragma once

#include <cstdint>

#include "src/program.h"
#include "tegula/dtype.h"

namespace tegula::cpu {

// One operation on n elements. An operand is a tile of n elements or, where the loop was asked for so, one element used
// for all. Operands and result do not overlap. Unused operands are ignored.
using Loop = void (*)(void* out, const void* a, const void* b, const void* c, std::int64_t n);

enum Scalars : unsigned { kNoScalar = 0, kScalarA = 1, kScalarB = 2, kScalarC = 4 };

// The loop for operands of `type` and a result of `to`, or nullptr when there is none. At least one operand is a tile:
// `scalars` never names all of them.
Loop find_loop(Op op, DType type, DType to, unsigned scalars);
Loop find_cast(DType from, DType to);

// By group of dtypes, each in its own file; find_loop knows which to ask.
Loop find_bool_loop(Op op, unsigned scalars);
Loop find_int8_loop(Op op, unsigned scalars);
Loop find_int16_loop(Op op, unsigned scalars);
Loop find_int32_loop(Op op, unsigned scalars);
Loop find_int64_loop(Op op, unsigned scalars);
Loop find_uint8_loop(Op op, unsigned scalars);
Loop find_uint16_loop(Op op, unsigned scalars);
Loop find_uint32_loop(Op op, unsigned scalars);
Loop find_uint64_loop(Op op, unsigned scalars);
Loop find_float_loop(Op op, DType type, unsigned scalars);
Loop find_complex_loop(Op op, DType type, unsigned scalars);
Loop find_float_math(Op op, DType type, unsigned scalars);
Loop find_complex_math(Op op, DType type, unsigned scalars);
Loop find_select(std::size_t item_size, unsigned scalars);
Loop find_cast_from_int(DType from, DType to);
Loop find_cast_from_float(DType from, DType to);

}  // namespace tegula::cpu
