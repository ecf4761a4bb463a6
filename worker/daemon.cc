#include "worker/daemon.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/event_loop.h"
#include "comm/options.h"
#include "comm/transport.h"
#include "src/config.h"
#include "src/log.h"
#include "worker/addresses.h"
#include "worker/command_line.h"
#include "worker/limits.h"
#include "worker/nanny/cpus.h"
#include "worker/nanny/exit_status.h"
#include "worker/nanny/nanny.h"
#include "worker/nanny/vitals.h"
#include "worker/server.h"

namespace tegula {

namespace {

using worker::CommandLine;
using worker::SchedulerTarget;

// Of the memory limit, what the process has beside values: code and threads; messages and tables grow with it.
constexpr std::uint64_t kProcessBytes = 32u << 20;
constexpr auto kFilePoll = std::chrono::milliseconds(100);
constexpr std::chrono::nanoseconds kReportPatience = std::chrono::milliseconds(1);  // a nanny cannot wait
constexpr auto kKernelPatience = std::chrono::seconds(2);  // at the end, for kernels that were asked to stop
constexpr std::chrono::nanoseconds kShortestLifetime = std::chrono::seconds(1);

// A scheduler that starts at the same time writes its file a little later.
SchedulerFile wait_for_file(const std::string& path, std::chrono::nanoseconds patience) {
  const auto begin = std::chrono::steady_clock::now();
  for (bool told = false; !std::filesystem::exists(path);) {
    if (!std::exchange(told, true)) log::info("worker", "waiting for the scheduler file {}", path);
    const auto waited = std::chrono::steady_clock::now() - begin;
    if (patience.count() > 0 && waited >= patience) throw ConnectionError("there is no scheduler file " + path);
    std::this_thread::sleep_for(kFilePoll);
  }
  return read_scheduler_file(path);
}

SchedulerTarget find_scheduler(const CommandLine& line, const Config& config, std::chrono::nanoseconds patience) {
  const bool is_path = line.scheduler.ends_with(".json") && line.scheduler.find("://") == std::string::npos;
  const std::string path = is_path ? line.scheduler : line.scheduler.empty() ? config.string("scheduler.file") : "";
  if (!path.empty()) {
    const SchedulerFile file = wait_for_file(path, patience);
    return {file.address, file.token, path};
  }
  // --insecure does without the token of the environment, as it does for the scheduler.
  SchedulerTarget target{
      line.scheduler, config.boolean("comm.insecure") ? std::string() : token_from_environment(), {}};
  if (target.address.empty()) {
    const auto port = static_cast<std::uint16_t>(config.integer("scheduler.port"));
    target.address = to_string(Address{"tcp", config.string("scheduler.host"), port});
  }
  target.address = to_string(parse_address(target.address, kDefaultSchedulerPort));
  return target;
}

// "A=1,B=2" where this process has no such variable, then those of the command line, which have {} for the number.
std::vector<std::string> environment_of(const CommandLine& line, const Config& config, unsigned number) {
  std::vector<std::string> entries;
  const std::string& defaults = config.string("worker.environment");
  for (std::size_t begin = 0; begin < defaults.size();) {
    const std::size_t end = std::min(defaults.find(',', begin), defaults.size());
    const std::string entry = defaults.substr(begin, end - begin);
    const std::size_t sign = entry.find('=');
    if (sign == std::string::npos || sign == 0) {
      throw ConfigError("worker.environment: '" + entry + "' is not NAME=VALUE");
    }
    if (std::getenv(entry.substr(0, sign).c_str()) == nullptr) entries.push_back(entry);
    begin = end + 1;
  }
  for (std::string entry : line.environment) {
    for (std::size_t at = entry.find("{}"); at != std::string::npos; at = entry.find("{}", at)) {
      entry.replace(at, 2, std::to_string(number));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::uint64_t random_nonzero() {
  std::random_device device;
  std::uint64_t value = 0;
  while (value == 0) value = (static_cast<std::uint64_t>(device()) << 32) | device();
  return value;
}

// ---- the worker itself ----------------------------------------------------------------------------------------------

// One life of a worker in this process, until its end is decided.
class WorkerRun {
 public:
  WorkerRun(const CommandLine& line, const Config& config, worker::Vitals* vitals) : vitals_(vitals) {
    worker::WorkerOptions options = worker::worker_options(config, 1);
    const SchedulerTarget target = find_scheduler(line, config, config.duration("worker.death-timeout"));
    options.scheduler_address = target.address;
    options.memory_overhead = kProcessBytes + options.memory_limit / 16;
    options.scheduler_file = target.file;
    options.comm.token = target.token;
    options.vitals = vitals;
    options.lifetime = draw_lifetime(config);
    const std::chrono::nanoseconds lifetime = options.lifetime;
    server_.emplace(loop_, std::move(options));
    server_->on_exit = [this](const worker::WorkerExit& ended) {
      outcome_ = ended;
      loop_.stop();
    };
    // A nanny starts another process, with as many threads as this one had.
    if (vitals != nullptr) {
      server_->on_stuck_thread = [this] {
        stuck_ = true;
        obey(Order::kDrain);
      };
    }
    loop_.on_termination_signal([this](int signal) { asked(signal); });
    drain_timeout_ = config.duration("worker.drain-timeout");
    if (lifetime.count() > 0) {
      log::info("worker", "the lifetime of this worker is {:.3g} s", std::chrono::duration<double>(lifetime).count());
      // In time to be done at its end, but not before half of it.
      lifetime_timer_ = loop_.after(std::max(lifetime - drain_timeout_, lifetime / 2), [this] {
        lifetime_over_ = true;
        obey(Order::kDrain);
      });
    }
  }

  int run() {
    loop_.post([this] { server_->start(); });
    loop_.run();
    if (vitals_ != nullptr) vitals_->ending.store(1);
    const bool failed = outcome_ && !outcome_->ok();
    if (failed) fmt::print(stderr, "tegula-worker: {}\n", outcome_->reason);
    const int status = failed           ? worker::kExitFailed
                       : asked_         ? worker::kExitOrderly
                       : stuck_         ? worker::kExitStuckThread
                       : lifetime_over_ ? worker::kExitLifetime
                                        : worker::kExitOrderly;
    // The server waits for kernels that run, which may take for ever.
    std::thread([status] {
      std::this_thread::sleep_for(kKernelPatience);
      std::_Exit(status);
    }).detach();
    server_.reset();
    return status;
  }

 private:
  using Order = worker::Order;

  static std::chrono::nanoseconds draw_lifetime(const Config& config) {
    const std::chrono::nanoseconds lifetime = config.duration("worker.lifetime");
    const std::chrono::nanoseconds stagger = config.duration("worker.lifetime-stagger");
    if (lifetime.count() == 0) return lifetime;
    std::random_device random;
    std::uniform_int_distribution<std::int64_t> offset(-stagger.count(), stagger.count());
    return std::max(lifetime + std::chrono::nanoseconds(offset(random)), kShortestLifetime);
  }

  // A signal comes from the nanny, which left an order, or from anybody else. As batch systems signal all processes of
  // a job, one that comes beside the nanny's order asks for nothing more than the order does.
  void asked(int signal) {
    const bool again = std::exchange(asked_, true);
    const Order order = vitals_ != nullptr ? vitals_->order.load() : Order::kNone;
    if (order != Order::kNone) return obey(order);
    obey(again ? Order::kLeave : signal == SIGINT ? Order::kHurry : Order::kDrain);
  }

  void obey(Order order) {
    if (order <= obeyed_) return;
    obeyed_ = order;
    if (order == Order::kLeave) return loop_.stop();
    const char* reason = asked_ ? "asked to end" : stuck_ ? "a kernel does not end" : "its lifetime is over";
    server_->drain(reason, order == Order::kHurry ? std::min(worker::kHurryTime, drain_timeout_) : drain_timeout_);
  }

  EventLoop loop_;
  worker::Vitals* const vitals_;
  std::optional<worker::WorkerServer> server_;
  std::optional<worker::WorkerExit> outcome_;
  std::unique_ptr<EventLoop::Timer> lifetime_timer_;
  Order obeyed_ = Order::kNone;
  bool asked_ = false;  // from outside
  bool lifetime_over_ = false, stuck_ = false;
  std::chrono::nanoseconds drain_timeout_{0};
};

int run_alone(const CommandLine& line, const Config& config) {
  if (line.processes != 1) throw ConfigError("--no-nanny runs one worker, which does not go with --nworkers");
  for (const std::string& entry : environment_of(line, config, 0)) {
    const std::size_t sign = entry.find('=');
    setenv(entry.substr(0, sign).c_str(), entry.substr(sign + 1).c_str(), 1);
  }
  if (!worker::bind_to(worker::divide_cpus(config.string("worker.cpus"), 1).front())) {
    throw ConfigError("worker.cpus: cannot be bound to " + config.string("worker.cpus"));
  }
  const int status = WorkerRun(line, config, nullptr).run();
  return status == worker::kExitLifetime ? worker::kExitOrderly : status;
}

int run_supervised(const CommandLine& line, const Config& config) {
  const worker::SharedVitals vitals(line.supervised);
  return WorkerRun(line, config, &*vitals).run();
}

// ---- the nanny ------------------------------------------------------------------------------------------------------

// The arguments of worker process i: those of this one, and what differs after them, where it counts.
std::vector<std::string> arguments_of(int argc, char** argv, const Config& config, unsigned processes, unsigned i,
                                      std::size_t cpus) {
  std::vector<std::string> arguments(argv, argv + argc);
  const auto add = [&arguments](const char* flag, std::string value) {
    arguments.emplace_back(flag);
    arguments.push_back(std::move(value));
  };
  const std::string& name = config.string("worker.name");
  add("--nworkers", "1");
  if (processes == 1) {
    add("--name", name);
    return arguments;
  }
  const std::string own_name = name + "-" + std::to_string(i);
  add("--name", own_name);
  const std::uint64_t limit = worker::parse_memory_limit(config.string("worker.memory-limit"), processes);
  add("--memory-limit", limit == 0 ? "none" : std::to_string(limit));
  if (config.integer("worker.threads") == 0) {
    add("--nthreads", std::to_string(cpus != 0 ? cpus : std::max(1u, worker::usable_cores() / processes)));
  }
  if (const std::string& directory = config.string("worker.local-directory"); !directory.empty()) {
    add("--local-directory", (std::filesystem::path(directory) / own_name).string());
  }
  return arguments;
}

int run_nanny(const CommandLine& line, Config config, int argc, char** argv) {
  // What is wrong with these is said once, and before anything is started.
  worker::worker_options(config, line.processes);
  const auto cpus = worker::divide_cpus(config.string("worker.cpus"), line.processes);
  find_scheduler(line, config, config.duration("worker.death-timeout"));

  if (config.string("worker.name").empty()) config.set("worker.name", worker::default_worker_name());
  worker::NannyOptions options;
  options.find_scheduler = [line, config] { return find_scheduler(line, config, kReportPatience); };
  options.comm = comm_options(config);
  for (unsigned i = 0; i < line.processes; ++i) {
    worker::ProcessSpec spec;
    spec.name = config.string("worker.name") + (line.processes == 1 ? "" : "-" + std::to_string(i));
    spec.arguments = arguments_of(argc, argv, config, line.processes, i, cpus[i].size());
    spec.environment = environment_of(line, config, i);
    spec.cpus = cpus[i];
    spec.nanny = random_nonzero();
    options.workers.push_back(std::move(spec));
  }
  options.restart.start_attempts =
      static_cast<unsigned>(std::max<std::int64_t>(0, config.integer("worker.start-attempts")));
  options.restart.after_lifetime = config.boolean("worker.lifetime-restart");
  options.hang_timeout = config.duration("worker.hang-timeout");
  options.drain_timeout = config.duration("worker.drain-timeout");
  options.memory_limit = worker::parse_memory_limit(config.string("worker.memory-limit"), line.processes);
  options.terminate_fraction = config.number("worker.terminate-fraction");
  return worker::run_nanny(std::move(options));
}

int run(const CommandLine& line, int argc, char** argv) {
  Config config = Config::load(line.config_file);
  for (const auto& [key, value] : line.settings) config.set(key, value);
  log::configure(config.string("logging.level"), config.string("logging.file"));
  worker::raise_descriptor_limit();
  if (line.supervised >= 0) return run_supervised(line, config);
  if (!config.boolean("worker.nanny")) return run_alone(line, config);
  return run_nanny(line, std::move(config), argc, argv);
}

}  // namespace

int worker_main(int argc, char** argv) {
  const CommandLine line = worker::parse_command_line(argc, argv);
  if (line.exit) return *line.exit;
  try {
    return run(line, argc, argv);
  } catch (const ConfigError& error) {
    fmt::print(stderr, "tegula-worker: {}\n", error.what());
    return worker::kExitUsage;
  } catch (const ValueError& error) {  // a malformed address
    fmt::print(stderr, "tegula-worker: {}\n", error.what());
    return worker::kExitUsage;
  } catch (const Error& error) {
    fmt::print(stderr, "tegula-worker: {}\n", error.what());
    return worker::kExitFailed;
  } catch (const std::exception& error) {
    fmt::print(stderr, "tegula-worker: {}\n", error.what());
    return worker::kExitUnexpected;
  }
}

}  // namespace tegula
