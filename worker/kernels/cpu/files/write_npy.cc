// "tegula.write_npy": writes its input piece at its place in a file that exists already with its full size. Its output
// is empty.
#include <algorithm>
#include <array>
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

constexpr std::int64_t kBufferBytes = 1 << 20;

int prepare(const void* params, std::size_t size, void** prepared, tegula_context* context) {
  return prepare_as<WriteNpyParams>(prepared, context, [&] { return decode_write_npy(bytes_of(params, size)); });
}

// The block's elements, cut into runs that lie together in the file: the inner dimensions from `run` on are one run.
struct WritePlan {
  const tegula_array* piece = nullptr;
  Shape offset;  // of the block in the array
  std::size_t item = 0;
  std::size_t run = 0;
  std::int64_t run_bytes = 0;
  std::int64_t rows_at_once = 1;  // rows of dimension `run` that the buffer holds
  bool in_place = false;          // the piece's runs lie together in memory, too
};

WritePlan plan_write(const WriteNpyParams& params, const tegula_task& task) {
  const Shape grid = params.chunks.grid();
  const std::span<const std::int64_t> block = task_block(task, grid, "the file's chunks have");
  WritePlan plan;
  plan.piece = &single_piece(task, 0);
  plan.offset = params.chunks.block_offset(block);
  plan.item = item_size(params.dtype);
  const Shape shape = params.chunks.block_shape(block);
  if (checked_dtype(plan.piece->dtype) != params.dtype || !std::ranges::equal(shape_of(*plan.piece), shape)) {
    throw ShapeError("a piece of " + std::string(name_of(checked_dtype(plan.piece->dtype))) + " and shape " +
                     to_string(shape_of(*plan.piece)) + " for a block of " + std::string(name_of(params.dtype)) +
                     " and shape " + to_string(shape));
  }
  // Dimensions join the run as long as those inside them are whole in the file.
  plan.run = shape.size();
  plan.run_bytes = static_cast<std::int64_t>(plan.item);
  while (plan.run > 0) {
    --plan.run;
    plan.run_bytes *= shape[plan.run];
    if (shape[plan.run] != params.shape[plan.run]) break;
  }
  if (!shape.empty() && shape[plan.run] > 0) {
    plan.rows_at_once = std::clamp<std::int64_t>(
        kBufferBytes / std::max<std::int64_t>(plan.run_bytes / shape[plan.run], 1), 1, shape[plan.run]);
  }
  return plan;
}

bool run_lies_together(const WritePlan& plan) {
  const std::span<const std::int64_t> shape = shape_of(*plan.piece);
  const std::span<const std::int64_t> strides(plan.piece->strides, shape.size());
  return is_contiguous(shape.subspan(plan.run), strides.subspan(plan.run), plan.item);
}

std::int64_t row_bytes(const WritePlan& plan) {
  const std::span<const std::int64_t> shape = shape_of(*plan.piece);
  return shape.empty() ? static_cast<std::int64_t>(plan.item)
                       : plan.run_bytes / std::max<std::int64_t>(shape[plan.run], 1);
}

int plan(const tegula_task* task, tegula_output_plan* outputs, std::size_t* scratch_bytes, tegula_context* context) {
  return guarded(context, [&] {
    const WritePlan write = plan_write(*static_cast<const WriteNpyParams*>(task->prepared), *task);
    plan_as_declared(*task, outputs);
    *scratch_bytes = static_cast<std::size_t>(write.rows_at_once * row_bytes(write));
  });
}

// One run: from `data` in memory to byte `at` of the file.
void write_run(const File& file, const WritePlan& plan, const std::byte* data, std::uint64_t at, std::byte* buffer) {
  if (plan.in_place) return file.write(at, data, static_cast<std::size_t>(plan.run_bytes));
  const std::span<const std::int64_t> inner = shape_of(*plan.piece).subspan(plan.run);
  if (inner.empty()) return file.write(at, data, plan.item);
  Shape shape(inner.begin(), inner.end());
  const std::span<const std::int64_t> strides(plan.piece->strides + plan.run, shape.size());
  const std::int64_t rows = shape[0];
  for (std::int64_t row = 0; row < rows; row += plan.rows_at_once) {
    shape[0] = std::min(plan.rows_at_once, rows - row);
    copy_strided(shape, plan.item, data + row * strides[0], strides, buffer, contiguous_strides(shape, plan.item));
    file.write(at + static_cast<std::uint64_t>(row * row_bytes(plan)), buffer,
               static_cast<std::size_t>(shape[0] * row_bytes(plan)));
  }
}

// Returns false when the task was cancelled.
bool write_block(const File& file, const WriteNpyParams& params, const WritePlan& plan, std::byte* buffer,
                 tegula_context* context) {
  const tegula_array& piece = *plan.piece;
  const Strides in_file = contiguous_strides(params.shape, plan.item);
  const auto* data = static_cast<const std::byte*>(piece.data);
  auto at = static_cast<std::int64_t>(params.data_offset);
  for (std::size_t d = 0; d < params.shape.size(); ++d) at += plan.offset[d] * in_file[d];
  std::array<std::int64_t, kMaxNdim> index{};
  std::int64_t since_question = 0;
  while (true) {
    write_run(file, plan, data, static_cast<std::uint64_t>(at), buffer);
    since_question += plan.run_bytes;
    if (since_question >= kBufferBytes) {
      since_question = 0;
      if (is_cancelled(context)) return false;
    }
    std::size_t d = plan.run;
    while (d > 0) {
      --d;
      data += piece.strides[d];
      at += in_file[d];
      if (++index[d] < piece.shape[d]) break;
      data -= piece.strides[d] * piece.shape[d];
      at -= in_file[d] * piece.shape[d];
      index[d] = 0;
      if (d == 0) return true;
    }
    if (plan.run == 0) return true;
  }
}

int run(const tegula_task* task, tegula_array* outputs, void* scratch, tegula_context* context) {
  bool finished = true;
  const int code = guarded(context, [&] {
    const auto& params = *static_cast<const WriteNpyParams*>(task->prepared);
    WritePlan write = plan_write(params, *task);
    write.in_place = run_lies_together(write);
    if (element_count(shape_of(*write.piece)) > 0) {
      File file(params.path, File::Mode::kWrite);
      finished = write_block(file, params, write, static_cast<std::byte*>(scratch), context);
      file.close();
    }
    const auto bytes =
        static_cast<std::size_t>(element_count(shape_of(outputs[0]))) * item_size(checked_dtype(outputs[0].dtype));
    if (bytes > 0) std::memset(outputs[0].data, 0, bytes);
  });
  return code != TEGULA_OK ? code : finished ? TEGULA_OK : TEGULA_ECANCELLED;
}

}  // namespace

const tegula_kernel kWriteNpyKernel = {"tegula.write_npy", prepare, release_as<WriteNpyParams>, plan, run};

}  // namespace tegula::cpu
