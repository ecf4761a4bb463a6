// Sending expressions to a session and getting their values back.
#pragma once

#include <memory>
#include <vector>

#include "array/expression.h"
#include "tegula/client.h"

namespace tegula::detail {

// The computed chunks of an array: `results` has them in row-major order of `chunks`, which may have other dimensions
// of size 1 than the array.
struct Computed {
  std::shared_ptr<ResultSet> results;
  ChunkGrid chunks;
};

// Starts computing; shared subexpressions are computed once. Throws ValueError when an array was persisted by another
// client.
std::vector<Computed> start(const std::vector<ExpressionPtr>& arrays, const Client& client,
                            const ComputeOptions& options);
// Waits and copies every chunk to its place in C-contiguous memory for the whole array.
void fetch_into(const Computed& computed, DType dtype, void* data);
// Throws ValueError when so many bytes don't fit into this machine's free memory.
void check_memory(std::uint64_t bytes);
// All stored nodes below the roots must belong to the client.
void check_clients(const std::vector<ExpressionPtr>& roots, const Client& client);

}  // namespace tegula::detail
