// The handle: what an array knows about itself.
#include "tegula/array.h"

#include "array/chunks.h"
#include "array/expression.h"
#include "array/views.h"

namespace tegula {

Chunks Chunks::automatic(const std::string& bytes) {
  Chunks chunks;
  chunks.limit_ = bytes;
  return chunks;
}

const Array::Shape& Array::shape() const { return expression_->shape; }
DType Array::dtype() const { return expression_->dtype; }
std::int64_t Array::size() const { return element_count(shape()); }
std::uint64_t Array::nbytes() const { return static_cast<std::uint64_t>(size()) * item_size(dtype()); }
std::vector<std::vector<std::int64_t>> Array::chunks() const { return detail::sizes_of(expression_->chunks); }
Array::Shape Array::num_blocks() const { return expression_->chunks.grid(); }

Array Array::rechunk(const Chunks& chunks) const {
  ChunkGrid grid = detail::resolve_chunks(chunks, shape(), dtype());
  if (grid == expression_->chunks) return *this;
  if (detail::refines(grid, expression_->chunks)) {
    return Array(detail::make_view(expression_, detail::identity_map(ndim()), std::move(grid)));
  }
  return Array(detail::make_expression(detail::Rechunk{}, {expression_}, dtype(), std::move(grid)));
}

}  // namespace tegula
