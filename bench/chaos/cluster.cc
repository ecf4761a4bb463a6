#include "bench/chaos/cluster.h"

#include <fmt/core.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "comm/transport.h"
#include "tegula/error.h"

namespace tegula::chaos {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(30);
constexpr auto kPoll = std::chrono::milliseconds(10);

// Losses are noticed within seconds, so that a round is short.
std::vector<std::string> environment(const ClusterOptions& options) {
  std::vector<std::string> all{
      "TEGULA_SCHEDULER__WORKER_TTL=1s",
      "TEGULA_SCHEDULER__INVENTORY_WINDOW=1s",
      "TEGULA_WORKER__HEARTBEAT_INTERVAL=100ms",
      "TEGULA_WORKER__HANG_TIMEOUT=2s",
      "TEGULA_COMM__IDLE_TIMEOUT=3s",
      "TEGULA_COMM__CONNECT_TIMEOUT=1s",
      "TEGULA_COMM__WRITE_TIMEOUT=3s",
  };
  // Who takes too much is the kernel's to kill; a nanny would often be first.
  if (options.group_bytes > 0) all.emplace_back("TEGULA_WORKER__TERMINATE_FRACTION=0");
  return all;
}

std::string name_of_worker(unsigned worker) { return fmt::format("w{}", worker); }

// Some child of that process; 0: it has none.
pid_t child_of(pid_t parent) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    std::ifstream in(entry.path() / "stat");
    std::string text;
    std::getline(in, text);
    const std::size_t name_end = text.rfind(") ");  // names may have blanks
    if (name_end == std::string::npos) continue;
    std::istringstream rest(text.substr(name_end + 2));
    std::string state;
    pid_t its_parent = 0;
    if (rest >> state >> its_parent && its_parent == parent && state != "Z") return pid;
  }
  return 0;
}

// Makes it, or notes why not.
template <typename Make>
void try_to(Means means, std::map<Means, std::string>& without, Make make) {
  try {
    make();
  } catch (const Unavailable& error) {
    without[means] = error.what();
  }
}

}  // namespace

std::string_view name_of(Means means) {
  switch (means) {
    case Means::kNothing:
      return "nothing";
    case Means::kNetwork:
      return "network";
    case Means::kSmallDisk:
      return "disk";
    case Means::kMemoryGroups:
      return "memory groups";
    case Means::kNanny:
      return "nanny";
  }
  return "";
}

Cluster::Cluster(const ClusterOptions& options)
    : options_(options),
      scheduler_program_(client::find_program("tegula-scheduler", "")),
      worker_program_(client::find_program("tegula-worker", "")) {
  if (options.directory.empty()) {
    own_directory_.emplace();
    directory_ = own_directory_->file("");
    directory_.pop_back();
  } else {
    fs::create_directories(options.directory);
    directory_ = options.directory;
  }
  try_to(Means::kNetwork, without_, [&] { network_.emplace(options.workers + 2); });
  if (options.disk_bytes > 0) try_to(Means::kSmallDisk, without_, [&] { disk_.emplace(options.disk_bytes); });
  if (options.group_bytes > 0) {
    try_to(Means::kMemoryGroups, without_, [&] {
      while (groups_.size() < options.workers) groups_.push_back(std::make_unique<MemoryGroup>(options.group_bytes));
    });
  }
  if (!options.nanny) without_[Means::kNanny] = "workers run without one (--nanny)";
  start_scheduler();
  for (unsigned worker = 0; worker < options.workers; ++worker) {
    workers_.emplace_back();
    killed_.push_back(false);
    memory_kills_.push_back(0);
    start_worker(worker);
  }
  wait_for_scheduler();
  Client client = connect("chaos-start");
  client.wait_for_workers(options.workers, kPatience);
}

// Groups are removed when nobody is in them any more.
Cluster::~Cluster() {
  workers_.clear();
  scheduler_.reset();
}

bool Cluster::has(Means means) const {
  switch (means) {
    case Means::kNothing:
      return true;
    case Means::kNetwork:
      return network_.has_value();
    case Means::kSmallDisk:
      return disk_.has_value();
    case Means::kMemoryGroups:
      return !groups_.empty() && groups_.size() == options_.workers;
    case Means::kNanny:
      return options_.nanny;
  }
  return false;
}

std::unique_ptr<client::Child> Cluster::start(const std::string& name, unsigned host,
                                              std::vector<std::string> command) {
  const auto variables = environment(options_);
  command.insert(command.begin(), variables.begin(), variables.end());
  command.insert(command.begin(), "/usr/bin/env");
  if (network_) command = network_->on(host, std::move(command));
  const std::string log = directory_ + "/" + name + ".log";
  return std::make_unique<client::Child>(name, spawner_.spawn(command, log), log);
}

Client Cluster::connect(const std::string& name) const {
  ClientOptions options;
  options.name = name;
  return Client(file(), options);
}

// ---- the scheduler --------------------------------------------------------------------------------------------------

void Cluster::start_scheduler() {
  const std::string host = network_ ? network_->address(kSchedulerHost) : "127.0.0.1";
  std::vector<std::string> command{scheduler_program_, "--host", host, "--port", port_, "--scheduler-file", file()};
  if (has_journal()) command.insert(command.end(), {"--journal", journal_});
  scheduler_killed_ = false;
  scheduler_ = start("scheduler", kSchedulerHost, std::move(command));
}

