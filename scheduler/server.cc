#include "scheduler/server.h"

#include <deque>
#include <iterator>
#include <optional>
#include <random>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>

#include "comm/codec.h"
#include "comm/options.h"
#include "scheduler/journal.h"
#include "scheduler/queries.h"
#include "scheduler/record.h"
#include "src/config.h"
#include "src/log.h"
#include "src/overloaded.h"

namespace tegula::scheduler {

namespace {

constexpr std::string_view kLog = "scheduler";
constexpr auto kTickInterval = std::chrono::milliseconds(50);
constexpr auto kStopPatience = std::chrono::seconds(2);
constexpr std::size_t kAnswerPart = 1u << 20;  // bytes of an answer in one message; the client asks for the rest

using Clock = std::chrono::steady_clock;

std::uint64_t random_nonzero() {
  std::random_device device;
  std::uint64_t value = 0;
  while (value == 0) value = (static_cast<std::uint64_t>(device()) << 32) | device();
  return value;
}

}  // namespace

SchedulerOptions scheduler_options(const Config& config) {
  SchedulerOptions options;
  options.comm = comm_options(config);
  options.core.reattach_grace = config.duration("scheduler.client-grace");
  options.core.worker_timeout = config.duration("scheduler.worker-ttl");
  options.core.drop_surplus_replicas = config.boolean("scheduler.drop-surplus-replicas");
  options.core.stall_report = config.duration("scheduler.stall-report");
  options.core.inventory_window = config.duration("scheduler.inventory-window");
  options.core.heartbeat_interval = config.duration("worker.heartbeat-interval");
  options.journal = config.string("scheduler.journal");
  options.record = config.string("scheduler.record");
  options.record_limit = config.bytes("scheduler.record-limit");
  options.idle_timeout = config.duration("scheduler.idle-timeout");
  return options;
}

struct SchedulerServer::Impl : std::enable_shared_from_this<Impl> {
  // A connection, from the handshake to its end. Which of the ids is set says what it has shown itself to be.
  struct Peer {
    ConnectionPtr connection;
    WorkerId worker{};
    ConnectionId client{};
    Clock::time_point since;
    std::string address;                        // of a worker: where it serves results
    std::unordered_set<WorkerId> told_workers;  // a client: whose addresses it has
    std::string answer;                         // a client: the text of its last query while parts are left
  };
  using PeerNumber = std::uint64_t;
  // Messages for a client that wait until the journal has what came before them.
  struct Held {
    struct Waiting {
      std::uint64_t commit = 0, bytes = 0;
      msg::Message message;
    };
    std::uint64_t commit = 0;  // that what comes now waits for
    std::uint64_t bytes = 0;   // of `messages`
    std::deque<Waiting> messages;
  };

  Impl(EventLoop& event_loop, SchedulerOptions given)
      : loop(event_loop), options(std::move(given)), state(options.core), started(Clock::now()) {
    if (static_cast<std::uint64_t>(options.comm.incarnation) == 0) {
      options.comm.incarnation = static_cast<Incarnation>(random_nonzero());
    }
    options.comm.role = Role::kScheduler;
    options.comm.name = "scheduler";
    last_use = started;
    if (!options.record.empty()) recorder.emplace(options.record, options.core, options.record_limit);
  }

  // What a former life left comes before everything else.
  void open_journal() {
    if (options.journal.empty()) return;
    journal = std::make_unique<Journal>(JournalOptions{options.journal},
                                        [weak = weak_from_this(), &home = loop](std::function<void()> work) {
                                          home.post([weak, work = std::move(work)] {
                                            if (const auto self = weak.lock()) work();
                                          });
                                        });
    journal->on_committed = [this](std::uint64_t number) { committed(number); };
    for (SessionRestored& session : journal->restored()) apply(std::move(session));
  }

