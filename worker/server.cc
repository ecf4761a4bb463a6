#include "worker/server.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include "src/buffer.h"
#include "src/config.h"
#include "src/log.h"
#include "src/overloaded.h"
#include "worker/core/state.h"
#include "worker/data_server.h"
#include "worker/executor.h"
#include "worker/history.h"
#include "worker/idle_thread.h"
#include "worker/kernel_loader.h"
#include "worker/kernel_registry.h"
#include "worker/layer_run.h"
#include "worker/limits.h"
#include "worker/nanny/vitals.h"
#include "worker/peer_fetcher.h"
#include "worker/store/loans.h"
#include "worker/store/spiller.h"

namespace tegula::worker {

namespace {

constexpr std::string_view kLog = "worker";
constexpr Time kFirstRetry = std::chrono::milliseconds(50);
constexpr Time kLastRetry = std::chrono::seconds(1);
constexpr Time kDefaultHeartbeat = std::chrono::milliseconds(500);
constexpr Time kLimitCheck = std::chrono::milliseconds(50);
constexpr Time kBeatInterval = std::chrono::milliseconds(100);  // of what the nanny looks at
// How long a compute thread looks out for work before it parks. Waking it takes tens of microseconds; but a worker that
// is a process of its own shares the machine with its scheduler, its peers and its own loop's thread.
constexpr Time kShortSpin = std::chrono::microseconds(10);
constexpr Time kLongSpin = std::chrono::microseconds(50);

// Free blocks that are kept for reuse: enough for the next tasks, not so much that others miss it.
std::size_t kept_bytes(std::uint64_t memory_limit) {
  constexpr std::uint64_t kMost = 512u << 20;
  return memory_limit == 0 ? kMost : std::min<std::uint64_t>(kMost, memory_limit / 8);
}

// What is read from disk for others is not in the core's account.
std::uint64_t bytes_for_serving(const WorkerOptions& options) {
  constexpr std::uint64_t kMost = 64u << 20;
  return options.memory_limit == 0 ? kMost : std::min<std::uint64_t>(kMost, options.memory_limit / 16);
}

// Of the limit, what values may take that the core counts.
std::uint64_t value_limit(const WorkerOptions& options) {
  if (options.memory_limit == 0) return 0;
  return options.memory_limit - std::min(options.memory_overhead, options.memory_limit / 4) -
         bytes_for_serving(options);
}

// When nothing has happened for so long, free blocks go back to the system.
constexpr Time kIdle = std::chrono::seconds(2);

std::string spill_base(const WorkerOptions& options) {
  if (!options.spill_directory.empty()) return options.spill_directory;
  if (!options.local_directory.empty()) return options.local_directory;
  std::error_code error;
  const std::filesystem::path temporary = std::filesystem::temp_directory_path(error);
  return error ? std::string("/tmp") : temporary.string();
}

Time now() { return std::chrono::steady_clock::now().time_since_epoch(); }

std::uint64_t random_number() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

std::string in_seconds(Time time) { return fmt::format("{:.3g} s", std::chrono::duration<double>(time).count()); }

}  // namespace

struct WorkerServer::Impl : std::enable_shared_from_this<Impl> {
  Impl(EventLoop& event_loop, WorkerOptions given) : loop(event_loop), options(std::move(given)) {
    scheduler = parse_address(options.scheduler_address, kDefaultSchedulerPort);
    if (options.name.empty()) options.name = default_worker_name();
    if (options.threads == 0) options.threads = usable_cores();
    if (options.listen_address.empty()) options.listen_address = listen_address_for(scheduler);
    parse_address(options.listen_address);
    make_local_directory();
    kernels = options.kernels != nullptr ? options.kernels : load_kernels(options.kernels_path, options.kernels_level);
    const std::uint64_t for_values = value_limit(options);
    pool = std::make_shared<BufferPool>(kept_bytes(for_values),
                                        for_values == 0 ? 0 : for_values + bytes_for_serving(options));
    options.comm.role = Role::kWorker;
    options.comm.name = options.name;
    options.comm.allocator = pool->allocator();
  }

