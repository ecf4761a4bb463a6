// Copies between strided arrays. The work is brought into one form first: no dimension of size 1, the destination's
// strides positive and falling, neighbours that lie behind each other in both arrays merged. What is left is a loop
// nest around one of three inner copies: plain bytes, a strided run, or a tile of a transpose.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

#include "src/chunk.h"

namespace tegula {
namespace {

struct Dim {
  std::int64_t count, from, to;  // strides in bytes
};

struct Nest {
  std::array<Dim, kMaxNdim> dims{};
  int ndim = 0;
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
};

Nest normalize(std::span<const std::int64_t> shape, const std::byte* from, std::span<const std::int64_t> from_strides,
               std::byte* to, std::span<const std::int64_t> to_strides) {
  Nest nest;
  nest.from = from;
  nest.to = to;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    Dim dim{shape[i], from_strides[i], to_strides[i]};
    if (dim.to < 0) {  // walk it the other way round
      nest.from += (dim.count - 1) * dim.from;
      nest.to += (dim.count - 1) * dim.to;
      dim.from = -dim.from;
      dim.to = -dim.to;
    }
    nest.dims[static_cast<std::size_t>(nest.ndim++)] = dim;
  }
  const auto begin = nest.dims.begin();
  std::stable_sort(begin, begin + nest.ndim, [](const Dim& a, const Dim& b) { return a.to > b.to; });
  int kept = 0;
  for (int i = 0; i < nest.ndim; ++i) {
    const Dim& dim = nest.dims[static_cast<std::size_t>(i)];
    if (kept > 0) {
      Dim& outer = nest.dims[static_cast<std::size_t>(kept - 1)];
      if (outer.from == dim.from * dim.count && outer.to == dim.to * dim.count) {
        outer = {outer.count * dim.count, dim.from, dim.to};
        continue;
      }
    }
    nest.dims[static_cast<std::size_t>(kept++)] = dim;
  }
  nest.ndim = kept;
  return nest;
}

// An element moved through a register; the addresses need no alignment.
template <std::size_t Size>
inline void move_one(const std::byte* from, std::byte* to) {
  std::memcpy(to, from, Size);
}

template <std::size_t Size>
void copy_run(std::int64_t count, const std::byte* from, std::int64_t from_stride, std::byte* to,
              std::int64_t to_stride) {
  constexpr auto kSize = static_cast<std::int64_t>(Size);
  if (from_stride == kSize && to_stride == kSize) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * Size);
  } else if (to_stride == kSize) {
    for (std::int64_t i = 0; i < count; ++i) move_one<Size>(from + i * from_stride, to + i * kSize);
  } else if (from_stride == kSize) {
    for (std::int64_t i = 0; i < count; ++i) move_one<Size>(from + i * kSize, to + i * to_stride);
  } else {
    for (std::int64_t i = 0; i < count; ++i) move_one<Size>(from + i * from_stride, to + i * to_stride);
  }
}

// ---- Transposes: the source is dense along `rows`, the destination along `columns` ----

constexpr std::size_t kRegister = 16;  // bytes; every x86-64 and aarch64 has these

template <std::size_t Size>
struct Register;
#define TEGULA_REGISTER(size, type)                              \
  template <>                                                    \
  struct Register<size> {                                        \
    typedef type Vector __attribute__((vector_size(kRegister))); \
  }
TEGULA_REGISTER(1, std::uint8_t);
TEGULA_REGISTER(2, std::uint16_t);
TEGULA_REGISTER(4, std::uint32_t);
TEGULA_REGISTER(8, std::uint64_t);
#undef TEGULA_REGISTER

// A square of as many elements as a register holds, changed over by rounds of interleaving.
template <std::size_t Size>
void transpose_square(const std::byte* from, std::int64_t from_stride, std::byte* to, std::int64_t to_stride) {
  using Vector = typename Register<Size>::Vector;
  constexpr std::size_t kCount = kRegister / Size;
  Vector rows[kCount];
  for (std::size_t i = 0; i < kCount; ++i) {
    std::memcpy(&rows[i], from + static_cast<std::int64_t>(i) * from_stride, kRegister);
  }
  for (std::size_t round = 1; round < kCount; round *= 2) {
    Vector next[kCount];
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      for (std::size_t i = 0; i < kCount / 2; ++i) {
        const Vector a = rows[i], b = rows[i + kCount / 2];
        next[2 * i] = __builtin_shufflevector(a, b, (I / 2 + I % 2 * kCount)...);
        next[2 * i + 1] = __builtin_shufflevector(a, b, (kCount / 2 + I / 2 + I % 2 * kCount)...);
      }
    }(std::make_index_sequence<kCount>());
    std::memcpy(rows, next, sizeof(rows));
  }
  for (std::size_t i = 0; i < kCount; ++i) {
    std::memcpy(to + static_cast<std::int64_t>(i) * to_stride, &rows[i], kRegister);
  }
}

