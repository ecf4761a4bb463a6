// Spilled values on a real file system.
#include "worker/store/spill_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <random>
#include <thread>

#include "tests/support/child_process.h"
#include "worker/store/spill_directory.h"
#include "worker/store/spiller.h"

namespace tegula::worker {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;

Chunk random_chunk(DType dtype, Shape shape, std::uint64_t seed, bool compressible = false) {
  Chunk chunk = Chunk::allocate(dtype, std::move(shape));
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i < chunk.nbytes(); ++i) {
    chunk.mutable_data()[i] = static_cast<std::byte>(compressible ? i / 100 : random());
  }
  return chunk;
}

void expect_same(const Chunk& a, const Chunk& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  ASSERT_EQ(std::memcmp(a.data(), b.data(), a.nbytes()), 0);
}

struct Way {
  SpillCompression compression;
  bool direct;
};

class SpillFile : public testing::TestWithParam<Way> {
 protected:
  SpillFileOptions options() const { return {GetParam().compression, GetParam().direct}; }
  Chunk read(std::uint64_t number) { return read_spill_file(path, number, &Buffer::allocate, options(), staging); }
  std::string error_of(std::uint64_t number) {
    try {
      read(number);
      return "";
    } catch (const FileError& error) {
      return error.what();
    }
  }

  test::TemporaryDirectory directory;
  std::string path = directory.file("1-7");
  Staging staging;
};

TEST_P(SpillFile, ComesBackAsItWas) {
  for (const std::int64_t items : {1, 511, 512, 513, 131072, 131073, 1300000}) {
    for (const bool compressible : {false, true}) {
      const Chunk chunk = random_chunk(DType::kFloat64, {items}, static_cast<std::uint64_t>(items), compressible);
      const std::uint64_t size = write_spill_file(path, 7, chunk, options(), staging);
      EXPECT_EQ(size, fs::file_size(path));
      EXPECT_EQ(size % kSpillBlock, 0u);
      if (compressible && GetParam().compression == SpillCompression::kLz4 && items > 10000) {
        EXPECT_LT(size, chunk.nbytes() / 2);
      }
      expect_same(read(7), chunk);
    }
  }
}

TEST_P(SpillFile, HasShapeAndTypeAndAnyPlaceInItsBuffer) {
  const Chunk whole = random_chunk(DType::kInt16, {40, 30, 500}, 1);
  const Chunk part = whole.view(Box{BoxDim{3, 7, 1}, BoxDim{0, 30, 1}, BoxDim{0, 500, 1}});
  ASSERT_TRUE(part.contiguous());
  write_spill_file(path, 7, part, options(), staging);
  expect_same(read(7), part);
}

TEST_P(SpillFile, DamageIsFound) {
  const Chunk chunk = random_chunk(DType::kFloat32, {100000}, 3, true);
  const std::uint64_t size = write_spill_file(path, 7, chunk, options(), staging);
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  for (const std::size_t place : {std::size_t{0}, std::size_t{9}, std::size_t{14}, std::size_t{40}, std::size_t{60},
                                  kSpillBlock, kSpillBlock + 5000}) {
    if (place >= size) continue;
    std::string damaged = bytes;
    damaged[place] = static_cast<char>(damaged[place] ^ 0x41);
    std::ofstream(path, std::ios::binary) << damaged;
    EXPECT_THAT(error_of(7), HasSubstr(path)) << place;
  }
  for (const std::size_t length : {std::size_t{0}, std::size_t{100}, kSpillBlock, kSpillBlock + 4096}) {
    if (length >= size) continue;
    std::ofstream(path, std::ios::binary) << bytes.substr(0, length);
    EXPECT_NE(error_of(7), "") << length;
  }
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_THAT(error_of(8), HasSubstr("it is number 7"));
  EXPECT_EQ(error_of(7), "");
  fs::remove(path);
  EXPECT_NE(error_of(7), "");
}

INSTANTIATE_TEST_SUITE_P(Ways, SpillFile,
                         testing::Values(Way{SpillCompression::kNone, true}, Way{SpillCompression::kNone, false},
                                         Way{SpillCompression::kLz4, true}, Way{SpillCompression::kLz4, false}),
                         [](const auto& about) {
                           return std::string(about.param.compression == SpillCompression::kLz4 ? "Lz4" : "Plain") +
                                  (about.param.direct ? "Direct" : "Buffered");
                         });

