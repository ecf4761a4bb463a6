#include "src/codec.h"

#include <algorithm>

#include "tegula/error.h"

namespace tegula {
namespace {

enum class CutForm : std::uint8_t { kRegular = 0, kExplicit = 1 };

std::uint64_t get_ndim(ByteReader& in) {
  const auto ndim = in.get<std::uint8_t>();
  if (ndim > kMaxNdim) {
    throw ValueError(std::to_string(ndim) + " dimensions are more than the " + std::to_string(kMaxNdim) + " allowed");
  }
  return ndim;
}

}  // namespace

void put_chunk_grid(ByteWriter& out, const ChunkGrid& grid) {
  out.put(static_cast<std::uint8_t>(grid.ndim()));
  for (const DimChunks& dim : grid.dims()) {
    if (dim.regular()) {
      out.put(CutForm::kRegular);
      out.put(dim.extent());
      out.put(dim.chunk());
    } else {
      out.put(CutForm::kExplicit);
      out.put_list(*dim.explicit_sizes());
    }
  }
}

ChunkGrid get_chunk_grid(ByteReader& in) {
  std::vector<DimChunks> dims;
  const std::uint64_t ndim = get_ndim(in);
  for (std::uint64_t i = 0; i < ndim; ++i) {
    switch (in.get<CutForm>()) {
      case CutForm::kRegular: {
        const auto extent = in.get<std::int64_t>();
        const auto chunk = in.get<std::int64_t>();
        dims.emplace_back(extent, chunk);
        break;
      }
      case CutForm::kExplicit:
        dims.emplace_back(in.get_list<std::int64_t>());
        break;
      default:
        throw ValueError("an unknown form of chunk sizes");
    }
  }
  ChunkGrid grid(std::move(dims));
  grid.blocks();  // throws when they cannot be counted
  return grid;
}

void put_flags(ByteWriter& out, const std::vector<bool>& flags) {
  out.put(static_cast<std::uint64_t>(flags.size()));
  for (const bool flag : flags) out.put(static_cast<std::uint8_t>(flag));
}

std::vector<bool> get_flags(ByteReader& in) {
  const auto bytes = in.get_bytes();
  std::vector<bool> flags;
  flags.reserve(bytes.size());
  for (const std::byte byte : bytes) {
    if (byte > std::byte{1}) throw ValueError("a truth value is neither 0 nor 1");
    flags.push_back(byte == std::byte{1});
  }
  return flags;
}

bool get_bool(ByteReader& in) {
  const auto value = in.get<std::uint8_t>();
  if (value > 1) throw ValueError("a truth value is neither 0 nor 1");
  return value == 1;
}

DType get_dtype(ByteReader& in) {
  const auto number = in.get<std::uint8_t>();
  if (number >= kDTypeCount) throw ValueError("there is no dtype number " + std::to_string(number));
  return static_cast<DType>(number);
}

Shape get_shape(ByteReader& in) {
  Shape shape = in.get_list<std::int64_t>();
  if (shape.size() > static_cast<std::size_t>(kMaxNdim)) {
    throw ValueError(std::to_string(shape.size()) + " dimensions are more than the " + std::to_string(kMaxNdim) +
                     " allowed");
  }
  element_count(shape);
  return shape;
}

void expect_canonical(const Bytes& encoded, std::span<const std::byte> received, const char* what) {
  if (!std::equal(encoded.begin(), encoded.end(), received.begin(), received.end())) {
    throw ValueError(std::string(what) + " are not in canonical form");
  }
}

}  // namespace tegula
