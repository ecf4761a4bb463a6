// The scheduler's core and workers' cores together: the bytes choose a graph, what may happen, and what happens next.
#include <cstdio>
#include <cstdlib>

#include "tests/model/walks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto wrong = tegula::model::walk_by({data, size});
  if (!wrong) return 0;
  std::fprintf(stderr, "%s\n", wrong->c_str());
  std::abort();
}
