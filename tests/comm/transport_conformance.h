// What every transport does. A new transport adds one line to transports_test.cc and passes all of this.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <ostream>
#include <random>
#include <string>

#include "tests/comm/comm_world.h"
#include "tests/comm/random_messages.h"

namespace tegula::test {

struct TransportUnderTest {
  std::string name;
  std::string listen_address;
  bool two_loops = false;
  friend void PrintTo(const TransportUnderTest& transport, std::ostream* to) { *to << transport.name; }
};

class TransportConformance : public testing::TestWithParam<TransportUnderTest> {
 protected:
  TransportConformance() : world(GetParam().two_loops) {}
  void listen() { world.listen(GetParam().listen_address); }
  World world;
};

inline msg::GrantCredit numbered(std::uint64_t number) { return {number}; }

inline std::vector<std::uint64_t> numbers(const std::vector<msg::Message>& messages) {
  std::vector<std::uint64_t> result;
  for (const msg::Message& message : messages) result.push_back(std::get<msg::GrantCredit>(message).slots);
  return result;
}

inline std::vector<std::uint64_t> counting(std::uint64_t end) {
  std::vector<std::uint64_t> result(end);
  std::iota(result.begin(), result.end(), 0);
  return result;
}

TEST_P(TransportConformance, MessagesArriveInOrderBothWays) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    near->send(numbered(i));
    far->send(numbered(i));
  }
  ASSERT_TRUE(far->wait_messages(1000));
  ASSERT_TRUE(near->wait_messages(1000));
  EXPECT_EQ(numbers(far->messages), counting(1000));
  EXPECT_EQ(numbers(near->messages), counting(1000));
}

TEST_P(TransportConformance, WhatOneTurnSendsArrivesAsOneBatch) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  near->on_loop([&, &end = *near] {
    for (std::uint64_t i = 0; i < 100; ++i) end.connection().send(numbered(i));
  });
  ASSERT_TRUE(far->wait_messages(100));
  EXPECT_THAT(far->batches, testing::ElementsAre(100));
  EXPECT_EQ(far->counters().frames_in, 1);
  EXPECT_EQ(near->counters().frames_out, 1);
  EXPECT_EQ(near->counters().messages_out, 100);
  EXPECT_EQ(far->counters().messages_in, 100);
}

inline msg::FetchReply reply_with(std::uint64_t request, std::vector<Chunk> chunks) {
  msg::FetchReply reply{request, {}};
  for (Chunk& chunk : chunks) reply.items.push_back({msg::FetchStatus::kOk, std::move(chunk)});
  return reply;
}

TEST_P(TransportConformance, ChunksOfAnySizeArriveIntactBothWays) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  std::mt19937_64 random(1);
  std::vector<msg::Message> sent;
  for (const std::int64_t size : {0, 1, 7, 4096, 100000, 1 << 20, 20 << 20}) {
    Chunk chunk = Chunk::allocate(DType::kUInt8, {size});
    std::generate_n(chunk.mutable_data(), chunk.nbytes(), [&] { return static_cast<std::byte>(random()); });
    sent.push_back(reply_with(1, {chunk, chunk}));
    sent.push_back(numbered(static_cast<std::uint64_t>(size)));
  }
  for (const msg::Message& message : sent) {
    near->send(message);
    far->send(message);
  }
  ASSERT_TRUE(near->wait_messages(sent.size()));
  ASSERT_TRUE(far->wait_messages(sent.size()));
  for (std::size_t i = 0; i < sent.size(); ++i) {
    EXPECT_EQ(text_of(near->messages[i]) == text_of(sent[i]), true) << i;
    EXPECT_EQ(text_of(far->messages[i]) == text_of(sent[i]), true) << i;
  }
}

TEST_P(TransportConformance, LargeSendsBothWaysAtOnceDoNotBlockEachOther) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  const Chunk chunk = Chunk::allocate(DType::kUInt8, {4 << 20});
  for (End* end : {near.get(), far}) {
    end->on_loop([&] {
      for (std::uint64_t i = 0; i < 8; ++i) end->connection().send(reply_with(i, {chunk}));
    });
  }
  EXPECT_TRUE(near->wait_messages(8));
  EXPECT_TRUE(far->wait_messages(8));
}

