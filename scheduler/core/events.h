// What can happen to the scheduler's core. The shell numbers connections and passes messages on as they came; the core
// decides what they mean, so a peer that misbehaves is the core's business too.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "comm/messages.h"
#include "src/ids.h"
#include "src/one_of.h"

namespace tegula::scheduler {

// A moment on the shell's steady clock. The core only compares and subtracts.
using Time = std::chrono::nanoseconds;

// A connection of a client, numbered from 1 by the shell, never reused. (A session may outlive its connection.)
enum class ConnectionId : std::uint64_t {};

// A worker's connection opened and its RegisterWorker came. The shell numbers worker connections from 1, never reusing
// a number, also when the worker is then refused. Answered with WorkerRegistered or WorkerRefused (and CloseWorker);
// when the name is that of a worker which may be dead, only once that has been heard or has been silent for a while.
struct WorkerJoined {
  WorkerId worker{};
  msg::RegisterWorker registration;
};

// Any later message of a worker. News of a worker that is gone gives no actions; a message that a worker has no
// business to send ends its connection.
struct FromWorker {
  WorkerId worker{};
  msg::Message message;
};

enum class LossReason : std::uint8_t {
  kConnection,  // the connection ended without a word
  kHeartbeat,   // nothing heard for config.worker_timeout (the core finds out by itself, from Tick)
  kProtocol,    // the worker sent what no worker may send (found by the core, or by the shell: a malformed frame)
  kSlow,        // does not read what it is sent; the shell gave it up
  kOrderly,     // said WorkerLeaving, or the shell ended it on purpose: nobody is to blame
  kReplaced,    // its process has connected anew: nobody is to blame
  kRepair,      // what it says of its attempts is not what is known here (found by the core): it is to join anew
};

// A worker's connection ended. A second loss of the same worker is ignored, so the shell may report each close.
struct WorkerLost {
  WorkerId worker{};
  LossReason reason = LossReason::kConnection;
  std::string detail;  // for people: "connection reset by peer"
};

// A nanny says how a worker ended; before or after WorkerLost, and once. It concerns a worker that registered with the
// same nanny's number, so nobody else can be meant.
struct DeathReported {
  msg::WorkerDied report;
};

// A client's connection opened and its AttachClient came. `fresh_session` and `fresh_secret` are random non-zero
// numbers that the core takes if this is to be a new session. Answered with ClientAttached; when the session to
// re-attach is not known any more (or the secret is wrong) with ClientAttached{session: 0} followed by CloseClient.
struct ClientConnected {
  ConnectionId connection{};
  msg::AttachClient attach;
  std::uint64_t fresh_session = 0;
  std::uint64_t fresh_secret = 0;
};

// Any later message of a client. `refusal`: why a Submit can't be taken, as the shell found.
struct FromClient {
  ConnectionId connection{};
  msg::Message message;
  std::string refusal = {};
};

// A session of this scheduler's former life, as its journal has it: AttachClient, the changes, and SubmitAccepted with
// the number of the last one. Its client may come back within the inventory window and config.reattach_grace.
struct SessionRestored {
  std::uint64_t session = 0;
  std::vector<msg::Message> messages;
};

// A client's connection ended. After CloseClient its session is gone already; otherwise it may come back within
// config.reattach_grace, after which Tick closes the session.
struct ClientLost {
  ConnectionId connection{};
};

// Time passes. Wanted every 20 to 100 ms, and at once whenever `SchedulerState::busy()` says so.
struct Tick {};

using EventAlternatives = std::variant<WorkerJoined, FromWorker, WorkerLost, DeathReported, ClientConnected, FromClient,
                                       ClientLost, SessionRestored, Tick>;

// One of them, with special members that are compiled once (events.cc); see msg::Message.
class Event : public EventAlternatives {
 public:
  Event();
  template <OneOf<EventAlternatives> T>
  Event(T&& one) : EventAlternatives(std::in_place_type<std::remove_cvref_t<T>>, std::forward<T>(one)) {}
  Event(const Event& other);
  Event(Event&& other) noexcept;
  Event& operator=(const Event& other);
  Event& operator=(Event&& other) noexcept;
  ~Event();
};

}  // namespace tegula::scheduler
