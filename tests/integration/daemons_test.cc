// The programs as an operator meets them: flags, files, exit statuses, one-line errors.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "comm/transport.h"
#include "tegula/tegula.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using test::ChildProcess;
using test::program_path;
using test::TemporaryDirectory;

std::vector<std::string> scheduler_command(const std::string& file, std::vector<std::string> more = {}) {
  std::vector<std::string> command{program_path("tegula-scheduler"), "--port", "0", "--scheduler-file", file};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}
std::vector<std::string> worker_command(const std::string& file, std::vector<std::string> more = {}) {
  std::vector<std::string> command{program_path("tegula-worker"), "--scheduler-file", file, "--nthreads", "1"};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// A bare connection to a "tcp://127.0.0.1:port" address.
class RawSocket {
 public:
  explicit RawSocket(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(parse_address(address).port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
    const timeval patience{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~RawSocket() { close(fd_); }
  bool connected() const { return connected_; }
  void write(const std::string& bytes) { (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Reads until the peer closes; false when it doesn't.
  bool closed_by_peer() {
    char buffer[4096];
    while (true) {
      const ssize_t count = recv(fd_, buffer, sizeof(buffer), 0);
      if (count == 0 || (count < 0 && errno == ECONNRESET)) return true;
      if (count < 0) return false;
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

TEST(Daemons, SchedulerFileIsPrivateAndLeadsWorkersAndClients) {
  TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  ChildProcess scheduler(scheduler_command(file));
  ASSERT_TRUE(scheduler.wait_for_output("listening on tcp://127.0.0.1:")) << scheduler.output();
  struct stat info {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ChildProcess workers(worker_command(file, {"--nworkers", "2", "--name", "w"}));
  Client client(file);
  client.wait_for_workers(2);
  EXPECT_EQ(ones({100}, {10}).sum().compute(client).item<double>(), 100);

  // Orderly ends, nothing left running.
  workers.signal(SIGTERM);
  EXPECT_EQ(workers.wait(), 0) << workers.output();
  EXPECT_TRUE(test::eventually([&] { return client.status().workers.empty(); }));
  scheduler.signal(SIGTERM);
  EXPECT_EQ(scheduler.wait(), 0) << scheduler.output();
}

TEST(Daemons, HttpTellsHealthAndMetrics) {
  TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  ChildProcess scheduler(scheduler_command(file));
  ASSERT_TRUE(scheduler.wait_for_output("listening on")) << scheduler.output();
  ChildProcess worker(worker_command(file));
  Client client(file);
  client.wait_for_workers(1);
  EXPECT_EQ(ones({100}, {10}).sum().compute(client).item<double>(), 100);
  const std::string http = read_scheduler_file(file).http_address;
  ASSERT_FALSE(http.empty());

  ChildProcess health({"/usr/bin/curl", "-sS", http + "/health"});
  ASSERT_EQ(health.wait(), 0) << health.output();
  EXPECT_TRUE(nlohmann::json::accept(health.output())) << health.output();
  ChildProcess metrics({"/usr/bin/curl", "-sS", http + "/metrics"});
  ASSERT_EQ(metrics.wait(), 0);
  EXPECT_NE(metrics.output().find("# TYPE tegula_"), std::string::npos) << metrics.output();
}

TEST(Daemons, APortInUseIsOneLineAndStatusOne) {
  TemporaryDirectory folder;
  ChildProcess first(scheduler_command(folder.file("a.json")));
  ASSERT_TRUE(first.wait_for_output("listening on")) << first.output();
  const auto port = std::to_string(parse_address(read_scheduler_file(folder.file("a.json")).address).port);
  ChildProcess second({program_path("tegula-scheduler"), "--port", port, "--http-port", "-1"});
  EXPECT_EQ(second.wait(), 1);
  EXPECT_NE(second.output().find(port), std::string::npos) << second.output();
  EXPECT_EQ(lines(second.output()), 1u) << second.output();
}

TEST(Daemons, BadCommandLinesAreStatusTwo) {
  for (const std::string program : {"tegula-scheduler", "tegula-worker", "tegula-bench"}) {
    ChildProcess child({program_path(program), "--no-such-flag"});
    EXPECT_EQ(child.wait(), 2) << program;
    EXPECT_EQ(lines(child.output()), 1u) << child.output();
  }
  TemporaryDirectory folder;
  std::ofstream(folder.file("c.yaml")) << "scheduler:\n  prot: 8786\n";
  ChildProcess child({program_path("tegula-scheduler"), "--config", folder.file("c.yaml")});
  EXPECT_NE(child.wait(), 0);
  EXPECT_NE(child.output().find("scheduler.port"), std::string::npos) << "names the nearest key: " << child.output();
}

TEST(Daemons, AnAddressNobodyAnswersIsAnErrorThatNamesIt) {
  std::string address;
  {
    TemporaryDirectory folder;
    ChildProcess scheduler(scheduler_command(folder.file("a.json")));
    ASSERT_TRUE(scheduler.wait_for_output("listening on"));
    address = read_scheduler_file(folder.file("a.json")).address;
  }  // its port is free again, most likely
  ClientOptions options;
  options.connect_timeout = std::chrono::seconds(2);
  try {
    Client client(address, options);
    FAIL() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_NE(std::string(error.what()).find(address), std::string::npos) << error.what();
  }
  ChildProcess worker({program_path("tegula-worker"), address, "--death-timeout", "1s"});
  EXPECT_EQ(worker.wait(), 1) << worker.output();
}

TEST(Daemons, AWrongTokenIsRefused) {
  TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  ChildProcess scheduler(scheduler_command(file));
  ASSERT_TRUE(scheduler.wait_for_output("listening on"));
  const std::string address = read_scheduler_file(file).address;
  ClientOptions options;
  options.token = "wrong";
  EXPECT_THROW(Client(address, options), AuthenticationError);
  ChildProcess worker({program_path("tegula-worker"), address}, {"TEGULA_CLUSTER_TOKEN=alsowrong"});
  EXPECT_EQ(worker.wait(), 1) << worker.output();
  EXPECT_NO_THROW(Client{file});
}

TEST(Daemons, GarbageOnAListeningPortDisturbsNobody) {
  TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  ChildProcess scheduler(scheduler_command(file));
  ASSERT_TRUE(scheduler.wait_for_output("listening on"));
  ChildProcess worker(worker_command(file));
  Client client(file);
  client.wait_for_workers(1);
  random::Options seeded;
  seeded.seed = 1;
  const Array job = random::normal(0, 1, {8000, 8000}, {500, 500}, seeded).sum();
  const Future running = compute_async(job, client);

  const std::string scheduler_address = read_scheduler_file(file).address;
  const std::string worker_address = client.status().workers.at(0).address;
  std::mt19937 rng(7);
  for (const std::string& address : {scheduler_address, worker_address}) {
    for (int round = 0; round < 20; ++round) {
      RawSocket socket(address);
      ASSERT_TRUE(socket.connected());
      std::string bytes(static_cast<std::size_t>(round * 37 + 16), '\0');
      for (char& byte : bytes) byte = static_cast<char>(rng());
      if (round % 4 == 0) bytes = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
      if (round % 4 == 1) bytes = std::string(64, '\xff');  // huge lengths, whatever the fields are
      socket.write(bytes);
      EXPECT_TRUE(socket.closed_by_peer()) << address << " round " << round;
    }
  }
  const double total = running.result().item<double>();
  ClientOptions embedded;
  embedded.threads = 1;
  EXPECT_EQ(total, job.compute(Client(embedded)).item<double>());
  EXPECT_FALSE(scheduler.wait(std::chrono::seconds(0)).has_value());
  EXPECT_FALSE(worker.wait(std::chrono::seconds(0)).has_value());
}

TEST(Daemons, AnIdleSchedulerEnds) {
  TemporaryDirectory folder;
  ChildProcess scheduler(scheduler_command(folder.file("a.json"), {"--idle-timeout", "1s"}));
  EXPECT_EQ(scheduler.wait(), 0) << scheduler.output();
}

TEST(Daemons, AWorkerEndsWhenItsSchedulerIsGoneForLong) {
  TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  ChildProcess scheduler(scheduler_command(file));
  ASSERT_TRUE(scheduler.wait_for_output("listening on"));
  ChildProcess worker(worker_command(file, {"--death-timeout", "1s"}));
  Client client(file);
  client.wait_for_workers(1);
  scheduler.signal(SIGKILL);
  EXPECT_EQ(worker.wait(), 1) << worker.output();
}

}  // namespace
}  // namespace tegula