  // What needs a pointer to this; not in the constructor, where there is none to share yet.
  void begin() {
    if (options.watch_turns) {
      turns = &loop.watch_turns();
      idle_thread = std::make_unique<IdleThread>();
    }
    const std::weak_ptr<Impl> weak = weak_from_this();
    executor = make_executor();
    fetcher = std::make_unique<PeerFetcher>(loop, [weak](Event event) {
      if (const auto self = weak.lock()) self->process(std::move(event));
    });
    spiller =
        std::make_unique<Spiller>(SpillerOptions{spill_base(options), options.spill_limit, options.spill, options.name},
                                  pool, [weak, &home = loop] {
                                    home.post([weak] {
                                      if (const auto self = weak.lock()) self->collect();
                                    });
                                  });
    DataServer::Limits limits;
    limits.bytes_from_disk = bytes_for_serving(options);
    DataServer::Source source;
    source.lookup = [weak](const ResultId& result) {
      const auto self = weak.lock();
      return self == nullptr ? DataServer::Found{} : self->find(result);
    };
    source.lend = [weak](const Chunk& chunk) {
      const auto self = weak.lock();
      return self == nullptr ? chunk : self->lend(chunk);
    };
    source.read_file = [weak](FileId file, std::function<void(std::optional<Chunk>)> done) {
      if (const auto self = weak.lock()) self->spiller->fetch(file, std::move(done));
    };
    source.await = [weak](AttemptId attempt) {
      if (const auto self = weak.lock()) self->process(Await{attempt});
    };
    server = std::make_unique<DataServer>(loop, pool, limits, std::move(source));
    server->on_question = [this] {
      return history.text({core ? report() : msg::WorkerHeartbeat{}, fetcher->traffic(), server->traffic(),
                           spiller->counters(), turns, idle_thread.get()},
                          now());
    };
  }

  DataServer::Found find(const ResultId& result) const {
    if (!core) return {};
    if (const Chunk* chunk = core->find(result)) return {*chunk, 0, 0, false};
    const FileId file = core->file_of(result);
    const bool unsure = file == 0 && core->inventory_parts() != 0;
    return {std::nullopt, file, file == 0 ? 0 : core->bytes_of(result), unsure};
  }

  Chunk lend(const Chunk& chunk) {
    core->lend(chunk.buffer());
    return loans->lend(chunk);
  }

  // With the scheduler in this process, compute threads run the cores themselves when they have ended a task. Over a
  // network the loop's thread does, while they go on: it sends the ends of many tasks in one frame.
  std::unique_ptr<Executor> make_executor() {
    const auto collect_ends = [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->collect();
    };
    Executor::Idling idling{kShortSpin, nullptr};
    std::function<void()> notify = [collect_ends, &home = loop] { home.post(collect_ends); };
    if (scheduler.scheme == "inproc") {
      idling = {kLongSpin, [&home = loop] { home.help(); }};
      notify = [collect_ends, &home = loop] { home.run_here_or_post(collect_ends); };
    }
    return std::make_unique<Executor>(options.threads, "compute", pool, std::move(notify), std::move(idling),
                                      options.vitals);
  }

  void make_local_directory() const {
    if (options.local_directory.empty()) return;
    std::error_code error;
    std::filesystem::create_directories(options.local_directory, error);
    if (error) throw FileError("cannot make the local directory " + options.local_directory + ": " + error.message());
    if (access(options.local_directory.c_str(), W_OK | X_OK) != 0) {
      throw FileError("cannot write to the local directory " + options.local_directory);
    }
  }

  // ---- joining ---------------------------------------------------------------------------------------------------

