// Runs of elements between a contiguous tile and memory with a stride, by element size.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tegula::cpu {

// out[i] = the element at from + i * stride; elements of 1, 2, 4, 8 or 16 bytes.
void gather_run(void* out, const std::byte* from, std::int64_t stride, std::int64_t count, std::size_t item_size);

}  // namespace tegula::cpu
