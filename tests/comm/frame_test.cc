#include "comm/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "comm/frame_reader.h"
#include "comm/frame_writer.h"
#include "tegula/error.h"
#include "tests/comm/random_messages.h"

namespace tegula::test {

namespace {

using testing::HasSubstr;

constexpr FrameLimits kLimits{1 << 20, 64 << 20};

std::vector<std::byte> drain(FrameWriter& writer, std::size_t piece) {
  std::vector<std::byte> stream;
  while (writer.has_frames()) {
    std::array<iovec, 5> vectors;
    const std::size_t used = writer.next(vectors);
    std::size_t room = piece;
    for (std::size_t i = 0; i < used && room > 0; ++i) {
      const auto* data = static_cast<const std::byte*>(vectors[i].iov_base);
      const std::size_t n = std::min(room, vectors[i].iov_len);
      stream.insert(stream.end(), data, data + n);
      room -= n;
    }
    writer.written(piece - room);
  }
  return stream;
}

// Gives the reader `piece` bytes at a time, as a socket would.
std::vector<msg::Message> read_all(FrameReader& reader, std::span<const std::byte> stream, std::size_t piece) {
  std::vector<msg::Message> batch;
  while (!stream.empty()) {
    std::size_t room = std::min(piece, stream.size());
    std::size_t taken = 0;
    for (const auto target : reader.targets()) {
      const std::size_t n = std::min(room, target.size());
      if (n > 0) std::memcpy(target.data(), stream.data() + taken, n);
      taken += n;
      room -= n;
    }
    reader.received(taken, batch);
    stream = stream.subspan(taken);
  }
  return batch;
}

TEST(Frames, CarryMessagesHoweverTheStreamIsCut) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 150; ++round) {
    FrameWriter writer(kLimits);
    std::vector<msg::Message> sent;
    for (std::uint64_t i = random() % 20; i > 0; --i) {
      if (random() % 3 == 0) {
        msg::FetchReply reply;
        for (std::uint64_t k = random() % 4; k > 0; --k) {
          reply.items.push_back({msg::FetchStatus::kOk, random_chunk(random, random() % 2 == 0 ? 100 : 30000)});
        }
        sent.push_back(reply);
      } else {
        sent.push_back(random_message(random));
      }
      writer.add(sent.back());
      if (random() % 4 == 0) writer.encode();
      if (random() % 8 == 0) writer.add_keep_alive();
    }
    const std::uint64_t queued = writer.queued_bytes();
    EXPECT_GE(writer.queued_control_bytes() > 0, !sent.empty());
    writer.encode();
    const auto stream = drain(writer, 1 + random() % 5000);
    EXPECT_EQ(writer.queued_bytes(), 0);
    EXPECT_GE(queued + 400 * (sent.size() + 8), stream.size());
    FrameReader reader(kLimits, &Buffer::allocate);
    const auto received = read_all(reader, stream, random() % 3 == 0 ? 1 + random() % 20 : 1 + random() % 100000);
    ASSERT_EQ(received.size(), sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) ASSERT_EQ(text_of(received[i]), text_of(sent[i]));
    EXPECT_FALSE(reader.mid_frame());
    EXPECT_EQ(reader.frames_in(), writer.frames_out());
    EXPECT_EQ(reader.bulk_in(), writer.bulk_out());
  }
}

TEST(Frames, MessagesQueuedTogetherShareAFrameUpToASize) {
  FrameWriter writer(kLimits);
  for (int i = 0; i < 100; ++i) writer.add(msg::GrantCredit{1});
  writer.encode();
  (void)drain(writer, 1000000);
  EXPECT_EQ(writer.frames_out(), 1);
  for (int i = 0; i < 100000; ++i) writer.add(msg::GrantCredit{1});
  writer.encode();
  const auto stream = drain(writer, 1000000);
  EXPECT_GT(writer.frames_out(), 10);
  EXPECT_LT(writer.frames_out(), 100);
  FrameReader reader(kLimits, &Buffer::allocate);
  EXPECT_EQ(read_all(reader, stream, 100000).size(), 100000);
}

TEST(Frames, AMessageThatThePeerDoesNotTakeIsRefusedWhenQueued) {
  FrameWriter writer({1000, 1000});
  try {
    writer.add(msg::Shutdown{std::string(2000, 'x')});
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_THAT(error.what(), HasSubstr("a Shutdown message of 2"));
  }
  EXPECT_THROW(writer.add(msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kUInt8, {1001})}}}),
               ValueError);
  writer.add(msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kUInt8, {1000})}}});
  writer.add(msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kUInt8, {1000})}}});
  writer.encode();  // each fits, both don't: two frames
  (void)drain(writer, 100000);
  EXPECT_EQ(writer.frames_out(), 2);
}

TEST(Frames, WrittenChunksAreGivenBack) {
  auto owner = std::make_shared<int>(1);
  std::vector<double> values(1000, 1.0);
  FrameWriter writer(kLimits);
  {
    Buffer buffer = Buffer::wrap(values.data(), 8000, owner);
    writer.add(msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk(DType::kFloat64, {1000}, {8}, buffer, 0)}}});
  }
  writer.encode();
  EXPECT_GT(owner.use_count(), 1);
  (void)drain(writer, 100000);
  EXPECT_EQ(owner.use_count(), 1);
}

std::uint64_t copied_of(FrameWriter& writer, std::size_t piece, std::uint64_t expected) {
  writer.encode();
  FrameReader reader({1 << 20, 1 << 30}, &Buffer::allocate);
  const auto stream = drain(writer, 100000);
  (void)read_all(reader, stream, piece);
  EXPECT_EQ(reader.bulk_in(), expected);
  return reader.bulk_copied();
}

