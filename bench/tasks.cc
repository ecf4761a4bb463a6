// What does one empty task cost, from submission to the client's news that all are done?
#include "bench/workload.h"
#include "client/session.h"

namespace tegula::bench {

Outcome run_tasks(const Client& client, const Options& options) {
  if (options.tasks == 0 || options.tasks > static_cast<std::uint64_t>(kMaxTasksPerLayer)) {
    throw ValueError("--tasks " + std::to_string(options.tasks) + ": 1 to " + std::to_string(kMaxTasksPerLayer));
  }
  const auto count = static_cast<std::int64_t>(options.tasks);
  static std::uint64_t nonce = 0;
  auto layer = std::make_shared<Layer>();
  layer->name = "nop";
  layer->kernel = "tegula.nop";
  layer->grid = {count};
  // One byte a task: a regular cut is two numbers on the wire, a list of a million empty chunks would be a list.
  layer->outputs = {OutputSpec{DType::kBool, ChunkGrid({DimChunks(count, 1)})}};
  layer->pure = false;  // each repetition is work of its own
  layer->nonce = options.seed + ++nonce;

  Graph graph;
  graph.layers.push_back(std::move(layer));
  const auto results = client.impl()->submit(graph, {{0, 0}});
  results.front()->wait();
  return {static_cast<double>(options.tasks), options.tasks, 0, 0};
}

}  // namespace tegula::bench
