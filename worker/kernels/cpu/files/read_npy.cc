// "tegula.read_npy": a task reads its declared block of a (sliced) file.
//
// The file's dimensions are put in storage order, outermost first, and walked upwards. What lies close together is read
// in one go, gaps and all, into a buffer and picked from there; what lies apart is read separately; and where the bytes
// lie in the file as they shall lie in the block, they are read straight into place.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "src/chunk.h"
#include "src/npy.h"
#include "tegula/error.h"
#include "worker/kernels/cpu/files/file.h"
#include "worker/kernels/cpu/guard.h"
#include "worker/kernels/cpu/kernels.h"
#include "worker/kernels/cpu/task.h"

namespace tegula::cpu {
namespace {

constexpr std::int64_t kLargestGap = 4096;  // bytes read in vain rather than reading twice
constexpr std::int64_t kBufferBytes = 1 << 20;

int prepare(const void* params, std::size_t size, void** prepared, tegula_context* context) {
  return prepare_as<ReadNpyParams>(prepared, context, [&] { return decode_read_npy(bytes_of(params, size)); });
}

// One dimension of what a task reads: `count` positions, `in_file` bytes apart in the file (ascending) and `in_block`
// in the block.
struct ReadDim {
  std::int64_t count, in_file, in_block;
};

// What a task reads.
struct ReadPlan {
  std::int64_t file_offset = 0;   // of the element at the lowest file position
  std::int64_t block_offset = 0;  // where that element goes, in bytes
  std::vector<ReadDim> dims;      // in storage order
  std::size_t item = 0;
  std::size_t joined = 0;         // dims from here on are read in one go
  std::int64_t rows_at_once = 1;  // of dims[joined]
  bool in_place = false;          // bytes lie in the block as in the file