  void start() {
    deadline = options.death_timeout == Time{0} ? Time::max() : now() + options.death_timeout;
    retry_delay = kFirstRetry;
    if (options.vitals != nullptr) beat();
    try_to_join();
  }

  // Tells the nanny that this loop runs.
  void beat() {
    options.vitals->beat.store(steady_ns());
    beat_timer = loop.after(kBeatInterval, [this] { beat(); });
  }

  void try_to_join() {
    retry_timer.reset();
    read_file();
    CommOptions comm = options.comm;
    const Time left = std::max<Time>(deadline - now(), std::chrono::milliseconds(100));
    if (comm.connect_timeout <= Time{0} || comm.connect_timeout > left) comm.connect_timeout = left;
    const std::uint64_t number = ++joins;
    connect(loop, to_string(scheduler), comm,
            [weak = weak_from_this(), number](ConnectionPtr made, std::optional<ErrorInfo> error) {
              const auto self = weak.lock();
              if (self == nullptr || self->ended || number != self->joins) return;
              if (error) {
                self->not_joined(*error);
              } else {
                self->joined(std::move(made));
              }
            });
  }

  // A scheduler that was started again may have another address and another token.
  void read_file() {
    if (options.scheduler_file.empty()) return;
    try {
      const SchedulerFile file = read_scheduler_file(options.scheduler_file);
      scheduler = parse_address(file.address, kDefaultSchedulerPort);
      options.comm.token = file.token;
    } catch (const Error& error) {  // it is being started, or will never be: what was known is tried
      log::debug(kLog, "{}: {}", options.name, error.what());
    }
  }

  void not_joined(const ErrorInfo& error) {
    const bool permanent = error.code == ErrorCode::kAuthentication || error.code == ErrorCode::kVersion ||
                           error.code == ErrorCode::kConfig;
    if (permanent && !core) {
      return end(WorkerExit::Kind::kFailed, error.message);  // trying again would not help
    }
    last_error = error.message;
    retry();
  }

  void retry() {
    const Time left = deadline - now();
    if (left <= Time{0}) {
      return end(WorkerExit::Kind::kSchedulerLost, fmt::format("no scheduler at {} within {}: {}", to_string(scheduler),
                                                               in_seconds(options.death_timeout), last_error));
    }
    retry_timer = loop.after(std::min(retry_delay, left), [this] { try_to_join(); });
    retry_delay = std::min(retry_delay * 2, kLastRetry);
  }

  // A connection to the scheduler: a new life begins, with the results of the last one and the kernels that still run.
  void joined(ConnectionPtr made) {
    made->on_messages = [weak = weak_from_this(), number = joins](std::vector<msg::Message> messages) {
      if (const auto self = weak.lock(); self != nullptr && number == self->joins) self->receive(std::move(messages));
    };
    made->on_closed = [weak = weak_from_this(), number = joins](const std::string& reason) {
      if (const auto self = weak.lock(); self != nullptr && number == self->joins) self->lost(reason);
    };
    const bool same_life = made->peer().incarnation == served;
    if (!serve(made->peer().incarnation)) return;
    if (core) {
      begin_anew(same_life);
    } else {
      CoreOptions core_options;
      core_options.threads = options.threads;
      core_options.memory_limit = value_limit(options);
      core_options.store.spill = true;
      core_options.worker = options.name + " (" + address + ")";
      core_options.fetch.requests_per_peer = options.fetches_per_peer;
      core_options.fetch.bytes_in_flight = options.fetch_bytes_in_flight;
      core.emplace(core_options);
      loans = std::make_unique<Loans>(loop, [this](Buffer buffer) { process(LoanEnded{std::move(buffer)}); });
    }

    connection = std::move(made);
    msg::RegisterWorker registration;
    registration.name = options.name;
    registration.address = address;
    registration.host = host_name();
    registration.pid = static_cast<std::uint64_t>(getpid());
    registration.threads = options.threads;
    registration.memory_limit = options.memory_limit;
    registration.kernel_level = kernels->level();
    registration.kernels = kernels->names();
    registration.resources = options.resources;
    registration.slots_granted = core->granted().slots;
    registration.kib_granted = core->granted().kib;
    if (options.lifetime > Time{0}) {
      const Time left = std::max(options.lifetime - (now() - started), Time(std::chrono::milliseconds(1)));
      registration.lifetime_ms = static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
    }
    if (options.vitals != nullptr) {
      registration.nanny = options.vitals->nanny;
      registration.life = options.vitals->life;
    }
    registration.instance = instance;
    registration.inventory_parts = core->inventory_parts();
    connection->send(std::move(registration));
  }

