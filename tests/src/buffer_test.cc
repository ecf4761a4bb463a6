#include "src/buffer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace tegula {
namespace {

bool aligned(const Buffer& buffer) { return reinterpret_cast<std::uintptr_t>(buffer.data()) % kBufferAlignment == 0; }

TEST(Buffer, SharesAndFreesWithTheLastHandle) {
  bool freed = false;
  {
    std::vector<char> memory(10);
    Buffer a = Buffer::wrap(memory.data(), 10, std::shared_ptr<void>(&memory, [&freed](void*) { freed = true; }));
    const Buffer b = a;
    EXPECT_EQ(a.identity(), b.identity());
    EXPECT_EQ(a.use_count(), 2);
    a = {};
    EXPECT_FALSE(freed);
    EXPECT_EQ(b.use_count(), 1);
  }
  EXPECT_TRUE(freed);
}

TEST(Buffer, AllocatesAlignedWritableBytes) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{65}, std::size_t{5000},
                                 std::size_t{1} << 20, (std::size_t{5} << 20) + 1}) {
    Buffer buffer = Buffer::allocate(size);
    ASSERT_EQ(buffer.size(), size);
    EXPECT_TRUE(aligned(buffer));
    std::memset(buffer.mutable_data(), 7, size);
    EXPECT_EQ(buffer.bytes().back(), std::byte{7});
  }
  EXPECT_TRUE(Buffer::allocate(0).empty());
  EXPECT_THROW(Buffer::allocate(SIZE_MAX), std::bad_alloc);
  EXPECT_THROW(Buffer::allocate(SIZE_MAX / 4), std::bad_alloc);
}

TEST(BufferPool, ReusesFreedBlocksOfTheSameClass) {
  BufferPool pool(std::size_t{64} << 20);
  const std::byte* first = nullptr;
  {
    const Buffer buffer = pool.allocate(std::size_t{3} << 20);
    first = buffer.data();
    EXPECT_GE(pool.bytes_in_use(), buffer.size());
    EXPECT_EQ(pool.bytes_kept(), 0u);
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
  EXPECT_GE(pool.bytes_kept(), std::size_t{3} << 20);
  EXPECT_EQ(pool.allocate((std::size_t{3} << 20) - 100).data(), first);
  pool.trim();
  EXPECT_EQ(pool.bytes_kept(), 0u);
}

TEST(BufferPool, WastesAtMostAnEighth) {
  BufferPool pool(0);
  for (std::size_t size = 1; size < (std::size_t{1} << 26); size += size / 7 + 1) {
    const Buffer buffer = pool.allocate(size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_TRUE(aligned(buffer));
    EXPECT_LE(pool.bytes_in_use(), size + std::max(size / 8, kBufferAlignment - 1)) << size;
  }
}

TEST(BufferPool, KeepsNoMoreThanItMayAndLetsTheOldestGo) {
  constexpr std::size_t kSize = 64 << 10;
  BufferPool pool(3 * kSize);
  const std::byte* last = nullptr;
  {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 8; ++i) buffers.push_back(pool.allocate(kSize));
    for (Buffer& buffer : buffers) {
      last = buffer.data();
      buffer = {};
    }
  }
  EXPECT_EQ(pool.bytes_kept(), 3 * kSize);
  EXPECT_EQ(pool.allocate(kSize).data(), last);
  // A block of another class pushes out the one that has waited longest.
  pool.allocate(2 * kSize);
  EXPECT_EQ(pool.bytes_kept(), 3 * kSize);
  pool.allocate(4 * kSize);  // larger than everything it may keep
  EXPECT_EQ(pool.bytes_kept(), 3 * kSize);
}

TEST(BufferPool, BuffersAndAllocatorsOutliveIt) {
  Buffer buffer;
  BufferAllocator allocator;
  {
    BufferPool pool(std::size_t{1} << 20);
    buffer = pool.allocate(100000);
    allocator = pool.allocator();
  }
  std::memset(buffer.mutable_data(), 1, buffer.size());
  Buffer later = allocator(100000);
  std::memset(later.mutable_data(), 2, later.size());
  EXPECT_EQ(buffer.bytes()[99999], std::byte{1});
}

TEST(BufferPool, ManyThreads) {
  BufferPool pool(std::size_t{1} << 20);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      std::mt19937 random(t);
      std::vector<std::pair<Buffer, std::byte>> held(8);
      for (int i = 0; i < 3000; ++i) {
        auto& [buffer, mark] = held[random() % held.size()];
        // Nobody else was given the same block.
        if (!buffer.empty()) {
          ASSERT_EQ(buffer.bytes().front(), mark);
          ASSERT_EQ(buffer.bytes().back(), mark);
        }
        mark = static_cast<std::byte>(random());
        buffer = pool.allocate(1 + random() % 200000);
        buffer.mutable_data()[0] = mark;
        buffer.mutable_data()[buffer.size() - 1] = mark;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.bytes_in_use(), 0u);
  EXPECT_LE(pool.bytes_kept(), std::size_t{1} << 20);
}

}  // namespace
}  // namespace tegula
