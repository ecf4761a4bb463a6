#include "client/worker_pool.h"

#include <gtest/gtest.h>

#include <string>

namespace tegula::client {
namespace {

// Workers say themselves where they are; the scheduler passes it on.
TEST(WorkerPool, AnAddressThatIsNoneFailsTheFetch) {
  for (const std::string address : {"tcp://nowhere", "carrier-pigeon://x:1", "[::1", "tcp://a b:1"}) {
    EventLoop loop;
    const auto pool = std::make_shared<WorkerPool>(loop, CommOptions{});
    std::vector<std::string> reasons;
    loop.post([&] {
      pool->set_address(WorkerId{1}, address);
      for (int i = 0; i < 2; ++i) {
        pool->fetch(WorkerId{1}, {}, [&](msg::FetchReply* reply, const std::string& reason) {
          EXPECT_EQ(reply, nullptr);
          reasons.push_back(reason);
          if (reasons.size() == 2) loop.stop();
        });
      }
      EXPECT_TRUE(reasons.empty()) << "never inside fetch()";
    });
    loop.run();
    for (const std::string& reason : reasons) EXPECT_NE(reason.find(address), std::string::npos) << reason;
    loop.post([&] {
      pool->close();
      loop.stop();
    });
    loop.run();
  }
}

}  // namespace
}  // namespace tegula::client
