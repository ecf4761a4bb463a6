// The graph as it travels: layers. A layer describes many tasks at once: one kernel, its parameters, what each task
// puts out, and rules that give for each task its inputs and for each input its consumers, both without a list of
// tasks. See docs/architecture.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "src/bytes.h"
#include "src/chunk.h"
#include "src/chunk_grid.h"
#include "src/ids.h"
#include "tegula/dtype.h"

namespace tegula {

// ---- Input rules ----
// A rule says which chunks of one input layer's output each task reads. It is separable: along each dimension d of the
// *input's* block grid a DimRule names a list of pieces as a function of at most one axis of the *task* grid; a task's
// input is the outer product of these lists (row-major), each piece with its box. That makes both directions cheap.

// Always the same block (broadcasting along a dimension of one block, an integer index).
struct ConstantBlock {
  std::int64_t block = 0;
  friend bool operator==(const ConstantBlock&, const ConstantBlock&) = default;
};
// Block b[axis]: elementwise work, transposes.
struct SameBlock {
  int axis = 0;
  friend bool operator==(const SameBlock&, const SameBlock&) = default;
};
// Blocks [b[axis] * factor, min((b[axis] + 1) * factor, blocks)): a step of a tree reduction.
struct FanIn {
  int axis = 0;
  std::int64_t factor = 1;
  friend bool operator==(const FanIn&, const FanIn&) = default;
};
// All blocks: contractions, reductions in one step.
struct AllBlocks {
  friend bool operator==(const AllBlocks&, const AllBlocks&) = default;
};
// Irregular: position p of the task axis reads pieces [begin[p], begin[p + 1]) of the lists; each piece is a block of
// the input and the positions inside it (along this dimension). Rechunks and slices. A block may be read in several
// pieces.
struct Pieces {
  int axis = 0;
  std::vector<std::uint32_t> begin;  // task grid size along axis, plus one
  std::vector<std::int64_t> block;
  std::vector<BoxDim> box;
  friend bool operator==(const Pieces&, const Pieces&) = default;
};
using DimRule = std::variant<ConstantBlock, SameBlock, FanIn, AllBlocks, Pieces>;

struct SeparableInput {
  std::vector<DimRule> dims;  // one per dimension of the input's grid
  friend bool operator==(const SeparableInput&, const SeparableInput&) = default;
};

// An explicit list: task i reads elements [begin[i], begin[i + 1]) of `index` (task indices in the input layer), whole
// chunks.
struct ExplicitInput {
  std::vector<std::uint32_t> begin;  // tasks + 1
  std::vector<std::uint32_t> index;
  friend bool operator==(const ExplicitInput&, const ExplicitInput&) = default;
};

// Names a layer inside one submission or session; what it stands for is said by the place that uses it (LayerId on the
// scheduler and on workers, a client's own number in a Submit message).
using LayerNumber = std::uint32_t;

struct InputRule {
  LayerNumber layer = 0;
  std::uint16_t output = 0;
  std::vector<std::int64_t> grid;  // the block grid of that output: checked against the layer it names
  std::variant<SeparableInput, ExplicitInput> pieces;
  friend bool operator==(const InputRule&, const InputRule&) = default;
};

// ---- Layers ----

struct OutputSpec {
  DType dtype = DType::kFloat64;
  ChunkGrid chunks;  // its grid has exactly one block per task, in the same row-major order; 0-d for a single value
  friend bool operator==(const OutputSpec&, const OutputSpec&) = default;
};

struct Layer {
  std::string name;    // for people: "normal", "sum-partial"
  std::string kernel;  // "tegula.program"
  Bytes params;        // for the kernel; opaque to the scheduler
  // The task grid; the task count is its product (1 when empty), at most kMaxTasksPerLayer
  std::vector<std::int64_t> grid;
  std::vector<OutputSpec> outputs;  // at least one
  std::vector<InputRule> inputs;
  bool pure = true;
  std::uint64_t nonce = 0;         // makes impure layers different from each other
  std::vector<Bytes> task_params;  // explicit layers: one per task, or empty

  std::uint32_t tasks() const;  // product of grid
};

inline constexpr std::int64_t kMaxTasksPerLayer = std::int64_t{1} << 31;

// One chunk (or a box of it) that a task reads.
struct InputPiece {
  std::uint32_t index = 0;  // task index in the input layer
  // Empty: the whole chunk. Where one dimension of the rule is Pieces, the others have a BoxDim{0, kUnknown, 1}: all of
  // it.
  Box box;
};

// The inputs of task `index` by rule `rule`, row-major over the piece grid. `piece_grid` (may be null) gets the number
// of pieces per dimension (1-d for an explicit list).
void for_each_input(const Layer& layer, std::size_t rule, std::uint32_t index,
                    const std::function<void(const InputPiece&)>& visit,
                    std::vector<std::int64_t>* piece_grid = nullptr);
// As above without boxes; a producer that gives several pieces is visited several times. No allocation per piece.
void for_each_producer(const Layer& layer, std::size_t rule, std::uint32_t index,
                       const std::function<void(std::uint32_t)>& visit);
std::uint64_t producer_count(const Layer& layer, std::size_t rule, std::uint32_t index);
// The k-th visit of for_each_producer, in constant time for separable rules: what a depth-first expansion with an
// explicit stack needs.
std::uint32_t producer_at(const Layer& layer, std::size_t rule, std::uint32_t index, std::uint64_t k);

// The other direction: the tasks of `layer` that read block `producer` of the input of rule `rule`, each once,
// ascending not required. Built once per (layer, rule); holds indexes only where the rule needs them.
class ConsumerIndex {
 public:
  ConsumerIndex(const Layer& layer, std::size_t rule);
  void for_each(std::uint32_t producer, const std::function<void(std::uint32_t)>& visit) const;
  std::uint64_t count(std::uint32_t producer) const;
  // Every block of the input has at least one consumer. (May say no where knowing would be costly.)
  bool covers_all_producers() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

// Checks a layer that came from another process: counts, sizes, axes, list lengths, block numbers within range.
// `input_grid` gives the grid of a named input output, or nullopt when there is none. Throws ValueError saying what is
// wrong and naming the layer.
using InputGridLookup =
    std::function<std::optional<std::vector<std::int64_t>>(LayerNumber layer, std::uint16_t output)>;
void validate_layer(const Layer& layer, const InputGridLookup& input_grid);

// The layer's identity: hash of the decoded fields in canonical order, inputs by the hash of the layer they name.
LayerHash hash_layer(const Layer& layer, const std::function<LayerHash(LayerNumber)>& input_hash);

// A human-readable key, built only when somebody looks: "normal-3f2a91c0(0,7)"; with several outputs "svd-...(0)[1]".
std::string key_text(const Layer& layer, const LayerHash& hash, std::uint32_t index, std::uint16_t output = 0);

// Declared bytes of one output of one task; 0 where a size is unknown.
std::size_t declared_nbytes(const Layer& layer, std::uint16_t output, std::uint32_t index);

}  // namespace tegula
