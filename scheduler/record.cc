#include "scheduler/record.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "comm/codec.h"
#include "src/version.h"

namespace tegula::scheduler {
namespace {

static_assert(std::endian::native == std::endian::little, "a record is written as it lies in memory");

constexpr char kMagic[8] = {'T', 'E', 'G', 'U', 'L', 'A', 'R', '1'};

enum class Kind : std::uint8_t {
  kSettle = 0,
  kWorkerJoined,
  kFromWorker,
  kWorkerLost,
  kClientConnected,
  kFromClient,
  kClientLost,
  kTick,
  kDeathReported,
  kSessionRestored,
};

struct Head {
  std::uint32_t size = 0;   // of what follows: the message, as the codec writes it
  std::uint32_t check = 0;  // of the head, this field 0, and what follows
  Kind kind{};
  std::uint8_t reason = 0;
  std::uint16_t unused[3] = {};
  std::int64_t time = 0;
  std::uint64_t id = 0;
  std::uint64_t a = 0, b = 0;
};
static_assert(sizeof(Head) == 48);

std::uint32_t check_of(Head head, const void* body) {
  head.check = 0;
  const std::uint64_t seed = XXH3_64bits(&head, sizeof(head));
  return static_cast<std::uint32_t>(XXH3_64bits_withSeed(body, head.size, seed));
}

// Every setting, so that one that is added does not compile until it is listed here.
constexpr const char* kSettings[] = {"seed",
                                     "reattach_grace",
                                     "worker_timeout",
                                     "heartbeat_interval",
                                     "allowed_deaths",
                                     "report_patience",
                                     "inventory_window",
                                     "journal",
                                     "allowed_fetch_failures",
                                     "max_demanded_tasks",
                                     "log_size",
                                     "root_margin",
                                     "worthwhile_gain",
                                     "short_task",
                                     "assumed_bandwidth",
                                     "expansion_steps",
                                     "stall_report",
                                     "drop_surplus_replicas"};
template <typename Config, typename Visit>
void for_each_setting(Config& config, Visit&& visit) {
  auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r] = config;
  const auto fields = std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r);
  static_assert(std::tuple_size_v<std::remove_const_t<decltype(fields)>> == std::size(kSettings));
  std::size_t number = 0;
  std::apply([&](auto&... field) { (visit(kSettings[number++], field), ...); }, fields);
}

std::string header_of(const SchedulerConfig& config) {
  nlohmann::json settings;
  for_each_setting(config, [&](const char* name, const auto& value) {
    if constexpr (requires { value.count(); }) {
      settings[name] = value.count();
    } else {
      settings[name] = value;
    }
  });
  return nlohmann::json{{"version", std::string(kVersion)}, {"settings", settings}}.dump();
}

struct Body {
  Head head;
  std::vector<msg::Message> messages;

  void operator()(const WorkerJoined& event) {
    head.kind = Kind::kWorkerJoined;
    head.id = static_cast<std::uint64_t>(event.worker);
    messages.emplace_back(event.registration);
  }
  void operator()(const FromWorker& event) {
    head.kind = Kind::kFromWorker;
    head.id = static_cast<std::uint64_t>(event.worker);
    messages.push_back(event.message);
  }
  void operator()(const WorkerLost& event) {
    head.kind = Kind::kWorkerLost;
    head.id = static_cast<std::uint64_t>(event.worker);
    head.reason = static_cast<std::uint8_t>(event.reason);
    messages.emplace_back(msg::WorkerLeaving{event.detail});
  }
  void operator()(const DeathReported& event) {
    head.kind = Kind::kDeathReported;
    messages.emplace_back(event.report);
  }
  void operator()(const ClientConnected& event) {
    head.kind = Kind::kClientConnected;
    head.id = static_cast<std::uint64_t>(event.connection);
    head.a = event.fresh_session;
    head.b = event.fresh_secret;
    messages.emplace_back(event.attach);
  }
  void operator()(const FromClient& event) {
    head.kind = Kind::kFromClient;
    head.id = static_cast<std::uint64_t>(event.connection);
    messages.push_back(event.message);
    if (!event.refusal.empty()) messages.emplace_back(msg::WorkerLeaving{event.refusal});
  }
  void operator()(const ClientLost& event) {
    head.kind = Kind::kClientLost;
    head.id = static_cast<std::uint64_t>(event.connection);
  }
  void operator()(const SessionRestored& event) {
    head.kind = Kind::kSessionRestored;
    head.id = event.session;
    messages = event.messages;
  }
  void operator()(const Tick&) { head.kind = Kind::kTick; }
};

