#include "tegula/local_cluster.h"

#include <fmt/core.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "client/local/in_process.h"
#include "client/local/processes.h"
#include "client/make_loop.h"
#include "client/open_session.h"
#include "comm/transport.h"
#include "src/config.h"
#include "worker/limits.h"

namespace tegula {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kOrderlyEnd = std::chrono::seconds(5);
constexpr auto kPollInterval = std::chrono::milliseconds(10);

// Scheduler and workers as daemon processes over TCP on loopback.
class ProcessCluster {
 public:
  explicit ProcessCluster(const LocalClusterOptions& options) : options_(options) {
    cores_ = worker::usable_cores();
    workers_ = options_.workers != 0 ? options_.workers : cores_;
    worker_program_ = client::find_program("tegula-worker", options_.program_directory);
    try {
      start_scheduler(client::find_program("tegula-scheduler", options_.program_directory));
      for (unsigned i = 0; i < workers_; ++i) start_worker();
      wait_for_workers(fmt::format("the cluster did not get its {} workers", workers_), {},
                       [this](const std::vector<WorkerStatus>& workers) { return workers.size() >= workers_; });
    } catch (...) {
      close();
      throw;
    }
  }
  ~ProcessCluster() { close(); }

  void add_worker() {
    // By its name: how many others there are may change meanwhile.
    const std::vector<bool> ended_before = ended();
    const std::string name = start_worker();
    wait_for_workers(
        "the cluster did not get its new worker", ended_before, [&name](const std::vector<WorkerStatus>& workers) {
          return std::any_of(workers.begin(), workers.end(), [&](const auto& worker) { return worker.name == name; });
        });
  }

  void close() {
    if (client_) client_->close();
    client_.reset();
    // Workers first, so that they leave a scheduler that is still there.
    end(worker_children_);
    end(scheduler_children_);
  }

  const SchedulerFile& file() const { return file_; }
  std::vector<int> worker_pids() const {
    std::vector<int> pids;
    for (const auto& child : worker_children_) pids.push_back(child->pid());
    return pids;
  }
  int scheduler_pid() const { return scheduler_children_.empty() ? 0 : scheduler_children_.front()->pid(); }

 private:
  using Children = std::vector<std::unique_ptr<client::Child>>;

  void start_scheduler(const std::string& program) {
    const std::string path = directory_.file("scheduler.json");
    const std::string log = directory_.file("scheduler.log");
    const pid_t pid = spawner_.spawn(
        {program, "--host", "127.0.0.1", "--port", "0", "--http-port", "0", "--scheduler-file", path}, log);
    scheduler_children_.push_back(std::make_unique<client::Child>("tegula-scheduler", pid, log));
    wait("the scheduler did not start", {}, [&] {
      struct stat info {};
      return stat(path.c_str(), &info) == 0;  // renamed to its place when complete
    });
    file_ = read_scheduler_file(path);
    ClientOptions client_options;
    client_options.name = "local-cluster";
    client_options.token = file_.token;
    client_options.connect_timeout = options_.start_timeout;
    client_ = client::open_session(client::make_loop("tegula-cluster"),
                                   client::session_options(file_.address, client_options, Config::load()), nullptr);
  }

  // Returns its name.
  std::string start_worker() {
    const unsigned number = started_++;
    const std::string name = fmt::format("local-{}", number);
    const unsigned threads =
        options_.threads_per_worker != 0 ? options_.threads_per_worker : std::max(1u, cores_ / workers_);
    const std::uint64_t memory = worker::parse_memory_limit(options_.memory_limit, workers_);
    const std::string log = directory_.file(fmt::format("worker-{}.log", number));
    const std::string folder = fmt::format(
        "{}/worker-{}", options_.local_directory.empty() ? directory_.file("") : options_.local_directory, number);
    // Without a nanny: the processes are the workers, and one that dies stays dead.
    std::vector<std::string> arguments = {worker_program_,
                                          "--no-nanny",
                                          "--scheduler-file",
                                          directory_.file("scheduler.json"),
                                          "--nthreads",
                                          std::to_string(threads),
                                          "--memory-limit",
                                          memory == 0 ? std::string("none") : std::to_string(memory),
                                          "--name",
                                          name,
                                          "--local-directory",
                                          folder};
    if (!options_.resources.empty()) arguments.insert(arguments.end(), {"--resources", options_.resources});
    arguments.insert(arguments.end(), options_.worker_arguments.begin(), options_.worker_arguments.end());
    const pid_t pid = spawner_.spawn(arguments, log);
    worker_children_.push_back(std::make_unique<client::Child>(fmt::format("tegula-worker {}", number), pid, log));
    return name;
  }

