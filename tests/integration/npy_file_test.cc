// Real files: written by NumPy, read by two worker processes, and written back.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using test::ChildProcess;
using test::TemporaryDirectory;

void run_python(const std::string& code) {
  ChildProcess python({"/usr/bin/python3", "-c", "import numpy as np\n" + code});
  const auto status = python.wait(std::chrono::seconds(250));
  ASSERT_EQ(status, 0) << python.output();
}

std::uint64_t peak_rss(std::uint64_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  std::uint64_t kilobytes = 0;
  while (status >> word) {
    if (word == "VmHWM:") status >> kilobytes;
  }
  return kilobytes * 1024;
}

std::unique_ptr<LocalCluster> two_workers(const std::string& memory_limit = "auto") {
  LocalClusterOptions options;
  options.workers = 2;
  options.threads_per_worker = 1;
  options.memory_limit = memory_limit;
  return std::make_unique<LocalCluster>(options);
}

TEST(NpyFile, AGigabyteIsBoundedByTheMemoryLimitNotByTheFile) {
  // 16,500 x 16,500 float32: 1.09 GB. NumPy's own answers, in float64, go into a small file beside it.
  TemporaryDirectory folder;
  const std::string path = folder.file("x.npy"), answers = folder.file("answers.npy"), part = folder.file("part.npy");
  run_python(
      "n = 16500\n"
      "x = np.lib.format.open_memmap('" +
      path +
      "', mode='w+', dtype=np.float32, shape=(n, n))\n"
      "rng = np.random.default_rng(5)\n"
      "for i in range(0, n, 500): x[i:i+500] = rng.standard_normal((500, n), dtype=np.float32) + 3\n"
      "x.flush()\n"
      "s = sum(float(x[i:i+500].sum(dtype=np.float64)) for i in range(0, n, 500)); m = s / n / n\n"
      "v = sum(float(((x[i:i+500].astype(np.float64) - m) ** 2).sum()) for i in range(0, n, 500)) / n / n\n"
      "np.save('" +
      answers +
      "', np.array([m, np.sqrt(v)]))\n"
      "np.save('" +
      part + "', x[::-3, 5:][:, ::40])\n");
  const HostArray expected = HostArray::load_npy(answers);
  const auto limit = std::uint64_t{256} << 20;
  const auto cluster = two_workers("256MiB");
  Client client(*cluster);

  const Array x = from_npy(path, {1000, 5500});
  const double mean = x.astype(DType::kFloat64).mean().compute(client).item<double>();
  const double deviation = x.astype(DType::kFloat64).std().compute(client).item<double>();
  EXPECT_NEAR(mean / expected.span<double>()[0], 1, 1e-6);
  EXPECT_NEAR(deviation / expected.span<double>()[1], 1, 1e-6);
  EXPECT_EQ(test::bits_of(Array(x(slice(_, _, -3), slice(5, _)))(_, slice(_, _, 40)).compute(client)),
            test::bits_of(HostArray::load_npy(part)));
  for (const WorkerStatus& worker : client.status().workers) {
    const std::uint64_t peak = peak_rss(worker.pid);
    EXPECT_LT(peak, limit) << worker.name;
    RecordProperty("peak_rss_" + worker.name, std::to_string(peak));
  }
}

TEST(NpyFile, EveryElementOfAReversedStridedSliceIsBitEqual) {
  TemporaryDirectory folder;
  const std::string path = folder.file("x.npy"), part = folder.file("part.npy");
  run_python(
      "x = np.random.default_rng(1).standard_normal((1501, 700), dtype=np.float32)\n"
      "np.save('" +
      path + "', x); np.save('" + part + "', x[::-3, 5:])\n");
  const auto cluster = two_workers();
  const Client client(*cluster);
  EXPECT_EQ(test::bits_of(from_npy(path, {333, 100})(slice(_, _, -3), slice(5, _)).compute(client)),
            test::bits_of(HostArray::load_npy(part)));
}

TEST(NpyFile, GoesOutAsNumPyReadsIt) {
  TemporaryDirectory folder;
  const std::string path = folder.file("y.npy");
  const auto cluster = two_workers();
  const Client client(*cluster);
  random::Options seeded;
  seeded.seed = 3;
  const Array y = random::normal(0, 1, {310, 257}, {100, 64}, seeded) * 2;
  to_npy(y, path, client);
  EXPECT_EQ(test::bits_of(HostArray::load_npy(path)), test::bits_of(y.compute(client)));
  run_python("y = np.load('" + path + "', mmap_mode='r'); assert y.shape == (310, 257) and y.dtype == np.float64, y\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "nothing but the file is left";
}

TEST(NpyFile, ChangedUnderWayIsATypedError) {
  TemporaryDirectory folder;
  const std::string path = folder.file("x.npy");
  run_python("np.save('" + path + "', np.zeros((100, 100)))\n");
  const auto cluster = two_workers();
  const Client client(*cluster);
  const Array x = from_npy(path, {10, 100});
  run_python("np.save('" + path + "', np.ones((100, 101)))\n");
  EXPECT_THROW(x.sum().compute(client), FileChangedError);
  // Somebody else's work goes on.
  EXPECT_EQ(ones({100}, {10}).sum().compute(client).item<double>(), 100);
}

TEST(NpyFile, BadFilesAreRefusedByName) {
  TemporaryDirectory folder;
  const std::string object = folder.file("object.npy"), date = folder.file("date.npy"), cut = folder.file("cut.npy");
  run_python("np.save('" + object + "', np.array([None]), allow_pickle=True); np.save('" + date +
             "', np.array(['2020-01-01'], dtype='M8[D]')); np.save('" + cut +
             "', np.zeros(1000))\n"
             "open('" +
             folder.file("text.npy") + "', 'w').write('not an array')\n");
  std::filesystem::resize_file(cut, 500);
  EXPECT_THROW(from_npy(object), DTypeError);
  EXPECT_THROW(from_npy(date), DTypeError);
  EXPECT_THROW(from_npy(cut), FileError);
  EXPECT_THROW(from_npy(folder.file("text.npy")), FileError);
  EXPECT_THROW(from_npy(folder.file("missing.npy")), FileError);
}

TEST(NpyFile, AFullDiskLeavesNothingBehind) {
  TemporaryDirectory folder;
  if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "no right to mount a small file system";
  }
  const auto cluster = two_workers();
  const Client client(*cluster);
  EXPECT_THROW(to_npy(zeros({1000, 1000}, {100, 1000}), folder.file("big.npy"), client), FileError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  to_npy(zeros({100, 100}, {50, 100}), folder.file("small.npy"), client);  // the cluster is as well as before
  EXPECT_TRUE(std::filesystem::exists(folder.file("small.npy")));
  umount(folder.path().c_str());
}

}  // namespace
}  // namespace tegula