  // Peers and clients of this life of the scheduler reach this worker by the same address as long as it lives.
  bool serve(Incarnation incarnation) {
    CommOptions comm = options.comm;
    comm.incarnation = incarnation;
    try {
      if (server->address().empty() || incarnation != served) {
        server->close();
        server->listen(options.listen_address, options.ports, comm);
        served = incarnation;
      }
      address = contact_address_of(server->address(), options.contact_address, scheduler);
    } catch (const Error& error) {
      end(WorkerExit::Kind::kFailed, error.what());
      return false;
    }
    fetcher->close();
    fetcher->set_options(comm);
    return true;
  }

  // There is no connection yet: what comes of the ends of the former life is for nobody.
  void begin_anew(bool same_life) {
    std::vector<Event> events;
    Rejoin rejoin = executor->begin_life(events);
    rejoin.numbers_go_on = same_life;
    events.emplace_back(std::move(rejoin));
    history.forget_running();
    layers.clear();
    wake_timer.reset();
    wake_at.reset();
    process(std::move(events));
  }

  // The scheduler is gone. What it has asked for goes on, and the next one is told what there is then.
  void lost(const std::string& reason) {
    if (ended) return;
    last_error = reason;
    ++joins;  // news of that connection is none any more
    heartbeat_timer.reset();
    if (connection != nullptr) retire(std::move(connection));
    const bool was_registered = std::exchange(registered, false);
    if (draining) return end(WorkerExit::Kind::kStopped, "it lost the scheduler while it was to end: " + reason);
    if (was_registered) {
      log::warning(kLog, "{}: lost the scheduler ({}); keeping {} results and trying to join again", options.name,
                   reason, core->results());
      deadline = options.death_timeout == Time{0} ? Time::max() : now() + options.death_timeout;
      retry_delay = kFirstRetry;
    }
    retry();
  }

  void forget_everything() {
    registered = false;
    ++joins;  // what is still under way speaks of the life that ends
    heartbeat_timer.reset();
    wake_timer.reset();
    wake_at.reset();
    executor->abandon_all();
    history.forget_running();
    fetcher->close();
    server->close();
    loans.reset();
    spiller->abandon_all();
    core.reset();
    layers.clear();
    address.clear();
    if (connection != nullptr) retire(std::move(connection));
  }

  // Closes a connection, also from within its own handlers.
  void retire(ConnectionPtr gone) {
    loop.post([gone = std::move(gone)] { gone->close(); });
  }

  // ---- the scheduler's messages ----------------------------------------------------------------------------------