  // Bytes from the first to behind the last element of `rows` rows of dims[joined].
  std::int64_t span(std::int64_t rows) const {
    auto bytes = static_cast<std::int64_t>(item);
    for (std::size_t d = joined; d < dims.size(); ++d)
      bytes += ((d == joined ? rows : dims[d].count) - 1) * dims[d].in_file;
    return bytes;
  }
};

// The position in the file of the block's index i along an axis. Throws IndexError outside the file.
std::int64_t position_of(const ReadNpyParams& params, std::size_t d, std::int64_t i) {
  std::int64_t position = 0;
  if ((params.axis[d] >= 0 && __builtin_mul_overflow(params.step[d], i, &position)) ||
      __builtin_add_overflow(position, params.start[d], &position) || position < 0 ||
      position >= params.header.shape[d]) {
    throw IndexError("element " + std::to_string(i) + " of the slice lies outside dimension " + std::to_string(d) +
                     " of " + params.path + ", which has shape " + to_string(params.header.shape));
  }
  return position;
}

void join_neighbours(ReadPlan* plan) {
  std::size_t kept = 0;
  for (const ReadDim& dim : plan->dims) {
    if (dim.count == 1) continue;
    if (kept > 0) {
      ReadDim& outer = plan->dims[kept - 1];
      if (outer.in_file == dim.in_file * dim.count && outer.in_block == dim.in_block * dim.count) {
        outer = {outer.count * dim.count, dim.in_file, dim.in_block};
        continue;
      }
    }
    plan->dims[kept++] = dim;
  }
  plan->dims.resize(kept);
}

void choose_reads(ReadPlan* plan) {
  plan->joined = plan->dims.size();
  auto span = static_cast<std::int64_t>(plan->item);
  while (plan->joined > 0 && span <= kBufferBytes) {
    const ReadDim& dim = plan->dims[plan->joined - 1];
    if (dim.in_file - span > kLargestGap) break;
    span += (dim.count - 1) * dim.in_file;
    --plan->joined;
  }
  if (plan->joined == plan->dims.size()) return;  // element by element
  const ReadDim& cut = plan->dims[plan->joined];
  // The bytes of a row of `cut`, up to the next one.
  plan->rows_at_once = std::clamp<std::int64_t>(kBufferBytes / cut.in_file, 1, cut.count);
  const bool dense = plan->joined + 1 == plan->dims.size() && cut.in_file == static_cast<std::int64_t>(plan->item) &&
                     cut.in_block == cut.in_file;
  plan->in_place = dense;
  if (dense) plan->rows_at_once = cut.count;
}

ReadPlan plan_read(const ReadNpyParams& params, const tegula_block& block) {
  const std::size_t ndim = params.header.shape.size();
  if (element_count(params.header.shape) == 0) {
    throw IndexError("a block of shape " + to_string(shape_of(block)) + " of " + params.path + ", which has shape " +
                     to_string(params.header.shape));
  }
  ReadPlan plan;
  plan.item = item_size(params.header.dtype);
  const Strides block_strides = contiguous_strides(shape_of(block), plan.item);
  std::vector<bool> covered(static_cast<std::size_t>(block.ndim), false);
  auto stride = static_cast<std::int64_t>(plan.item);
  plan.dims.resize(ndim);
  plan.file_offset = static_cast<std::int64_t>(params.header.data_offset);
  for (std::size_t k = ndim; k-- > 0;) {  // innermost in storage first
    const std::size_t d = params.header.fortran_order ? ndim - 1 - k : k;
    ReadDim dim{1, 0, 0};
    std::int64_t first = params.start[d];
    if (params.axis[d] < 0) {
      first = position_of(params, d, 0);
    } else {
      if (params.axis[d] >= block.ndim) {
        throw ShapeError("dimension " + std::to_string(d) + " of " + params.path + " runs along axis " +
                         std::to_string(params.axis[d]) + " of a block of " + std::to_string(block.ndim) +
                         " dimensions");
      }
      const auto axis = static_cast<std::size_t>(params.axis[d]);
      covered[axis] = true;
      dim.count = block.shape[axis];
      dim.in_block = block_strides[axis];
      first = position_of(params, d, block.offset[axis]);
      const std::int64_t last = position_of(params, d, block.offset[axis] + dim.count - 1);
      if (params.step[d] == 0 && dim.count > 1) throw ValueError("a slice of " + params.path + " has a step of 0");
      // Of a single element the step may be anything.
      if (dim.count > 1) dim.in_file = std::abs(params.step[d]) * stride;
      if (params.step[d] < 0) {
        first = last;
        plan.block_offset += (dim.count - 1) * dim.in_block;
        dim.in_block = -dim.in_block;
      }
    }
    plan.file_offset += first * stride;
    stride *= params.header.shape[d];
    plan.dims[k] = dim;
  }
  for (std::size_t axis = 0; axis < covered.size(); ++axis) {
    if (!covered[axis] && block.shape[axis] != 1) {
      throw ShapeError("no dimension of " + params.path + " runs along axis " + std::to_string(axis) +
                       " of a block of shape " + to_string(shape_of(block)));
    }
  }
  join_neighbours(&plan);
  choose_reads(&plan);
  return plan;
}

const tegula_block& checked_block(const ReadNpyParams& params, const tegula_task& task) {
  const tegula_block& block = declared_block(task, 0);
  if (checked_dtype(block.dtype) != params.header.dtype) {
    throw DTypeError(params.path + " holds " + std::string(name_of(params.header.dtype)) + ", the layer declares " +
                     std::string(name_of(checked_dtype(block.dtype))));
  }
  return block;
}

std::size_t buffer_bytes(const ReadPlan& plan) {
  return plan.in_place ? 0 : static_cast<std::size_t>(plan.span(plan.rows_at_once));
}

int plan(const tegula_task* task, tegula_output_plan* outputs, std::size_t* scratch_bytes, tegula_context* context) {
  return guarded(context, [&] {
    const auto& params = *static_cast<const ReadNpyParams*>(task->prepared);
    const tegula_block& block = checked_block(params, *task);
    plan_as_declared(*task, outputs);
    *scratch_bytes = element_count(shape_of(block)) == 0 ? 0 : buffer_bytes(plan_read(params, block));
  });
}

// Reads `rows` rows of the joined dimensions, from `in_file` on, to `to`.
void read_rows(const File& file, const ReadPlan& plan, std::int64_t in_file, std::int64_t rows, std::byte* to,
               std::byte* buffer) {
  const auto bytes = static_cast<std::size_t>(plan.span(rows));
  if (plan.in_place) return file.read(static_cast<std::uint64_t>(in_file), to, bytes);
  file.read(static_cast<std::uint64_t>(in_file), buffer, bytes);
  std::array<std::int64_t, kMaxNdim> shape, from_strides, to_strides;
  const std::size_t ndim = plan.dims.size() - plan.joined;
  for (std::size_t d = 0; d < ndim; ++d) {
    const ReadDim& dim = plan.dims[plan.joined + d];
    shape[d] = d == 0 ? rows : dim.count;
    from_strides[d] = dim.in_file;
    to_strides[d] = dim.in_block;
  }
  copy_strided({shape.data(), ndim}, plan.item, buffer, {from_strides.data(), ndim}, to, {to_strides.data(), ndim});
}

// Returns false when the task was cancelled.
bool read_block(const File& file, const ReadPlan& plan, std::byte* block, std::byte* buffer, tegula_context* context) {
  std::array<std::int64_t, kMaxNdim> index{};
  const bool by_element = plan.joined == plan.dims.size();
  const std::int64_t rows = by_element ? 1 : plan.dims[plan.joined].count;
  std::int64_t in_file = plan.file_offset;
  std::byte* to = block + plan.block_offset;
  std::int64_t since_question = 0;
  while (true) {
    for (std::int64_t row = 0; row < rows; row += plan.rows_at_once) {
      const std::int64_t count = std::min(plan.rows_at_once, rows - row);
      const ReadDim cut = by_element ? ReadDim{1, 0, 0} : plan.dims[plan.joined];
      read_rows(file, plan, in_file + row * cut.in_file, count, to + row * cut.in_block, buffer);
      since_question += plan.span(count);
      if (since_question < kBufferBytes) continue;
      since_question = 0;
      if (is_cancelled(context)) return false;
    }
    std::size_t d = plan.joined;
    while (d > 0) {
      const ReadDim& dim = plan.dims[--d];
      in_file += dim.in_file;
      to += dim.in_block;
      if (++index[d] < dim.count) break;
      in_file -= dim.in_file * dim.count;
      to -= dim.in_block * dim.count;
      index[d] = 0;
      if (d == 0) return true;
    }
    if (plan.joined == 0) return true;
  }
}

template <typename T>
void swap_words(void* data, std::int64_t count) {
  auto* words = static_cast<T*>(data);
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (sizeof(T) == 2) words[i] = __builtin_bswap16(words[i]);
    if constexpr (sizeof(T) == 4) words[i] = __builtin_bswap32(words[i]);
    if constexpr (sizeof(T) == 8) words[i] = __builtin_bswap64(words[i]);
  }
}

void swap_bytes(DType dtype, void* data, std::int64_t count) {
  const bool complex = kind_of(dtype) == DTypeKind::kComplex;
  const std::int64_t words = complex ? 2 * count : count;
  switch (complex ? item_size(dtype) / 2 : item_size(dtype)) {
    case 2:
      return swap_words<std::uint16_t>(data, words);
    case 4:
      return swap_words<std::uint32_t>(data, words);
    case 8:
      return swap_words<std::uint64_t>(data, words);
    default:
      return;
  }
}

int run(const tegula_task* task, tegula_array* outputs, void* scratch, tegula_context* context) {
  bool finished = true;
  const int code = guarded(context, [&] {
    const auto& params = *static_cast<const ReadNpyParams*>(task->prepared);
    const tegula_block& block = checked_block(params, *task);
    const std::int64_t count = element_count(shape_of(block));
    const File file(params.path, File::Mode::kRead);
    file.check(params.stamp);
    if (count == 0) return;
    try {
      finished = read_block(file, plan_read(params, block), static_cast<std::byte*>(outputs[0].data),
                            static_cast<std::byte*>(scratch), context);
    } catch (const FileError&) {
      file.check(params.stamp);  // cut short under way: that is what to say
      throw;
    }
    file.check(params.stamp);
    if (params.header.byte_swapped) swap_bytes(params.header.dtype, outputs[0].data, count);
  });
  return code != TEGULA_OK ? code : finished ? TEGULA_OK : TEGULA_ECANCELLED;
}

}  // namespace

const tegula_kernel kReadNpyKernel = {"tegula.read_npy", prepare, release_as<ReadNpyParams>, plan, run};

}  // namespace tegula::cpu
