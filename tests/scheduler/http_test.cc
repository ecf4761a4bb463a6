// /health and /metrics, asked over HTTP as monitoring does.
#include "scheduler/http.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <nlohmann/json.hpp>

namespace tegula::scheduler {
namespace {

class Http : public testing::Test {
 protected:
  Http() {
    loop_.start("scheduler");
    SchedulerOptions options;
    options.listen_addresses = {"inproc://"};
    loop_.run_and_wait([&] { server_ = std::make_unique<SchedulerServer>(loop_, options); });
    http_ = std::make_unique<HttpServer>(loop_, *server_, "127.0.0.1", 0);
    port_ = std::stoi(http_->address().substr(http_->address().rfind(':') + 1));
  }
  ~Http() override {
    http_.reset();
    loop_.run_and_wait([&] { server_.reset(); });
  }

  EventLoop loop_;
  std::unique_ptr<SchedulerServer> server_;
  std::unique_ptr<HttpServer> http_;
  int port_ = 0;
};

TEST_F(Http, HealthIsJson) {
  httplib::Client client("127.0.0.1", port_);
  const auto answer = client.Get("/health");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  const auto health = nlohmann::json::parse(answer->body);
  EXPECT_EQ(health.at("status"), "ok");
  EXPECT_EQ(health.at("workers"), 0);
  EXPECT_EQ(health.at("tasks").at("processing"), 0);
  EXPECT_EQ(health.at("address"), server_->contact_address());
}

TEST_F(Http, MetricsAreInPrometheusFormat) {
  httplib::Client client("127.0.0.1", port_);
  const auto answer = client.Get("/metrics");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->get_header_value("Content-Type").rfind("text/plain; version=0.0.4", 0), 0u);
  for (const char* line :
       {"# TYPE tegula_scheduler_workers gauge", "tegula_scheduler_workers 0",
        "tegula_scheduler_tasks{state=\"no-worker\"} 0", "# TYPE tegula_scheduler_tasks_finished_total counter"}) {
    EXPECT_NE(answer->body.find(line), std::string::npos) << line << " in\n" << answer->body;
  }
}

TEST_F(Http, OtherPathsAndMethodsAreRefused) {
  httplib::Client client("127.0.0.1", port_);
  EXPECT_EQ(client.Get("/")->status, 404);
  EXPECT_NE(client.Post("/health", "x", "text/plain")->status, 200);
  EXPECT_NE(client.Post("/health", std::string(1 << 20, 'x'), "text/plain")->status, 200);
  EXPECT_EQ(client.Get("/health")->status, 200);
}

TEST_F(Http, AStoppedLoopIs503AndEndsInTime) {
  loop_.stop();
  loop_.join();
  httplib::Client client("127.0.0.1", port_);
  client.set_read_timeout(20);
  const auto answer = client.Get("/health");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 503);
  loop_.start("again");
}

TEST_F(Http, APortInUseIsAnErrorThatNamesIt) {
  try {
    HttpServer second(loop_, *server_, "127.0.0.1", static_cast<std::uint16_t>(port_));
    FAIL() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(port_)), std::string::npos) << error.what();
  }
}

TEST(MetricsText, HasOneLinePerWorker) {
  Snapshot snapshot;
  snapshot.workers.resize(2);
  snapshot.workers[0].registration.name = "a";
  snapshot.workers[1].registration.name = "with \"quotes\"";
  snapshot.workers[1].heartbeat.managed_bytes = 5;
  const std::string text = metrics_text(snapshot);
  EXPECT_NE(text.find("tegula_worker_managed_bytes{worker=\"a\"} 0"), std::string::npos) << text;
  EXPECT_NE(text.find("tegula_worker_managed_bytes{worker=\"with \\\"quotes\\\"\"} 5"), std::string::npos) << text;
}

}  // namespace
}  // namespace tegula::scheduler
