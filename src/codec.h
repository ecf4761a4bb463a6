// Encodings of values that several parameter formats share (see bytes.h). Reading checks everything that later code
// relies on: dtype numbers, truth values, sizes.
#pragma once

#include <string>
#include <vector>

#include "src/bytes.h"
#include "src/chunk_grid.h"
#include "src/shape.h"
#include "tegula/dtype.h"

namespace tegula {

void put_chunk_grid(ByteWriter& out, const ChunkGrid& grid);
ChunkGrid get_chunk_grid(ByteReader& in);

void put_flags(ByteWriter& out, const std::vector<bool>& flags);
std::vector<bool> get_flags(ByteReader& in);

bool get_bool(ByteReader& in);
DType get_dtype(ByteReader& in);
// Its element count is representable and it has at most kMaxNdim dimensions.
Shape get_shape(ByteReader& in);

// Throws ValueError where `encoded` (the decoded value, written again) is not what came: one value has one encoding,
// and what differs would be the same work under two hashes.
void expect_canonical(const Bytes& encoded, std::span<const std::byte> received, const char* what);

}  // namespace tegula
