#include "worker/kernels/cpu/program/reduce_block.h"

#include <algorithm>
#include <string>

#include "tegula/error.h"
#include "worker/kernels/cpu/guard.h"

namespace tegula::cpu {
namespace {

constexpr std::int64_t kStrip = 64;                // the lanes of so many doubles take 8 KB of a first-level cache
constexpr std::int64_t kMomentsStrip = 32;         // moments keep a tile of elements besides
constexpr std::int64_t kShortRow = 32;             // rows this short cost more to begin and end than to read across
constexpr std::int64_t kCancelInterval = 1 << 20;  // elements between two questions

// Throws ShapeError: an array without elements may have any number of positions along some of its axes.
std::int64_t positions_along(const std::vector<int>& axes, const Shape& block) {
  Shape sizes;
  for (const int axis : axes) sizes.push_back(block[static_cast<std::size_t>(axis)]);
  return element_count(sizes);
}

const Reducer& reducer_for(const Reduction& reduction) {
  const Reducer* reducer = find_reducer(reduction.op, reduction.dtype);
  if (reducer == nullptr) {
    throw DTypeError(std::string(name_of(reduction.op)) + " in " + std::string(name_of(reduction.dtype)) +
                     " is not offered");
  }
  return *reducer;
}

}  // namespace

// Asks now and then whether the task is still wanted.
class BlockReduction::CancelWatch {
 public:
  explicit CancelWatch(tegula_context* context) : context_(context) {}
  bool cancelled(std::int64_t elements) {
    since_ += elements;
    if (since_ < kCancelInterval) return false;
    since_ = 0;
    return is_cancelled(context_);
  }

