// Strangers and broken peers. Whatever they send ends their connection; nobody else notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <tuple>

#include "comm/frame.h"
#include "comm/handshake.h"
#include "tests/comm/random_messages.h"
#include "tests/comm/tcp_fixture.h"

namespace tegula::test {

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

// A listener with a connection of somebody well-behaved, who must notice nothing of what strangers do.
class HostileTcp : public Tcp {
 protected:
  void SetUp() override {
    world.server.token = world.client.token = "the secret";
    world.server.max_control_bytes = 16 << 20;
    listen();
    std::tie(near, far) = world.connected();
    ASSERT_NE(far, nullptr);
  }
  void TearDown() override {
    near->send(msg::GrantCredit{1});
    EXPECT_TRUE(far->wait_messages(1));
    EXPECT_TRUE(near->closed.empty());
    EXPECT_TRUE(far->closed.empty());
    EXPECT_NE(world.try_connect().end, nullptr);  // and the listener still listens
  }
  std::unique_ptr<End> near;
  End* far = nullptr;
};

TEST_F(HostileTcp, GarbageInsteadOfAHandshake) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 50; ++round) {
    RawPeer peer(world.address());
    std::vector<std::byte> garbage(1 + random() % 20000);
    for (std::byte& byte : garbage) byte = static_cast<std::byte>(random());
    peer.send(garbage);
    peer.shut_write();
    peer.receive_all();
  }
  RawPeer browser(world.address());
  browser.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto answer = browser.receive_all();
  const std::string text(reinterpret_cast<const char*>(answer.data()), answer.size());
  EXPECT_THAT(text, HasSubstr("does not speak Tegula's protocol"));
}

TEST_F(HostileTcp, HandshakesThatNeverEnd) {
  world.server.connect_timeout = 300ms;
  world.listen("tcp://127.0.0.1:0");
  std::vector<RawPeer> strangers;
  for (int i = 0; i < 300; ++i) {  // more than may shake hands at a time
    strangers.emplace_back(world.address());
    if (i % 2 == 0) strangers.back().send("TEGULA\r");
  }
  EXPECT_NE(world.try_connect().end, nullptr);  // waits its turn, and gets it
  for (RawPeer& stranger : strangers) stranger.receive_all();
}

TEST_F(HostileTcp, HandshakesCutOffAnywhere) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 60; ++round) {
    Handshake handshake(Handshake::Side::kConnector, world.client, "x");
    auto hello = handshake.take_output();
    hello.resize(random() % hello.size());
    RawPeer peer(world.address());
    peer.send(hello);
  }
}

TEST_F(HostileTcp, FramesWithHugeSizes) {
  const std::size_t before = resident_bytes();
  for (const std::uint32_t control : {std::uint32_t{0xfffffff8}, std::uint32_t{17 << 20}}) {
    auto [peer, end] = greeted();
    std::vector<std::byte> header(kFrameHeaderSize);
    write_frame_header(header, control, 0);
    peer.send(header);
    ASSERT_TRUE(end->wait_closed());
    EXPECT_THAT(end->closed[0], HasSubstr("control bytes (at most"));
  }
  for (const std::uint64_t bulk : {~std::uint64_t{0}, std::uint64_t{17} << 30}) {
    auto [peer, end] = greeted();
    std::vector<std::byte> header(kFrameHeaderSize + 8);
    std::memcpy(header.data() + kFrameHeaderSize, &bulk, 8);
    write_frame_header(header, 64, 1);
    peer.send(header);
    ASSERT_TRUE(end->wait_closed());
    EXPECT_THAT(end->closed[0], HasSubstr("bulk buffers of more than"));
  }
  {
    // Within the limits, but nothing comes: no memory is spent on the promise.
    std::vector<std::pair<RawPeer, End*>> peers;
    for (int i = 0; i < 30; ++i) {
      peers.push_back(greeted());
      std::vector<std::byte> header(kFrameHeaderSize);
      write_frame_header(header, 15 << 20, 0);
      peers.back().first.send(header);
      peers.back().first.shut_write();
      ASSERT_TRUE(peers.back().second->wait_closed());
    }
  }
  EXPECT_LT(resident_bytes(), before + (100 << 20));
}

TEST_F(HostileTcp, FramesWithFlippedBits) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 150; ++round) {
    auto [peer, end] = greeted();
    std::vector<std::byte> stream;
    for (int frame = 0; frame < 3; ++frame) {
      const auto bytes =
          frame_of({random_message(random), msg::FetchReply{1, {{msg::FetchStatus::kOk, random_chunk(random, 40)}}}});
      stream.insert(stream.end(), bytes.begin(), bytes.end());
    }
    const std::size_t bit = random() % (stream.size() * 8);
    stream[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    if (random() % 3 == 0) stream.resize(random() % stream.size());
    peer.send(stream);
    peer.shut_write();
    ASSERT_TRUE(end->wait_closed());  // as broken, or as ended
  }
}

TEST_F(HostileTcp, PeersThatSayTheyTakeNothing) {
  CommOptions nothing = world.client;
  nothing.max_control_bytes = 0;
  nothing.max_bulk_bytes = 0;
  const Attempt attempt = world.try_connect(world.address(), nothing);
  ASSERT_NE(attempt.end, nullptr);
  ASSERT_TRUE(world.events.wait([&] { return world.accepted.size() == 2; }));
  End* const end = world.events.read([&] { return world.accepted[1].get(); });
  end->send(msg::GrantCredit{1});
  ASSERT_TRUE(end->wait_closed());
  EXPECT_THAT(end->closed[0], HasSubstr("more than the peer takes in one frame (0)"));
}

TEST_F(HostileTcp, ManyConnectionsDroppedAtOnce) {
  std::vector<std::pair<RawPeer, End*>> peers;
  for (int i = 0; i < 100; ++i) peers.push_back(greeted());
  std::vector<End*> ends;
  for (auto& [peer, end] : peers) ends.push_back(end);
  peers.clear();
  for (End* end : ends) EXPECT_TRUE(end->wait_closed());
}

}  // namespace

}  // namespace tegula::test
