// Which task goes first.
#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class Fairness : public ::testing::Test {
 protected:
  ConnectionId client(double share = 1) {
    const auto connection = static_cast<ConnectionId>(++cluster.last_connection);
    cluster.handle(ClientConnected{connection, {0, 0, "client", share}, 1000 + cluster.last_connection, 77});
    return connection;
  }
  LayerId submit(ConnectionId of, std::int64_t tasks, std::int32_t urgency = 0) {
    msg::Submit submit;
    submit.sequence = ++cluster.sequence[of];
    submit.first_layer = cluster.next_layer[of]++;
    Layer layer = layer_on({tasks});
    layer.nonce = ++nonce;
    submit.layers = {shared(layer)};
    submit.wants = {{submit.first_layer, 0, 0, static_cast<std::uint32_t>(tasks)}};
    submit.options.priority = urgency;
    cluster.from_client(of, std::move(submit));
    return static_cast<LayerId>(++layers);
  }
  // The layers of the next `count` tasks, one after the other on one slot.
  std::vector<LayerId> next(std::size_t count) {
    std::vector<LayerId> order;
    for (std::size_t i = 0; i < count; ++i) {
      const auto assigns = cluster.take<msg::Assign>(worker);
      for (const msg::Assign& assign : assigns) {
        order.push_back(layer_of(assign.task));
        cluster.finish(worker, assign);
      }
    }
    return order;
  }

  static SchedulerConfig small_margin() {
    SchedulerConfig config;
    config.root_margin = 4;
    return config;
  }

  FakeCluster cluster{small_margin()};
  WorkerId worker = cluster.worker(1);
  std::uint64_t nonce = 0;
  std::uint32_t layers = 0;
};

TEST_F(Fairness, AClientsFewTasksDoNotWaitBehindAnothersMany) {
  const LayerId many = submit(client(), 100'000);
  for (LayerId layer : next(50)) EXPECT_EQ(layer, many);
  const LayerId few = submit(client(), 10);
  const auto order = next(25);
  EXPECT_EQ(std::count(order.begin(), order.end(), few), 10);
}

TEST_F(Fairness, WhoComesBackIsNotOwedTheTimeItWantedNothing) {
  const ConnectionId early = client(), late = client();
  submit(early, 1);
  next(1);
  const LayerId other = submit(late, 1000);
  next(500);
  const LayerId again = submit(early, 1000);
  const auto order = next(100);
  EXPECT_NEAR(static_cast<double>(std::count(order.begin(), order.end(), again)), 50, 2);
  EXPECT_NEAR(static_cast<double>(std::count(order.begin(), order.end(), other)), 50, 2);
}

TEST_F(Fairness, SharesAreWeights) {
  const LayerId light = submit(client(1), 1000), heavy = submit(client(3), 1000);
  const auto order = next(200);
  EXPECT_NEAR(static_cast<double>(std::count(order.begin(), order.end(), heavy)), 150, 4);
  EXPECT_NEAR(static_cast<double>(std::count(order.begin(), order.end(), light)), 50, 4);
}

TEST_F(Fairness, SharesAreOfTimeNotOfTasks) {
  const ConnectionId slow = client(), fast = client();
  const LayerId long_ones = submit(slow, 1000), short_ones = submit(fast, 1000);
  std::map<LayerId, int> count;
  for (int i = 0; i < 300; ++i) {
    for (const msg::Assign& assign : cluster.take<msg::Assign>(worker)) {
      const LayerId layer = layer_of(assign.task);
      ++count[layer];
      cluster.handle_together(
          {FromWorker{worker, msg::GrantCredit{++cluster.granted[worker]}},
           FromWorker{worker,
                      msg::TaskFinished{assign.attempt, assign.task, {8}, layer == long_ones ? 90'000u : 30'000u}}});
    }
  }
  EXPECT_NEAR(static_cast<double>(count[short_ones]) / count[long_ones], 3, 0.3);
}

TEST_F(Fairness, MoreUrgentSubmissionsGoFirst) {
  const ConnectionId c = client();
  const LayerId plain = submit(c, 10), low = submit(c, 10, -1), urgent = submit(c, 3, 5);
  const auto order = next(24);
  ASSERT_THAT(order, SizeIs(23));
  EXPECT_EQ(order[0], plain) << "was bound when it came alone";
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(order[i], urgent);
  for (std::size_t i = 4; i < 13; ++i) EXPECT_EQ(order[i], plain);
  for (std::size_t i = 13; i < 23; ++i) EXPECT_EQ(order[i], low);
}

TEST_F(Fairness, AShareThatIsNoneIsRefused) {
  for (double share : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), 1e9}) {
    const ConnectionId c = client(share);
    EXPECT_TRUE(cluster.closed_clients.contains(c)) << share;
  }
}

}  // namespace
}  // namespace tegula::scheduler
