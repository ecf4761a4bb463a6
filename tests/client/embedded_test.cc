// A client that brings its cluster with it: scheduler, workers and client in this process, over inproc://.
#include <gtest/gtest.h>

#include <set>

#include "tests/client/nop_layers.h"

namespace tegula {
namespace {

using test::nop_layer;
using test::submit_one;

ClientOptions two_threads() {
  ClientOptions options;
  options.threads = 2;
  return options;
}

TEST(EmbeddedClient, RunsTasksAndFetchesTheirResults) {
  Client client(two_threads());
  const auto results = submit_one(client, nop_layer(1000));
  results->wait();
  EXPECT_EQ(results->status(), FutureStatus::kFinished);
  EXPECT_EQ(results->status(999), FutureStatus::kFinished);
  std::vector<std::uint32_t> indices;
  for (std::uint32_t i = 0; i < results->size(); ++i) indices.push_back(i);
  std::set<std::uint32_t> seen;
  results->fetch(indices, [&](std::uint32_t index, const Chunk& chunk) {
    EXPECT_EQ(chunk.dtype(), DType::kBool);
    EXPECT_EQ(chunk.shape(), Shape{1});
    EXPECT_TRUE(seen.insert(index).second);
  });
  EXPECT_EQ(seen.size(), 1000u);
}

}  // namespace
}  // namespace tegula