TEST_P(TransportConformance, AnyMessageArrivesAsSent) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  std::mt19937_64 random(2);
  std::vector<msg::Message> sent;
  for (std::size_t i = 0; i < 3 * std::variant_size_v<msg::MessageAlternatives>; ++i) {
    sent.push_back(random_message(random, i % std::variant_size_v<msg::MessageAlternatives>));
    near->send(sent.back());
  }
  ASSERT_TRUE(far->wait_messages(sent.size()));
  for (std::size_t i = 0; i < sent.size(); ++i) ASSERT_EQ(text_of(far->messages[i]), text_of(sent[i]));
}

TEST_P(TransportConformance, EachSideKnowsTheOther) {
  world.client.incarnation = Incarnation{77};
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  EXPECT_EQ(near->peer().role, Role::kScheduler);
  EXPECT_EQ(near->peer().name, "the scheduler");
  EXPECT_EQ(near->peer().incarnation, Incarnation{77});
  EXPECT_EQ(near->peer().address, world.address());
  EXPECT_EQ(far->peer().role, Role::kWorker);
  EXPECT_EQ(far->peer().name, "a worker");
  EXPECT_EQ(parse_address(far->peer().address).scheme, parse_address(world.address()).scheme);
}

TEST_P(TransportConformance, ManyConnectionsAtOnce) {
  listen();
  constexpr std::size_t kConnections = 60;
  world.on_accept = [](End& end) {
    // Echoes.
    end.on_batch = [&end](std::vector<msg::Message>& batch) {
      for (const msg::Message& message : batch) end.connection().send(message);
    };
  };
  std::vector<std::unique_ptr<End>> ends;
  for (std::size_t i = 0; i < kConnections; ++i) {
    Attempt attempt = world.try_connect();
    ASSERT_NE(attempt.end, nullptr);
    ends.push_back(std::move(attempt.end));
  }
  for (std::uint64_t round = 0; round < 10; ++round) {
    for (auto& end : ends) end->send(numbered(round));
  }
  for (auto& end : ends) {
    ASSERT_TRUE(end->wait_messages(10));
    EXPECT_EQ(numbers(end->messages), counting(10));
  }
}

// ---- the end of a connection

TEST_P(TransportConformance, CloseFlushesAndTellsThePeerOnceAndLast) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  const Chunk chunk = Chunk::allocate(DType::kUInt8, {3 << 20});
  near->on_loop([&, &end = *near] {
    for (std::uint64_t i = 0; i < 500; ++i) end.connection().send(numbered(i));
    end.connection().send(reply_with(1, {chunk}));
    end.connection().close();
    end.connection().send(numbered(1000));  // too late
    end.connection().close();
  });
  ASSERT_TRUE(far->wait_closed());
  EXPECT_EQ(far->messages.size(), 501);
  EXPECT_THAT(far->closed, testing::ElementsAre("the peer closed the connection"));
  far->send(numbered(1));  // no-op
  far->settle();
  near->settle();
  EXPECT_THAT(far->closed, testing::SizeIs(1));
  EXPECT_THAT(near->closed, testing::IsEmpty());
  EXPECT_THAT(near->messages, testing::IsEmpty());
}

TEST_P(TransportConformance, DroppingTheHandleClosesToo) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  near->on_loop([&, &end = *near] {
    end.connection().send(numbered(0));
    end.handle().reset();
  });
  ASSERT_TRUE(far->wait_closed());
  EXPECT_EQ(numbers(far->messages), counting(1));
}

TEST_P(TransportConformance, CloseInAHandlerEndsDelivery) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  far->on_loop([end = far] { end->on_batch = [end](std::vector<msg::Message>&) { end->connection().close(); }; });
  near->send(numbered(0));
  near->send(numbered(1));
  near->send(numbered(2));
  ASSERT_TRUE(near->wait_closed());
  far->settle();
  EXPECT_THAT(far->batches, testing::SizeIs(1));
  EXPECT_THAT(far->closed, testing::IsEmpty());
}