  // Which of the workers have ended.
  std::vector<bool> ended() const {
    std::vector<bool> ended;
    for (const auto& child : worker_children_) ended.push_back(child->ended());
    return ended;
  }

  template <typename Condition>
  void wait_for_workers(const std::string& what, const std::vector<bool>& ended_before, Condition condition) {
    wait(what, ended_before, [&] {
      try {
        return condition(client_->status(options_.start_timeout).workers);
      } catch (const Error&) {
        if (scheduler_children_.front()->ended()) return false;  // its story says more
        throw;
      }
    });
  }

  // Until `condition` holds; throws when the time is up or a daemon ends, other than those that had ended before what
  // is waited for was started.
  template <typename Condition>
  void wait(const std::string& what, const std::vector<bool>& ended_before, Condition condition) {
    const auto deadline = Clock::now() + options_.start_timeout;
    while (!condition()) {
      if (scheduler_children_.front()->ended()) {
        throw ConnectionError(what + ": " + scheduler_children_.front()->story());
      }
      for (std::size_t i = 0; i < worker_children_.size(); ++i) {
        const bool before = i < ended_before.size() && ended_before[i];
        if (!before && worker_children_[i]->ended()) {
          throw ConnectionError(what + ": " + worker_children_[i]->story());
        }
      }
      if (Clock::now() >= deadline) {
        throw TimeoutError(what + ": " +
                           (worker_children_.empty() ? scheduler_children_ : worker_children_).back()->story());
      }
      std::this_thread::sleep_for(kPollInterval);
    }
  }

  static void end(Children& children) {
    for (const auto& child : children) child->signal(SIGTERM);
    const auto deadline = Clock::now() + kOrderlyEnd;
    for (const auto& child : children) child->wait_until(deadline);
    children.clear();  // by force what has not ended; reaped
  }

  const LocalClusterOptions options_;
  unsigned cores_ = 1, workers_ = 1, started_ = 0;
  std::string worker_program_;
  client::PrivateDirectory directory_;
  SchedulerFile file_;
  client::Spawner spawner_;  // outlives the processes
  Children scheduler_children_, worker_children_;
  std::shared_ptr<detail::ClientImpl> client_;  // to ask who has joined
};

}  // namespace

struct LocalCluster::Impl {
  std::string address, token;
  std::optional<ProcessCluster> processes;
  std::unique_ptr<client::InProcessCluster> threads;
  bool closed = false;
};

LocalCluster::LocalCluster(const LocalClusterOptions& options) : impl_(std::make_unique<Impl>()) {
  if (options.processes) {
    impl_->processes.emplace(options);
    impl_->address = impl_->processes->file().address;
    impl_->token = impl_->processes->file().token;
    return;
  }
  Config config = Config::load();
  config.set("worker.memory-limit", options.memory_limit);
  if (!options.resources.empty()) config.set("worker.resources", options.resources);
  if (!options.local_directory.empty()) config.set("worker.local-directory", options.local_directory);
  client::InProcessOptions in_process;
  in_process.workers = std::max(1u, options.workers);
  in_process.threads_per_worker = options.threads_per_worker;
  in_process.start_timeout = options.start_timeout;
  impl_->threads =
      std::make_unique<client::InProcessCluster>(client::make_loop("tegula-cluster"), config, std::move(in_process));
  impl_->address = impl_->threads->address();
}

LocalCluster::~LocalCluster() { close(); }

void LocalCluster::close() {
  if (std::exchange(impl_->closed, true)) return;
  if (impl_->processes) impl_->processes->close();
  impl_->threads.reset();
}

std::string LocalCluster::scheduler_address() const { return impl_->address; }
std::string LocalCluster::token() const { return impl_->token; }

std::vector<int> LocalCluster::worker_pids() const {
  return impl_->processes ? impl_->processes->worker_pids() : std::vector<int>();
}

int LocalCluster::scheduler_pid() const { return impl_->processes ? impl_->processes->scheduler_pid() : 0; }

void LocalCluster::add_worker() {
  if (impl_->closed) throw ClosedError("the cluster is closed");
  if (impl_->processes) {
    impl_->processes->add_worker();
  } else {
    impl_->threads->add_worker();
  }
}

}  // namespace tegula