  void listen_all() {
    for (const std::string& address : options.listen_addresses) {
      listeners.push_back(
          listen(loop, address, options.comm, [this](ConnectionPtr connection) { accept(std::move(connection)); }));
      addresses.push_back(listeners.back()->address());
    }
    if (addresses.empty()) throw ValueError("a scheduler needs an address to listen on");
    contact = options.contact_address.empty() ? addresses.front() : options.contact_address;
    schedule_tick();
  }

  static Time now() { return Clock::now().time_since_epoch(); }

  // ---- connections ----

  void accept(ConnectionPtr connection) {
    if (stopping) return connection->close();
    const PeerNumber number = ++last_peer;
    connection->on_messages = [this, number](std::vector<msg::Message> messages) { receive(number, messages); };
    connection->on_closed = [this, number](const std::string& reason) { closed(number, reason); };
    log::debug(kLog, "connection from {} ({})", connection->peer().name, connection->peer().address);
    peers.emplace(number, Peer{std::move(connection), {}, {}, Clock::now(), {}, {}, {}});
  }

  void receive(PeerNumber number, std::vector<msg::Message>& messages) {
    for (msg::Message& message : messages) {
      const auto found = peers.find(number);
      if (found == peers.end()) return;  // closed by what it sent before
      Peer& peer = found->second;
      if (peer.worker != WorkerId{}) {
        apply(FromWorker{peer.worker, std::move(message)});
      } else if (const auto* query = std::get_if<msg::Query>(&message); query && peer.client != ConnectionId{}) {
        answer_query(peer, *query);
      } else if (peer.client != ConnectionId{}) {
        std::string refusal = refusal_of(message);
        apply(FromClient{peer.client, std::move(message), std::move(refusal)});
      } else {
        introduce(number, peer, std::move(message));
      }
    }
  }

  // A submission that cannot be written down is better refused than forgotten.
  std::string refusal_of(const msg::Message& message) {
    if (journal == nullptr || !std::holds_alternative<msg::Submit>(message)) return "";
    return journal->no_room_for(codec::measure(message).control_bytes);
  }

  void introduce(PeerNumber number, Peer& peer, msg::Message message) {
    const Role role = peer.connection->peer().role;
    if (auto* registration = std::get_if<msg::RegisterWorker>(&message); registration && role == Role::kWorker) {
      peer.worker = static_cast<WorkerId>(++last_worker);
      peer.address = registration->address;
      workers.emplace(peer.worker, number);
      log::info(kLog, "worker {} at {} joins: {} threads, {} memory, kernels {}", registration->name,
                registration->address, registration->threads,
                registration->memory_limit == 0 ? "unlimited" : format_bytes(registration->memory_limit),
                registration->kernel_level);
      apply(WorkerJoined{peer.worker, std::move(*registration)});
    } else if (auto* died = std::get_if<msg::WorkerDied>(&message); died && role == Role::kWorker) {
      log::info(kLog, "the nanny of worker {} reports: {}", died->name, died->detail);
      apply(DeathReported{std::move(*died)});
      drop(number);  // which tells the nanny that it has arrived
    } else if (auto* attach = std::get_if<msg::AttachClient>(&message); attach && role == Role::kClient) {
      peer.client = static_cast<ConnectionId>(++last_client);
      clients.emplace(peer.client, number);
      log::info(kLog, "client {} {}", peer.connection->peer().name,
                attach->session == 0 ? "attaches" : "attaches anew after a lost connection");
      hold_until_written(peer.client);
      apply(ClientConnected{peer.client, std::move(*attach), random_nonzero(), random_nonzero()});
    } else {
      log::warning(kLog, "closing the connection of {} ({}): it began with {}", peer.connection->peer().name,
                   peer.connection->peer().address, msg::name_of(message));
      drop(number);
    }
  }

  void closed(PeerNumber number, const std::string& reason) {
    const auto found = peers.find(number);
    if (found == peers.end()) return;
    const Peer peer = forget(found);
    if (peer.worker != WorkerId{}) {
      log::info(kLog, "worker {} is gone: {}", peer.connection->peer().name, reason);
      apply(WorkerLost{peer.worker, LossReason::kConnection, reason});
    } else if (peer.client != ConnectionId{}) {
      log::info(kLog, "client {} is gone: {}", peer.connection->peer().name, reason);
      apply(ClientLost{peer.client});
    }
    if (stopping) check_stopped();
  }