TEST_P(TransportConformance, AHandlerMayDestroyItsConnection) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  auto witness = std::make_shared<int>(0);
  far->on_loop([&, end = far] {
    end->connection().on_messages = [end, witness](std::vector<msg::Message>) {
      end->handle().reset();
      ++*witness;  // what the handler captured is still there
    };
  });
  near->send(numbered(0));
  near->send(numbered(1));
  ASSERT_TRUE(near->wait_closed());
  far->settle();
  EXPECT_EQ(witness.use_count(), 1);
  EXPECT_EQ(*witness, 1);
}

TEST_P(TransportConformance, TheClosedHandlerMayDestroyItsConnection) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  bool called = false;
  far->on_loop([&, end = far] {
    end->connection().on_closed = [&, end](const std::string& reason) {
      const std::string before = reason;
      end->handle().reset();
      EXPECT_EQ(reason, before);
      world.events.record([&] { called = true; });
    };
  });
  near->close();
  EXPECT_TRUE(world.events.wait([&] { return called; }));
}

TEST_P(TransportConformance, BothMayCloseAtOnce) {
  listen();
  for (int round = 0; round < 20; ++round) {
    auto [near, far] = world.connected();
    ASSERT_NE(far, nullptr);
    if (round % 2 == 0) {
      near->send(numbered(0));
      far->send(numbered(0));
    }
    near->close();
    far->close();
    near->settle();
    far->settle();
    EXPECT_LE(near->closed.size(), 1);
    EXPECT_LE(far->closed.size(), 1);
  }
}

TEST_P(TransportConformance, AnOverfullQueueDropsThePeer) {
  world.client.max_queued_control_bytes = 1 << 20;
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  near->on_loop([&, &end = *near] {
    for (int i = 0; i < 40; ++i) end.connection().send(msg::Shutdown{std::string(100000, 'x')});
  });
  ASSERT_TRUE(near->wait_closed());
  EXPECT_THAT(near->closed, testing::ElementsAre(testing::HasSubstr("does not keep up: more than 1048576 bytes")));
  EXPECT_TRUE(far->wait_closed());
}

TEST_P(TransportConformance, QueuedBytesAreCountedUntilTheyLeave) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  near->on_loop([&, &end = *near] {
    end.connection().send(msg::Shutdown{std::string(1000, 'x')});
    EXPECT_GE(end.connection().counters().queued_bytes, 1000);
  });
  ASSERT_TRUE(far->wait_messages(1));
  EXPECT_EQ(near->counters().queued_bytes, 0);
}

// ---- listening

TEST_P(TransportConformance, AcceptedConnectionsOutliveTheListener) {
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  const std::string address = world.address();
  world.stop_listening();
  near->send(numbered(0));
  EXPECT_TRUE(far->wait_messages(1));
  const Attempt late = world.try_connect(address, world.client);
  ASSERT_TRUE(late.error);
  EXPECT_EQ(late.error->code, ErrorCode::kConnection);
  EXPECT_THAT(late.error->message, testing::HasSubstr("cannot connect to " + address));
}

TEST_P(TransportConformance, AnAddressInUseIsNamed) {
  listen();
  try {
    (void)tegula::listen(world.server_loop(), world.address(), world.server, [](ConnectionPtr) {});
    FAIL();
  } catch (const ConnectionError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("cannot listen on " + world.address()));
    EXPECT_THAT(error.what(), testing::HasSubstr("in use"));
  }
}

TEST_P(TransportConformance, TheListenerMayGoInItsOwnAcceptHandler) {
  std::unique_ptr<Listener> listener;
  ConnectionPtr accepted;
  bool called = false;
  listener =
      tegula::listen(world.server_loop(), GetParam().listen_address, world.server, [&](ConnectionPtr connection) {
        accepted = std::move(connection);
        listener.reset();
        world.events.record([&] { called = true; });
      });
  const Attempt attempt = world.try_connect(listener->address(), world.client);
  EXPECT_NE(attempt.end, nullptr);
  EXPECT_TRUE(world.events.wait([&] { return called; }));
  world.server_loop().run_and_wait([&] { accepted.reset(); });
}

// ---- who may connect