// Throws when there is another message than the kind of event has.
Event event_of(const Head& head, std::vector<msg::Message> messages) {
  const auto worker = static_cast<WorkerId>(head.id);
  const auto connection = static_cast<ConnectionId>(head.id);
  switch (head.kind) {
    case Kind::kWorkerJoined:
      return WorkerJoined{worker, std::get<msg::RegisterWorker>(std::move(messages.at(0)))};
    case Kind::kFromWorker:
      return FromWorker{worker, std::move(messages.at(0))};
    case Kind::kWorkerLost:
      return WorkerLost{worker, static_cast<LossReason>(head.reason),
                        std::get<msg::WorkerLeaving>(std::move(messages.at(0))).reason};
    case Kind::kClientConnected:
      return ClientConnected{connection, std::get<msg::AttachClient>(std::move(messages.at(0))), head.a, head.b};
    case Kind::kFromClient:
      return FromClient{connection, std::move(messages.at(0)),
                        messages.size() < 2 ? std::string() : std::get<msg::WorkerLeaving>(messages[1]).reason};
    case Kind::kClientLost:
      return ClientLost{connection};
    case Kind::kSessionRestored:
      return SessionRestored{head.id, std::move(messages)};
    case Kind::kTick:
      return Tick{};
    case Kind::kDeathReported:
      return DeathReported{std::get<msg::WorkerDied>(std::move(messages.at(0)))};
    case Kind::kSettle:
      break;
  }
  throw ProtocolError("an entry of unknown kind");
}

std::string reason_of(int error) { return std::strerror(error); }

}  // namespace

EventRecorder::EventRecorder(const std::string& path, const SchedulerConfig& config, std::uint64_t limit)
    : path_(path), limit_(limit) {
  const int created = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (created < 0) throw FileError(fmt::format("cannot write the record {}: {}", path, reason_of(errno)));
  struct stat there {};
  if (fstat(created, &there) == 0 && S_ISREG(there.st_mode)) fchmod(created, 0600);  // it may have been there
  close(created);
  file_.open(path, std::ios::binary | std::ios::trunc);
  if (!file_) throw FileError(fmt::format("cannot write the record {}: {}", path, reason_of(errno)));
  const std::string header = header_of(config);
  const auto size = static_cast<std::uint64_t>(header.size());
  write(kMagic, sizeof(kMagic));
  write(&size, sizeof(size));
  write(header.data(), header.size());
  flush();
  if (!ended_.empty()) throw FileError(fmt::format("cannot write the record {}: {}", path, ended_));
}

void EventRecorder::write(const void* data, std::size_t size) {
  file_.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  bytes_ += size;
}

void EventRecorder::apply(Time now, const Event& event) {
  if (!ended_.empty()) return;
  Body body;
  std::visit(body, event);
  body.head.time = now.count();
  codec::Encoded encoded;
  if (!body.messages.empty()) {
    // No peer sends the core chunks; one that does is refused for the kind of message alone.
    if (auto* reply = std::get_if<msg::FetchReply>(&body.messages.front())) reply->items.clear();
    encoded = codec::encode(body.messages);
    body.head.size = static_cast<std::uint32_t>(encoded.control_size);
  }
  if (limit_ != 0 && bytes_ + sizeof(Head) + body.head.size > limit_) {
    ended_ = fmt::format("it has reached its limit of {} bytes", limit_);
    file_.close();
    return;
  }
  body.head.check = check_of(body.head, encoded.control().data());
  write(&body.head, sizeof(Head));
  if (body.head.size != 0) write(encoded.control().data(), body.head.size);
}

void EventRecorder::settle(Time now, std::uint64_t actions) {
  if (!ended_.empty()) return;
  Head head;
  head.kind = Kind::kSettle;
  head.time = now.count();
  head.a = actions;
  head.check = check_of(head, nullptr);
  write(&head, sizeof(head));
}

void EventRecorder::flush() {
  if (!ended_.empty()) return;
  errno = 0;
  file_.flush();
  if (file_) return;
  ended_ = fmt::format("writing failed: {}", reason_of(errno == 0 ? EIO : errno));
  file_.close();
}

bool is_record(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(fmt::format("cannot read {}: {}", path, reason_of(errno)));
  char magic[sizeof(kMagic)] = {};
  file.read(magic, sizeof(magic));
  if (file.bad()) throw FileError(fmt::format("cannot read {}: {}", path, reason_of(errno == 0 ? EIO : errno)));
  return std::equal(std::begin(magic), std::end(magic), std::begin(kMagic));
}

RecordReader::RecordReader(const std::string& path) : path_(path) {
  if (!is_record(path)) throw FileError(path + " is no record of a scheduler");
  file_.open(path, std::ios::binary);
  file_.seekg(0, std::ios::end);
  size_ = static_cast<std::uint64_t>(file_.tellg());
  at_ = sizeof(kMagic);
  file_.seekg(static_cast<std::streamoff>(at_));
  std::uint64_t length = 0;
  if (size_ - at_ < sizeof(length)) throw FileError(path + " ends in its header");
  file_.read(reinterpret_cast<char*>(&length), sizeof(length));
  at_ += sizeof(length);
  if (length > size_ - at_) throw FileError(path + " ends in its header");
  std::string header(length, '\0');
  file_.read(header.data(), static_cast<std::streamsize>(length));
  at_ += length;
  try {
    const nlohmann::json json = nlohmann::json::parse(header);
    for_each_setting(config_, [&](const char* name, auto& value) {
      using Value = std::remove_reference_t<decltype(value)>;
      const nlohmann::json& setting = json.at("settings").at(name);
      if constexpr (requires { value.count(); }) {
        value = Value(setting.get<std::int64_t>());
      } else {
        value = setting.get<Value>();
      }
    });
  } catch (const nlohmann::json::exception& error) {
    throw FileError(fmt::format("{}: the settings in its header are not those of this version {} ({})", path, kVersion,
                                error.what()));
  }
}

