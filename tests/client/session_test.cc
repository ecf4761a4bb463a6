// A client and its session over TCP: what is asked, what is lost, what comes back.
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/client/nop_layers.h"
#include "tests/client/tcp_cluster.h"
#include "tests/support/child_process.h"
#include "tests/support/proxy.h"

namespace tegula {
namespace {

using test::eventually;
using test::nop_layer;
using test::Proxy;
using test::submit_one;
using test::TcpCluster;

std::vector<std::uint32_t> all_of(const ResultSet& results) {
  std::vector<std::uint32_t> indices;
  for (std::uint32_t i = 0; i < results.size(); ++i) indices.push_back(i);
  return indices;
}

std::size_t fetch_count(const ResultSet& results) {
  std::set<std::uint32_t> seen;
  results.fetch(all_of(results), [&](std::uint32_t index, const Chunk& chunk) {
    EXPECT_EQ(chunk.nbytes(), 1u);
    EXPECT_TRUE(seen.insert(index).second) << "twice";
  });
  return seen.size();
}

// A fault-free run leaves no trace of anything odd at the scheduler.
void expect_quiet(TcpCluster& cluster) {
  const scheduler::Counters counters = cluster.snapshot().counters;
  EXPECT_EQ(counters.client_anomalies, 0u);
  EXPECT_EQ(counters.heartbeat_mismatches, 0u);
  EXPECT_EQ(counters.stale_answers, 0u);
}

TEST(Session, RunsFetchesAndReleases) {
  TcpCluster cluster(2);
  Client client(cluster.address());
  {
    const auto results = submit_one(client, nop_layer(2000));
    results->wait();
    EXPECT_EQ(results->nbytes(), 2000u);
    EXPECT_EQ(fetch_count(*results), 2000u);
    EXPECT_EQ(fetch_count(*results), 2000u) << "again, over the same connections";
    EXPECT_EQ(client.status().memory, 2000u);
  }
  EXPECT_TRUE(eventually([&] { return client.status().memory == 0; })) << "the last handle is gone";
  EXPECT_TRUE(eventually([&] { return cluster.snapshot().counters.layers == 0; }));
  expect_quiet(cluster);
}

TEST(Session, OperatorsOrdersMoveResultsWithoutLosingAny) {
  TcpCluster cluster(2);
  Client client(cluster.address());
  const auto results = submit_one(client, nop_layer(40));
  results->wait();
  const std::string key = key_text(results->layer()->description(), results->layer()->hash(), 7);
  EXPECT_NE(client.why(key).find(key + " is finished and in memory on"), std::string::npos) << client.why(key);
  EXPECT_THROW(client.why("nopp(7)"), ValueError);
  client.replicate(key, 2);
  EXPECT_THROW(client.replicate(key, 3), ValueError);
  client.rebalance();
  const auto status = client.status();
  client.retire_workers({status.workers.at(0).name});
  EXPECT_EQ(fetch_count(*results), 40u);
  EXPECT_EQ(client.status().workers.size(), 1u);
  EXPECT_EQ(cluster.snapshot().counters.tasks_recomputed, 0u);
  EXPECT_THROW(client.retire_workers({status.workers.at(1).name}), ValueError) << "nobody is left to take its results";
  expect_quiet(cluster);
}

TEST(Session, FetchesWhileResultsAreStillComing) {
  TcpCluster cluster(0);
  Client client(cluster.address());
  const auto results = submit_one(client, nop_layer(500));
  EXPECT_THROW(results->wait(std::chrono::milliseconds(1)), TimeoutError);
  std::size_t fetched = 0;
  std::thread reader([&] { fetched = fetch_count(*results); });
  cluster.add_worker();
  reader.join();
  EXPECT_EQ(fetched, 500u);
}

TEST(Session, AFetchThatIsNotTakenLeavesTheSessionWell) {
  TcpCluster cluster(1);
  Client client(cluster.address());
  const auto results = submit_one(client, nop_layer(500));
  std::size_t seen = 0;
  EXPECT_THROW(results->fetch(all_of(*results),
                              [&](std::uint32_t, const Chunk&) {
                                if (++seen == 3) throw std::runtime_error("enough");
                              }),
               std::runtime_error);
  EXPECT_EQ(seen, 3u);
  EXPECT_EQ(fetch_count(*results), 500u);
  EXPECT_THROW(results->fetch({500}, [](std::uint32_t, const Chunk&) {}), IndexError);
  EXPECT_THROW(results->status(500), IndexError);
}

TEST(Session, RefusedSubmissionsThrowAndLeaveNothing) {
  TcpCluster cluster(1);
  Client client(cluster.address());
  auto layer = nop_layer(3);
  layer->grid = {4};  // more tasks than chunks
  EXPECT_THROW(submit_one(client, layer), ValueError);
  Graph graph;
  graph.layers = {nop_layer(3)};
  EXPECT_THROW(client.impl()->submit(graph, {{1, 0}}), ValueError) << "a layer that is not there";
  EXPECT_THROW(client.impl()->submit(graph, {{0, 7}}), ValueError) << "an output that is not there";
  EXPECT_THROW(client.impl()->submit(graph, {{kExternalLayer, 0}}), ValueError);
  submit_one(client, nop_layer(10))->wait();
  expect_quiet(cluster);
}

// A message is limited by what the scheduler takes; the session goes on.
TEST(Session, ASubmissionThatIsTooLargeIsRefusedHere) {
  scheduler::SchedulerOptions options;
  options.comm.max_control_bytes = 100000;
  TcpCluster cluster(1, options);
  Proxy proxy(cluster.port());
  Client client(proxy.address());
  const auto large = [] {
    auto layer = nop_layer(3);
    layer->params.resize(200000);
    return layer;
  };
  try {
    submit_one(client, large());
    FAIL() << "no error";
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("(100000)"), std::string::npos) << error.what();
  }
  submit_one(client, nop_layer(10))->wait();
  proxy.refuse(true);
  proxy.cut();
  std::thread submitting([&] { EXPECT_THROW(submit_one(client, large()), ValueError); });
  proxy.refuse(false);
  submitting.join();
  submit_one(client, nop_layer(10, 2))->wait();
  expect_quiet(cluster);
}

// Whatever limits a client names, the others notice nothing.
TEST(Session, AClientThatTakesNoMessagesHurtsOnlyItself) {
  TcpCluster cluster(1);
  Client client(cluster.address());
  {
    EventLoop loop;
    ConnectionPtr stranger;
    CommOptions options;
    options.max_control_bytes = 0;
    loop.post([&] {
      connect(loop, cluster.address(), options, [&](ConnectionPtr connection, std::optional<ErrorInfo> error) {
        ASSERT_FALSE(error) << error->message;
        stranger = std::move(connection);
        stranger->on_closed = [&](const std::string&) { loop.stop(); };
        stranger->send(msg::AttachClient{0, 0, "stranger"});
      });
    });
    loop.run();
  }
  submit_one(client, nop_layer(10))->wait();
}

TEST(Session, AnotherWantOfALayerThatIsThere) {
  TcpCluster cluster(1);
  Client client(cluster.address());
  const auto first = submit_one(client, nop_layer(10));
  first->wait();
  Graph graph;
  graph.external = {first->layer()};
  auto second = client.impl()->submit(graph, {{kExternalLayer, 0}}).front();
  second->wait();
  EXPECT_EQ(fetch_count(*second), 10u);
  second.reset();
  EXPECT_EQ(fetch_count(*first), 10u) << "wants are counted";
  expect_quiet(cluster);
}

TEST(Session, CancelEndsWhatIsPending) {
  TcpCluster cluster(0);
  Client client(cluster.address());
  const auto results = submit_one(client, nop_layer(10));
  EXPECT_EQ(results->status(), FutureStatus::kPending);
  results->cancel();
  EXPECT_EQ(results->status(), FutureStatus::kCancelled);
  EXPECT_THROW(results->wait(), CancelledError);
  EXPECT_THROW(fetch_count(*results), CancelledError);
  cluster.add_worker();
  submit_one(client, nop_layer(10, 2))->wait();
  EXPECT_EQ(results->status(3), FutureStatus::kCancelled);
  expect_quiet(cluster);
}

// News of the cancelled want is still on its way when the layer is wanted again.
TEST(Session, WhatWasCancelledCanBeWantedAgainAtOnce) {
  TcpCluster cluster(0);
  Client client(cluster.address());
  const auto first = submit_one(client, nop_layer(10));
  Graph graph;
  graph.external = {first->layer()};
  for (int round = 0; round < 20; ++round) {
    first->cancel();
    const auto again = client.impl()->submit(graph, {{kExternalLayer, 0}}).front();
    EXPECT_EQ(client.status().workers.size(), 0u);  // everything sent before has arrived
    EXPECT_EQ(again->status(), FutureStatus::kPending) << "round " << round;
  }
  const auto last = client.impl()->submit(graph, {{kExternalLayer, 0}}).front();
  cluster.add_worker();
  last->wait();
  EXPECT_EQ(fetch_count(*last), 10u);
  expect_quiet(cluster);
}

// A refused submission changes nothing for those who hold what it wanted.
TEST(Session, ARefusedWantLeavesWhatWasCancelledAsItIs) {
  TcpCluster cluster(0);
  Client client(cluster.address());
  const auto first = submit_one(client, nop_layer(10));
  first->cancel();
  Graph graph;
  auto bad = nop_layer(3);
  bad->grid = {4};  // more tasks than chunks
  graph.layers = {bad};
  graph.external = {first->layer()};
  EXPECT_THROW(client.impl()->submit(graph, {{kExternalLayer, 0}}), ValueError);
  EXPECT_EQ(first->status(), FutureStatus::kCancelled);
}

TEST(Session, ClosingEndsWaitsAndReleases) {
  TcpCluster cluster(0);
  Client client(cluster.address());
  Client other(cluster.address());
  const auto results = submit_one(client, nop_layer(10));
  std::thread waiting([&] { EXPECT_THROW(results->wait(), CancelledError); });
  std::thread fetching([&] { EXPECT_THROW(fetch_count(*results), Error); });
  client.close();
  client.close();
  waiting.join();
  fetching.join();
  EXPECT_TRUE(client.closed());
  EXPECT_THROW(client.status(), ClosedError);
  EXPECT_THROW(submit_one(client, nop_layer(1)), ClosedError);
  EXPECT_TRUE(eventually([&] { return cluster.snapshot().counters.clients == 1; }));
  EXPECT_EQ(cluster.snapshot().counters.layers, 0u);
}

TEST(Session, TheLastCopyOfAClientClosesIt) {
  TcpCluster cluster(1);
  std::shared_ptr<ResultSet> results;
  {
    const Client client(cluster.address());
    const Client copy = client;
    results = submit_one(copy, nop_layer(10));
    results->wait();
  }
  EXPECT_THROW(fetch_count(*results), ClosedError) << "futures live while their client does";
  EXPECT_TRUE(eventually([&] { return cluster.snapshot().counters.clients == 0; }));
}

TEST(Session, CurrentIsTheLatestOpenOne) {
  TcpCluster cluster(1);
  Client first(cluster.address());
  {
    const Client second(cluster.address());
    EXPECT_EQ(Client::current().impl(), second.impl());
  }
  EXPECT_EQ(Client::current().impl(), first.impl());
  first.close();
  ClientOptions threads;
  threads.threads = 1;
  const Client embedded(threads);
  EXPECT_EQ(Client::current().impl(), embedded.impl());
}

TEST(Session, ALostConnectionIsTakenUpAgain) {
  TcpCluster cluster(1);
  Proxy proxy(cluster.port());
  Client client(proxy.address());
  for (std::uint64_t round = 1; round <= 5; ++round) {
    const auto results = submit_one(client, nop_layer(3000, round));
    proxy.cut();
    results->wait();
    EXPECT_EQ(fetch_count(*results), 3000u);
    proxy.cut();
    EXPECT_EQ(client.status().workers.size(), 1u);
  }
  EXPECT_TRUE(eventually([&] { return client.status().memory == 0; })) << "every release arrived, though some twice";
  EXPECT_GT(proxy.connections(), 5u);
  EXPECT_EQ(cluster.snapshot().counters.sessions, 1u);
  expect_quiet(cluster);
}

TEST(Session, SubmissionsMadeWhileTheConnectionIsLostArrive) {
  TcpCluster cluster(1);
  Proxy proxy(cluster.port());
  Client client(proxy.address());
  proxy.refuse(true);
  proxy.cut();
  std::thread submitting([&] { submit_one(client, nop_layer(100))->wait(); });
  proxy.refuse(false);
  submitting.join();
  expect_quiet(cluster);
}

TEST(Session, ASchedulerThatIsGoneEndsWaits) {
  TcpCluster cluster(0);
  setenv("TEGULA_CLIENT__REATTACH_TIME", "1s", 1);
  Client client(cluster.address());
  unsetenv("TEGULA_CLIENT__REATTACH_TIME");
  const auto results = submit_one(client, nop_layer(10));
  cluster.kill_scheduler();
  try {
    results->wait();
    FAIL() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_NE(std::string(error.what()).find(client.scheduler_address()), std::string::npos) << error.what();
  }
  EXPECT_EQ(results->status(), FutureStatus::kLost);
  EXPECT_THROW(fetch_count(*results), ConnectionError);
  EXPECT_THROW(client.status(), ConnectionError);
}

TEST(Session, ASessionThatTheSchedulerGaveUpIsToldAgain) {
  scheduler::SchedulerOptions options;
  options.core.reattach_grace = std::chrono::nanoseconds(1);
  TcpCluster cluster(1, options);
  Proxy proxy(cluster.port());
  Client client(proxy.address());
  const auto results = submit_one(client, nop_layer(10));
  results->wait();
  proxy.refuse(true);
  proxy.cut();
  EXPECT_TRUE(eventually([&] { return cluster.snapshot().counters.clients == 0; }));
  EXPECT_TRUE(eventually([&] { return cluster.snapshot().counters.memory == 0; })) << "its results are released";
  proxy.refuse(false);
  EXPECT_EQ(fetch_count(*results), 10u);
  const auto more = submit_one(client, nop_layer(10, 2));
  more->wait();
  expect_quiet(cluster);
}

TEST(Session, ASchedulerThatIsStartedAgainIsToldWhatIsWanted) {
  scheduler::SchedulerOptions options;
  options.core.inventory_window = std::chrono::milliseconds(300);
  TcpCluster cluster(2, options);
  Proxy proxy(cluster.port());
  Client client(proxy.address());
  const auto kept = submit_one(client, nop_layer(100));
  kept->wait();
  auto dropped = submit_one(client, nop_layer(100, 2));
  dropped->wait();
  dropped.reset();
  const auto cancelled = submit_one(client, nop_layer(100, 3));
  cancelled->cancel();
  for (int life = 0; life < 3; ++life) {
    cluster.restart_scheduler();
    std::thread submitting([&] { submit_one(client, nop_layer(50, 10 + static_cast<std::uint64_t>(life)))->wait(); });
    EXPECT_EQ(fetch_count(*kept), 100u);
    submitting.join();
    EXPECT_EQ(cancelled->status(0), FutureStatus::kCancelled);
    EXPECT_TRUE(eventually([&] { return cluster.snapshot().counters.memory == 100; }));
    EXPECT_EQ(cluster.snapshot().counters.inventory_kept, 100u) << "nothing was computed again";
  }
  EXPECT_EQ(cluster.snapshot().counters.clients, 1u);
}

TEST(Session, ASchedulerThatEndsSaysSo) {
  TcpCluster cluster(0);
  Client client(cluster.address());
  const auto results = submit_one(client, nop_layer(10));
  cluster.stop_scheduler("enough for today");
  try {
    results->wait();
    FAIL() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_NE(std::string(error.what()).find("enough for today"), std::string::npos) << error.what();
  }
}

TEST(Session, ResultsThatAreLostAreWaitedForAgain) {
  TcpCluster cluster(1);
  Client client(cluster.address());
  const auto results = submit_one(client, nop_layer(1000));
  results->wait();
  cluster.kill_worker();
  std::size_t fetched = 0;
  std::thread reader([&] { fetched = fetch_count(*results); });
  cluster.add_worker();
  reader.join();
  EXPECT_EQ(fetched, 1000u);
}

TEST(Session, NobodyAnswers) {
  std::string address;
  {
    TcpCluster cluster(0);
    address = cluster.address();
  }
  ClientOptions options;
  options.connect_timeout = std::chrono::milliseconds(300);
  try {
    const Client client(address, options);
    FAIL() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_NE(std::string(error.what()).find(address), std::string::npos) << error.what();
  }
  EXPECT_THROW(Client("tcp://", options), ValueError);
  EXPECT_THROW(Client("/no/such/file.json", options), FileError);
}

TEST(Session, AWorkerIsNoScheduler) {
  TcpCluster cluster(1);
  const std::string worker = Client(cluster.address()).status().workers.at(0).address;
  ClientOptions options;
  options.connect_timeout = std::chrono::milliseconds(300);
  try {
    const Client client(worker, options);
    FAIL() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_NE(std::string(error.what()).find(worker + " is the address of no scheduler"), std::string::npos)
        << error.what();
  }
}

// Something that shakes hands as a scheduler and then hangs up, again and again.
TEST(Session, ASchedulerThatHangsUpIsGivenUpInTime) {
  const auto loop = client::make_loop("rude");
  CommOptions rude;
  rude.role = Role::kScheduler;
  std::unique_ptr<Listener> listener;
  loop->run_and_wait([&] {
    listener = listen(*loop, "tcp://127.0.0.1:0", rude, [](ConnectionPtr connection) { connection->close(); });
  });
  ClientOptions options;
  options.connect_timeout = std::chrono::milliseconds(300);
  try {
    const Client client(listener->address(), options);
    FAIL() << "no error";
  } catch (const Error& error) {
    // On a busy machine the time may be over before the handshake is.
    EXPECT_TRUE(error.code() == ErrorCode::kConnection || error.code() == ErrorCode::kTimeout) << error.what();
    EXPECT_NE(std::string(error.what()).find(listener->address()), std::string::npos) << error.what();
  }
}

TEST(Session, TokensMustMatch) {
  scheduler::SchedulerOptions scheduler_options;
  scheduler_options.comm.token = make_cluster_token();
  TcpCluster cluster(0, scheduler_options);
  ClientOptions options;
  EXPECT_THROW(Client(cluster.address(), options), AuthenticationError);
  options.token = "wrong";
  EXPECT_THROW(Client(cluster.address(), options), AuthenticationError);
  options.token = scheduler_options.comm.token;
  EXPECT_NO_THROW(Client(cluster.address(), options));
}

TEST(Session, WaitForWorkersNamesHowManyThereAre) {
  TcpCluster cluster(1);
  Client client(cluster.address());
  client.wait_for_workers(1);
  try {
    client.wait_for_workers(3, std::chrono::milliseconds(20));
    FAIL() << "no error";
  } catch (const TimeoutError& error) {
    EXPECT_NE(std::string(error.what()).find("has 1"), std::string::npos) << error.what();
  }
}

TEST(Session, ProgressIsReportedUntilItIsNotWanted) {
  TcpCluster cluster(1);
  Client client(cluster.address());
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<ProgressReport> reports;
  client.on_progress([&](const ProgressReport& report) {
    (void)client.status();  // a listener may use the client
    std::lock_guard lock(mutex);
    reports.push_back(report);
    changed.notify_all();
  });
  submit_one(client, nop_layer(5000))->wait();
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return !reports.empty() && reports.back().done == 5000; });
    EXPECT_EQ(reports.back().total, 5000u);
    EXPECT_EQ(reports.back().workers, 1u);
  }
  client.on_progress({});
  const std::size_t before = reports.size();
  submit_one(client, nop_layer(5000, 2))->wait();
  (void)client.status();
  EXPECT_EQ(reports.size(), before);
}

TEST(Session, ProgressBarsMayGoWhileTheirClientCloses) {
  TcpCluster cluster(1);
  for (std::uint64_t round = 1; round <= 5; ++round) {
    Client client(cluster.address());
    auto bar = std::make_unique<ProgressBar>(client);
    submit_one(client, nop_layer(500, round))->wait();
    std::thread closing([&] { client.close(); });
    bar.reset();
    closing.join();
    client.on_progress({});
    EXPECT_THROW(client.on_progress([](const ProgressReport&) {}), ClosedError);
  }
  Client client(cluster.address());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) client.on_progress([](const ProgressReport&) {});
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Session, ManyThreadsMayUseOneClient) {
  TcpCluster cluster(2);
  Client client(cluster.address());
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&client, t] {
      for (std::uint64_t i = 0; i < 10; ++i) {
        const auto results = submit_one(client, nop_layer(50, 100 * t + i + 1));
        if (i % 3 == 0) {
          results->cancel();
        } else {
          EXPECT_EQ(fetch_count(*results), 50u);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(eventually([&] { return client.status().memory == 0; }));
  expect_quiet(cluster);
}

}  // namespace
}  // namespace tegula