TEST_P(TransportConformance, TokensMustAgree) {
  world.server.token = "the secret";
  listen();
  world.client.token = "the secret";
  EXPECT_NE(world.try_connect().end, nullptr);
  for (const char* token : {"another", ""}) {
    world.client.token = token;
    const Attempt attempt = world.try_connect();
    ASSERT_TRUE(attempt.error);
    EXPECT_EQ(attempt.error->code, ErrorCode::kAuthentication);
    EXPECT_THAT(attempt.error->message, testing::HasSubstr("token"));
  }
  world.client.token = "the secret";
  EXPECT_NE(world.try_connect().end, nullptr);
  EXPECT_TRUE(world.events.wait([&] { return world.accepted.size() == 2; }));
}

TEST_P(TransportConformance, ATokenThatTheListenerDoesNotKnowIsRefused) {
  listen();
  world.client.token = "the secret";
  const Attempt attempt = world.try_connect();
  ASSERT_TRUE(attempt.error);
  EXPECT_EQ(attempt.error->code, ErrorCode::kAuthentication);
}

TEST_P(TransportConformance, OtherVersionsAreRefusedNamingBoth) {
  world.server.protocol_version = 3;
  listen();
  for (const std::uint16_t version : {2, 4}) {
    world.client.protocol_version = version;
    const Attempt attempt = world.try_connect();
    ASSERT_TRUE(attempt.error);
    EXPECT_EQ(attempt.error->code, ErrorCode::kVersion);
    EXPECT_THAT(attempt.error->message, testing::HasSubstr("version 3"));
    EXPECT_THAT(attempt.error->message, testing::HasSubstr("version " + std::to_string(version)));
  }
}

TEST_P(TransportConformance, AnotherLifeOfTheSchedulerIsRefused) {
  listen();
  world.client.incarnation = Incarnation{78};
  const Attempt attempt = world.try_connect();
  ASSERT_TRUE(attempt.error);
  EXPECT_EQ(attempt.error->code, ErrorCode::kConnection);
  EXPECT_THAT(attempt.error->message, testing::HasSubstr("another life of the scheduler"));
}

// ---- loops that go first

TEST_P(TransportConformance, ConnectionsMayOutliveTheirLoop) {
  for (const bool server_first : {true, false}) {
    auto server_loop = std::make_unique<EventLoop>(), client_loop = std::make_unique<EventLoop>();
    server_loop->start("test-server");
    client_loop->start("test-client");
    Events events;
    ConnectionPtr near, far;
    std::vector<std::string> closed;
    auto listener =
        tegula::listen(*server_loop, GetParam().listen_address, world.server, [&](ConnectionPtr connection) {
          events.record([&] { far = std::move(connection); });
          far->on_closed = [&](const std::string& reason) { events.record([&] { closed.push_back(reason); }); };
          far->send(numbered(0));
        });
    tegula::connect(
        *client_loop, listener->address(), world.client, [&](ConnectionPtr connection, std::optional<ErrorInfo>) {
          events.record([&] { near = std::move(connection); });
          near->on_closed = [&](const std::string& reason) { events.record([&] { closed.push_back(reason); }); };
          near->send(numbered(0));
        });
    ASSERT_TRUE(events.wait([&] { return near && far; }));
    (server_first ? server_loop : client_loop).reset();
    EXPECT_TRUE(events.wait([&] { return !closed.empty(); }));  // the other side hears of it
    (server_first ? near : far)->send(numbered(1));             // no-ops
    (server_first ? client_loop : server_loop).reset();
    near->send(numbered(2));
    far->close();
    EXPECT_EQ(closed.size(), 1);
    near.reset();
    far.reset();
    listener.reset();
  }
}

TEST_P(TransportConformance, ALoopThatGoesDropsTheConnectHandler) {
  listen();
  auto witness = std::make_shared<int>(1);
  for (int turns = 0; turns < 3; ++turns) {
    EventLoop loop;
    tegula::connect(loop, world.address(), world.client, [witness](ConnectionPtr, std::optional<ErrorInfo>) {});
    for (int i = 0; i < turns; ++i) {
      loop.post([&] { loop.stop(); });
      loop.run();
    }
  }
  EXPECT_EQ(witness.use_count(), 1);
}

}  // namespace tegula::test
