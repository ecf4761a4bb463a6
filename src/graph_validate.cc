// A layer is data from another process until it has passed here. Everything that graph.cc and graph_rules.h index with
// is checked, and so is the amount of work that a description of a few bytes may ask for.
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "src/graph.h"
#include "src/graph_rules.h"
#include "src/shape.h"

namespace tegula {
namespace {

constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxOutputs = 1024;
constexpr std::size_t kMaxInputs = 4096;
constexpr double kMaxInputsPerTask = 1 << 24;
constexpr double kMaxEdges = 4294967296.0;  // of one layer
constexpr std::int64_t kMaxBlockBytes = std::int64_t{1} << 48;

class Validator {
 public:
  explicit Validator(const Layer& layer) : layer_(layer) {}

  void run(const InputGridLookup& input_grid) {
    check_names();
    check_grid();
    check_outputs();
    if (!layer_.task_params.empty() && layer_.task_params.size() != static_cast<std::size_t>(tasks_)) {
      fail(fmt::format("{} task parameters for {} tasks", layer_.task_params.size(), tasks_));
    }
    if (layer_.inputs.size() > kMaxInputs) fail(fmt::format("{} inputs, at most {}", layer_.inputs.size(), kMaxInputs));
    double inputs_per_task = 0;
    for (rule_ = 0; rule_ < layer_.inputs.size(); ++rule_) {
      inputs_per_task += check_input(layer_.inputs[rule_], input_grid);
      if (inputs_per_task > kMaxInputsPerTask) {
        fail_input(fmt::format("a task reads {:.0f} chunks, at most {:.0f}", inputs_per_task, kMaxInputsPerTask));
      }
      if (edges_ > kMaxEdges) fail_input(fmt::format("{:.0f} edges, at most {:.0f}", edges_, kMaxEdges));
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw ValueError(fmt::format("layer '{}': {}", layer_.name.substr(0, 64), what));
  }
  [[noreturn]] void fail_input(const std::string& what) const { fail(fmt::format("input {}: {}", rule_, what)); }

  void check_names() const {
    if (layer_.kernel.empty()) fail("no kernel named");
    if (layer_.kernel.size() > kMaxNameBytes) fail(fmt::format("a kernel name of {} bytes", layer_.kernel.size()));
    if (layer_.name.size() > kMaxNameBytes) fail(fmt::format("a layer name of {} bytes", layer_.name.size()));
  }

  void check_grid() {
    if (layer_.grid.size() > static_cast<std::size_t>(kMaxTaskAxes)) {
      fail(fmt::format("a task grid of {} dimensions, at most {}", layer_.grid.size(), kMaxTaskAxes));
    }
    for (std::int64_t size : layer_.grid) {
      if (size < 1 || size > kMaxTasksPerLayer || (tasks_ *= size) > kMaxTasksPerLayer) {
        fail(fmt::format("a task grid {}; sizes must be at least 1 and their product at most {}",
                         to_string(layer_.grid), kMaxTasksPerLayer));
      }
    }
  }

  void check_outputs() const {
    if (layer_.outputs.empty()) fail("no outputs");
    if (layer_.outputs.size() > kMaxOutputs)
      fail(fmt::format("{} outputs, at most {}", layer_.outputs.size(), kMaxOutputs));
    for (std::size_t o = 0; o < layer_.outputs.size(); ++o) {
      const OutputSpec& output = layer_.outputs[o];
      if (static_cast<int>(output.dtype) >= kDTypeCount) {
        fail(fmt::format("output {}: unknown dtype {}", o, static_cast<int>(output.dtype)));
      }
      if (output.chunks.ndim() > kMaxNdim) {
        fail(fmt::format("output {}: {} dimensions, at most {}", o, output.chunks.ndim(), kMaxNdim));
      }
      std::int64_t blocks = 1;
      std::int64_t bytes = static_cast<std::int64_t>(item_size(output.dtype));
      for (const DimChunks& dim : output.chunks.dims()) {
        if (dim.blocks() > kMaxTasksPerLayer || (blocks *= dim.blocks()) > kMaxTasksPerLayer) blocks = -1;
        if (blocks < 0) break;
        const std::int64_t size = std::max<std::int64_t>(dim.chunk(), 1);
        if (__builtin_mul_overflow(bytes, size, &bytes) || bytes > kMaxBlockBytes) {
          fail(fmt::format("output {}: chunks of more than 2^48 bytes", o));
        }
      }
      if (blocks != tasks_) {
        fail(fmt::format("output {} has chunks {} for {} tasks", o, to_string(output.chunks.grid()), tasks_));
      }
    }
  }

  // Returns the most chunks that one task reads.
  double check_input(const InputRule& input, const InputGridLookup& input_grid) {
    const auto grid = input_grid(input.layer, input.output);
    if (!grid) fail_input(fmt::format("reads output {} of layer {}, which is not known", input.output, input.layer));
    if (*grid != input.grid) {
      fail_input(fmt::format("says that output {} of layer {} has a block grid {}, but it is {}", input.output,
                             input.layer, to_string(input.grid), to_string(*grid)));
    }
    check_input_grid(input.grid);
    if (const auto* list = std::get_if<ExplicitInput>(&input.pieces)) return check_list(*list);
    return check_separable(input, std::get<SeparableInput>(input.pieces));
  }

  // A worker knows only what the rule itself says of the grid.
  void check_input_grid(const std::vector<std::int64_t>& grid) {
    if (grid.size() > static_cast<std::size_t>(kMaxNdim)) {
      fail_input(fmt::format("a block grid of {} dimensions, at most {}", grid.size(), kMaxNdim));
    }
    blocks_ = 1;
    for (std::int64_t size : grid) {
      if (size < 1 || size > kMaxTasksPerLayer || (blocks_ *= size) > kMaxTasksPerLayer) {
        fail_input(fmt::format("a block grid {}; sizes must be at least 1 and their product at most {}",
                               to_string(grid), kMaxTasksPerLayer));
      }
    }
  }

  // `begin` cuts a list of `entries` into `parts` stretches. Returns the longest.
  std::uint32_t check_begin(const std::vector<std::uint32_t>& begin, std::int64_t parts, std::size_t entries) const {
    if (begin.size() != static_cast<std::size_t>(parts) + 1) {
      fail_input(fmt::format("a list cut at {} places for {} positions", begin.size(), parts));
    }
    if (begin.front() != 0 || begin.back() != entries) {
      fail_input(fmt::format("cuts from {} to {} in a list of {}", begin.front(), begin.back(), entries));
    }
    std::uint32_t longest = 0;
    for (std::size_t i = 0; i + 1 < begin.size(); ++i) {
      if (begin[i] > begin[i + 1]) fail_input(fmt::format("cuts that go back from {} to {}", begin[i], begin[i + 1]));
      longest = std::max(longest, begin[i + 1] - begin[i]);
    }
    return longest;
  }

  double check_list(const ExplicitInput& list) {
    const std::uint32_t longest = check_begin(list.begin, tasks_, list.index.size());
    for (std::uint32_t index : list.index) {
      if (index >= blocks_) fail_input(fmt::format("reads chunk {} of {}", index, blocks_));
    }
    edges_ += static_cast<double>(list.index.size());
    return longest;
  }

  double check_separable(const InputRule& input, const SeparableInput& separable) {
    if (separable.dims.size() != input.grid.size()) {
      fail_input(fmt::format("{} rules for {} dimensions", separable.dims.size(), input.grid.size()));
    }
    double most = 1;
    for (dim_ = 0; dim_ < separable.dims.size(); ++dim_) {
      dim_blocks_ = input.grid[dim_];
      most *= std::visit([this](const auto& rule) { return check_dim(rule); }, separable.dims[dim_]);
    }
    edges_ += most * static_cast<double>(tasks_);
    return most;
  }

  std::int64_t axis_size(int axis) const {
    if (axis < 0 || static_cast<std::size_t>(axis) >= layer_.grid.size()) {
      fail_input(fmt::format("dimension {} follows axis {} of a task grid {}", dim_, axis, to_string(layer_.grid)));
    }
    return layer_.grid[static_cast<std::size_t>(axis)];
  }
  void check_block(std::int64_t block) const {
    if (block < 0 || block >= dim_blocks_) {
      fail_input(fmt::format("dimension {} reads block {} of {}", dim_, block, dim_blocks_));
    }
  }

  double check_dim(const ConstantBlock& rule) const {
    check_block(rule.block);
    return 1;
  }
  double check_dim(const SameBlock& rule) const {
    check_block(axis_size(rule.axis) - 1);
    return 1;
  }
  double check_dim(const FanIn& rule) const {
    const std::int64_t size = axis_size(rule.axis);
    if (rule.factor < 1) fail_input(fmt::format("dimension {} has a fan-in of {}", dim_, rule.factor));
    // The last position must read something: (size - 1) * factor < blocks, without overflow.
    if (size > 1 && rule.factor > (dim_blocks_ - 1) / (size - 1)) {
      fail_input(fmt::format("dimension {}: {} steps of {} blocks begin beyond the last of {}", dim_, size, rule.factor,
                             dim_blocks_));
    }
    return static_cast<double>(std::min(rule.factor, dim_blocks_));
  }
  double check_dim(const AllBlocks&) const { return static_cast<double>(dim_blocks_); }
  double check_dim(const Pieces& rule) const {
    const std::uint32_t longest = check_begin(rule.begin, axis_size(rule.axis), rule.block.size());
    if (rule.box.size() != rule.block.size()) {
      fail_input(fmt::format("dimension {}: {} boxes for {} pieces", dim_, rule.box.size(), rule.block.size()));
    }
    for (std::int64_t block : rule.block) check_block(block);
    for (const BoxDim& box : rule.box) check_box(box);
    return longest;
  }
  // How large the block is isn't known here; whoever cuts the box out of it checks that it fits.
  void check_box(const BoxDim& box) const {
    std::int64_t last = 0;
    const bool counts = box.start >= 0 && box.count >= 0 && box.step != 0 &&
                        !__builtin_mul_overflow(std::max<std::int64_t>(box.count - 1, 0), box.step, &last) &&
                        !__builtin_add_overflow(box.start, last, &last) && last >= 0;
    if (!counts) {
      fail_input(fmt::format("dimension {} has a box of {} positions from {} in steps of {}", dim_, box.count,
                             box.start, box.step));
    }
  }

  const Layer& layer_;
  std::int64_t tasks_ = 1;
  double edges_ = 0;
  std::size_t rule_ = 0;         // the input being checked,
  std::int64_t blocks_ = 1;      // its chunks in all,
  std::size_t dim_ = 0;          // the dimension of it,
  std::int64_t dim_blocks_ = 1;  // and the blocks along that
};

}  // namespace

void validate_layer(const Layer& layer, const InputGridLookup& input_grid) { Validator(layer).run(input_grid); }

}  // namespace tegula
