// What is particular to tcp: addresses, timeouts, the byte stream.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "comm/frame_reader.h"
#include "tests/comm/tcp_fixture.h"

namespace tegula::test {

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// ---- addresses

TEST_F(Tcp, ListensBeyondLoopbackOnlyWithATokenOrWhenTold) {
  try {
    world.listen("tcp://0.0.0.0:0");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tcp://0.0.0.0"));
    EXPECT_THAT(error.what(), HasSubstr("--insecure"));
  }
  world.server.token = "secret";
  world.listen("tcp://0.0.0.0:0");
  EXPECT_NE(parse_address(world.address()).port, 0);
  world.server.token.clear();
  world.server.insecure = true;
  world.listen("tcp://[::]:0");
  const std::string port = std::to_string(parse_address(world.address()).port);
  for (const std::string host : {"127.0.0.1", "[::1]", "localhost"}) {  // both families
    EXPECT_NE(world.try_connect("tcp://" + host + ":" + port, world.client).end, nullptr) << host;
  }
  ASSERT_TRUE(world.events.wait([&] { return world.accepted.size() == 3; }));
  EXPECT_THAT(world.accepted[0]->peer().address, HasSubstr("tcp://127.0.0.1:"));
}

TEST_F(Tcp, ConnectsBeyondLoopbackOnlyWithATokenOrWhenTold) {
  const Attempt attempt = world.try_connect("tcp://192.0.2.1:9", world.client);
  ASSERT_TRUE(attempt.error);
  EXPECT_EQ(attempt.error->code, ErrorCode::kAuthentication);
  EXPECT_THAT(attempt.error->message, HasSubstr("beyond loopback"));
}

TEST_F(Tcp, SaysWhatIsWrongWithAnAddress) {
  Attempt attempt = world.try_connect("tcp://no-such-host.invalid:9", world.client);
  ASSERT_TRUE(attempt.error);
  EXPECT_EQ(attempt.error->code, ErrorCode::kConnection);
  EXPECT_THAT(attempt.error->message, HasSubstr("cannot resolve 'no-such-host.invalid'"));
  EXPECT_THROW(world.listen("tcp://no-such-host.invalid:0"), ConnectionError);
  EXPECT_THROW(tegula::connect(world.client_loop(), "tcp://127.0.0.1", world.client, {}), ValueError);
}

// ---- time

TEST_F(Tcp, AConnectionThatIsIdleOnBothSidesLives) {
  world.server.idle_timeout = 300ms;  // the client, at its 60 s, adapts
  listen();
  auto [near, far] = world.connected();
  ASSERT_NE(far, nullptr);
  while (near->counters().frames_in < 6 || far->counters().frames_in < 6) {
    ASSERT_TRUE(near->closed.empty() && far->closed.empty());
  }
  EXPECT_EQ(near->counters().messages_in, 0);
}

TEST_F(Tcp, ASilentPeerIsGivenUp) {
  world.server.idle_timeout = 200ms;
  listen();
  const auto [peer, far] = greeted();
  ASSERT_TRUE(far->wait_closed());
  EXPECT_THAT(far->closed, testing::ElementsAre("nothing heard from the peer for 200 ms"));
}

TEST_F(Tcp, APeerThatReadsNothingIsGivenUp) {
  world.server.write_timeout = 200ms;
  listen();
  const auto [peer, far] = greeted();
  const Chunk chunk = Chunk::allocate(DType::kUInt8, {64 << 20});
  far->send(msg::FetchReply{1, {{msg::FetchStatus::kOk, chunk}}});
  ASSERT_TRUE(far->wait_closed());
  EXPECT_THAT(far->closed, testing::ElementsAre("the peer has read nothing for 200 ms"));
}

TEST_F(Tcp, AListenerThatSaysNothingTimesOut) {
  RawListener silent;
  world.client.connect_timeout = 200ms;
  const Attempt attempt = world.try_connect(silent.address(), world.client);
  ASSERT_TRUE(attempt.error);
  EXPECT_EQ(attempt.error->code, ErrorCode::kTimeout);
  EXPECT_THAT(attempt.error->message, HasSubstr(silent.address()));
}

TEST_F(Tcp, AListenerOfAnotherProtocolIsRecognised) {
  RawListener other;
  std::thread server([&] {
    RawPeer peer = other.accept();
    peer.send("SSH-2.0-OpenSSH_9.2\r\n");
    peer.receive_all();
  });
  const Attempt attempt = world.try_connect(other.address(), world.client);
  server.join();
  ASSERT_TRUE(attempt.error);
  EXPECT_EQ(attempt.error->code, ErrorCode::kConnection);
  EXPECT_THAT(attempt.error->message, HasSubstr("does not speak Tegula's protocol"));
}

TEST_F(Tcp, AListenerThatHangsUpIsNamed) {
  RawListener rude;
  std::thread server([&] { rude.accept(); });
  const Attempt attempt = world.try_connect(rude.address(), world.client);
  server.join();
  ASSERT_TRUE(attempt.error);
  EXPECT_EQ(attempt.error->code, ErrorCode::kConnection);
  EXPECT_THAT(attempt.error->message, HasSubstr("during the handshake"));
}

// ---- streams

TEST_F(Tcp, AHalfClosedConnectionIsClosed) {
  listen();
  auto [peer, far] = greeted();
  peer.send(frame_of({msg::GrantCredit{5}}));
  peer.shut_write();
  ASSERT_TRUE(far->wait_closed());
  EXPECT_EQ(far->messages.size(), 1);
  EXPECT_THAT(far->closed, testing::ElementsAre("the peer closed the connection"));
}

TEST_F(Tcp, AnEndInTheMiddleOfAMessageIsNoOrderlyEnd) {
  listen();
  auto [peer, far] = greeted();
  auto frame = frame_of({msg::GrantCredit{5}});
  frame.pop_back();
  peer.send(frame);
  peer.shut_write();
  ASSERT_TRUE(far->wait_closed());
  EXPECT_TRUE(far->messages.empty());
  EXPECT_THAT(far->closed, testing::ElementsAre("the connection ended in the middle of a message"));
}

TEST_F(Tcp, LastWordsAreReadEvenWhenOursNoLongerArrive) {
  listen();
  for (int round = 0; round < 20; ++round) {
    auto [peer, far] = greeted();
    far->on_loop([&, peer = &peer, end = far] {
      peer->send(frame_of({msg::WorkerLeaving{"farewell"}}));
      { RawPeer gone = std::move(*peer); }
      // The peer's kernel answers the first with a reset; the second write fails.
      end->connection().send(msg::GrantCredit{1});
      world.server_loop().post([end] { end->connection().send(msg::GrantCredit{2}); });
    });
    ASSERT_TRUE(far->wait_closed());
    ASSERT_EQ(far->messages.size(), 1) << far->closed[0];
  }
}

TEST_F(Tcp, MessagesWaitingForASlowPeerShareFrames) {
  listen();
  auto [peer, far] = greeted();
  far->send(msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kUInt8, {64 << 20})}}});
  constexpr std::uint64_t kMessages = 300;
  for (std::uint64_t i = 0; i < kMessages; ++i) far->send(msg::GrantCredit{i});  // a turn each
  EXPECT_GE(far->counters().queued_bytes, kMessages * 40);
  far->close();
  const auto stream = peer.receive_all();
  FrameReader reader({1 << 30, 1 << 30}, &Buffer::allocate);
  std::vector<msg::Message> batch;
  reader.feed(stream, batch);
  ASSERT_EQ(batch.size(), kMessages + 1);
  EXPECT_LE(reader.frames_in(), 3);
  for (std::uint64_t i = 0; i < kMessages; ++i) EXPECT_EQ(std::get<msg::GrantCredit>(batch[i + 1]).slots, i);
}

