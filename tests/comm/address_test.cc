#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "comm/transport.h"
#include "tegula/error.h"

namespace tegula::test {

namespace {

using testing::HasSubstr;

std::string parsed(const std::string& text, std::uint16_t default_port = 0) {
  const Address address = parse_address(text, default_port);
  return address.scheme + " " + address.host + " " + std::to_string(address.port);
}

TEST(Address, Parses) {
  EXPECT_EQ(parsed("tcp://127.0.0.1:8786"), "tcp 127.0.0.1 8786");
  EXPECT_EQ(parsed("tcp://node-3.example.org:1"), "tcp node-3.example.org 1");
  EXPECT_EQ(parsed("localhost:8786"), "tcp localhost 8786");
  EXPECT_EQ(parsed("localhost"), "tcp localhost 0");
  EXPECT_EQ(parsed("localhost", 8786), "tcp localhost 8786");
  EXPECT_EQ(parsed("tcp://[::1]:0", 8786), "tcp ::1 0");
  EXPECT_EQ(parsed("tcp://[fe80::1%eth0]"), "tcp fe80::1%eth0 0");
  EXPECT_EQ(parsed("[::]:65535"), "tcp :: 65535");
  EXPECT_EQ(parsed("inproc://name"), "inproc name 0");
  EXPECT_EQ(parsed("inproc://"), "inproc  0");
  EXPECT_EQ(parsed("tls://host:1"), "tls host 1");
}

TEST(Address, ComesBackAsText) {
  for (const char* text : {"tcp://127.0.0.1:8786", "tcp://[::1]:8786", "inproc://name", "tls://host"}) {
    EXPECT_EQ(to_string(parse_address(text)), text);
  }
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text :
       {"", "tcp://", "tcp://:80", "tcp://host:", "tcp://host:65536", "tcp://host:-1", "tcp://host:8x", "://host:1",
        "tcp://::1:80", "tcp://[::1", "tcp://[::1]80", "tcp://[host]:80", "tcp://a b:80", "tcp://user@host:80",
        "tcp://host:80/path", "TCP://host:80", "tcp://host:99999999999999999999", "tcp://ho\nst:80"}) {
    try {
      (void)parse_address(text);
      ADD_FAILURE() << "'" << text << "' was taken";
    } catch (const ValueError& error) {
      EXPECT_THAT(error.what(), HasSubstr("'" + std::string(text) + "'"));
    }
  }
}

TEST(Address, KnowsLoopback) {
  for (const char* text : {"tcp://127.0.0.1:1", "tcp://127.8.9.1:1", "tcp://[::1]:1", "tcp://localhost:1", "inproc://x",
                           "tcp://[::ffff:127.0.0.1]:1"}) {
    EXPECT_TRUE(is_loopback(parse_address(text))) << text;
  }
  for (const char* text : {"tcp://0.0.0.0:1", "tcp://10.0.0.1:1", "tcp://[::]:1", "tcp://example.org:1"}) {
    EXPECT_FALSE(is_loopback(parse_address(text))) << text;
  }
}

TEST(Address, OfAnUnknownTransportIsRefusedByName) {
  EventLoop loop;
  try {
    (void)listen(loop, "ucx://host:1", {}, nullptr);
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no transport for 'ucx://host:1'"));
  }
}

TEST(ClusterToken, IsFreshEachTime) {
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) {
    const std::string token = make_cluster_token();
    EXPECT_EQ(token.size(), 64);
    EXPECT_EQ(token.find_first_not_of("0123456789abcdef"), std::string::npos);
    tokens.insert(token);
  }
  EXPECT_EQ(tokens.size(), 100);
}

}  // namespace

}  // namespace tegula::test