TEST(Frames, ChunksAreReadStraightIntoTheirMemory) {
  constexpr int kChunks = 50;
  const auto reply = [](std::uint64_t number, std::int64_t size, int chunks) {
    msg::FetchReply message{number, {}};
    for (int i = 0; i < chunks; ++i) {
      message.items.push_back({msg::FetchStatus::kOk, Chunk::allocate(DType::kUInt8, {size})});
    }
    return message;
  };
  for (const std::size_t piece : {std::size_t{5000}, std::size_t{200000}, std::size_t{5000000}}) {
    FrameWriter one_each({1 << 20, 1 << 30});
    for (int i = 0; i < kChunks; ++i) {
      one_each.add(reply(i, 1 << 20, 1));
      one_each.encode();
    }
    // The first frame comes unannounced, of the others their heads' surplus.
    EXPECT_LE(copied_of(one_each, piece, kChunks << 20), (64 << 10) + kChunks * (4 << 10)) << piece;
    FrameWriter many({1 << 20, 1 << 30});
    many.add(reply(1, 4 << 10, 1000));
    EXPECT_LE(copied_of(many, piece, 1000 * (4 << 10)), 64 << 10) << piece;
  }
}

// docs/wire.md explains these bytes.
TEST(Frames, TheExampleOfTheDocumentation) {
  FrameWriter writer(kLimits);
  writer.add(msg::GrantCredit{7, 64});
  writer.encode();
  std::string text;
  for (const std::byte byte : drain(writer, 1000)) {
    static constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
    if (text.size() % 17 == 16) text += '\n';
  }
  EXPECT_EQ(
      text,
      "5447464d48000000\n000000006e0d616b\n0000000008000000\n0000000000000100\n010000002f000000\n0400000004000100\n"
      "0700000000000000\n4000000000000000\n0000000000000000\n0200000000000000\n0000000000000000\n");
}

std::vector<std::byte> header(std::uint32_t control, std::vector<std::uint64_t> sizes) {
  std::vector<std::byte> bytes(kFrameHeaderSize + 8 * sizes.size());
  if (!sizes.empty()) std::memcpy(bytes.data() + kFrameHeaderSize, sizes.data(), 8 * sizes.size());
  write_frame_header(bytes, control, static_cast<std::uint32_t>(sizes.size()));
  return bytes;
}

std::string failure_of(std::span<const std::byte> stream) {
  FrameReader reader(kLimits, [](std::size_t) -> Buffer { throw std::runtime_error("allocated"); });
  try {
    (void)read_all(reader, stream, 100);
  } catch (const ProtocolError& error) {
    return error.what();
  }
  return "";
}

TEST(Frames, LimitsAreCheckedBeforeAnythingIsAllocated) {
  EXPECT_THAT(failure_of(header((1 << 20) + 8, {})), HasSubstr("1048584 control bytes (at most 1048576)"));
  EXPECT_THAT(failure_of(header(12, {})), HasSubstr("no whole words"));
  EXPECT_THAT(failure_of(header(8, {65 << 20})), HasSubstr("more than 67108864 bytes"));
  EXPECT_THAT(failure_of(header(8, {60 << 20, ~std::uint64_t{0} - 100})), HasSubstr("more than 67108864 bytes"));
  EXPECT_THAT(failure_of(header(8, std::vector<std::uint64_t>(65537))), HasSubstr("65537 bulk buffers"));
  EXPECT_THAT(failure_of(header(0, {8})), HasSubstr("1 bulk buffers"));
  auto bad = header(8, {});
  bad[12] ^= std::byte{1};
  EXPECT_THAT(failure_of(bad), HasSubstr("check fails"));
  bad = header(8, {});
  bad[0] ^= std::byte{1};
  EXPECT_THAT(failure_of(bad), HasSubstr("magic"));
}

TEST(Frames, MemoryGrowsWithWhatArrivesNotWithWhatIsPromised) {
  FrameReader reader({std::uint64_t{1} << 31, std::uint64_t{1} << 40}, &Buffer::allocate);
  std::vector<msg::Message> batch;
  reader.feed(header(1 << 30, {}), batch);
  for (std::size_t arrived = 0; arrived < (1 << 20);) {
    const auto targets = reader.targets();
    ASSERT_LE(targets.back().size(), (128 << 10) + 3 * arrived);
    arrived += targets.back().size();
    reader.received(targets.back().size(), batch);
  }
  EXPECT_TRUE(reader.mid_frame());
}

TEST(Frames, ADamagedStreamEndsOrGivesMessages) {
  std::mt19937_64 random(12);
  std::size_t refused = 0;
  constexpr int kRounds = 3000;
  for (int round = 0; round < kRounds; ++round) {
    FrameWriter writer(kLimits);
    for (int frame = 0; frame < 4; ++frame) {
      for (std::uint64_t i = random() % 4; i > 0; --i) writer.add(random_message(random));
      writer.add(msg::FetchReply{1, {{msg::FetchStatus::kOk, random_chunk(random, 50)}}});
      writer.encode();
    }
    auto stream = drain(writer, 100000);
    const std::size_t bit = random() % (stream.size() * 8);
    stream[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    if (random() % 4 == 0) stream.resize(random() % stream.size());
    FrameReader reader(kLimits, &Buffer::allocate);
    try {
      for (const msg::Message& message : read_all(reader, stream, 1 + random() % 3000)) (void)text_of(message);
    } catch (const ProtocolError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, kRounds / 10);
}

}  // namespace

}  // namespace tegula::test
