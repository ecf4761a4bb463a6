// The simulator's patterns as graphs for a real client.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/sim/patterns.h"
#include "client/session.h"
#include "tegula/dtype.h"

namespace tegula::bench {

// What each task runs. The dtype is that of the pattern's results, whose chunks are then of so many elements.
struct TaskKernel {
  std::string name = "tegula.nop";
  Bytes params;
  DType dtype = DType::kUInt8;
};

struct PatternGraph {
  Graph graph;
  std::vector<detail::ClientImpl::Want> wants;  // whole layers: those of which the pattern wants anything
  std::uint64_t tasks = 0;
};

// Work that no scheduler has seen before: each call gives its layers nonces of their own.
PatternGraph fresh_graph(const sim::Pattern& pattern, const TaskKernel& kernel = {});

// Submits the graph and waits for all that it wants; seconds. The results are let go of afterwards.
double seconds_of(const Client& client, const PatternGraph& graph);

}  // namespace tegula::bench
