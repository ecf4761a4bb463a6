#include "comm/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace tegula::test {

namespace {

using testing::HasSubstr;
using Bytes = std::vector<std::byte>;

CommOptions options_of(Role role, const std::string& token = "", std::uint64_t incarnation = 0) {
  CommOptions options;
  options.role = role;
  options.name = role == Role::kScheduler ? "main" : "w1";
  options.token = token;
  options.incarnation = Incarnation{incarnation};
  return options;
}

Bytes bytes_of(const std::string& text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

struct Pair {
  Handshake connector, acceptor;
  std::vector<Bytes> sent;  // what went either way, in turn, the connector's first

  Pair(const CommOptions& near, const CommOptions& far)
      : connector(Handshake::Side::kConnector, near, "tcp://scheduler:1"),
        acceptor(Handshake::Side::kAcceptor, far, "tcp://worker:2") {}

  // Carries bytes until nobody has anything to say. `change` may alter each flight.
  template <typename F>
  void run(F change) {
    for (std::size_t flight = 0;; ++flight) {
      Handshake& from = flight % 2 == 0 ? connector : acceptor;
      Handshake& to = flight % 2 == 0 ? acceptor : connector;
      Bytes bytes = from.take_output();
      if (bytes.empty()) return;
      sent.push_back(bytes);
      change(flight, bytes);
      to.feed(bytes);
    }
  }
  void run() {
    run([](std::size_t, Bytes&) {});
  }
  bool agreed() const { return connector.done() && acceptor.done() && !connector.error() && !acceptor.error(); }
};

TEST(Handshake, IntroducesBothSides) {
  CommOptions near = options_of(Role::kWorker, "secret"), far = options_of(Role::kScheduler, "secret", 42);
  near.max_control_bytes = 1000;
  far.idle_timeout = std::chrono::seconds(7);
  Pair pair(near, far);
  pair.run();
  ASSERT_TRUE(pair.agreed());
  EXPECT_EQ(pair.sent.size(), 4);
  EXPECT_EQ(pair.connector.peer().role, Role::kScheduler);
  EXPECT_EQ(pair.connector.peer().name, "main");
  EXPECT_EQ(pair.connector.peer().incarnation, Incarnation{42});
  EXPECT_EQ(pair.connector.peer().idle_timeout_ms, 7000);
  EXPECT_EQ(pair.acceptor.peer().role, Role::kWorker);
  EXPECT_EQ(pair.acceptor.peer().name, "w1");
  EXPECT_EQ(pair.acceptor.peer().incarnation, Incarnation{});
  EXPECT_EQ(pair.acceptor.peer().max_control_bytes, 1000);
}

TEST(Handshake, TakesBytesOneByOneAndLeavesWhatFollows) {
  Pair pair(options_of(Role::kClient, "t"), options_of(Role::kScheduler, "t"));
  for (const std::byte byte : pair.connector.take_output()) {
    EXPECT_EQ(pair.acceptor.feed({&byte, 1}), 1);
  }
  for (const std::byte byte : pair.acceptor.take_output()) pair.connector.feed({&byte, 1});
  Bytes proof = pair.connector.take_output();
  const std::size_t size = proof.size();
  proof.resize(size + 100);
  EXPECT_EQ(pair.acceptor.feed(proof), size);
  EXPECT_TRUE(pair.acceptor.done());
}

TEST(Handshake, WithoutTokensOnBothSidesThereIsNoProof) {
  Pair pair(options_of(Role::kClient), options_of(Role::kScheduler));
  pair.run();
  EXPECT_TRUE(pair.agreed());
}

struct Refusal {
  ErrorCode connector, acceptor;
  std::string connector_says;
};
Refusal refusal(const CommOptions& near, const CommOptions& far) {
  Pair pair(near, far);
  pair.run();
  EXPECT_FALSE(pair.connector.done());
  EXPECT_FALSE(pair.acceptor.done());
  if (!pair.connector.error() || !pair.acceptor.error()) {
    ADD_FAILURE() << "one side knows nothing of the failure";
    return {};
  }
  return {pair.connector.error()->code, pair.acceptor.error()->code, pair.connector.error()->message};
}

TEST(Handshake, RefusesOtherTokens) {
  for (const auto& [near, far, words] :
       {std::tuple{"right", "wrong", "is not the one"}, std::tuple{"", "secret", "gave no cluster token"},
        std::tuple{"secret", "", "knows none"}}) {
    const Refusal refused = refusal(options_of(Role::kWorker, near), options_of(Role::kScheduler, far));
    EXPECT_EQ(refused.connector, ErrorCode::kAuthentication);
    EXPECT_EQ(refused.acceptor, ErrorCode::kAuthentication);
    EXPECT_THAT(refused.connector_says, HasSubstr(words));
  }
}

TEST(Handshake, RefusesOtherVersionsNamingBoth) {
  for (const bool older : {true, false}) {
    CommOptions near = options_of(Role::kWorker), far = options_of(Role::kScheduler);
    (older ? near : far).protocol_version = 7;
    (older ? far : near).protocol_version = 9;
    const Refusal refused = refusal(near, far);
    EXPECT_EQ(refused.connector, ErrorCode::kVersion);
    EXPECT_EQ(refused.acceptor, ErrorCode::kVersion);
    EXPECT_THAT(refused.connector_says, testing::AllOf(HasSubstr("version 7"), HasSubstr("version 9")));
  }
}

TEST(Handshake, RefusesAnotherLifeOfTheScheduler) {
  const Refusal refused = refusal(options_of(Role::kWorker, "t", 5), options_of(Role::kScheduler, "t", 6));
  EXPECT_EQ(refused.connector, ErrorCode::kConnection);
  EXPECT_THAT(refused.connector_says, HasSubstr("another life of the scheduler"));
}

TEST(Handshake, RefusesOtherProtocolsAtTheirFirstBytes) {
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\r\n"), std::string("\0\0\0\0", 4), std::string("TEGULA\r\r")}) {
    Handshake acceptor(Handshake::Side::kAcceptor, options_of(Role::kScheduler), "tcp://stranger:1");
    acceptor.feed(bytes_of(text));
    ASSERT_TRUE(acceptor.error());
    EXPECT_EQ(acceptor.error()->code, ErrorCode::kConnection);
    EXPECT_THAT(acceptor.error()->message, HasSubstr("does not speak Tegula's protocol (version 1 here)"));
    EXPECT_FALSE(acceptor.take_output().empty());
  }
}

TEST(Handshake, RefusesLargeRecordsBeforeTheyArrive) {
  Pair pair(options_of(Role::kWorker), options_of(Role::kScheduler));
  Bytes hello = pair.connector.take_output();
  const std::uint32_t size = 4097;
  std::memcpy(hello.data() + 12, &size, 4);
  pair.acceptor.feed(std::span(hello).first(16));
  ASSERT_TRUE(pair.acceptor.error());
  EXPECT_THAT(pair.acceptor.error()->message, HasSubstr("record of 4097 bytes"));
}

TEST(Handshake, AReflectedSessionIsNoProof) {
  // A stranger without the token connects twice and gives each acceptor what the other said; or just echoes.
  Handshake acceptor(Handshake::Side::kAcceptor, options_of(Role::kScheduler, "secret"), "tcp://stranger:1");
  Handshake victim(Handshake::Side::kConnector, options_of(Role::kWorker, "secret"), "tcp://stranger:2");
  Bytes hello = victim.take_output();
  acceptor.feed(hello);
  Bytes challenge = acceptor.take_output();
  // Back to the connector as if from an acceptor: its own hello with the kind changed.
  Bytes echoed = hello;
  echoed[10] = std::byte{1};
  victim.feed(echoed);
  Bytes proof = victim.take_output();
  // The connector's proof, sent back as the acceptor's.
  proof[10] = std::byte{3};
  victim.feed(proof);
  ASSERT_TRUE(victim.error());
  EXPECT_EQ(victim.error()->code, ErrorCode::kAuthentication);
  // And to the acceptor, which gave another challenge.
  proof[10] = std::byte{2};
  acceptor.feed(proof);
  ASSERT_TRUE(acceptor.error());
  EXPECT_EQ(acceptor.error()->code, ErrorCode::kAuthentication);
}

TEST(Handshake, AReplayedSessionIsNoProof) {
  Pair seen(options_of(Role::kWorker, "secret"), options_of(Role::kScheduler, "secret"));
  seen.run();
  ASSERT_TRUE(seen.agreed());
  Handshake acceptor(Handshake::Side::kAcceptor, options_of(Role::kScheduler, "secret"), "tcp://stranger:1");
  acceptor.feed(seen.sent[0]);
  acceptor.feed(seen.sent[2]);
  ASSERT_TRUE(acceptor.error());
  EXPECT_EQ(acceptor.error()->code, ErrorCode::kAuthentication);
  Handshake connector(Handshake::Side::kConnector, options_of(Role::kWorker, "secret"), "tcp://stranger:1");
  connector.feed(seen.sent[1]);
  connector.feed(seen.sent[3]);
  ASSERT_TRUE(connector.error());
  EXPECT_EQ(connector.error()->code, ErrorCode::kAuthentication);
}

// With a token every byte of the handshake is either checked or proved: one changed bit anywhere and the two never
// agree.
TEST(Handshake, AnyChangedBitEndsIt) {
  std::mt19937_64 random(3);
  for (std::size_t flight = 0; flight < 4; ++flight) {
    for (int round = 0; round < 400; ++round) {
      Pair pair(options_of(Role::kWorker, "secret", 5), options_of(Role::kScheduler, "secret", 5));
      std::size_t bit = 0;
      pair.run([&](std::size_t now, Bytes& bytes) {
        if (now != flight) return;
        bit = random() % (bytes.size() * 8);
        bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
      });
      ASSERT_FALSE(pair.agreed()) << "flight " << flight << ", bit " << bit;
    }
  }
}

TEST(Handshake, AnyBytesAreTakenWithoutHarm) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 3000; ++round) {
    Pair pair(options_of(Role::kWorker, "secret"), options_of(Role::kScheduler, "secret"));
    const std::size_t flight = random() % 4;
    pair.run([&](std::size_t now, Bytes& bytes) {
      if (now != flight) return;
      for (std::uint64_t i = 1 + random() % 8; i > 0; --i)
        bytes[8 + random() % (bytes.size() - 8)] = static_cast<std::byte>(random());
      if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    });
    if (pair.connector.error()) {
      for (const char c : pair.connector.error()->message) ASSERT_GE(static_cast<unsigned char>(c), 0x20);
    }
  }
}

}  // namespace

}  // namespace tegula::test
