#include "src/chunk_grid.h"

#include <algorithm>

#include "tegula/error.h"

namespace tegula {
namespace {

// All but the last equal, the last one not larger; or one chunk.
bool is_regular(const std::vector<std::int64_t>& sizes) {
  if (sizes.size() == 1) return sizes[0] >= 0;
  const std::int64_t chunk = sizes.front();
  if (chunk <= 0) return false;
  for (std::size_t i = 1; i + 1 < sizes.size(); ++i) {
    if (sizes[i] != chunk) return false;
  }
  return sizes.back() > 0 && sizes.back() <= chunk;
}

std::string sizes_text(const DimChunks& dim) {
  // Runs of equal sizes; a run of more than three is written as a product.
  std::vector<std::pair<std::int64_t, std::int64_t>> runs;
  if (dim.regular()) {
    const std::int64_t last = dim.size(dim.blocks() - 1);
    if (dim.blocks() > 1) runs.emplace_back(dim.chunk(), dim.blocks() - 1);
    if (!runs.empty() && last == dim.chunk()) {
      ++runs.back().second;
    } else {
      runs.emplace_back(last, 1);
    }
  } else {
    for (const std::int64_t size : *dim.explicit_sizes()) {
      if (!runs.empty() && runs.back().first == size) {
        ++runs.back().second;
      } else {
        runs.emplace_back(size, 1);
      }
    }
  }
  constexpr std::size_t kMaxRuns = 8;
  std::string text;
  std::size_t items = 0;
  const auto add = [&](const std::string& item) {
    if (items++ > 0) text += ", ";
    text += item;
  };
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs.size() > kMaxRuns && i == kMaxRuns - 1) {
      add("...");
      i = runs.size() - 1;
    }
    const std::string size = runs[i].first == kUnknown ? "?" : std::to_string(runs[i].first);
    if (runs[i].second > 3) {
      add(size + " x " + std::to_string(runs[i].second));
    } else {
      for (std::int64_t k = 0; k < runs[i].second; ++k) add(size);
    }
  }
  const bool one_number = items == 1 && text.find('x') == std::string::npos;
  return "(" + text + (one_number ? ",)" : ")");
}

}  // namespace

DimChunks::DimChunks(std::int64_t extent, std::int64_t chunk) : extent_(extent) {
  if (extent < 0) throw ShapeError("a dimension cannot have " + std::to_string(extent) + " elements");
  if (chunk < 1 && !(extent == 0 && chunk == 0)) {
    throw ShapeError("a chunk cannot have " + std::to_string(chunk) + " elements along a dimension of " +
                     std::to_string(extent));
  }
  // One form for each cut, so that equal cuts compare equal.
  chunk_ = extent == 0 ? 1 : std::min(chunk, extent);
  blocks_ = extent == 0 ? 1 : (extent - 1) / chunk_ + 1;
}

DimChunks::DimChunks(std::vector<std::int64_t> sizes) {
  if (sizes.empty()) throw ShapeError("a dimension needs at least one chunk");
  std::vector<std::int64_t> offsets{0};
  offsets.reserve(sizes.size() + 1);
  std::int64_t largest = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0 && size != kUnknown) throw ShapeError("a chunk cannot have " + std::to_string(size) + " elements");
    std::int64_t next = kUnknown;
    if (size != kUnknown && offsets.back() != kUnknown && __builtin_add_overflow(offsets.back(), size, &next)) {
      throw ShapeError("the chunks of a dimension have more than 2^63 - 1 elements together");
    }
    offsets.push_back(next);
    largest = std::max(largest, size);
  }
  if (is_regular(sizes)) {
    *this = DimChunks(offsets.back(), sizes.front());
    return;
  }
  extent_ = offsets.back();
  chunk_ = largest;
  blocks_ = static_cast<std::int64_t>(sizes.size());
  sizes_ = std::make_shared<const std::vector<std::int64_t>>(std::move(sizes));
  offsets_ = std::make_shared<const std::vector<std::int64_t>>(std::move(offsets));
}

std::int64_t DimChunks::size(std::int64_t block) const {
  if (sizes_) return (*sizes_)[static_cast<std::size_t>(block)];
  return block + 1 < blocks_ ? chunk_ : extent_ - chunk_ * (blocks_ - 1);
}

std::int64_t DimChunks::offset(std::int64_t block) const {
  return offsets_ ? (*offsets_)[static_cast<std::size_t>(block)] : block * chunk_;
}

std::int64_t DimChunks::block_at(std::int64_t position) const {
  if (!offsets_) return std::min(position / chunk_, blocks_ - 1);
  // The first unknown offset ends what can be searched. Past empty blocks, which share their offset with the next.
  const auto known = std::find(offsets_->begin(), offsets_->end(), kUnknown);
  const auto after = std::upper_bound(offsets_->begin(), known, position);
  return std::min<std::int64_t>(after - offsets_->begin() - 1, blocks_ - 1);
}

bool operator==(const DimChunks& a, const DimChunks& b) {
  if (a.extent_ != b.extent_ || a.chunk_ != b.chunk_ || a.blocks_ != b.blocks_) return false;
  if (a.sizes_ == b.sizes_) return true;
  return a.sizes_ && b.sizes_ && *a.sizes_ == *b.sizes_;
}

Shape ChunkGrid::shape() const {
  Shape result;
  result.reserve(dims_.size());
  for (const DimChunks& dim : dims_) result.push_back(dim.extent());
  return result;
}

Shape ChunkGrid::grid() const {
  Shape result;
  result.reserve(dims_.size());
  for (const DimChunks& dim : dims_) result.push_back(dim.blocks());
  return result;
}

std::int64_t ChunkGrid::blocks() const { return element_count(grid()); }

Shape ChunkGrid::block_shape(std::span<const std::int64_t> block) const {
  Shape result(dims_.size());
  for (std::size_t i = 0; i < dims_.size(); ++i) result[i] = dims_[i].size(block[i]);
  return result;
}

Shape ChunkGrid::block_offset(std::span<const std::int64_t> block) const {
  Shape result(dims_.size());
  for (std::size_t i = 0; i < dims_.size(); ++i) result[i] = dims_[i].offset(block[i]);
  return result;
}

std::string ChunkGrid::to_string() const {
  std::string text = "(";
  for (std::size_t i = 0; i < dims_.size(); ++i) {
    if (i > 0) text += ", ";
    text += sizes_text(dims_[i]);
  }
  return text + (dims_.size() == 1 ? ",)" : ")");
}

}  // namespace tegula