  using Peers = std::unordered_map<PeerNumber, Peer>;
  // Takes a peer out of all tables. Its connection is destroyed in a later turn, since one of its handlers may be what
  // runs now.
  Peer forget(Peers::iterator found) {
    Peer peer = std::move(found->second);
    peers.erase(found);
    if (peer.worker != WorkerId{}) {
      workers.erase(peer.worker);
      tell_gone(peer.worker);
    }
    if (peer.client != ConnectionId{}) {
      clients.erase(peer.client);
      held.erase(peer.client);
    }
    loop.post([connection = peer.connection] {});
    return peer;
  }

  // Who fetches from it need not wait until the connection to it breaks.
  void tell_gone(WorkerId worker) {
    for (const auto& [id, number] : clients) {
      Peer& client = peers.at(number);
      if (client.told_workers.erase(worker) > 0) client.connection->send(msg::WorkerGone{worker});
    }
  }

  // Closes from this side, after what was sent has left.
  void drop(PeerNumber number) {
    const auto found = peers.find(number);
    if (found == peers.end()) return;
    forget(found).connection->close();
    if (stopping) check_stopped();
  }

  // ---- the core ----

  void apply(Event event) {
    const auto start = Clock::now();
    ++events;
    if (recorder) recorder->apply(start.time_since_epoch(), event);
    state.apply(start.time_since_epoch(), std::move(event), actions);
    core_time += Clock::now() - start;
    execute();
    settle_later();
  }

  // What arrives in one turn of the loop is settled together.
  void settle_later() {
    if (settle_scheduled) return;
    settle_scheduled = true;
    loop.at_end_of_turn([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->settle();
    });
  }

  void settle() {
    settle_scheduled = false;
    const auto start = Clock::now();
    if (recorder) recorder->settle(start.time_since_epoch(), actions_given);
    state.settle(start.time_since_epoch(), actions);
    core_time += Clock::now() - start;
    execute();
    if (journal != nullptr) journal->commit();
    if (!state.busy() || tick_posted) return;
    tick_posted = true;
    loop.post([weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      self->tick_posted = false;
      self->apply(Tick{});
    });
  }

  void execute() {
    actions_given += actions.size();
    for (Action& action : actions) {
      std::visit(Overloaded{
                     [this](SendToWorker& send) {
                       if (Peer* peer = find(workers, send.worker)) peer->connection->send(std::move(send.message));
                     },
                     [this](SendToClient& send) {
                       const auto waiting = held.find(send.connection);
                       if (waiting == held.end()) return send_to_client(send);
                       hold(waiting->second, send);
                     },
                     [this](Persist& entry) {
                       journal->append(entry);
                       if (entry.connection != ConnectionId{})
                         held[entry.connection].commit = journal->last_commit() + 1;
                     },
                     [](Report& report) { log::warning(kLog, "{}", report.text); },
                     [this](CloseWorker& close) { close_worker(close); },
                     [this](CloseClient& close) {
                       if (const auto found = clients.find(close.connection); found != clients.end()) {
                         log::info(kLog, "closing client {}: {}", peers.at(found->second).connection->peer().name,
                                   close.reason);
                         drop(found->second);
                       }
                     },
                 },
                 action);
    }
    actions.clear();
  }

  // What the session's former connection has changed may not be written yet, and this one hears of it.
  void hold_until_written(ConnectionId client) {
    if (journal == nullptr) return;
    const std::uint64_t last = journal->last_commit() + (journal->has_pending() ? 1 : 0);
    if (last > written) held[client].commit = last;
  }