template <std::size_t Size>
void copy_rectangle(const Dim& rows, const Dim& columns, const std::byte* from, std::byte* to) {
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const std::byte* source = from + r * rows.from;
    std::byte* target = to + r * rows.to;
    for (std::int64_t c = 0; c < columns.count; ++c) move_one<Size>(source + c * columns.from, target + c * columns.to);
  }
}

// A tile whose sides are multiples of a register's count of elements.
template <std::size_t Size>
void transpose_tile(const Dim& rows, const Dim& columns, const std::byte* from, std::byte* to) {
  constexpr auto kStep = static_cast<std::int64_t>(kRegister / Size);
  for (std::int64_t r = 0; r < rows.count; r += kStep) {
    for (std::int64_t c = 0; c < columns.count; c += kStep) {
      transpose_square<Size>(from + r * rows.from + c * columns.from, columns.from, to + r * rows.to + c * columns.to,
                             rows.to);
    }
  }
}

// In tiles, so that each cache line on either side is used whole while it is there.
template <std::size_t Size>
void copy_tiled(const Dim& rows, const Dim& columns, const std::byte* from, std::byte* to) {
  constexpr std::int64_t kTile = Size >= 8 ? 16 : 64 / static_cast<std::int64_t>(Size);
  constexpr bool kInRegisters = Size < kRegister;
  const bool dense = rows.from == static_cast<std::int64_t>(Size) && columns.to == static_cast<std::int64_t>(Size);
  for (std::int64_t r = 0; r < rows.count; r += kTile) {
    for (std::int64_t c = 0; c < columns.count; c += kTile) {
      const Dim tile_rows{std::min(kTile, rows.count - r), rows.from, rows.to};
      const Dim tile_columns{std::min(kTile, columns.count - c), columns.from, columns.to};
      const std::byte* source = from + r * rows.from + c * columns.from;
      std::byte* target = to + r * rows.to + c * columns.to;
      if constexpr (kInRegisters) {
        if (dense && tile_rows.count == kTile && tile_columns.count == kTile) {
          transpose_tile<Size>(tile_rows, tile_columns, source, target);
          continue;
        }
      }
      copy_rectangle<Size>(tile_rows, tile_columns, source, target);
    }
  }
}

template <std::size_t Size>
void copy_nest(const Nest& nest) {
  if (nest.ndim == 0) return move_one<Size>(nest.from, nest.to);
  const auto last = static_cast<std::size_t>(nest.ndim - 1);
  const Dim columns = nest.dims[last];
  // The dimension along which the source is densest; where it is not the destination's, the copy is a transpose.
  std::size_t densest = last;
  for (std::size_t i = 0; i < last; ++i) {
    if (nest.dims[i].from != 0 && std::llabs(nest.dims[i].from) < std::llabs(nest.dims[densest].from)) densest = i;
  }
  const bool tiled = densest != last && columns.count > 4 && nest.dims[densest].count > 4;
  const Dim rows = nest.dims[densest];

  std::array<Dim, kMaxNdim> outer{};
  std::size_t n_outer = 0;
  for (std::size_t i = 0; i < last; ++i) {
    if (!(tiled && i == densest)) outer[n_outer++] = nest.dims[i];
  }
  std::array<std::int64_t, kMaxNdim> position{};
  const std::byte* from = nest.from;
  std::byte* to = nest.to;
  for (;;) {
    if (tiled) {
      copy_tiled<Size>(rows, columns, from, to);
    } else {
      copy_run<Size>(columns.count, from, columns.from, to, columns.to);
    }
    std::size_t i = n_outer;
    for (; i > 0; --i) {
      const Dim& dim = outer[i - 1];
      from += dim.from;
      to += dim.to;
      if (++position[i - 1] < dim.count) break;
      position[i - 1] = 0;
      from -= dim.from * dim.count;
      to -= dim.to * dim.count;
    }
    if (i == 0) return;
  }
}

}  // namespace

void copy_strided(std::span<const std::int64_t> shape, std::size_t item_size, const std::byte* from,
                  std::span<const std::int64_t> from_strides, std::byte* to, std::span<const std::int64_t> to_strides) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
  const Nest nest = normalize(shape, from, from_strides, to, to_strides);
  switch (item_size) {
    case 1:
      return copy_nest<1>(nest);
    case 2:
      return copy_nest<2>(nest);
    case 4:
      return copy_nest<4>(nest);
    case 8:
      return copy_nest<8>(nest);
    default:
      return copy_nest<16>(nest);
  }
}

}  // namespace tegula