 private:
  tegula_context* context_;
  std::int64_t since_ = 0;
};

BlockReduction::BlockReduction(const CompiledProgram& program, const BlockPlace& place)
    : program_(program),
      reduction_(*program.program().reduction),
      reducer_(reducer_for(reduction_)),
      block_(place.shape) {
  for (std::size_t d = 0; d < block_.size(); ++d)
    (reduction_.axes[d] ? reduced_ : kept_).push_back(static_cast<int>(d));
  outputs_ = positions_along(kept_, block_);
  length_ = positions_along(reduced_, block_);
  if (length_ == 0 && outputs_ > 0 && (reduction_.op == ReduceOp::kMin || reduction_.op == ReduceOp::kMax)) {
    throw ValueError("the " + std::string(name_of(reduction_.op)) + " of no elements: a block of shape " +
                     to_string(block_));
  }
  int innermost = static_cast<int>(block_.size()) - 1;
  while (innermost >= 0 && block_[static_cast<std::size_t>(innermost)] == 1) --innermost;
  const bool inner_kept = innermost >= 0 && !reduction_.axes[static_cast<std::size_t>(innermost)];
  by_columns_ = outputs_ > 1 && (inner_kept || length_ < kShortRow);
  if (by_columns_)
    strip_ = std::min(outputs_, reduction_.op == ReduceOp::kMoments ? kMomentsStrip : std::min(kStrip, program.tile()));
}

Shape BlockReduction::output_shape() const {
  Shape shape;
  if (reduction_.op == ReduceOp::kMoments) shape.push_back(kMomentComponents);
  for (std::size_t d = 0; d < block_.size(); ++d) shape.push_back(reduction_.axes[d] ? 1 : block_[d]);
  return shape;
}

std::size_t BlockReduction::scratch_bytes() const { return reducer_.state_bytes(strip_, length_); }

bool BlockReduction::run(Evaluator& evaluator, std::byte* scratch, void* out, tegula_context* context) const {
  auto* to = static_cast<std::byte*>(out);
  if (outputs_ == 0) return true;
  if (length_ == 0) {
    for (std::int64_t k = 0; k < outputs_; ++k) {
      reducer_.begin(scratch, 1, 0);
      reducer_.finish(scratch, to + static_cast<std::size_t>(k) * item_size(reduction_.dtype), outputs_);
    }
    return true;
  }
  return by_columns_ ? run_columns(evaluator, scratch, to, context) : run_rows(evaluator, scratch, to, context);
}

bool BlockReduction::run_rows(Evaluator& evaluator, std::byte* scratch, std::byte* out, tegula_context* context) const {
  std::vector<BoxAxis> box;
  for (const auto* axes : {&kept_, &reduced_}) {
    for (const int axis : *axes) box.push_back({axis, 0, block_[static_cast<std::size_t>(axis)]});
  }
  evaluator.set_box(box);
  const std::size_t size = item_size(reduction_.dtype);
  const std::int64_t total = outputs_ * length_;
  CancelWatch watch(context);
  std::int64_t output = 0, left = length_;  // elements that the output still lacks
  reducer_.begin(scratch, 1, length_);
  for (std::int64_t at = 0; at < total;) {
    const std::int64_t count = std::min(program_.tile(), total - at);
    const auto* x = static_cast<const std::byte*>(evaluator.evaluate(at, count, nullptr));
    at += count;
    for (std::int64_t rest = count; rest > 0;) {
      const std::int64_t part = std::min(rest, left);
      reducer_.push(scratch, x, part, static_cast<std::int64_t>(size));
      x += static_cast<std::size_t>(part) * size;
      rest -= part;
      left -= part;
      if (left > 0) continue;
      reducer_.finish(scratch, out + static_cast<std::size_t>(output) * size, outputs_);
      if (++output < outputs_) reducer_.begin(scratch, 1, length_);
      left = length_;
    }
    if (watch.cancelled(count)) return false;
  }
  return true;
}

// All rows of the evaluator's space, `width` elements each.
bool BlockReduction::push_columns(Evaluator& evaluator, std::byte* scratch, std::int64_t width,
                                  CancelWatch* watch) const {
  if (const auto rows = evaluator.stored_rows(width)) {
    reducer_.push(scratch, rows->first, length_, rows->stride);
    return !watch->cancelled(length_ * width);
  }
  const std::int64_t rows = program_.tile() / width;
  const auto row_bytes = width * static_cast<std::int64_t>(item_size(reduction_.dtype));
  for (std::int64_t row = 0; row < length_; row += rows) {
    const std::int64_t count = std::min(rows, length_ - row);
    reducer_.push(scratch, evaluator.evaluate(row * width, count * width, nullptr), count, row_bytes);
    if (watch->cancelled(count * width)) return false;
  }
  return true;
}

bool BlockReduction::run_columns(Evaluator& evaluator, std::byte* scratch, std::byte* out,
                                 tegula_context* context) const {
  // As many inner kept axes as fit in a strip lie in it whole; the next one is cut; those outside are walked one
  // position at a time.
  std::int64_t inner = 1;
  std::size_t cut = kept_.size();
  const auto size_of = [&](std::size_t k) { return block_[static_cast<std::size_t>(kept_[k])]; };
  while (cut > 0 && inner * size_of(cut - 1) <= strip_) inner *= size_of(--cut);
  const std::int64_t cut_size = cut > 0 ? size_of(cut - 1) : 1;
  const std::int64_t cut_step = std::max<std::int64_t>(1, strip_ / inner);

  std::vector<BoxAxis> box;
  for (std::size_t k = 0; k + 1 < cut; ++k) box.push_back({kept_[k], 0, 1});
  const std::size_t n_outer = box.size();
  for (const int axis : reduced_) box.push_back({axis, 0, block_[static_cast<std::size_t>(axis)]});
  const std::size_t cut_at = box.size();
  for (std::size_t k = cut > 0 ? cut - 1 : 0; k < kept_.size(); ++k) box.push_back({kept_[k], 0, size_of(k)});

  const std::size_t size = item_size(reduction_.dtype);
  std::int64_t outers = 1;
  for (std::size_t k = 0; k < n_outer; ++k) outers *= size_of(k);
  CancelWatch watch(context);
  for (std::int64_t outer = 0; outer < outers; ++outer) {
    std::int64_t rest = outer;
    for (std::size_t k = n_outer; k-- > 0;) {
      box[k].low = rest % size_of(k);
      rest /= size_of(k);
    }
    for (std::int64_t low = 0; low < cut_size; low += cut_step) {
      const std::int64_t cut_count = std::min(cut_step, cut_size - low);
      const std::int64_t width = cut_count * inner;
      if (cut > 0) {
        box[cut_at].low = low;
        box[cut_at].size = cut_count;
      }
      evaluator.set_box(box);
      reducer_.begin(scratch, width, length_);
      if (!push_columns(evaluator, scratch, width, &watch)) return false;
      reducer_.finish(scratch, out + static_cast<std::size_t>((outer * cut_size + low) * inner) * size, outputs_);
    }
  }
  return true;
}

}  // namespace tegula::cpu
