// Two linear functions of a position in an iteration space, followed along a flat (row-major) range of it. A source of
// elements is described by such functions: a byte offset for a stored array, a row and a place in it for a random one.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "src/shape.h"

namespace tegula::cpu {

struct LinearPair {
  // Unsigned: sums may pass the ends of the range on their way and wrap back.
  std::uint64_t first = 0, second = 0;
};

class LinearWalk {
 public:
  // Starts with the values at position 0; axes are added from the outermost inwards.
  void begin(LinearPair origin) {
    origin_ = origin;
    ndim_ = 0;
  }
  void add_axis(std::int64_t size, LinearPair step) {
    if (size == 1) return;
    if (ndim_ > 0) {
      Axis& outer = axes_[static_cast<std::size_t>(ndim_ - 1)];
      const auto count = static_cast<std::uint64_t>(size);
      if (outer.step.first == step.first * count &&
          outer.step.second == step.second * count) {  // runs on: one longer axis
        outer.size *= size;
        outer.step = step;
        return;
      }
    }
    axes_[static_cast<std::size_t>(ndim_++)] = {size, step};
  }

  LinearPair inner_step() const { return ndim_ == 0 ? LinearPair{} : axes_[static_cast<std::size_t>(ndim_ - 1)].step; }
  // Whether [begin, begin + count) lies in one run.
  bool in_one_run(std::int64_t begin, std::int64_t count) const {
    if (ndim_ <= 1) return true;
    const std::int64_t inner = axes_[static_cast<std::size_t>(ndim_ - 1)].size;
    return begin % inner + count <= inner;
  }
  // The first function's step from row to row, when the space is rows of `width` elements along which it steps by
  // `inner_step`.
  std::optional<std::uint64_t> even_rows(std::int64_t width, std::uint64_t inner_step) const {
    if (ndim_ == 0) return std::nullopt;
    const Axis& inner = axes_[static_cast<std::size_t>(ndim_ - 1)];
    if (ndim_ == 1) {
      // One run, or rows of a single element.
      if (inner.step.first == inner_step) return inner.step.first * static_cast<std::uint64_t>(width);
      return width == 1 ? std::optional(inner.step.first) : std::nullopt;
    }
    if (ndim_ == 2 && inner.size == width && inner.step.first == inner_step) return axes_[0].step.first;
    return std::nullopt;
  }
  // [begin, begin + count) as a rectangle of the two inner axes, when it is one.
  struct Rectangle {
    LinearPair origin;
    std::int64_t rows, columns;
    LinearPair row_step;
  };
  std::optional<Rectangle> rectangle(std::int64_t begin, std::int64_t count) const {
    if (ndim_ < 2) return std::nullopt;
    const Axis& outer = axes_[static_cast<std::size_t>(ndim_ - 2)];
    const Axis& inner = axes_[static_cast<std::size_t>(ndim_ - 1)];
    const bool whole_rows = begin % inner.size == 0 && count % inner.size == 0;
    if (!whole_rows || begin / inner.size % outer.size + count / inner.size > outer.size) return std::nullopt;
    return Rectangle{at(begin), count / inner.size, inner.size, outer.step};
  }
  LinearPair at(std::int64_t position) const {
    LinearPair at = origin_;
    for (int d = ndim_ - 1; d >= 0; --d) {
      const Axis& axis = axes_[static_cast<std::size_t>(d)];
      move(&at, axis.step, d == 0 ? position : position % axis.size);
      position /= axis.size;
    }
    return at;
  }

  // Calls visit(values at the run's first position, run length, elements visited before) for each run in [begin, begin
  // + count). The values step by inner_step() along a run.
  template <typename Visit>
  void for_each_run(std::int64_t begin, std::int64_t count, Visit&& visit) const {
    if (ndim_ == 0) {
      visit(origin_, count,
            std::int64_t{0});  // a space of one element, or a constant: count is at most 1 or steps are 0
      return;
    }
    std::array<std::int64_t, kMaxNdim> index;
    LinearPair at = origin_;
    for (int d = ndim_ - 1; d >= 0; --d) {
      const Axis& axis = axes_[static_cast<std::size_t>(d)];
      const std::int64_t i = d == 0 ? begin : begin % axis.size;
      index[static_cast<std::size_t>(d)] = i;
      move(&at, axis.step, i);
      begin /= axis.size;
    }
    const Axis& inner = axes_[static_cast<std::size_t>(ndim_ - 1)];
    std::int64_t& inner_index = index[static_cast<std::size_t>(ndim_ - 1)];
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t length = std::min(count - done, inner.size - inner_index);
      visit(at, length, done);
      done += length;
      if (done == count) return;
      move(&at, inner.step, -inner_index);
      inner_index = 0;
      for (int d = ndim_ - 2; d >= 0; --d) {
        const Axis& axis = axes_[static_cast<std::size_t>(d)];
        std::int64_t& i = index[static_cast<std::size_t>(d)];
        move(&at, axis.step, 1);
        if (++i < axis.size) break;
        move(&at, axis.step, -i);
        i = 0;
      }
    }
  }

 private:
  struct Axis {
    std::int64_t size;
    LinearPair step;
  };
  static void move(LinearPair* at, LinearPair step, std::int64_t by) {
    at->first += step.first * static_cast<std::uint64_t>(by);
    at->second += step.second * static_cast<std::uint64_t>(by);
  }

  LinearPair origin_;
  int ndim_ = 0;
  std::array<Axis, kMaxNdim> axes_;
};

}  // namespace tegula::cpu
