#include "bench/sim/task_bench.h"

#include <algorithm>
#include <bit>

#include "bench/sim/graph_builder.h"
#include "bench/sim/random.h"

namespace tegula::sim {
namespace {

constexpr std::int64_t kRadix = 5;

// Steps of options.width tasks; `inputs(step, position, add)` calls add(position) for each task of the step before that
// is read.
template <typename Inputs>
Pattern steps(const PatternOptions& options, const char* name, Inputs&& inputs) {
  const std::int64_t width = step_width(options);
  const std::uint64_t count = std::max<std::uint64_t>(1, options.tasks / static_cast<std::uint64_t>(width));
  GraphBuilder graph(options);
  LayerNumber last = graph.layer(name, {width});
  for (std::uint64_t step = 1; step < count; ++step) {
    ExplicitInput list;
    list.begin.push_back(0);
    for (std::int64_t position = 0; position < width; ++position) {
      inputs(step, position, [&](std::int64_t input) { list.index.push_back(static_cast<std::uint32_t>(input)); });
      list.begin.push_back(static_cast<std::uint32_t>(list.index.size()));
    }
    const LayerNumber next = graph.layer(name, {width});
    graph.reads(last, std::move(list));
    last = next;
  }
  graph.want_sinks();
  return graph.finish();
}

}  // namespace

std::int64_t step_width(const PatternOptions& options) {
  const std::uint64_t width = options.width != 0 ? options.width : std::max(1u, options.cluster_threads);
  return static_cast<std::int64_t>(std::min(width, options.tasks));
}

Pattern trivial(const PatternOptions& options) {
  const std::int64_t width = step_width(options);
  GraphBuilder graph(options);
  for (std::uint64_t step = 0; step < std::max<std::uint64_t>(1, options.tasks / static_cast<std::uint64_t>(width));
       ++step) {
    graph.want(graph.layer("trivial", {width}));
  }
  return graph.finish();
}

Pattern stencil_1d(const PatternOptions& options) {
  const std::int64_t width = step_width(options);
  return steps(options, "stencil", [=](std::uint64_t, std::int64_t position, auto&& add) {
    for (std::int64_t i = std::max<std::int64_t>(0, position - 1); i <= std::min(width - 1, position + 1); ++i) add(i);
  });
}

Pattern fft(const PatternOptions& options) {
  const std::int64_t width = step_width(options);
  const auto stages =
      static_cast<std::uint64_t>(std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(width))) - 1));
  return steps(options, "fft", [=](std::uint64_t step, std::int64_t position, auto&& add) {
    const std::int64_t distance = std::int64_t{1} << ((step - 1) % stages);
    if (position >= distance) add(position - distance);
    add(position);
    if (position + distance < width) add(position + distance);
  });
}

Pattern growing_tree(const PatternOptions& options) {
  const std::int64_t most = step_width(options);
  GraphBuilder graph(options);
  std::int64_t width = 1;
  LayerNumber last = graph.layer("tree", {width});
  for (auto left = static_cast<std::int64_t>(options.tasks) - 1; left > 0;) {
    width = std::min(std::min(most, 2 * width), left);
    left -= width;
    ExplicitInput list;
    for (std::int64_t position = 0; position <= width; ++position) {
      list.begin.push_back(static_cast<std::uint32_t>(position));
      if (position < width) list.index.push_back(static_cast<std::uint32_t>(position / 2));
    }
    const LayerNumber next = graph.layer("tree", {width});
    graph.reads(last, std::move(list));
    last = next;
  }
  graph.want_sinks();
  return graph.finish();
}

Pattern nearest(const PatternOptions& options) {
  const std::int64_t width = step_width(options);
  return steps(options, "nearest", [=](std::uint64_t, std::int64_t position, auto&& add) {
    const std::int64_t first = std::max<std::int64_t>(0, position - kRadix / 2);
    for (std::int64_t i = first; i <= std::min(width - 1, position + kRadix / 2); ++i) add(i);
  });
}

Pattern spread(const PatternOptions& options) {
  const std::int64_t width = step_width(options);
  return steps(options, "spread", [=](std::uint64_t step, std::int64_t position, auto&& add) {
    std::vector<std::int64_t> inputs;
    for (std::int64_t i = 0; i < kRadix; ++i) {
      const std::int64_t shift = i == 0 ? 0 : static_cast<std::int64_t>(step % static_cast<std::uint64_t>(kRadix));
      inputs.push_back((position + i * width / kRadix + shift) % width);
    }
    std::sort(inputs.begin(), inputs.end());
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    for (const std::int64_t input : inputs) add(input);
  });
}

Pattern random_nearest(const PatternOptions& options) {
  const std::int64_t width = step_width(options);
  const std::uint64_t seed = options.seed;
  return steps(options, "random-nearest", [=](std::uint64_t step, std::int64_t position, auto&& add) {
    const std::int64_t first = std::max<std::int64_t>(0, position - kRadix / 2);
    for (std::int64_t i = first; i <= std::min(width - 1, position + kRadix / 2); ++i) {
      const std::uint64_t chance =
          hash_of(seed + step, static_cast<std::uint64_t>(position), static_cast<std::uint64_t>(i));
      if (i == position || chance % 4 == 0) add(i);
    }
  });
}

Pattern random_dag(const PatternOptions& options) {
  const std::int64_t width = 4 * step_width(options);
  GraphBuilder graph(options);
  std::vector<LayerNumber> layers;
  for (auto left = static_cast<std::int64_t>(options.tasks); left > 0;) {
    const std::uint64_t step = layers.size();
    const auto chance = hash_of(options.seed, step, 1);
    const std::int64_t tasks =
        std::min(left, 1 + static_cast<std::int64_t>(chance % static_cast<std::uint64_t>(2 * width - 1)));
    left -= tasks;
    layers.push_back(graph.layer("random", {tasks}));
    // From the step before one to three, so that there is a step at all; from the one before that at most one.
    for (std::uint64_t back = 1; back <= 2 && back <= step; ++back) {
      const LayerNumber input = layers[step - back];
      ExplicitInput list;
      list.begin.push_back(0);
      for (std::int64_t position = 0; position < tasks; ++position) {
        const std::uint64_t draw = hash_of(options.seed + step, static_cast<std::uint64_t>(position), back);
        const std::uint64_t count = back == 1 ? 1 + draw % 3 : draw % 2;
        std::vector<std::uint32_t> inputs;
        for (std::uint64_t k = 0; k < count; ++k) {
          inputs.push_back(static_cast<std::uint32_t>(hash_of(draw, k) % graph.at(input).tasks()));
        }
        std::sort(inputs.begin(), inputs.end());
        inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
        list.index.insert(list.index.end(), inputs.begin(), inputs.end());
        list.begin.push_back(static_cast<std::uint32_t>(list.index.size()));
      }
      graph.reads(input, std::move(list));
    }
  }
  graph.want_sinks();
  return graph.finish();
}

}  // namespace tegula::sim