std::optional<RecordReader::Entry> RecordReader::next() {
  Head head;
  if (size_ - at_ < sizeof(head)) {
    truncated_ = size_ != at_;
    return std::nullopt;
  }
  file_.read(reinterpret_cast<char*>(&head), sizeof(head));
  if (head.size > size_ - at_ - sizeof(head)) {
    truncated_ = true;
    return std::nullopt;
  }
  std::vector<std::uint64_t> body((head.size + 7) / 8);  // aligned as the codec wants it
  file_.read(reinterpret_cast<char*>(body.data()), head.size);
  if (!file_) throw FileError(fmt::format("{}: reading failed at byte {}", path_, at_));
  if (head.check != check_of(head, body.data())) {
    throw FileError(fmt::format("{} is damaged at byte {}: the checksum is wrong", path_, at_));
  }
  Entry entry{Time(head.time), std::nullopt, head.a};
  try {
    std::vector<msg::Message> batch;
    if (head.size != 0) codec::decode(std::as_bytes(std::span(body)).first(head.size), {}, batch);
    if (head.kind != Kind::kSettle) {
      entry.event = event_of(head, std::move(batch));
    }
  } catch (const std::exception& error) {  // a message of another kind than the event has
    throw FileError(fmt::format("{} is damaged at byte {}: {}", path_, at_, error.what()));
  }
  at_ += sizeof(head) + head.size;
  return entry;
}

namespace {

struct Describer {
  const SchedulerState& state;

  std::string worker(WorkerId id) const {
    for (const WorkerInfo& worker : state.workers()) {
      if (worker.worker == id) return "worker " + worker.registration.name;
    }
    return fmt::format("worker {}", static_cast<std::uint32_t>(id));
  }
  std::string key(TaskId id) const {
    const std::string text = state.key(id);
    return !text.empty() ? text : fmt::format("{}/{}", static_cast<std::uint32_t>(layer_of(id)), index_of(id));
  }
  std::string said(const msg::Message& message) const {
    std::string text(msg::name_of(message));
    std::visit(
        [&](const auto& m) {
          if constexpr (requires { m.task; }) text += " of " + key(m.task);
          if constexpr (requires { m.attempt; })
            text += fmt::format(", attempt {}", static_cast<std::uint64_t>(m.attempt));
          if constexpr (requires {
                          m.slots;
                          m.kib;
                        })
            text += fmt::format(" of {} slots and {} KiB", m.slots, m.kib);
          if constexpr (requires { m.subject; }) text += fmt::format(" '{}'", m.subject);
          if constexpr (requires { m.sequence; }) text += fmt::format(" #{}", m.sequence);
          if constexpr (requires { m.layers.front()->name; }) text += fmt::format(", {} layers", m.layers.size());
          if constexpr (requires { m.wants.size(); }) text += fmt::format(", {} ranges", m.wants.size());
          if constexpr (requires { m.error.message; }) text += ": " + m.error.message;
        },
        message);
    return text;
  }

  std::string operator()(const WorkerJoined& event) const {
    return fmt::format("worker {} joins: {} at {}, {} threads", static_cast<std::uint32_t>(event.worker),
                       event.registration.name, event.registration.address, event.registration.threads);
  }
  std::string operator()(const FromWorker& event) const { return worker(event.worker) + ": " + said(event.message); }
  std::string operator()(const WorkerLost& event) const { return worker(event.worker) + " is lost: " + event.detail; }
  std::string operator()(const DeathReported& event) const {
    return fmt::format("the nanny of worker {} reports: {}", event.report.name, event.report.detail);
  }
  std::string operator()(const ClientConnected& event) const {
    return fmt::format("client '{}' attaches by connection {}", event.attach.name,
                       static_cast<std::uint64_t>(event.connection));
  }
  std::string operator()(const FromClient& event) const {
    return fmt::format("client connection {}: {}", static_cast<std::uint64_t>(event.connection), said(event.message));
  }
  std::string operator()(const ClientLost& event) const {
    return fmt::format("client connection {} is lost", static_cast<std::uint64_t>(event.connection));
  }
  std::string operator()(const SessionRestored& event) const {
    return fmt::format("a session of a former life, with {} changes", event.messages.size());
  }
  std::string operator()(const Tick&) const { return "tick"; }
};

}  // namespace

std::string describe(const Event& event, const SchedulerState& state) { return std::visit(Describer{state}, event); }

}  // namespace tegula::scheduler