TEST(SpillFiles, NoRoomIsAnErrorOfItsOwnAndLeavesNothing) {
  const test::TemporaryDirectory directory;
  if (mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "a file system of a megabyte cannot be mounted here: " << std::strerror(errno);
  }
  Staging staging;
  for (const SpillCompression compression : {SpillCompression::kNone, SpillCompression::kLz4}) {
    const Chunk chunk = random_chunk(DType::kFloat64, {300000}, 1);
    EXPECT_THROW(write_spill_file(directory.file("x"), 1, chunk, {compression, true}, staging), NoSpaceError);
    EXPECT_TRUE(fs::is_empty(directory.path()));
  }
  umount(directory.path().c_str());
}

TEST(SpillDirectories, OfDeadProcessesAreRemovedAndOthersAreNot) {
  const test::TemporaryDirectory base;
  const SpillDirectory own(base.path());
  fs::create_directory(base.file("tegula-spill-notours"));
  const pid_t child = fork();
  if (child == 0) {
    SpillDirectory* left = new SpillDirectory(base.path());
    std::ofstream(left->file(1, 1)) << "value";
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  EXPECT_EQ(std::distance(fs::directory_iterator(base.path()), {}), 3);
  EXPECT_EQ(SpillDirectory::remove_stale(base.path()), 1u);
  EXPECT_TRUE(fs::exists(own.path()));
  EXPECT_TRUE(fs::exists(base.file("tegula-spill-notours"))) << "it does not say whose it is";
  EXPECT_EQ(SpillDirectory::remove_stale(base.path()), 0u);
}

TEST(SpillDirectories, AreForTheirUserAndGoAtTheEnd) {
  const test::TemporaryDirectory base;
  std::string path;
  {
    const SpillDirectory own(base.path());
    path = own.path();
    EXPECT_EQ(fs::status(path).permissions() & fs::perms::all, fs::perms::owner_all);
    std::ofstream(own.file(1, 1)) << "value";
  }
  EXPECT_FALSE(fs::exists(path));
}

// ---- the threads ----------------------------------------------------------------------------------------------------

class SpillerTest : public testing::Test {
 protected:
  std::unique_ptr<Spiller> spiller(std::uint64_t limit = 0) {
    SpillerOptions options;
    options.base = directory.path();
    options.limit = limit;
    options.worker = "w";
    return std::make_unique<Spiller>(options, std::make_shared<BufferPool>(0), [this] {
      const std::lock_guard lock(mutex_);
      ++notified_;
      changed_.notify_all();
    });
  }
  // The next events.
  std::vector<Event> wait(Spiller& from) {
    std::vector<Event> events;
    while (events.empty()) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return notified_ > 0; });
      notified_ = 0;
      lock.unlock();
      from.collect(events);
    }
    return events;
  }
  std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory.path())) {
      count += entry.is_regular_file() && entry.path().filename() != "owner" ? 1 : 0;
    }
    return count;
  }

  test::TemporaryDirectory directory;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int notified_ = 0;
};

TEST_F(SpillerTest, WritesReadsAndRemoves) {
  const auto disk = spiller();
  EXPECT_TRUE(fs::is_empty(directory.path())) << "no folder before there is a value";
  const Chunk chunk = random_chunk(DType::kFloat64, {50000}, 1);
  disk->write({1, chunk});
  ASSERT_TRUE(std::holds_alternative<SpillDone>(wait(*disk).at(0)));
  EXPECT_EQ(files(), 1u);
  disk->read(1);
  const auto events = wait(*disk);
  expect_same(std::get<Unspilled>(events.at(0)).chunk, chunk);
  EXPECT_GT(disk->counters().bytes_on_disk, chunk.nbytes());
  disk->drop(1);
  disk->read(1);  // behind it
  ASSERT_TRUE(std::holds_alternative<UnspillFailed>(wait(*disk).at(0)));
  EXPECT_TRUE(test::eventually([&] { return files() == 0 && disk->counters().bytes_on_disk == 0; }));
}

