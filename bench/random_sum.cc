// How fast is the job that Dask published in 2019: normal numbers, one addition, a strided slice, a sum?
#include "bench/workload.h"
#include "src/shape.h"

namespace tegula::bench {

Outcome run_random_sum(const Client& client, const Options& options) {
  std::vector<ChunkDim> chunk_dims(options.chunks.begin(), options.chunks.end());
  random::Options how;
  how.dtype = options.dtype;
  how.seed = options.seed;
  const Array x = random::normal(10, 1, options.size, Chunks(chunk_dims), how);
  const std::vector<IndexItem> every_second(options.size.size(), slice(_, _, 2));
  const Array total = (x + 1).index(every_second).sum();

  Outcome outcome;
  outcome.result = total.astype(DType::kFloat64).compute(client, ComputeOptions{options.optimize}).item<double>();
  outcome.elements = static_cast<std::uint64_t>(x.size());
  outcome.bytes = x.nbytes();
  const auto blocks = x.num_blocks();
  outcome.tasks = static_cast<std::uint64_t>(element_count(blocks));
  return outcome;
}

}  // namespace tegula::bench