  void hold(Held& waiting, SendToClient& send) {
    if (std::holds_alternative<msg::Progress>(send.message)) return;  // there will be another
    if (waiting.bytes > options.comm.max_queued_control_bytes) return;
    const std::uint64_t bytes = codec::measure(send.message).control_bytes;
    waiting.bytes += bytes;
    waiting.messages.push_back({waiting.commit, bytes, std::move(send.message)});
    if (waiting.bytes <= options.comm.max_queued_control_bytes) return;
    loop.post([weak = weak_from_this(), number = clients.at(send.connection)] {
      const auto self = weak.lock();
      if (!self || !self->peers.contains(number)) return;
      self->peers.at(number).connection->close();
      self->closed(number, "too much waits for the journal to be written");
    });
  }

  // Clients hear nothing that could not be told again: what they were promised is on the disk first.
  void committed(std::uint64_t number) {
    written = number;
    for (auto at = held.begin(); at != held.end();) {
      auto& [connection, waiting] = *at;
      while (!waiting.messages.empty() && waiting.messages.front().commit <= number) {
        SendToClient send{connection, std::move(waiting.messages.front().message)};
        waiting.bytes -= waiting.messages.front().bytes;
        waiting.messages.pop_front();
        send_to_client(send);
      }
      at = waiting.commit <= number ? held.erase(at) : std::next(at);
    }
  }

  void send_to_client(SendToClient& send) {
    Peer* peer = find(clients, send.connection);
    if (peer == nullptr) return;
    // A client that reads slowly gets its progress less often rather than late.
    if (std::holds_alternative<msg::Progress>(send.message) && peer->connection->counters().queued_bytes > 0) return;
    if (const auto* ready = std::get_if<msg::ResultReady>(&send.message)) tell_addresses(*peer, ready->holders);
    peer->connection->send(std::move(send.message));
  }

  // Questions change nothing, so they are answered beside the core's events.
  void answer_query(Peer& peer, const msg::Query& query) {
    msg::QueryReply reply;
    reply.request = query.request;
    try {
      if (query.offset == 0) {
        peer.answer = answer(state, query, {contact, options.comm.incarnation, Clock::now() - started});
      } else if (query.offset > peer.answer.size()) {
        throw ValueError("the answer has no part there");
      }
      reply.text = peer.answer.substr(query.offset, kAnswerPart);
      reply.remaining = peer.answer.size() - query.offset - reply.text.size();
      if (reply.remaining == 0) std::string().swap(peer.answer);
    } catch (const Error& error) {
      reply.failed = true;
      reply.error.code = error.code();
      reply.error.message = error.what();
    }
    peer.connection->send(std::move(reply));
  }

  // The core names workers by number; a client must know where they are before it hears of them.
  void tell_addresses(Peer& client, const std::vector<WorkerId>& holders) {
    for (const WorkerId holder : holders) {
      const Peer* worker = find(workers, holder);
      if (worker == nullptr || !client.told_workers.insert(holder).second) continue;
      client.connection->send(msg::WorkerAddress{holder, worker->address});
    }
  }

  void close_worker(const CloseWorker& close) {
    const auto found = workers.find(close.worker);
    if (found == workers.end()) return;
    log::info(kLog, "closing worker {}: {}", peers.at(found->second).connection->peer().name, close.reason);
    drop(found->second);
  }

  template <typename Map, typename Key>
  Peer* find(const Map& map, Key key) {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : &peers.at(found->second);
  }

  // ---- time ----

  void schedule_tick() {
    timer = loop.after(kTickInterval, [this] { tick(); });
  }

  void tick() {
    schedule_tick();
    const auto time = Clock::now();
    apply(Tick{});
    if (recorder) flush_record();
    std::vector<PeerNumber> silent;
    for (const auto& [number, peer] : peers) {
      const bool introduced = peer.worker != WorkerId{} || peer.client != ConnectionId{};
      if (!introduced && time - peer.since > options.introduction_timeout) silent.push_back(number);
    }
    for (const PeerNumber number : silent) {
      log::warning(kLog, "closing the connection of {}: it does not say what it is",
                   peers.at(number).connection->peer().address);
      drop(number);
    }
    const Counters& counters = state.counters();
    const bool in_use = counters.clients > 0 || counters.processing > 0 || counters.queued > 0;
    if (in_use) last_use = time;
    if (options.idle_timeout > Time{0} && time - last_use > options.idle_timeout && server_on_idle && *server_on_idle) {
      const auto say = std::exchange(*server_on_idle, nullptr);
      say();
    }
  }

