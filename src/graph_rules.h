// The input rules of a layer in a form made for asking many times: what graph.h's functions do one call at a time, and
// what the scheduler keeps for each layer. Everything here is a view of a Layer that must have been validated and must
// outlive it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/graph.h"
#include "src/shape.h"

namespace tegula {

// A contraction's tasks have an axis for each dimension of both operands.
inline constexpr int kMaxTaskAxes = 2 * kMaxNdim;

// One dimension of a separable rule: which blocks a task reads along it.
struct RuleDim {
  enum class Kind : std::uint8_t { kConstant, kSame, kFanIn, kAll, kPieces };
  Kind kind = Kind::kConstant;
  std::uint32_t axis = 0;  // of the task grid; the task's position along it is index / axis_stride % axis_size
  std::uint32_t axis_stride = 1;
  std::uint32_t axis_size = 1;
  std::uint32_t value = 0;         // kConstant: the block; kFanIn: the factor, at most `blocks`
  std::uint32_t blocks = 1;        // of the input along this dimension
  std::uint32_t block_stride = 1;  // between neighbours along it, in task indices of the input layer
  const Pieces* pieces = nullptr;

  std::uint32_t position(std::uint32_t index) const { return index / axis_stride % axis_size; }
};

// The dimensions of a separable rule; `dims` has room for kMaxNdim. Returns those in use.
std::span<const RuleDim> compile_dims(const Layer& layer, const InputRule& rule, std::span<RuleDim> dims);

// The producers that tasks read by one rule, in the order of for_each_producer.
class RuleView {
 public:
  explicit RuleView(const ExplicitInput& list) : list_(&list) {}
  explicit RuleView(std::span<const RuleDim> dims) : dims_(dims) {}

  template <typename Visit>
  void for_each(std::uint32_t index, Visit&& visit) const {
    if (list_ != nullptr) {
      for (std::uint32_t i = list_->begin[index]; i < list_->begin[index + 1]; ++i) visit(list_->index[i]);
      return;
    }
    // Dimensions with one block are added to `base` at once; only the others are walked.
    std::array<Run, kMaxNdim> runs;
    std::size_t walked = 0;
    std::uint32_t base = 0;
    for (const RuleDim& dim : dims_) {
      const Run run = run_of(dim, index);
      if (run.count == 0) return;
      if (run.count == 1) {
        base += run.at(0);
      } else {
        runs[walked++] = run;
      }
    }
    if (walked == 0) {
      visit(base);
      return;
    }
    const Run& inner = runs[walked - 1];
    std::array<std::uint32_t, kMaxNdim> at{};
    for (;;) {
      std::uint32_t outer = base;
      for (std::size_t d = 0; d + 1 < walked; ++d) outer += runs[d].at(at[d]);
      for (std::uint32_t k = 0; k < inner.count; ++k) visit(outer + inner.at(k));
      std::size_t d = walked - 1;
      while (d > 0 && ++at[d - 1] == runs[d - 1].count) at[--d] = 0;
      if (d == 0) return;
    }
  }

  std::uint64_t count(std::uint32_t index) const {
    if (list_ != nullptr) return list_->begin[index + 1] - list_->begin[index];
    std::uint64_t count = 1;
    for (const RuleDim& dim : dims_) count *= run_of(dim, index).count;
    return count;
  }

  // The k-th producer; k < count(index).
  std::uint32_t at(std::uint32_t index, std::uint64_t k) const {
    if (list_ != nullptr) return list_->index[list_->begin[index] + static_cast<std::uint32_t>(k)];
    std::uint32_t producer = 0;
    for (std::size_t d = dims_.size(); d-- > 0;) {
      const Run run = run_of(dims_[d], index);
      producer += run.at(static_cast<std::uint32_t>(k % run.count));
      k /= run.count;
    }
    return producer;
  }

 private:
  // The blocks along one dimension: listed, or consecutive.
  struct Run {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    std::uint32_t stride = 1;
    const std::int64_t* blocks = nullptr;
    std::uint32_t at(std::uint32_t k) const {
      return (blocks != nullptr ? static_cast<std::uint32_t>(blocks[k]) : first + k) * stride;
    }
  };
  static Run run_of(const RuleDim& dim, std::uint32_t index) {
    switch (dim.kind) {
      case RuleDim::Kind::kConstant:
        return {dim.value, 1, dim.block_stride, nullptr};
      case RuleDim::Kind::kSame:
        return {dim.position(index), 1, dim.block_stride, nullptr};
      case RuleDim::Kind::kFanIn: {
        const std::uint32_t first = dim.position(index) * dim.value;
        return {first, std::min(dim.value, dim.blocks - first), dim.block_stride, nullptr};
      }
      case RuleDim::Kind::kAll:
        return {0, dim.blocks, dim.block_stride, nullptr};
      case RuleDim::Kind::kPieces: {
        const std::uint32_t position = dim.position(index);
        const std::uint32_t first = dim.pieces->begin[position];
        return {0, dim.pieces->begin[position + 1] - first, dim.block_stride, dim.pieces->block.data() + first};
      }
    }
    return {};
  }

