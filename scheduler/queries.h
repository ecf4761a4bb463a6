// Questions about the scheduler's state, answered in JSON: by a live scheduler to its clients, and by `tegula replay`
// on the state that a record leads to.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "comm/messages.h"
#include "scheduler/core/state.h"

namespace tegula::scheduler {

// What the core does not know about itself.
struct Surroundings {
  std::string address;
  Incarnation incarnation{};
  std::chrono::nanoseconds uptime{};
};

// The answer to a query, as docs/operations.md describes it. Its `offset` is not looked at. Throws ValueError naming
// what is wrong with the subject. Takes time in proportion to what it tells: kDump and kWorker look at every task that
// has a record.
std::string answer(const SchedulerState& state, const msg::Query& query, const Surroundings& around);

}  // namespace tegula::scheduler
