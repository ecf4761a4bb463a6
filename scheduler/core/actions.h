// What the core wants done, in order. A shell is one std::visit over these.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "comm/messages.h"
#include "scheduler/core/events.h"
#include "src/ids.h"
#include "src/one_of.h"

namespace tegula::scheduler {

struct SendToWorker {
  WorkerId worker{};
  msg::Message message;
};
struct SendToClient {
  ConnectionId connection{};
  msg::Message message;
};
// Close after what was sent has left. The core has forgotten the worker already; reporting WorkerLost is harmless.
struct CloseWorker {
  WorkerId worker{};
  std::string reason;
};
// Close after what was sent has left. No event of that connection means anything any more.
struct CloseClient {
  ConnectionId connection{};
  std::string reason;
};

// Something that whoever looks after the cluster should read.
struct Report {
  std::string text;
};

// To be on the disk before anything that follows is sent to this connection. Only with SchedulerConfig::journal.
// `message`: AttachClient begins the session, CloseClient ends it, the others are changes as they were taken.
struct Persist {
  std::uint64_t session = 0;
  msg::Message message;
  ConnectionId connection{};
};

using ActionAlternatives = std::variant<SendToWorker, SendToClient, CloseWorker, CloseClient, Report, Persist>;

// One of them, with special members that are compiled once (actions.cc); see msg::Message.
class Action : public ActionAlternatives {
 public:
  Action();
  template <OneOf<ActionAlternatives> T>
  Action(T&& one) : ActionAlternatives(std::in_place_type<std::remove_cvref_t<T>>, std::forward<T>(one)) {}
  Action(const Action& other);
  Action(Action&& other) noexcept;
  Action& operator=(const Action& other);
  Action& operator=(Action&& other) noexcept;
  ~Action();
};

}  // namespace tegula::scheduler
