// What goes wrong in a cluster reaches the user as a typed error that tells what to do, and the cluster lives on.
#include <gtest/gtest.h>

#include <string>

#include "client/session.h"
#include "tegula/tegula.h"

namespace tegula {
namespace {

class ClusterErrors : public testing::Test {
 protected:
  ClusterErrors() {
    LocalClusterOptions options;
    options.workers = 2;
    options.threads_per_worker = 1;
    cluster_ = std::make_unique<LocalCluster>(options);
    client_ = std::make_unique<Client>(*cluster_);
  }
  void expect_well() { EXPECT_EQ(ones({100}, {10}).sum().compute(*client_).item<double>(), 100); }

  std::unique_ptr<LocalCluster> cluster_;
  std::unique_ptr<Client> client_;
};

Graph one_layer(const std::string& kernel, const std::string& params, std::int64_t tasks) {
  auto layer = std::make_shared<Layer>();
  layer->name = "custom";
  layer->kernel = kernel;
  for (char byte : params) layer->params.push_back(static_cast<std::byte>(byte));
  layer->grid = {tasks};
  layer->outputs = {OutputSpec{DType::kFloat64, ChunkGrid({DimChunks(tasks, 1)})}};
  Graph graph;
  graph.layers.push_back(std::move(layer));
  return graph;
}

TEST_F(ClusterErrors, UnknownKernelIsNamed) {
  try {
    client_->impl()->submit(one_layer("tegula.progam", "", 3), {{0, 0}}).front()->wait();
    FAIL() << "no error";
  } catch (const KernelNotFoundError& error) {
    EXPECT_NE(std::string(error.what()).find("tegula.progam"), std::string::npos) << error.what();
  }
  expect_well();
}

TEST_F(ClusterErrors, HostileKernelParametersAreATaskError) {
  try {
    client_->impl()
        ->submit(one_layer("tegula.program", "\xff\xff\xff\xff\xff\xff\xff\xff garbage", 3), {{0, 0}})
        .front()
        ->wait();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("tegula.program"), std::string::npos) << error.what();
  }
  expect_well();
}

TEST_F(ClusterErrors, LayersThatLieAreRefusedAtSubmit) {
  Graph graph = one_layer("tegula.nop", "", 3);
  auto layer = std::make_shared<Layer>(*graph.layers.front());
  layer->grid = {4};  // more tasks than chunks
  graph.layers.front() = layer;
  EXPECT_THROW(client_->impl()->submit(graph, {{0, 0}}), ValueError);
  expect_well();
}

TEST_F(ClusterErrors, MixingClientsIsAnErrorAtTheUsersLine) {
  const Client other(*cluster_);
  const Array mine = ones({10}, {5}).persist(*client_);
  const Array theirs = ones({10}, {5}).persist(other);
  EXPECT_THROW((mine + theirs).compute(*client_), ValueError);
  EXPECT_THROW(mine.compute(other), ValueError);
  expect_well();
}

TEST_F(ClusterErrors, AClosedClientSaysSo) {
  const Array mine = ones({10}, {5}).persist(*client_);
  client_->close();
  client_->close();
  EXPECT_TRUE(client_->closed());
  EXPECT_THROW(mine.sum().compute(*client_), ClosedError);
  EXPECT_EQ(ones({10}, {5}).sum().compute(Client(*cluster_)).item<double>(), 10);
}

TEST_F(ClusterErrors, CancelledFuturesSaySo) {
  random::Options seeded;
  seeded.seed = 1;
  Future future = compute_async(random::normal(0, 1, {400000, 400000}, {2000, 2000}, seeded).sum(), *client_);
  EXPECT_EQ(future.status(), FutureStatus::kPending);
  EXPECT_THROW(future.wait(std::chrono::milliseconds(1)), TimeoutError);
  future.cancel();
  EXPECT_THROW(future.result(), CancelledError);
  EXPECT_EQ(future.status(), FutureStatus::kCancelled);
  expect_well();
}

TEST_F(ClusterErrors, TwoClientsShareEqualWork) {
  Client other(*cluster_);
  random::Options seeded;
  seeded.seed = 5;
  const Array x = random::normal(0, 1, {1000, 1000}, {100, 100}, seeded);
  const Array mine = x.persist(*client_);
  mine.wait();
  const std::uint64_t stored = client_->status().memory;
  const Array theirs = x.persist(other);
  theirs.wait();
  EXPECT_EQ(other.status().memory, stored) << "one layer, held by both";
  client_->close();
  EXPECT_EQ(theirs.sum().compute(other).size(), 1);
}

TEST_F(ClusterErrors, AResultTooLargeForThisMachineIsRefusedBeforeAnythingIsSent) {
  EXPECT_THROW(zeros({1 << 20, 1 << 20, 64}, {1 << 16, 1 << 16, 64}).compute(*client_), ValueError);
  expect_well();
}

}  // namespace
}  // namespace tegula