  void receive(std::vector<msg::Message> messages) {
    std::vector<Event> events;
    events.reserve(messages.size());
    for (msg::Message& message : messages) {
      const bool known = std::visit(
          Overloaded{[&](msg::Assign& m) { return take(events, m); }, [&](msg::Retract& m) { return take(events, m); },
                     [&](msg::FreeResults& m) { return take(events, m); },
                     [&](msg::AcquireReplicas& m) { return take(events, m); },
                     [&](msg::WorkerAddress& m) { return take(events, m); },
                     [&](msg::WorkerGone& m) { return take(events, m); },
                     [&](msg::NextUse& m) { return take(events, m); },
                     [&](msg::InventoryTaken& m) { return take(events, m); },
                     [&](msg::ForgetLayer& m) { return take(events, m); },
                     [&](msg::DefineLayer& m) {
                       // What was said of the same number before comes first: it may be that it is forgotten.
                       if (layers.contains(m.layer)) process(std::exchange(events, {}));
                       define(m);
                       return take(events, m);
                     },
                     [&](msg::WorkerRegistered& m) {
                       welcome(m);
                       return take(events, m);
                     },
                     [&](msg::WorkerRefused& m) {
                       end(WorkerExit::Kind::kRefused, "the scheduler refused: " + m.reason);
                       return true;
                     },
                     [&](msg::Shutdown& m) {
                       end(WorkerExit::Kind::kShutdown, m.reason);
                       return true;
                     },
                     [](auto&) { return false; }},
          message);
      if (ended) return;
      if (!known) return lost("it sent " + std::string(msg::name_of(message)) + ", which workers do not take");
    }
    process(std::move(events));
  }

  template <typename T>
  static bool take(std::vector<Event>& events, T& message) {
    events.emplace_back(std::move(message));
    return true;
  }

  void define(const msg::DefineLayer& message) {
    if (message.description != nullptr)
      layers.try_emplace(message.layer, std::make_shared<LayerRun>(message.description, *kernels, limit_of(message)));
  }

  Time limit_of(const msg::DefineLayer& message) const {
    constexpr std::uint64_t kLongestMs = 1ull << 40;
    if (message.time_limit_ms == 0) return options.time_limit;
    return std::chrono::milliseconds(std::min(message.time_limit_ms, kLongestMs));
  }

  void welcome(const msg::WorkerRegistered& message) {
    registered = true;
    const auto said = std::chrono::milliseconds(message.heartbeat_interval_ms);
    heartbeat_interval = options.heartbeat_interval > Time{0} ? options.heartbeat_interval : Time(said);
    if (heartbeat_interval <= Time{0}) heartbeat_interval = kDefaultHeartbeat;
    if (options.vitals != nullptr) {
      Vitals& vitals = *options.vitals;
      if (vitals.incarnation.load() == 0) vitals.initial_bytes.store(resident_bytes());
      vitals.incarnation.store(static_cast<std::uint64_t>(connection->peer().incarnation));
    }
    schedule_heartbeat();
    log::info(kLog, "{}: joined {} as worker {}, at {}, {} threads, memory limit {}", options.name,
              to_string(scheduler), static_cast<std::uint32_t>(message.worker), address, options.threads,
              options.memory_limit == 0 ? "none" : format_bytes(options.memory_limit));
    if (owner != nullptr && owner->on_registered) owner->on_registered();
  }

  void schedule_heartbeat() {
    heartbeat_timer = loop.after(heartbeat_interval, [this] {
      schedule_heartbeat();
      msg::WorkerHeartbeat beat = report();
      beat.transfers = core->take_transfers();
      trim_when_idle(beat);
      connection->send(beat);
    });
  }

  msg::WorkerHeartbeat report() const {
    msg::WorkerHeartbeat beat = core->heartbeat();
    beat.rss_bytes = resident_bytes();
    beat.bytes_in = fetcher->bytes_in();
    beat.bytes_out = server->bytes_out();
    beat.kept_bytes = pool->bytes_kept();
    const Spiller::Counters disk = spiller->counters();
    beat.disk_written = disk.bytes_written;
    beat.disk_read = disk.bytes_read;
    beat.running = executor->running();
    return beat;
  }

  void trim_when_idle(const msg::WorkerHeartbeat& beat) {
    const bool busy = beat.executing > 0 || beat.received != beat.sent || beat.tasks_done != done_at_last_beat;
    done_at_last_beat = beat.tasks_done;
    if (busy) {
      idle_since = now();
      trimmed = false;
    } else if (!trimmed && now() - idle_since >= kIdle) {
      trimmed = true;
      spiller->trim();
    }
  }

