// What does one empty task cost, from submission to the client's news that all are done?
#include "bench/pattern_graph.h"
#include "bench/workload.h"

namespace tegula::bench {

Outcome run_tasks(const Client& client, const Options& options) {
  sim::PatternOptions how;
  how.tasks = options.tasks;
  how.width = options.width;
  how.fan_in = options.fan_in;
  how.seed = options.seed;
  how.cluster_threads = options.workers * options.threads;
  // One byte a task: a regular cut is two numbers on the wire, a list of a million empty chunks would be a list.
  how.chunk_bytes = 1;
  const PatternGraph graph = fresh_graph(sim::make_pattern(options.pattern, how));
  Outcome outcome;
  outcome.seconds = seconds_of(client, graph);
  outcome.tasks = graph.tasks;
  outcome.result = static_cast<double>(graph.tasks);
  return outcome;
}

}  // namespace tegula::bench