  const ExplicitInput* list_ = nullptr;
  std::span<const RuleDim> dims_;
};

// A RuleView that owns its dimensions. Copyable; the layer is shared.
class CompiledRule {
 public:
  CompiledRule(const Layer& layer, std::size_t rule);
  RuleView view() const { return list_ != nullptr ? RuleView(*list_) : RuleView(std::span<const RuleDim>(dims_)); }
  // No task visits a producer twice.
  bool distinct() const { return distinct_; }

 private:
  const ExplicitInput* list_ = nullptr;
  std::vector<RuleDim> dims_;
  bool distinct_ = true;
};

// From a number to a sorted list of numbers, in memory that grows with the lists only.
class InverseList {
 public:
  InverseList() = default;
  // Pairs (key, value) in any order; repeated pairs count once.
  explicit InverseList(std::vector<std::uint64_t> key_then_value);
  std::span<const std::uint32_t> operator[](std::uint32_t key) const;
  std::size_t keys() const { return keys_.size(); }
  static std::uint64_t pair(std::uint32_t key, std::uint32_t value) {
    return (static_cast<std::uint64_t>(key) << 32) | value;
  }

 private:
  std::vector<std::uint32_t> keys_;   // sorted
  std::vector<std::uint32_t> begin_;  // keys_.size() + 1; when dense_, indexed by key directly
  std::vector<std::uint32_t> values_;
  bool dense_ = false;
};

// The consumers of each producer by one rule, each once, ascending.
class ConsumerTable {
 public:
  ConsumerTable(const Layer& layer, std::size_t rule);

  template <typename Visit>
  void for_each(std::uint32_t producer, Visit&& visit) const {
    until(producer, [&](std::uint32_t consumer) {
      visit(consumer);
      return false;
    });
  }

  // Visits until `visit` returns true; whether it did.
  template <typename Visit>
  bool until(std::uint32_t producer, Visit&& visit) const {
    if (explicit_) {
      for (std::uint32_t consumer : list_[producer]) {
        if (visit(consumer)) return true;
      }
      return false;
    }
    Crossed crossed;
    std::array<Positions, kMaxTaskAxes> walked;
    std::size_t count = 0;
    std::uint32_t base = 0;
    if (!select(producer, walked, count, base, crossed)) return false;
    if (count == 0) return visit(base);
    std::array<std::uint32_t, kMaxTaskAxes> at{};
    const Positions& inner = walked[count - 1];
    for (;;) {
      std::uint32_t outer = base;
      for (std::size_t d = 0; d + 1 < count; ++d) outer += walked[d].at(at[d]);
      for (std::uint32_t k = 0; k < inner.count; ++k) {
        if (visit(outer + inner.at(k))) return true;
      }
      std::size_t d = count - 1;
      while (d > 0 && ++at[d - 1] == walked[d - 1].count) at[--d] = 0;
      if (d == 0) return false;
    }
  }

  std::uint64_t count(std::uint32_t producer) const;
  bool covers_all_producers() const { return covers_all_; }

 private:
  // Positions along one task axis that read a given producer: listed, or consecutive.
  struct Positions {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    std::uint32_t stride = 1;
    const std::uint32_t* list = nullptr;
    std::uint32_t at(std::uint32_t k) const { return (list != nullptr ? list[k] : first + k) * stride; }
  };
  // One input dimension driven by an axis.
  struct Source {
    RuleDim dim;
    InverseList inverse;  // kPieces: block -> positions
    Positions positions(std::uint32_t block) const;
  };
  // Positions computed for one query, where several input dimensions are driven by one axis; empty for most rules.
  using Crossed = std::vector<std::vector<std::uint32_t>>;
  struct Axis {
    std::uint32_t size = 1;
    std::uint32_t stride = 1;
    std::vector<Source> sources;
  };

  // What each axis allows, one-position axes summed into `base`. False: no consumer.
  bool select(std::uint32_t producer, std::array<Positions, kMaxTaskAxes>& walked, std::size_t& count,
              std::uint32_t& base, Crossed& crossed) const;
  bool covers(const Axis& axis) const;
  bool compute_covers_all() const;

  bool explicit_ = false;
  bool covers_all_ = false;
  InverseList list_;
  std::vector<RuleDim> constants_;
  std::vector<Axis> axes_;
};

}  // namespace tegula
