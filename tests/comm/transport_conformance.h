// What every transport does. A new transport adds one line to transports_test.cc and passes all of this.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <string>

#include "src/shape.h"
#include "tests/comm/comm_world.h"

namespace tegula::test {

struct TransportUnderTest {
  std::string name;
  std::string listen_address;
  bool two_loops = false;
};

class TransportConformance : public testing::TestWithParam<TransportUnderTest> {
 protected:
  TransportConformance() : world(GetParam().two_loops) {}
  void listen() { world.listen(GetParam().listen_address); }
  World world;
};

inline msg::GrantSlots numbered(std::uint64_t number) { return {number}; }

inline std::vector<std::uint64_t> numbers(const std::vector<msg::Message>& messages) {
  std::vector<std::uint64_t> result;
  for (const msg::Message& message : messages) result.push_back(std::get<msg::GrantSlots>(message).slots_granted);
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

}  // namespace tegula::test