  void flush_record() {
    recorder->flush();
    if (recorder->ended().empty()) return;
    log::warning(kLog, "the record {} ends here: {}", options.record, recorder->ended());
    recorder.reset();
  }

  // ---- the end ----

  void stop(const std::string& reason, std::function<void()> done) {
    if (stopping) return;
    stopping = true;
    stopped = std::move(done);
    listeners.clear();
    std::vector<PeerNumber> others;
    for (const auto& [number, peer] : peers) {
      if (peer.worker != WorkerId{}) {
        peer.connection->send(msg::Shutdown{reason});
        continue;
      }
      others.push_back(number);
      // With a journal the clients' sessions go on in the next life.
      if (peer.client != ConnectionId{} && journal == nullptr) peer.connection->send(msg::Shutdown{reason});
    }
    stop_timer = loop.after(kStopPatience, [this] { finish_stop(); });
    for (const PeerNumber number : others) drop(number);
    check_stopped();
  }

  void check_stopped() {
    if (peers.empty()) finish_stop();
  }

  void finish_stop() {
    stop_timer.reset();
    if (stopped) loop.post(std::exchange(stopped, nullptr));
  }

  EventLoop& loop;
  SchedulerOptions options;
  SchedulerState state;
  std::vector<Action> actions;  // kept for its capacity
  std::uint64_t actions_given = 0;
  std::optional<EventRecorder> recorder;
  std::unique_ptr<Journal> journal;
  std::unordered_map<ConnectionId, Held> held;
  std::uint64_t written = 0;  // the last commit that is in the journal
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<std::string> addresses;
  std::string contact;

  Peers peers;
  std::unordered_map<WorkerId, PeerNumber> workers;
  std::unordered_map<ConnectionId, PeerNumber> clients;
  PeerNumber last_peer = 0;
  std::uint32_t last_worker = 0;
  std::uint64_t last_client = 0;

  std::unique_ptr<EventLoop::Timer> timer, stop_timer;
  bool settle_scheduled = false;
  bool tick_posted = false;
  bool stopping = false;
  std::function<void()> stopped;
  std::function<void()>* server_on_idle = nullptr;

  Clock::time_point started, last_use;
  std::chrono::nanoseconds core_time{};
  std::uint64_t events = 0;
};

SchedulerServer::SchedulerServer(EventLoop& loop, SchedulerOptions options) {
  options.core.journal = !options.journal.empty();
  impl_ = std::make_shared<Impl>(loop, std::move(options));
  impl_->server_on_idle = &on_idle;
  impl_->open_journal();
  impl_->listen_all();
}

SchedulerServer::~SchedulerServer() = default;

const std::vector<std::string>& SchedulerServer::addresses() const { return impl_->addresses; }
const std::string& SchedulerServer::contact_address() const { return impl_->contact; }
Incarnation SchedulerServer::incarnation() const { return impl_->options.comm.incarnation; }

Snapshot SchedulerServer::snapshot() const {
  Snapshot snapshot;
  snapshot.counters = impl_->state.counters();
  snapshot.workers = impl_->state.workers();
  snapshot.address = impl_->contact;
  snapshot.incarnation = incarnation();
  snapshot.uptime = Clock::now() - impl_->started;
  snapshot.core_time = impl_->core_time;
  snapshot.task_record_bytes = impl_->state.task_record_bytes();
  for (const auto& [number, peer] : impl_->peers) snapshot.traffic = snapshot.traffic + peer.connection->counters();
  snapshot.events = impl_->events;
  snapshot.connections = impl_->peers.size();
  return snapshot;
}

void SchedulerServer::stop(const std::string& reason, std::function<void()> done) {
  impl_->stop(reason, std::move(done));
}

}  // namespace tegula::scheduler
