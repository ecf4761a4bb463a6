// What the core wants done, in order. A shell is one std::visit over these.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "comm/messages.h"
#include "scheduler/core/events.h"
#include "src/ids.h"

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

using Action = std::variant<SendToWorker, SendToClient, CloseWorker, CloseClient, Report, Persist>;

}  // namespace tegula::scheduler