TEST_F(SpillerTest, KeepsToItsLimitAndGoesOnWhenThereIsRoom) {
  const Chunk chunk = random_chunk(DType::kFloat64, {50000}, 1);  // 400,000 bytes
  const auto disk = spiller(500'000);
  disk->write({1, chunk});
  ASSERT_TRUE(std::holds_alternative<SpillDone>(wait(*disk).at(0)));
  disk->write({2, chunk});
  EXPECT_EQ(std::get<SpillFailed>(wait(*disk).at(0)).reason, SpillFailure::kNoSpace);
  disk->drop(1);
  ASSERT_TRUE(test::eventually([&] { return disk->counters().bytes_on_disk == 0; }));
  disk->write({3, chunk});
  ASSERT_TRUE(std::holds_alternative<SpillDone>(wait(*disk).at(0)));
}

// How long there were writes and reads is counted from their being asked for to their end, also of those that never
// begin.
TEST_F(SpillerTest, CountsTheTimeInWhichThereIsSomethingToDo) {
  const auto disk = spiller();
  const auto busy = [&] { return disk->counters(); };
  const auto write_grows = [&] {
    const auto before = busy().write_busy;
    std::this_thread::sleep_for(2ms);
    return busy().write_busy - before;
  };
  EXPECT_EQ(busy().write_busy, 0ns);
  EXPECT_EQ(busy().read_busy, 0ns);

  // Both threads stay in what they are told to do with a file that cannot be read, so that nothing else begins.
  std::promise<void> leave;
  const auto left = leave.get_future().share();
  std::array<std::promise<void>, 2> entered;
  for (auto& each : entered) {
    disk->fetch(9, [&each, left](const std::optional<Chunk>& chunk) {
      EXPECT_FALSE(chunk);
      each.set_value();
      left.wait();
    });
  }
  for (auto& each : entered) each.get_future().wait();
  const auto read_busy = busy().read_busy;
  EXPECT_GT(read_busy, 0ns);

  disk->write({1, random_chunk(DType::kFloat64, {5000}, 1)});
  disk->write({2, random_chunk(DType::kFloat64, {5000}, 2)});
  EXPECT_GE(write_grows(), 2ms) << "they are queued";
  disk->drop(1);
  EXPECT_GE(write_grows(), 2ms) << "one is queued";
  disk->drop(2);
  EXPECT_EQ(write_grows(), 0ns) << "neither is";
  disk->write({3, random_chunk(DType::kFloat64, {5000}, 3)});
  disk->read(3);
  EXPECT_GE(write_grows(), 2ms);
  disk->abandon_all();
  EXPECT_EQ(write_grows(), 0ns) << "it will never begin";
  EXPECT_EQ(busy().bytes_written, 0u);
  EXPECT_GE(busy().read_busy - read_busy, 2ms);

  leave.set_value();
  ASSERT_TRUE(test::eventually([&] { return fs::is_empty(directory.path()); })) << "the former life's folder";
  const auto before = busy();
  disk->write({4, random_chunk(DType::kFloat64, {5000}, 4)});
  ASSERT_TRUE(std::holds_alternative<SpillDone>(wait(*disk).at(0)));
  EXPECT_GT(busy().write_busy, before.write_busy);
  EXPECT_EQ(busy().read_busy, before.read_busy);
  EXPECT_EQ(write_grows(), 0ns) << "it has ended";
  disk->read(4);
  ASSERT_TRUE(std::holds_alternative<Unspilled>(wait(*disk).at(0)));
  EXPECT_GT(busy().read_busy, before.read_busy);
  EXPECT_EQ(busy().bytes_read, busy().bytes_written);
}

TEST_F(SpillerTest, ALifesEndTakesItsFilesAlong) {
  const auto disk = spiller();
  disk->write({1, random_chunk(DType::kFloat64, {5000}, 1)});
  wait(*disk);
  disk->abandon_all();
  EXPECT_TRUE(test::eventually([&] { return files() == 0; }));
  const Chunk other = random_chunk(DType::kFloat64, {6000}, 2);
  disk->write({1, other});
  ASSERT_TRUE(std::holds_alternative<SpillDone>(wait(*disk).at(0)));
  disk->read(1);
  expect_same(std::get<Unspilled>(wait(*disk).at(0)).chunk, other);
}

}  // namespace
}  // namespace tegula::worker
