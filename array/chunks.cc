#include "array/chunks.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/config.h"

namespace tegula::detail {
namespace {

std::uint64_t configured_chunk_bytes() {
  static const std::uint64_t bytes = Config::load().bytes("array.chunk-size");
  return bytes;
}

std::string on_axis(std::size_t axis, const Shape& shape) {
  return "along axis " + std::to_string(axis) + " of shape " + to_string(shape);
}

// A size in the specification, -1 meaning the whole dimension.
DimChunks cut_evenly(std::int64_t size, std::size_t axis, const Shape& shape) {
  const std::int64_t extent = shape[axis];
  if (size == -1) return DimChunks(extent, std::max<std::int64_t>(extent, 1));
  if (size < 1) {
    throw ShapeError("chunk size " + std::to_string(size) + " " + on_axis(axis, shape) + " is not positive (or -1)");
  }
  return DimChunks(extent, std::min(size, std::max<std::int64_t>(extent, 1)));
}

DimChunks cut_by_list(const std::vector<std::int64_t>& sizes, std::size_t axis, const Shape& shape) {
  if (sizes.size() == 1 && sizes[0] == -1) return cut_evenly(-1, axis, shape);
  std::int64_t sum = 0;
  for (std::int64_t size : sizes) {
    if (size < 0) throw ShapeError("chunk sizes " + to_string(sizes) + " " + on_axis(axis, shape) + " are negative");
    if (__builtin_add_overflow(sum, size, &sum)) throw ShapeError("chunk sizes overflow " + on_axis(axis, shape));
  }
  if (sum != shape[axis]) {
    throw ShapeError("chunks " + to_string(sizes) + " add up to " + std::to_string(sum) + ", not to " +
                     std::to_string(shape[axis]) + " " + on_axis(axis, shape));
  }
  if (sizes.empty()) return DimChunks(0, 1);
  return DimChunks(sizes);
}

// One side of the chunks for all "auto" dimensions, such that they hold at most `elements` together; dimensions shorter
// than the side leave their share to the others.
void cut_automatically(std::vector<DimChunks>& dims, const std::vector<std::size_t>& automatic, double elements,
                       const Shape& shape) {
  std::vector<std::size_t> rest = automatic;
  std::sort(rest.begin(), rest.end(), [&](std::size_t a, std::size_t b) { return shape[a] < shape[b]; });
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const std::size_t axis = rest[i];
    const double side = std::pow(std::max(elements, 1.0), 1.0 / static_cast<double>(rest.size() - i));
    const auto extent = static_cast<double>(shape[axis]);
    const double blocks = std::max(std::ceil(extent / std::max(std::floor(side + 1e-9), 1.0)), 1.0);
    const auto size = static_cast<std::int64_t>(std::ceil(extent / blocks));
    dims[axis] = DimChunks(shape[axis], std::max<std::int64_t>(size, 1));
    elements /= std::max(static_cast<double>(size), 1.0);
  }
}

std::vector<std::int64_t> boundaries(const DimChunks& dim) {
  std::vector<std::int64_t> ends;
  for (std::int64_t block = 0; block < dim.blocks(); ++block) ends.push_back(dim.offset(block) + dim.size(block));
  return ends;
}

}  // namespace

ChunkGrid resolve_chunks(const Chunks& spec, const Shape& shape, DType dtype) {
  for (std::int64_t size : shape) {
    if (size < 0) throw ShapeError("negative dimensions in shape " + to_string(shape));
  }
  std::vector<ChunkDim> wanted = spec.dims();
  if (spec.uniform()) {
    wanted.assign(shape.size(), *spec.uniform());
  } else if (wanted.size() != shape.size()) {
    throw ShapeError("chunks for " + std::to_string(wanted.size()) + " dimensions given for the shape " +
                     to_string(shape));
  }
  std::vector<DimChunks> dims(shape.size());
  std::vector<std::size_t> automatic;
  const std::uint64_t bytes = spec.limit().empty() ? configured_chunk_bytes() : parse_bytes(spec.limit());
  double elements = static_cast<double>(bytes) / static_cast<double>(item_size(dtype));
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (const auto* size = std::get_if<std::int64_t>(&wanted[axis].value)) {
      dims[axis] = cut_evenly(*size, axis, shape);
    } else if (const auto* sizes = std::get_if<std::vector<std::int64_t>>(&wanted[axis].value)) {
      dims[axis] = cut_by_list(*sizes, axis, shape);
    } else if (const auto& text = std::get<std::string>(wanted[axis].value); text == "auto") {
      automatic.push_back(axis);
      continue;
    } else {
      throw ValueError("chunks \"" + text + "\" " + on_axis(axis, shape) +
                       ": a size, a list of sizes, -1 or \"auto\" is wanted");
    }
    elements /= static_cast<double>(std::max<std::int64_t>(dims[axis].chunk(), 1));
  }
  cut_automatically(dims, automatic, elements, shape);
  return ChunkGrid(std::move(dims));
}

DimChunks common_cuts(const DimChunks& a, const DimChunks& b) {
  if (a == b) return a;
  if (a.extent() == 0) return DimChunks(0, 1);
  std::vector<std::int64_t> ends, both = boundaries(a), more = boundaries(b);
  std::merge(both.begin(), both.end(), more.begin(), more.end(), std::back_inserter(ends));
  std::vector<std::int64_t> sizes;
  std::int64_t begin = 0;
  for (std::int64_t end : ends) {
    if (end > begin) sizes.push_back(end - begin);
    begin = end;
  }
  return DimChunks(std::move(sizes));
}

bool refines(const DimChunks& fine, const DimChunks& coarse) {
  if (fine == coarse) return true;
  if (fine.extent() != coarse.extent()) return false;
  for (std::int64_t block = 0; block < fine.blocks(); ++block) {
    const std::int64_t size = fine.size(block), first = fine.offset(block);
    if (size > 0 && coarse.block_at(first) != coarse.block_at(first + size - 1)) return false;
  }
  return true;
}

bool refines(const ChunkGrid& fine, const ChunkGrid& coarse) {
  for (int axis = 0; axis < fine.ndim(); ++axis) {
    if (!refines(fine.dim(axis), coarse.dim(axis))) return false;
  }
  return true;
}

DimChunks slice_cuts(const DimChunks& dim, std::int64_t start, std::int64_t step, std::int64_t count) {
  if (count == 0) return DimChunks(0, 1);
  std::vector<std::int64_t> sizes;
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t position = start + done * step;
    const std::int64_t block = dim.block_at(position);
    const std::int64_t offset = dim.offset(block);
    // Positions from here to the end of the block in the direction of the step.
    const std::int64_t here =
        step > 0 ? (offset + dim.size(block) - 1 - position) / step + 1 : (position - offset) / -step + 1;
    sizes.push_back(std::min(here, count - done));
    done += sizes.back();
  }
  return DimChunks(std::move(sizes));
}

std::vector<std::vector<std::int64_t>> sizes_of(const ChunkGrid& chunks) {
  std::vector<std::vector<std::int64_t>> all;
  for (const DimChunks& dim : chunks.dims()) {
    auto& sizes = all.emplace_back();
    for (std::int64_t block = 0; block < dim.blocks(); ++block) sizes.push_back(dim.size(block));
  }
  return all;
}

}  // namespace tegula::detail
