#include "comm/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tegula/error.h"
#include "tests/comm/random_messages.h"

namespace tegula::test {

namespace {

using testing::HasSubstr;

// What the receiving side has: the control part in aligned memory of its own, and bulk buffers.
struct Received {
  std::vector<std::uint64_t> memory;
  std::size_t size = 0;
  std::vector<Buffer> bulk;

  explicit Received(const codec::Encoded& encoded) : memory(encoded.control_size / 8), size(encoded.control_size) {
    std::memcpy(memory.data(), encoded.control().data(), size);
    for (const codec::Bulk& from : encoded.bulk) {
      Buffer buffer = from.size == 0 ? Buffer() : Buffer::allocate(from.size);
      if (from.size > 0) std::memcpy(buffer.mutable_data(), from.data, from.size);
      bulk.push_back(std::move(buffer));
    }
  }
  std::byte* bytes() { return reinterpret_cast<std::byte*>(memory.data()); }
  std::vector<msg::Message> decode() {
    std::vector<msg::Message> batch;
    codec::decode({bytes(), size}, bulk, batch);
    return batch;
  }
};

std::vector<msg::Message> round_trip(const std::vector<msg::Message>& batch) {
  return Received(codec::encode(batch)).decode();
}

std::string failure_of(Received received) {
  try {
    (void)received.decode();
  } catch (const ProtocolError& error) {
    return error.what();
  }
  return "";
}

class CodecMessages : public testing::TestWithParam<std::size_t> {};

TEST_P(CodecMessages, ComeBackAsTheyWere) {
  std::mt19937_64 random(GetParam() + 1);
  for (int round = 0; round < 200; ++round) {
    const msg::Message message = random_message(random, GetParam());
    ASSERT_EQ(message.index(), GetParam());
    const auto back = round_trip({message});
    ASSERT_EQ(back.size(), 1);
    ASSERT_EQ(text_of(back[0]), text_of(message)) << name_of(message);
  }
}

TEST_P(CodecMessages, NeedWhatWasMeasured) {
  std::mt19937_64 random(GetParam() + 1000);
  for (int round = 0; round < 200; ++round) {
    const std::vector<msg::Message> batch = {random_message(random, GetParam())};
    const codec::Measure measured = codec::measure(batch[0]);
    const codec::Encoded encoded = codec::encode(batch);
    ASSERT_LE(encoded.control_size, measured.control_bytes + codec::kBatchOverhead);
    ASSERT_EQ(encoded.bulk.size(), measured.bulk_buffers);
    std::uint64_t bulk = 0;
    for (const codec::Bulk& buffer : encoded.bulk) bulk += buffer.size;
    ASSERT_EQ(bulk, measured.bulk_bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(All, CodecMessages,
                         testing::Range(std::size_t{0}, std::variant_size_v<msg::MessageAlternatives>),
                         [](const auto& test) {
                           std::mt19937_64 random(1);
                           return std::string(name_of(random_message(random, test.param)));
                         });

TEST(Codec, BatchesKeepTheirOrderAndTheirChunks) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 50; ++round) {
    std::vector<msg::Message> batch;
    for (std::uint64_t i = random() % 60; i > 0; --i) batch.push_back(random_message(random));
    const auto back = round_trip(batch);
    ASSERT_EQ(back.size(), batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) ASSERT_EQ(text_of(back[i]), text_of(batch[i]));
  }
}

TEST(Codec, ChunksTakeTheirBuffersWithoutACopy) {
  std::mt19937_64 random(6);
  msg::FetchReply reply;
  reply.items.push_back({msg::FetchStatus::kOk, random_chunk(random, 1000)});
  while (reply.items[0].chunk.nbytes() == 0) reply.items[0].chunk = random_chunk(random, 1000);
  const codec::Encoded encoded = codec::encode(std::vector<msg::Message>{reply});
  EXPECT_EQ(encoded.bulk[0].data, reply.items[0].chunk.data());
  Received received(encoded);
  const std::byte* memory = received.bulk[0].data();
  const auto batch = received.decode();
  EXPECT_EQ(std::get<msg::FetchReply>(batch[0]).items[0].chunk.data(), memory);
}

TEST(Codec, AStridedChunkArrivesPacked) {
  std::mt19937_64 random(7);
  const Chunk whole = Chunk::allocate(DType::kInt16, {6, 8});
  Chunk filled = whole;
  std::generate_n(filled.mutable_data(), filled.nbytes(), [&] { return static_cast<std::byte>(random()); });
  const msg::Message message = msg::FetchReply{1, {{msg::FetchStatus::kOk, filled.view({{5, 3, -2}, {0, 4, 2}})}}};
  const auto back = round_trip({message});
  EXPECT_EQ(text_of(back[0]), text_of(message));
  EXPECT_TRUE(std::get<msg::FetchReply>(back[0]).items[0].chunk.contiguous());
}

// ---- what a peer of this protocol never sends

TEST(Codec, RefusesAChunkThatIsNotAsLargeAsItsBytes) {
  const msg::Message message = msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kFloat64, {3, 4})}}};
  Received received(codec::encode(std::vector{message}));
  received.bulk[0] = Buffer::allocate(95);
  EXPECT_THAT(failure_of(received), HasSubstr("a chunk of shape (3, 4) and float64 in 95 bytes"));
  received.bulk.clear();
  EXPECT_THAT(failure_of(received), HasSubstr("a chunk without bulk buffer"));
  received.bulk = {Buffer::allocate(96), Buffer::allocate(8)};
  EXPECT_THAT(failure_of(received), HasSubstr("1 bulk buffers that no chunk takes"));
}

