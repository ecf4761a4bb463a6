// An operator's order that takes a while: copies of results are made, and only then is it answered.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "scheduler/core/events.h"
#include "src/ids.h"

namespace tegula::scheduler {

struct Job {
  enum class Kind : std::uint8_t { kRetire, kReplicate, kRebalance };
  // A copy to be made.
  struct Pending {
    ResultId result;
    WorkerId to{};                  // 0: whoever has most room
    WorkerId from{};                // let go of there afterwards; 0: it stays
    std::vector<WorkerId> refused;  // had no room, or could not get it
  };
  // A copy that a worker was asked for.
  struct Move {
    std::uint64_t job = 0;
    std::uint64_t nbytes = 0;
    Pending pending;
  };

  Kind kind{};
  std::uint64_t number = 0;
  ConnectionId connection{};  // of who is to be answered; 0: nobody
  std::uint64_t request = 0;
  std::string subject;  // a worker's name, a key

  WorkerId worker{};               // kRetire
  bool drains = false;             // kRetire: it goes in any case, with what finds no taker
  std::set<ResultId> left_behind;  // that
  bool searched = false;           // kRetire: for what it holds alone, a first time
  std::deque<Pending> pending;
  std::uint64_t in_flight = 0;
  std::uint64_t copied = 0, copied_bytes = 0;
  std::string failure;  // why it cannot be done
};

}  // namespace tegula::scheduler
