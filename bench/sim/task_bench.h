// The dependence patterns of Task Bench (Slaughter et al., SC20), and random graphs: steps of one width, each of which
// reads the one before.
#pragma once

#include <cstdint>

#include "bench/sim/patterns.h"

namespace tegula::sim {

std::int64_t step_width(const PatternOptions& options);  // at most options.tasks

Pattern trivial(const PatternOptions& options);
Pattern stencil_1d(const PatternOptions& options);
Pattern fft(const PatternOptions& options);
Pattern growing_tree(const PatternOptions& options);
Pattern nearest(const PatternOptions& options);
Pattern spread(const PatternOptions& options);
Pattern random_nearest(const PatternOptions& options);
Pattern random_dag(const PatternOptions& options);

}  // namespace tegula::sim