void Cluster::wait_for_scheduler() {
  const auto deadline = Clock::now() + kPatience;
  while (!fs::exists(file())) {
    if (scheduler_->ended() || Clock::now() > deadline) {
      throw ConnectionError("the scheduler did not start: " + scheduler_->story());
    }
    std::this_thread::sleep_for(kPoll);
  }
}

bool Cluster::signal_scheduler(int number) {
  if (scheduler_->ended()) return false;
  scheduler_->signal(number);
  return true;
}

bool Cluster::kill_scheduler(bool same_port) {
  if (scheduler_->ended()) return false;
  const std::string address = read_scheduler_file(file()).address;
  port_ = same_port ? address.substr(address.rfind(':') + 1) : "0";
  scheduler_->signal(SIGKILL);
  scheduler_->wait_until(Clock::now() + kPatience);
  scheduler_killed_ = true;
  return true;
}

void Cluster::restart_scheduler() {
  if (scheduler_->ended()) start_scheduler();
}

void Cluster::use_journal(bool wanted) {
  if (wanted == has_journal()) return;
  kill_scheduler(false);
  journal_ = wanted ? fmt::format("{}/journal-{}", directory_, journals_++) : "";
  if (wanted) fs::remove_all(journal_);  // of an earlier soak
  restart_scheduler();
}

// ---- workers --------------------------------------------------------------------------------------------------------

void Cluster::start_worker(unsigned worker) {
  const std::string name = name_of_worker(worker);
  std::vector<std::string> command{worker_program_, "--scheduler-file", file(), "--nthreads", "1", "--name", name};
  if (!options_.nanny) command.emplace_back("--no-nanny");
  if (options_.memory_limit > 0) {
    command.insert(command.end(), {"--memory-limit", std::to_string(options_.memory_limit)});
  }
  if (has(Means::kMemoryGroups)) command = groups_[worker]->in(std::move(command));
  if (disk_) command.insert(command.begin(), {"/usr/bin/env", "TEGULA_WORKER__SPILL_DIRECTORY=" + disk_->path()});
  killed_[worker] = false;
  if (has(Means::kMemoryGroups)) memory_kills_[worker] = groups_[worker]->kills();
  workers_[worker] = start(name, host_of_worker(worker), std::move(command));
}

pid_t Cluster::process_of(unsigned worker) const {
  client::Child& child = *workers_.at(worker);
  if (child.ended()) return 0;
  return options_.nanny ? child_of(child.pid()) : child.pid();
}

bool Cluster::signal_worker(unsigned worker, int number) {
  const pid_t pid = process_of(worker);
  if (pid == 0) return false;
  kill(pid, number);
  if (number == SIGKILL && !options_.nanny) killed_.at(worker) = true;
  return true;
}

bool Cluster::kill_nanny(unsigned worker) {
  if (workers_.at(worker)->ended()) return false;
  workers_.at(worker)->signal(SIGKILL);
  killed_.at(worker) = true;
  return true;
}

void Cluster::restart_worker(unsigned worker) {
  if (workers_.at(worker)->ended()) start_worker(worker);
}

bool Cluster::was_out_of_memory(unsigned worker) const {
  return !options_.nanny && has(Means::kMemoryGroups) && groups_[worker]->kills() > memory_kills_[worker];
}

void Cluster::restart_those_out_of_memory() {
  for (unsigned worker = 0; worker < workers(); ++worker) {
    if (was_out_of_memory(worker)) restart_worker(worker);
  }
}

std::uint64_t Cluster::killed_for_memory() const {
  std::uint64_t kills = 0;
  for (const auto& group : groups_) kills += group->kills();
  return kills;
}

std::string Cluster::restart_ended() {
  std::string story;
  if (scheduler_->ended() && !scheduler_killed_) story = scheduler_->story();
  restart_scheduler();
  for (unsigned worker = 0; worker < workers(); ++worker) {
    if (workers_[worker]->ended() && !killed_[worker] && !was_out_of_memory(worker)) story = workers_[worker]->story();
    restart_worker(worker);
  }
  return story;
}

// ---- all of it ------------------------------------------------------------------------------------------------------

// Workers that ended are not started here: restart_ended() tells about them.
void Cluster::mend() {
  scheduler_->signal(SIGCONT);
  for (unsigned worker = 0; worker < workers(); ++worker) signal_worker(worker, SIGCONT);
  if (network_) network_->heal_all();
  if (disk_) disk_->clear();
}

bool Cluster::complete(Client& client) const {
  std::set<std::string> names;
  try {
    for (const WorkerStatus& worker : client.status().workers) names.insert(worker.name);
  } catch (const TimeoutError&) {
    return false;  // the scheduler is not back yet
  }
  return names.size() == workers_.size();
}

std::uint64_t Cluster::lines_with(const std::string& text) const {
  std::uint64_t count = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    if (entry.path().extension() != ".log") continue;
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) count += line.find(text) != std::string::npos ? 1 : 0;
  }
  return count;
}

}  // namespace tegula::chaos
