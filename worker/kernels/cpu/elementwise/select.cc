// Selection copies bits, so it goes by element size.
#include "worker/kernels/cpu/elementwise/loop_templates.h"

namespace tegula::cpu {
namespace {

struct Sixteen {
  std::uint64_t low, high;
};

template <typename T, unsigned kScalars>
void select_loop(void* out, const void* condition, const void* yes, const void* no, std::int64_t n) {
  auto* __restrict to = static_cast<T*>(out);
  const auto* __restrict c = static_cast<const BoolByte*>(condition);
  const auto* __restrict a = static_cast<const T*>(yes);
  const auto* __restrict b = static_cast<const T*>(no);
  constexpr std::int64_t c_step = (kScalars & kScalarA) ? 0 : 1;
  constexpr std::int64_t a_step = (kScalars & kScalarB) ? 0 : 1;
  constexpr std::int64_t b_step = (kScalars & kScalarC) ? 0 : 1;
  for (std::int64_t i = 0; i < n; ++i) {
    const T first = a[i * a_step], second = b[i * b_step];
    to[i] = c[i * c_step] != 0 ? first : second;
  }
}

template <typename T>
Loop find(unsigned scalars) {
  switch (scalars) {
    case kNoScalar:
      return &select_loop<T, 0>;
    case kScalarA:
      return &select_loop<T, 1>;
    case kScalarB:
      return &select_loop<T, 2>;
    case kScalarA | kScalarB:
      return &select_loop<T, 3>;
    case kScalarC:
      return &select_loop<T, 4>;
    case kScalarA | kScalarC:
      return &select_loop<T, 5>;
    case kScalarB | kScalarC:
      return &select_loop<T, 6>;
    default:
      return nullptr;
  }
}

}  // namespace

Loop find_select(std::size_t item_size, unsigned scalars) {
  switch (item_size) {
    case 1:
      return find<std::uint8_t>(scalars);
    case 2:
      return find<std::uint16_t>(scalars);
    case 4:
      return find<std::uint32_t>(scalars);
    case 8:
      return find<std::uint64_t>(scalars);
    default:
      return find<Sixteen>(scalars);
  }
}

}  // namespace tegula::cpu
