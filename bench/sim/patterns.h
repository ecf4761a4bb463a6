// The graphs that the simulator runs: layers as a client would send them, and what of them it would want.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "comm/messages.h"
#include "src/graph.h"

namespace tegula::sim {

struct PatternOptions {
  std::uint64_t tasks = 100000;   // the pattern comes as close to it as its shape allows
  std::uint32_t width = 0;        // independent tasks of one step; 0: as many as the cluster has threads
  std::uint32_t fan_in = 2;       // of reduction trees
  std::uint64_t chunk_bytes = 8;  // of one result
  std::uint64_t seed = 0;         // of irregular patterns
  std::uint32_t cluster_threads = 2;
  bool keep = false;  // want every result, not only those that nothing reads
};

struct Pattern {
  std::vector<msg::LayerPtr> layers;  // numbered from 0, as their rules name them
  std::vector<msg::WantRange> wants;  // disjoint
  std::uint64_t tasks = 0;            // all of them are needed for the wants

  std::uint64_t wanted() const;
};

struct PatternInfo {
  std::string_view name;
  std::string_view help;
  Pattern (*make)(const PatternOptions& options);
};
const std::vector<PatternInfo>& patterns();
// Throws ValueError for a name that is none of the patterns'.
const PatternInfo& find_pattern(std::string_view name);

// Throws as find_pattern, and ValueError for numbers of which no such graph can be made.
Pattern make_pattern(std::string_view name, const PatternOptions& options);

}  // namespace tegula::sim
