// How an array is cut into chunks. Regular cuts are kept as two numbers, so that a description of a million chunks
// stays small.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/shape.h"

namespace tegula {

// The cuts along one dimension. Immutable, cheap to copy.
class DimChunks {
 public:
  DimChunks() : DimChunks(0, 1) {}
  // Chunks of `chunk` elements, the last one smaller where it doesn't divide. extent 0: one chunk of size 0. Throws
  // ShapeError.
  DimChunks(std::int64_t extent, std::int64_t chunk);
  // Explicit sizes (each >= 0; kUnknown where not known). Becomes regular when the sizes are.
  explicit DimChunks(std::vector<std::int64_t> sizes);

  std::int64_t blocks() const { return blocks_; }
  std::int64_t extent() const { return extent_; }  // kUnknown when a size is unknown
  std::int64_t size(std::int64_t block) const;
  std::int64_t offset(std::int64_t block) const;
  std::int64_t block_at(std::int64_t position) const;  // the block that holds an element
  bool regular() const { return sizes_ == nullptr; }
  std::int64_t chunk() const { return chunk_; }  // regular: the common size; else the largest
  const std::vector<std::int64_t>* explicit_sizes() const { return sizes_.get(); }  // nullptr when regular
  friend bool operator==(const DimChunks& a, const DimChunks& b);

 private:
  std::int64_t extent_ = 0;
  std::int64_t chunk_ = 1;
  std::int64_t blocks_ = 1;
  std::shared_ptr<const std::vector<std::int64_t>> sizes_;
  std::shared_ptr<const std::vector<std::int64_t>> offsets_;  // blocks + 1 prefix sums, only when explicit
};

// The cuts of an n-d array.
class ChunkGrid {
 public:
  ChunkGrid() = default;  // 0-d: one chunk of shape ()
  explicit ChunkGrid(std::vector<DimChunks> dims) : dims_(std::move(dims)) {}

  int ndim() const { return static_cast<int>(dims_.size()); }
  const DimChunks& dim(int axis) const { return dims_[static_cast<std::size_t>(axis)]; }
  const std::vector<DimChunks>& dims() const { return dims_; }
  Shape shape() const;          // of the whole array
  Shape grid() const;           // number of blocks along each dimension
  std::int64_t blocks() const;  // in all
  Shape block_shape(std::span<const std::int64_t> block) const;
  Shape block_offset(std::span<const std::int64_t> block) const;
  std::string to_string() const;  // "((2000, 2000, 1000), (500,))", long ones abbreviated "(2000 x 10)"
  friend bool operator==(const ChunkGrid&, const ChunkGrid&) = default;

 private:
  std::vector<DimChunks> dims_;
};

}  // namespace tegula
