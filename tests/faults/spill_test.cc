// Jobs larger than memory, on real worker processes, and what may happen to the disk meanwhile. The answers are those
// of a computation that stores nothing, to the last bit.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

namespace fs = std::filesystem;
using test::eventually;

// A sanitizer's memory is not the worker's, and everything takes longer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
constexpr std::int64_t kMegabytes = 64;
#else
constexpr bool kSanitized = false;
constexpr std::int64_t kMegabytes = 256;
#endif

std::string limit() { return std::to_string(kMegabytes) + "MB"; }

// In chunks of a megabyte.
Array random_array(std::int64_t megabytes, std::uint64_t seed) {
  random::Options seeded;
  seeded.seed = seed;
  return random::normal(10, 1, {megabytes, 125000}, {1, 125000}, seeded);
}

std::string answers(const Array& x, const Client& client) {
  const Array mean = x.mean();
  return test::bits_of(mean.compute(client)) + test::bits_of((x - mean).std().compute(client));
}

std::string expected(std::int64_t megabytes, std::uint64_t seed) {
  ClientOptions options;
  options.threads = 2;
  const Client client(options);
  return answers(random_array(megabytes, seed), client);
}

std::uint64_t peak_resident(std::uint64_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; in >> word;) {
    std::uint64_t kib = 0;
    if (word == "VmHWM:" && in >> kib) return kib << 10;
  }
  return 0;
}

std::vector<fs::path> spilled_files(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string where = entry.path().parent_path().filename();
    if (where.starts_with("tegula-spill-") && entry.path().filename() != "owner") files.push_back(entry.path());
  }
  return files;
}

class Spilling : public testing::Test {
 protected:
  void start(unsigned workers) {
    LocalClusterOptions options;
    options.workers = workers;
    options.threads_per_worker = 1;
    options.memory_limit = limit();
    options.local_directory = folder.path();
    cluster = std::make_unique<LocalCluster>(options);
    client = std::make_unique<Client>(*cluster);
  }

  test::TemporaryDirectory folder;
  std::unique_ptr<LocalCluster> cluster;
  std::unique_ptr<Client> client;
};

TEST_F(Spilling, FiveTimesTheMemory) {
  start(1);
  const std::int64_t size = 5 * kMegabytes;
  {
    const Array x = random_array(size, 1).persist(*client);
    x.wait();
    const ClusterStatus status = client->status();
    EXPECT_GT(spilled_files(folder.path()).size(), static_cast<std::size_t>(3 * kMegabytes));
    EXPECT_EQ(answers(x, *client), expected(size, 1));
    for (const WorkerStatus& worker : status.workers) {
      if (kSanitized) continue;
      EXPECT_LT(peak_resident(worker.pid), static_cast<std::uint64_t>(kMegabytes) * 1'000'000);
    }
  }
  EXPECT_TRUE(eventually([&] { return spilled_files(folder.path()).empty(); })) << "what nobody wants is off the disk";
  client.reset();
  cluster.reset();
  for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("tegula-spill-")) << entry.path();
  }
}

TEST_F(Spilling, FilesThatAreDamagedOrGoneAreMadeAgain) {
  start(2);
  const std::int64_t size = 4 * kMegabytes;
  const Array x = random_array(size, 2).persist(*client);
  x.wait();
  const std::vector<fs::path> files = spilled_files(folder.path());
  ASSERT_GT(files.size(), 20u);
  for (std::size_t i = 0; i < files.size(); i += 10) {
    if (i % 20 == 0) {
      fs::remove(files[i]);
    } else {
      std::fstream file(files[i], std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(123456);
      file.put('!');
    }
  }
  EXPECT_EQ(answers(x, *client), expected(size, 2));
}

TEST_F(Spilling, AFullDiskIsWaitedFor) {
  const test::TemporaryDirectory small;
  if (mount("tmpfs", small.path().c_str(), "tmpfs", 0, "size=50m") != 0) {
    GTEST_SKIP() << "a small file system cannot be mounted here: " << std::strerror(errno);
  }
  setenv("TEGULA_WORKER__SPILL_DIRECTORY", small.path().c_str(), 1);
  start(1);
  unsetenv("TEGULA_WORKER__SPILL_DIRECTORY");
  const std::int64_t size = 2 * kMegabytes;
  const Array x = random_array(size, 3).persist(*client);
  const auto says_full = [&] {
    test::ChildProcess status(
        {test::program_path("tegula"), "status", "--json", "--scheduler", cluster->scheduler_address()},
        {"TEGULA_CLUSTER_TOKEN=" + cluster->token()});
    if (status.wait() != 0) return false;
    return nlohmann::json::parse(status.output()).at("workers").at(0).at("disk_full").get<bool>();
  };
  EXPECT_TRUE(eventually(says_full));
  EXPECT_LT(client->status().memory, static_cast<std::uint64_t>(size)) << "not everything can be there";
  ASSERT_EQ(mount("tmpfs", small.path().c_str(), "tmpfs", MS_REMOUNT, "size=2g"), 0);
  x.wait();
  EXPECT_EQ(answers(x, *client), expected(size, 3));
  client.reset();
  cluster.reset();
  umount(small.path().c_str());
}

}  // namespace
}  // namespace tegula