TEST_F(Tcp, ReceivedChunksLieInMemoryOfTheAllocator) {
  std::mutex mutex;
  std::vector<const void*> given;
  world.server.allocator = [&](std::size_t size) {
    Buffer buffer = Buffer::allocate(size);
    std::lock_guard lock(mutex);
    given.push_back(buffer.data());
    return buffer;
  };
  listen();
  auto [near, far] = world.connected();
  near->send(msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kUInt8, {1 << 20})}}});
  ASSERT_TRUE(far->wait_messages(1));
  const auto& chunk = std::get<msg::FetchReply>(far->messages[0]).items[0].chunk;
  EXPECT_THAT(given, testing::ElementsAre(chunk.data()));
}

TEST_F(Tcp, AnAllocatorThatHasNoMemoryEndsTheConnection) {
  world.server.allocator = [](std::size_t) -> Buffer { throw std::bad_alloc(); };
  listen();
  auto [near, far] = world.connected();
  near->send(msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kUInt8, {100})}}});
  ASSERT_TRUE(far->wait_closed());
  EXPECT_THAT(far->closed, testing::ElementsAre("no memory for a message from the peer"));
}

TEST_F(Tcp, AMessageThatThePeerDoesNotTakeEndsTheConnection) {
  world.server.max_control_bytes = 10000;
  world.server.max_bulk_bytes = 1000;
  listen();
  const msg::Message control = msg::Shutdown{std::string(20000, 'x')};
  const msg::Message bulk = msg::FetchReply{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kUInt8, {2000})}}};
  for (const msg::Message* large : {&control, &bulk}) {
    auto [near, far] = world.connected();
    ASSERT_NE(far, nullptr);
    std::optional<std::string> excess;
    near->on_loop([&, &end = *near] {
      EXPECT_EQ(end.connection().excess(msg::Shutdown{"short"}), std::nullopt);
      excess = end.connection().excess(*large);
      end.connection().send(*large);
      end.connection().send(msg::Shutdown{"short"});  // no-op
    });
    ASSERT_TRUE(excess);
    EXPECT_THAT(*excess, HasSubstr(large == &control ? "(10000)" : "2000 bytes in 1 chunks"));
    ASSERT_TRUE(near->wait_closed());
    EXPECT_THAT(near->closed, testing::ElementsAre(*excess));
    ASSERT_TRUE(far->wait_closed());
    EXPECT_TRUE(far->messages.empty());
  }
}

}  // namespace

}  // namespace tegula::test
