// A client's session. It may outlive its connection for a while.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "comm/messages.h"
#include "scheduler/core/state.h"
#include "src/ids.h"

namespace tegula::scheduler {

// Where the depth-first walk from a submission's wants stands. It makes records in post-order, so that a task comes
// right after what it reads.
struct Cursor {
  struct Range {
    LayerId layer{};
    std::uint32_t next = 0, end = 0;
  };
  struct Frame {
    TaskId task{};
    std::uint32_t rule = 0;
    std::uint64_t k = 0;  // the next producer of that rule
  };
  std::vector<Range> targets;
  std::size_t range = 0;
  std::vector<Frame> stack;
  std::int32_t urgency = 0;
};

struct Session {
  bool open = false;  // closed ones linger until no active task is on their account any more
  ClientId id{};
  std::uint64_t wire_session = 0, secret = 0;
  std::string name;
  ConnectionId connection{};  // 0: detached
  Time detached_at{};
  std::uint64_t last_sequence = 0;
  bool acknowledge = false;  // listed in Core::to_acknowledge_
  LayerNumber next_number = 0;
  std::map<LayerNumber, LayerId> layers;
  std::deque<msg::SubmitRefused> refusals;  // the last few, repeated after a re-attach

  // The account: tasks for which this session's submissions asked first.
  std::uint64_t active = 0;  // not finished yet
  std::uint64_t done = 0;    // since there was last none active
  std::uint64_t processing = 0;
  // In requirements' queues, for want of credit or of a worker, by urgency. Mostly there is one entry.
  struct Roots {
    std::uint64_t queued = 0, no_worker = 0;
  };
  std::map<std::int32_t, Roots> roots;

  double share = 1;  // its weight among sessions
  double tag = 0;    // of the next task that is expanded for it

  std::deque<Cursor> cursors;
  bool expandable = false;  // listed in Core::expandable_

  Time progress_interval{};  // 0: none wanted
  Time progress_sent{};
  msg::Progress last_progress;
};

}  // namespace tegula::scheduler
