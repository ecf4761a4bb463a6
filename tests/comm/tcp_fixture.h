// What tests of tcp share: frames as bytes, and raw peers that have shaken hands.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "comm/frame_writer.h"
#include "tests/comm/comm_world.h"
#include "tests/comm/raw_peer.h"

namespace tegula::test {

inline std::vector<std::byte> frame_of(const std::vector<msg::Message>& batch) {
  FrameWriter writer({1 << 30, 1 << 30});
  for (const msg::Message& message : batch) writer.add(message);
  writer.encode();
  std::vector<std::byte> stream;
  while (writer.has_frames()) {
    std::array<iovec, 16> vectors;
    const std::size_t used = writer.next(vectors);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < used; ++i) {
      const auto* data = static_cast<const std::byte*>(vectors[i].iov_base);
      stream.insert(stream.end(), data, data + vectors[i].iov_len);
      bytes += vectors[i].iov_len;
    }
    writer.written(bytes);
  }
  return stream;
}

class Tcp : public testing::Test {
 protected:
  Tcp() : world(true) {}
  void listen() { world.listen("tcp://127.0.0.1:0"); }
  // A raw peer that has shaken hands, and its other end.
  std::pair<RawPeer, End*> greeted() {
    const std::size_t before = world.events.read([&] { return world.accepted.size(); });
    RawPeer peer(world.address());
    const auto rest = peer.greet(world.client);
    EXPECT_TRUE(rest.empty());
    EXPECT_TRUE(world.events.wait([&] { return world.accepted.size() > before; }));
    return {std::move(peer), world.events.read([&] { return world.accepted[before].get(); })};
  }
  World world;
};

}  // namespace tegula::test
