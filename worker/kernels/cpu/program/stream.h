// Stores that go past the caches: for results larger than those, a plain store would first read what it overwrites.
#pragma once

#include <cstddef>

namespace tegula::cpu {

// Copies to 64-byte aligned memory. Other threads see the bytes after stream_fence().
void stream_copy(std::byte* to, const std::byte* from, std::size_t bytes);
void stream_fence();

// Asks for bytes that will be read soon.
inline void prefetch(const std::byte* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i);
}

}  // namespace tegula::cpu
