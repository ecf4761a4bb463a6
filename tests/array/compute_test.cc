// compute, persist and files, on a session without a cluster.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "src/shape.h"
#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/child_process.h"
#include "tests/support/graph_runner.h"

namespace tegula {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Computing : public testing::Test {
 protected:
  Client client() const { return runner_.client(); }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  std::string path(const std::string& name) const { return directory_.file(name); }

  test::GraphRunner runner_;
  test::TemporaryDirectory directory_;
};

Array numbers(const Shape& shape, const Chunks& chunks) {
  return random::integers(-1000, 1000, shape, chunks, {.seed = 3});
}

TEST_F(Computing, SeveralAtOnceShareTheirWork) {
  const Array x = numbers({40, 40}, {10, 10});
  const std::vector<HostArray> both = compute({x, x.sum()}, client());
  EXPECT_EQ(runner_.statistics().tasks, 16u + 16u + 1u);
  std::int64_t sum = 0;
  for (std::int64_t value : both[0].span<std::int64_t>()) sum += value;
  EXPECT_EQ(both[1].item<std::int64_t>(), sum);
}

TEST_F(Computing, IntoTheCallersMemory) {
  const Array x = numbers({5, 7}, {2, 3});
  std::vector<std::int64_t> memory(35);
  x.compute_into(memory.data(), memory.size() * 8, client());
  const HostArray host = x.compute(client());
  EXPECT_TRUE(std::equal(memory.begin(), memory.end(), host.span<std::int64_t>().begin()));
  EXPECT_THROW(x.compute_into(memory.data(), 8, client()), ValueError);
  std::vector<std::int64_t> typed(35);
  x.compute_into(std::span(typed), client());
  EXPECT_EQ(typed, memory);
  EXPECT_THROW(x.compute_into(std::span(typed).first(34), client()), ValueError);
  std::vector<double> other(35);
  EXPECT_THROW(x.compute_into(std::span(other), client()), DTypeError);
}

TEST_F(Computing, ResultsThatCannotFitAreRefusedBeforeAnythingIsSent) {
  const Array x = zeros({1 << 20, 1 << 20, 1 << 10}, {1 << 10, 1 << 10, 1 << 10});
  try {
    x.compute(client());
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_THAT(error.what(), HasSubstr("free memory"));
  }
  EXPECT_EQ(runner_.statistics().layers, 0u);
}

TEST_F(Computing, PersistedArraysAreComputedOnce) {
  const Array x = (numbers({30, 30}, {10, 10}) + 1).persist(client());
  EXPECT_EQ(runner_.statistics().tasks, 9u);
  x.wait();
  EXPECT_EQ(x.status(), FutureStatus::kFinished);
  const HostArray all = x.compute(client());
  EXPECT_EQ(runner_.statistics().tasks, 0u);
  // Slices, transposes, indices and reductions read the stored chunks.
  const HostArray part = x.T()(slice(3, _, 4), 5).compute(client());
  for (int i = 0; i < 7; ++i) EXPECT_EQ(part.view<std::int64_t>()(i), all.view<std::int64_t>()(5, 3 + 4 * i));
  EXPECT_EQ(x(29, 29).compute(client()).item<std::int64_t>(), all.view<std::int64_t>()(29, 29));
  EXPECT_EQ(x(newaxis, 2).compute(client()).shape(), (Shape{1, 30}));
  const Array max = x.max(0, true).persist(client())(0);
  EXPECT_EQ(test::bits_of(max.compute(client())), test::bits_of(x.max(0).compute(client())));
  // A persisted array that lost dimensions stays one.
  const Array total = x.sum().persist(client());
  EXPECT_EQ(total.ndim(), 0);
  total.wait();
  EXPECT_EQ((total * 2).compute(client()).item<std::int64_t>(), 2 * total.compute(client()).item<std::int64_t>());
  EXPECT_EQ(total.persist(client()).status(), FutureStatus::kFinished);
}

TEST_F(Computing, OnlyPersistedArraysCanBeWaitedFor) {
  EXPECT_THROW(zeros({3}).wait(), ValueError);
  EXPECT_THROW(zeros({3}).status(), ValueError);
  EXPECT_THROW(zeros({3}).cancel(), ValueError);
}

TEST_F(Computing, ClientsAreNotMixed) {
  const test::GraphRunner other;
  const Array x = ones({4}, {2}).persist(client());
  for (const Array& mixed : {x, x + 1, x + ones({4}).persist(other.client())}) {
    EXPECT_THROW(mixed.compute(other.client()), ValueError);
  }
  EXPECT_THROW((x + ones({4}).persist(other.client())).compute(client()), ValueError);
  EXPECT_THROW((x + ones({4}).persist(other.client())).explain(), ValueError);
  EXPECT_THROW(to_npy(x, path("x.npy"), other.client()), ValueError);
  EXPECT_THAT(files(), ElementsAre());
}

TEST_F(Computing, FuturesGiveTheResult) {
  const Array x = numbers({8}, {3});
  const Future future = compute_async(x, client());
  EXPECT_EQ(test::bits_of(future.result()), test::bits_of(x.compute(client())));
  EXPECT_EQ(future.status(), FutureStatus::kFinished);
}

TEST_F(Computing, FilesRoundTrip) {
  const Array x = numbers({31, 17}, {10, 4});
  to_npy(x, path("x.npy"), client());
  EXPECT_THAT(files(), ElementsAre("x.npy"));
  const HostArray wanted = x.compute(client());
  EXPECT_EQ(test::bits_of(HostArray::load_npy(path("x.npy"))), test::bits_of(wanted));
  const Array y = from_npy(path("x.npy"), {7, 5});
  EXPECT_EQ(test::bits_of(y.compute(client())), test::bits_of(wanted));
  for (const ComputeOptions& options : {ComputeOptions{true}, ComputeOptions{false}}) {
    EXPECT_EQ(test::bits_of(y(slice(_, _, -3), slice(5, _)).compute(client(), options)),
              test::bits_of(x(slice(_, _, -3), slice(5, _)).compute(client())));
    EXPECT_EQ(test::bits_of(y(slice(2, _), 3)(slice(_, _, 2)).compute(client(), options)),
              test::bits_of(x(slice(2, _), 3)(slice(_, _, 2)).compute(client())));
    EXPECT_EQ(test::bits_of(y.T().rechunk({4, 31})(newaxis).compute(client(), options)),
              test::bits_of(x.T()(newaxis).compute(client())));
    EXPECT_EQ(test::bits_of((y(slice(1, _)) - y(slice(_, -1))).compute(client(), options)),
              test::bits_of((x(slice(1, _)) - x(slice(_, -1))).compute(client())));
  }
  to_npy(x.sum(), path("sum.npy"), client());
  EXPECT_EQ(HostArray::load_npy(path("sum.npy")).ndim(), 0);
  to_npy(x(slice(0, 0)), path("empty.npy"), client());
  EXPECT_EQ(HostArray::load_npy(path("empty.npy")).shape(), (Shape{0, 17}));
  EXPECT_EQ(from_npy(path("empty.npy")).sum().compute(client()).item<int>(), 0);
}

TEST_F(Computing, SlicesOfFilesReadWhatTheyKeep) {
  to_npy(numbers({40, 40}, {10, 10}), path("x.npy"), client());
  const Array x = from_npy(path("x.npy"), {10, 10});
  runner_.statistics();
  x(slice(0, 4), slice(_, _, 2)).compute(client());
  EXPECT_EQ(runner_.statistics().bytes_stored, 4u * 20 * 8);
  x.rechunk({40, 5}).compute(client());
  EXPECT_EQ(runner_.statistics().tasks, 8u);
  // Two readers: read once.
  ((x(slice(1, _)) + x(slice(_, -1))).sum()).compute(client());
  const test::RunnerStatistics statistics = runner_.statistics();
  EXPECT_LT(statistics.bytes_stored, 40u * 40 * 8 + 8 * 100);
}

TEST_F(Computing, UnusableFilesAreRefusedAtTheUsersLine) {
  EXPECT_THROW(from_npy(path("none.npy")), FileError);
  std::ofstream(path("text.npy")) << "no npy file";
  EXPECT_THROW(from_npy(path("text.npy")), FileError);
  to_npy(numbers({100}, {10}), path("short.npy"), client());
  std::filesystem::resize_file(path("short.npy"), 500);
  EXPECT_THROW(from_npy(path("short.npy")), FileError);
}

TEST_F(Computing, FilesChangedUnderWayAreNoticed) {
  to_npy(numbers({100}, {10}), path("x.npy"), client());
  const Array x = from_npy(path("x.npy"), {10});
  to_npy(numbers({101}, {10}), path("x.npy"), client());
  EXPECT_THROW(x.sum().compute(client()), FileChangedError);
}

TEST_F(Computing, FailedWritesLeaveNothing) {
  to_npy(ones({10}, {5}), path("old.npy"), client());
  const Array changed = from_npy(path("old.npy"), {5});
  to_npy(ones({11}, {5}), path("old.npy"), client());
  EXPECT_THROW(to_npy(changed + 1, path("new.npy"), client()), Error);
  EXPECT_THROW(to_npy(ones({3}), path("no/such/folder.npy"), client()), FileError);
  EXPECT_THROW(to_npy(ones({3}), directory_.path(), client()), FileError);
  EXPECT_THAT(files(), ElementsAre("old.npy"));
}

TEST_F(Computing, OnlyRegularFilesAreReplaced) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THROW(to_npy(ones({3}), path("pipe"), client()), FileError);
  EXPECT_TRUE(std::filesystem::is_fifo(path("pipe")));
  EXPECT_THAT(files(), ElementsAre("pipe"));
}

TEST_F(Computing, AFullDiskIsNoticedBeforeTheWork) {
  const std::string full = std::filesystem::temp_directory_path().string();
  const auto space = std::filesystem::space(full);
  const auto rows = static_cast<std::int64_t>(space.available / 8 / 1024 + (1 << 20));
  EXPECT_THROW(to_npy(zeros({rows, 1024}, {1 << 20, 1024}), path("huge.npy"), client()), FileError);
  EXPECT_EQ(runner_.statistics().tasks, 0u);
  EXPECT_THAT(files(), ElementsAre());
}

}  // namespace
}  // namespace tegula
