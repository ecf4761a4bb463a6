// One expression, one answer to the last bit: whatever the number of workers, in this process or in others, whatever
// the instruction set level, with and without the optimizer. tests/faults adds: and with workers killed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "tegula/tegula.h"
#include "tests/support/bits.h"

namespace tegula {
namespace {

// Sums of normals over a strided slice, per column, and some of the numbers themselves.
std::vector<Array> job() {
  random::Options seeded;
  seeded.seed = 42;
  const Array x = random::normal(10, 1, {1500, 1100}, {200, 300}, seeded);
  const Array y = random::uniform(-1, 1, {1500, 1100}, {500, 170}, seeded).astype(DType::kFloat32);
  const Array sliced = (x + 1)(slice(_, _, 2), slice(_, _, 2));
  return {sliced.sum(), (x * y).sum(0),         x.var(1), (x - y)(slice(1400, 3, -7), slice(_, _, 5)),
          y.mean(),     sqrt(abs(x)).T().max(0)};
}

std::string bits(const Client& client, const ComputeOptions& options = {}) {
  std::string all;
  for (const HostArray& result : compute(job(), client, options)) all += test::bits_of(result) + "\n";
  return all;
}

const std::string& reference() {
  static const std::string value = [] {
    ClientOptions options;
    options.threads = 1;
    return bits(Client(options));
  }();
  return value;
}

TEST(SameBits, ForAnyNumberOfThreadsInProcess) {
  for (unsigned threads : {2u, 5u}) {
    ClientOptions options;
    options.threads = threads;
    EXPECT_EQ(bits(Client(options)), reference()) << threads << " threads";
  }
}

TEST(SameBits, WithoutTheOptimizer) { EXPECT_EQ(bits(Client(), ComputeOptions{false}), reference()); }

TEST(SameBits, ForAnyNumberOfWorkerProcesses) {
  for (unsigned workers : {1u, 2u, 3u}) {
    LocalClusterOptions options;
    options.workers = workers;
    options.threads_per_worker = 1 + workers % 2;
    LocalCluster cluster(options);
    EXPECT_EQ(bits(Client(cluster)), reference()) << workers << " workers";
  }
}

TEST(SameBits, WhateverTheChunks) {
  ClientOptions options;
  options.threads = 2;
  const Client client(options);
  random::Options seeded;
  seeded.seed = 7;
  std::optional<std::string> first;
  for (const Chunks& chunks : {Chunks{-1, -1}, Chunks{7, 33}, Chunks{{100, 1, 99}, 16}, Chunks{64, {1, 2, 3, 94}}}) {
    const Array x = random::normal(0, 1, {200, 100}, chunks, seeded);
    const Array n = random::integers(-5, 1000, {200, 100}, chunks, seeded);
    const Array u = random::uniform(2, 3, {200, 100}, chunks, seeded);
    const std::string all = test::bits_of(x.compute(client)) + test::bits_of(n.compute(client)) +
                            test::bits_of(u.compute(client)) + test::bits_of(x(slice(_, _, -3), 5).compute(client));
    if (!first) first = all;
    EXPECT_EQ(all, *first);
  }
}

class SameBitsPerLevel : public testing::TestWithParam<const char*> {};

TEST_P(SameBitsPerLevel, InWorkerProcesses) {
  const std::string level = GetParam();
  const char* folder = std::getenv("TEGULA_KERNELS__PATH");
  if (folder != nullptr && !std::filesystem::exists(std::string(folder) + "/libtegula_cpu_" + level + ".so")) {
    GTEST_SKIP() << "this build has no kernel library for " << level;
  }
  if ((level == "v3" && !__builtin_cpu_supports("avx2")) || (level == "v4" && !__builtin_cpu_supports("avx512bw"))) {
    GTEST_SKIP() << "this processor does not run " << level;
  }
  setenv("TEGULA_KERNELS__LEVEL", level.c_str(), 1);
  LocalClusterOptions options;
  options.workers = 2;
  options.threads_per_worker = 1;
  {
    LocalCluster cluster(options);
    Client client(cluster);
    for (const WorkerStatus& worker : client.status().workers) EXPECT_EQ(worker.kernel_level, level);
    EXPECT_EQ(bits(client), reference());
  }
  unsetenv("TEGULA_KERNELS__LEVEL");
}
INSTANTIATE_TEST_SUITE_P(Levels, SameBitsPerLevel, testing::Values("portable", "v3", "v4"),
                         [](const auto& level) { return std::string(level.param); });

}  // namespace
}  // namespace tegula
