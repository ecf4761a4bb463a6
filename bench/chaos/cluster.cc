#include "bench/chaos/cluster.h"

#include <fmt/core.h>
#include <signal.h>

#include <filesystem>
#include <set>
#include <thread>

#include "tegula/error.h"

namespace tegula::chaos {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(30);
constexpr auto kPoll = std::chrono::milliseconds(10);

// Losses are noticed within seconds, so that a round is short.
const std::vector<std::string>& environment() {
  static const std::vector<std::string> all{
      "TEGULA_SCHEDULER__WORKER_TTL=1s", "TEGULA_WORKER__HEARTBEAT_INTERVAL=100ms", "TEGULA_COMM__IDLE_TIMEOUT=3s",
      "TEGULA_COMM__CONNECT_TIMEOUT=1s", "TEGULA_COMM__WRITE_TIMEOUT=3s",
  };
  return all;
}

std::string name_of_worker(unsigned worker) { return fmt::format("w{}", worker); }

}  // namespace

Cluster::Cluster(unsigned workers, bool network, const std::string& directory)
    : scheduler_program_(client::find_program("tegula-scheduler", "")),
      worker_program_(client::find_program("tegula-worker", "")) {
  if (directory.empty()) {
    own_directory_.emplace();
    directory_ = own_directory_->file("");
    directory_.pop_back();
  } else {
    std::filesystem::create_directories(directory);
    directory_ = directory;
  }
  if (network) network_.emplace(workers + 2);
  const std::string host = network_ ? network_->address(kSchedulerHost) : "127.0.0.1";
  scheduler_ = start("scheduler", kSchedulerHost,
                     {scheduler_program_, "--host", host, "--port", "0", "--scheduler-file", file()});
  for (unsigned worker = 0; worker < workers; ++worker) {
    workers_.emplace_back();
    killed_.push_back(false);
    start_worker(worker);
  }
  const auto deadline = Clock::now() + kPatience;
  while (!std::filesystem::exists(file())) {
    if (scheduler_->ended() || Clock::now() > deadline) {
      throw ConnectionError("the scheduler did not start: " + scheduler_->story());
    }
    std::this_thread::sleep_for(kPoll);
  }
  Client client = connect("chaos-start");
  client.wait_for_workers(workers, kPatience);
}

Cluster::~Cluster() = default;

std::unique_ptr<client::Child> Cluster::start(const std::string& name, unsigned host,
                                              std::vector<std::string> command) {
  command.insert(command.begin(), environment().begin(), environment().end());
  command.insert(command.begin(), "/usr/bin/env");
  if (network_) command = network_->on(host, std::move(command));
  const std::string log = directory_ + "/" + name + ".log";
  return std::make_unique<client::Child>(name, spawner_.spawn(command, log), log);
}

void Cluster::start_worker(unsigned worker) {
  const std::string name = name_of_worker(worker);
  killed_[worker] = false;
  workers_[worker] =
      start(name, host_of_worker(worker),
            {worker_program_, "--scheduler-file", file(), "--nthreads", "1", "--no-nanny", "--name", name});
}

Client Cluster::connect(const std::string& name) const {
  ClientOptions options;
  options.name = name;
  return Client(file(), options);
}

void Cluster::signal_worker(unsigned worker, int number) {
  workers_.at(worker)->signal(number);
  if (number == SIGKILL) killed_.at(worker) = true;
}

void Cluster::restart_worker(unsigned worker) {
  if (workers_.at(worker)->ended()) start_worker(worker);
}

std::string Cluster::restart_ended() {
  std::string story;
  for (unsigned worker = 0; worker < workers(); ++worker) {
    if (workers_[worker]->ended() && !killed_[worker]) story = workers_[worker]->story();
    restart_worker(worker);
  }
  return story;
}

void Cluster::signal_scheduler(int number) { scheduler_->signal(number); }

// Workers that ended are not started here: restart_ended() tells about them.
void Cluster::mend() {
  scheduler_->signal(SIGCONT);
  for (const auto& worker : workers_) worker->signal(SIGCONT);
  if (network_) network_->heal_all();
}

bool Cluster::complete(Client& client) const {
  std::set<std::string> names;
  for (const WorkerStatus& worker : client.status().workers) names.insert(worker.name);
  return names.size() == workers_.size();
}

}  // namespace tegula::chaos
