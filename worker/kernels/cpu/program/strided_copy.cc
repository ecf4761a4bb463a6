#include "worker/kernels/cpu/program/strided_copy.h"

#include <algorithm>
#include <cstring>

namespace tegula::cpu {
namespace {

struct Sixteen {
  std::uint64_t low, high;
};

template <typename T>
void gather(void* out, const std::byte* from, std::int64_t stride, std::int64_t count) {
  auto* to = static_cast<T*>(out);
  if (stride == 0) {
    T value;
    std::memcpy(&value, from, sizeof(T));
    std::fill_n(to, count, value);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i, from + i * stride, sizeof(T));
}

}  // namespace

void gather_run(void* out, const std::byte* from, std::int64_t stride, std::int64_t count, std::size_t item_size) {
  if (stride == static_cast<std::int64_t>(item_size)) {
    std::memcpy(out, from, static_cast<std::size_t>(count) * item_size);
    return;
  }
  switch (item_size) {
    case 1:
      return gather<std::uint8_t>(out, from, stride, count);
    case 2:
      return gather<std::uint16_t>(out, from, stride, count);
    case 4:
      return gather<std::uint32_t>(out, from, stride, count);
    case 8:
      return gather<std::uint64_t>(out, from, stride, count);
    default:
      return gather<Sixteen>(out, from, stride, count);
  }
}

}  // namespace tegula::cpu