  // ---- the core's events and actions -----------------------------------------------------------------------------

  void collect() {
    if (!core) return;
    std::vector<Event> events;
    executor->collect(events);
    spiller->collect(events);
    const Time time = now();
    for (const Event& event : events) history.heard(event, time);
    if (!events.empty()) process(std::move(events));
  }

  void process(Event event) {
    std::vector<Event> events;
    events.push_back(std::move(event));
    process(std::move(events));
  }

  void process(std::vector<Event> events) {
    while (core && !events.empty()) {
      actions.clear();
      core->handle(events, now(), actions);
      events.clear();
      for (Action& action : actions) {
        std::visit([&](auto& a) { carry_out(a, events); }, action);
      }
      // Before the kernels take what was reserved for them.
      if (options.vitals != nullptr) options.vitals->own_bytes.store(core->managed_bytes() + core->reserved_bytes());
      executor->submit(jobs);
    }
    if (core) set_wakeup();
  }

  void carry_out(SendToScheduler& send, std::vector<Event>&) {
    if (connection != nullptr) connection->send(std::move(send.message));  // else: it will be told when it is back
  }

  void carry_out(Execute& execute, std::vector<Event>&) {
    history.handed_over(execute, now());
    const auto layer = layers.find(layer_of(execute.task));  // the core knows it, so it was defined
    jobs.push_back({execute.attempt, execute.task, layer->second, std::move(execute.inputs), execute.granted, 0});
    if (layer->second->time_limit() > Time{0} && limit_timer == nullptr) watch_limits();
  }

  // Only while there is a task with a limit.
  void watch_limits() {
    limit_timer = loop.after(kLimitCheck, [this] {
      limit_timer.reset();
      const Executor::Overdue overdue = executor->check_limits(options.time_limit_grace);
      if (overdue.limited) watch_limits();
      if (overdue.stuck == 0) return;
      log::warning(kLog, "{}: kernels that run on beyond the time limit of their task, although asked to stop: {}",
                   options.name, overdue.stuck);
      collect();  // the scheduler hears of the failures before anything else
      if (!std::exchange(stuck, true) && owner != nullptr && owner->on_stuck_thread) owner->on_stuck_thread();
    });
  }

  void carry_out(Recall& recall, std::vector<Event>& events) {
    executor->submit(jobs);  // it may be among these
    if (executor->recall(recall.attempt, recall.cancel)) {
      events.emplace_back(Recalled{recall.attempt});
    } else {
      events.emplace_back(TooLate{recall.attempt});
    }
  }

  void carry_out(AttemptEnded& end, std::vector<Event>&) { server->attempt_ended(end.attempt); }

  void carry_out(StartFetch& fetch, std::vector<Event>&) { fetcher->fetch(std::move(fetch)); }

  void carry_out(ClosePeer& close, std::vector<Event>&) { fetcher->close(close.peer); }

  void carry_out(ReleaseLayer& release, std::vector<Event>&) { layers.erase(release.layer); }

  void carry_out(Spill& spill, std::vector<Event>&) { spiller->write(std::move(spill)); }

  void carry_out(Unspill& unspill, std::vector<Event>&) { spiller->read(unspill.file); }

  void carry_out(DropSpilled& drop, std::vector<Event>&) { spiller->drop(drop.file); }

  void carry_out(TrimMemory&, std::vector<Event>&) { spiller->trim(); }