TEST(Codec, RefusesNumbersThatMeanNothing) {
  const auto failure = [](const msg::Message& message) {
    return failure_of(Received(codec::encode(std::vector{message})));
  };
  msg::TaskFailed failed;
  failed.error.code = static_cast<ErrorCode>(21);
  EXPECT_THAT(failure(failed), HasSubstr("unknown error code 21"));
  EXPECT_THAT(failure(msg::FetchReply{1, {{static_cast<msg::FetchStatus>(5), {}}}}),
              HasSubstr("unknown fetch status 5"));
  EXPECT_THAT(failure(msg::Query{1, static_cast<msg::QueryKind>(6), "x", 0}), HasSubstr("a query of unknown kind 6"));
  EXPECT_THAT(failure(msg::Command{1, static_cast<msg::CommandKind>(5), "x", 0, {}}),
              HasSubstr("a command of unknown kind 5"));
  EXPECT_THAT(failure(msg::Fetch{1, {{{}, {{0, 3, 0}}}}}), HasSubstr("a box with start 0, count 3, step 0"));
  EXPECT_THAT(failure(msg::Fetch{1, {{{}, {{1, 3, -1}}}}}), HasSubstr("a box with start 1, count 3, step -1"));
  EXPECT_THAT(failure(msg::Fetch{1, {{{}, {{0, std::int64_t{1} << 62, 4}}}}}), HasSubstr("a box with"));
  EXPECT_THAT(failure(msg::Fetch{1, {{{}, Box(17)}}}), HasSubstr("a box of 17 dimensions"));
  EXPECT_THAT(failure(msg::ReleaseWants{1, {{1, 0, 5, 4}}}), HasSubstr("wants from 5 to 4"));
}

TEST(Codec, RefusesLayersBeyondTheLimits) {
  const auto failure = [](Layer layer) {
    const msg::Message message = msg::DefineLayer{LayerId{1}, std::make_shared<Layer>(std::move(layer)), {}};
    return failure_of(Received(codec::encode(std::vector{message})));
  };
  Layer layer;
  layer.grid = {std::int64_t{1} << 16, std::int64_t{1} << 16};
  EXPECT_THAT(failure(layer), HasSubstr("a task grid (65536, 65536) is too large"));
  layer.grid = {3, -1};
  EXPECT_THAT(failure(layer), HasSubstr("a task grid (3, -1)"));
  layer.grid.assign(33, 1);
  EXPECT_THAT(failure(layer), HasSubstr("a task grid of 33 dimensions"));
  layer.grid = {4};
  layer.outputs = {{static_cast<DType>(13), {}}};
  EXPECT_THAT(failure(layer), HasSubstr("unknown dtype 13"));
  layer.outputs.clear();
  layer.inputs = {{0, 0, {4}, SeparableInput{{FanIn{0, 0}}}}};
  EXPECT_THAT(failure(layer), HasSubstr("fan-in by 0"));
  layer.inputs = {{0, 0, {4}, SeparableInput{{SameBlock{40}}}}};
  EXPECT_THAT(failure(layer), HasSubstr("axis 40"));
}

// Flips bits and overwrites words of valid control parts. Whatever comes of it: messages, or a ProtocolError.
TEST(Codec, AnyDamageIsAMessageOrAProtocolError) {
  std::mt19937_64 random(99);
  std::size_t refused = 0;
  constexpr int kRounds = 30000;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<msg::Message> batch;
    for (std::uint64_t i = 1 + random() % 3; i > 0; --i) batch.push_back(random_message(random));
    Received received(codec::encode(batch));
    for (std::uint64_t damage = 1 + random() % 4; damage > 0; --damage) {
      std::uint64_t& word = received.memory[random() % received.memory.size()];
      switch (random() % 4) {
        case 0:
          word = random();
          break;
        case 1:
          word = received.memory[random() % received.memory.size()];
          break;
        case 2:
          word += (random() % 5) << (8 * (random() % 8));
          break;
        default:
          word ^= std::uint64_t{1} << (random() % 64);
      }
    }
    if (random() % 8 == 0) received.size = 8 * (random() % (received.memory.size() + 1));
    std::vector<msg::Message> before(1);
    try {
      codec::decode({received.bytes(), received.size}, received.bulk, before);
      for (const msg::Message& message : before) (void)text_of(message);
    } catch (const ProtocolError&) {
      EXPECT_EQ(before.size(), 1);  // nothing of a bad frame is taken
      ++refused;
    }
  }
  EXPECT_GT(refused, kRounds / 20);
}

}  // namespace

}  // namespace tegula::test
