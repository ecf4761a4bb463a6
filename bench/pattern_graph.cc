#include "bench/pattern_graph.h"

#include <chrono>
#include <random>

namespace tegula::bench {
namespace {

// A cluster outlives the benchmarks that run on it, so a fixed number would not do.
std::uint64_t next_nonce() {
  static std::uint64_t nonce = [] {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) | device();
  }();
  return ++nonce;
}

}  // namespace

PatternGraph fresh_graph(const sim::Pattern& pattern, const TaskKernel& kernel) {
  PatternGraph made;
  made.tasks = pattern.tasks;
  for (const msg::LayerPtr& from : pattern.layers) {
    auto layer = std::make_shared<Layer>(*from);
    layer->kernel = kernel.name;
    layer->params = kernel.params;
    for (OutputSpec& output : layer->outputs) output.dtype = kernel.dtype;
    layer->pure = false;
    layer->nonce = next_nonce();
    made.graph.layers.push_back(std::move(layer));
  }
  for (const msg::WantRange& range : pattern.wants) {
    const detail::ClientImpl::Want want{range.layer, range.output};
    const bool repeated =
        !made.wants.empty() && made.wants.back().layer == want.layer && made.wants.back().output == want.output;
    if (!repeated) made.wants.push_back(want);
  }
  return made;
}

double seconds_of(const Client& client, const PatternGraph& graph) {
  const auto start = std::chrono::steady_clock::now();
  const auto results = client.impl()->submit(graph.graph, graph.wants);
  for (const auto& result : results) result->wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace tegula::bench