  void set_wakeup() {
    const Time time = now();
    const std::optional<Time> wanted = core->next_wakeup(time);
    if (!wanted || (wake_at && *wake_at <= *wanted)) return;  // an earlier one finds out by itself
    wake_at = wanted;
    wake_timer = loop.after(std::max(*wanted - time, Time{0}), [this] {
      wake_at.reset();
      process(Tick{});
    });
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  void drain(const std::string& reason, Time patience) {
    if (ended) return;
    if (!registered || patience <= Time{0}) return stop(true);
    const Time until = now() + patience;
    if (!std::exchange(draining, true)) {
      log::info(kLog, "{}: is to end ({}) and has {} to finish and to hand its results over", options.name, reason,
                in_seconds(patience));
      connection->send(msg::WorkerDraining{reason});
    } else if (until >= drain_until) {
      return;
    }
    drain_until = until;
    drain_timer = loop.after(patience, [this] {
      log::warning(kLog, "{}: ends although not all of its results are elsewhere: its time is up", options.name);
      stop(true);
    });
  }

  void stop(bool orderly) {
    if (ended) return;
    if (orderly && connection) connection->send(msg::WorkerLeaving{"stopped"});  // it may know us before we hear so
    end(WorkerExit::Kind::kStopped, "stopped");
  }

  void end(WorkerExit::Kind kind, std::string reason) {
    if (std::exchange(ended, true)) return;
    log::info(kLog, "{}: ends: {}", options.name, reason);
    retry_timer.reset();
    drain_timer.reset();
    forget_everything();
    loop.post([weak = weak_from_this(), outcome = WorkerExit{kind, std::move(reason)}] {
      const auto self = weak.lock();
      if (self != nullptr && self->owner != nullptr && self->owner->on_exit) self->owner->on_exit(outcome);
    });
  }

  EventLoop& loop;
  WorkerServer* owner = nullptr;
  WorkerOptions options;
  Address scheduler;
  std::shared_ptr<const KernelRegistry> kernels;
  std::shared_ptr<BufferPool> pool;

  const std::uint64_t instance = random_number();  // of this process, to the scheduler
  Incarnation served{};                            // whose peers and clients the data server takes

  // One life: from a connection to the scheduler to the next one.
  std::uint64_t joins = 0;  // tells lives and attempts to begin one apart
  ConnectionPtr connection;
  std::optional<WorkerState> core;
  std::unique_ptr<Loans> loans;
  std::unordered_map<LayerId, std::shared_ptr<LayerRun>> layers;
  std::string address;
  bool registered = false;
  Time heartbeat_interval{0};
  std::unique_ptr<EventLoop::Timer> beat_timer, heartbeat_timer, wake_timer, retry_timer, limit_timer, drain_timer;
  std::optional<Time> wake_at;
  std::uint64_t done_at_last_beat = 0;
  Time idle_since{0};
  bool trimmed = true;

  Time deadline{0};
  Time retry_delay{0};
  std::string last_error;
  bool ended = false;
  bool draining = false;
  Time drain_until{0};
  bool stuck = false;  // said so
  const Time started = now();

  History history;
  const TurnWatch* turns = nullptr;  // the loop's; null: nobody watches
  std::unique_ptr<IdleThread> idle_thread;

  std::vector<Action> actions;  // kept for their capacity
  std::vector<Job> jobs;

  // Last, so that they go first: they call back.
  std::unique_ptr<DataServer> server;
  std::unique_ptr<PeerFetcher> fetcher;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Spiller> spiller;
};

WorkerServer::WorkerServer(EventLoop& loop, WorkerOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {
  impl_->owner = this;
  impl_->begin();
}

WorkerServer::~WorkerServer() {
  impl_->owner = nullptr;
  if (std::exchange(impl_->ended, true)) return;
  impl_->retry_timer.reset();
  impl_->forget_everything();
}

void WorkerServer::start() { impl_->start(); }
void WorkerServer::stop(bool orderly) { impl_->stop(orderly); }
void WorkerServer::drain(const std::string& reason, std::chrono::nanoseconds deadline) {
  impl_->drain(reason, deadline);
}
const std::string& WorkerServer::name() const { return impl_->options.name; }
std::string WorkerServer::address() const { return impl_->address; }
unsigned WorkerServer::threads() const { return impl_->options.threads; }

}  // namespace tegula::worker
