// In which order tasks go: what users call more urgent first; then fair shares between sessions; within a session the
// order of the depth-first visit, which finishes what was begun.
//
// Start-time fair queueing (Goyal, Vin, Cheng 1996), with tags given at expansion. Virtual time is the greatest tag of
// a task that was bound. A task's tag is where its session's clock stands, and the clock goes on by the time that tasks
// of its layer take, divided by the session's share. So tags rise in the order of the visit, sessions that compete get
// worker time by their shares, and one that comes, or comes back, begins at the present: it neither waits behind what
// others have submitted nor is owed the time in which it wanted nothing.
#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr double kTicksPerMicrosecond = 16;
constexpr double kLeastMicroseconds = 1;  // also for layers of which no task has ended
constexpr int kTagBits = 56;

}  // namespace

// Urgency and tag in one number: what a worker orders its tasks by.
std::int64_t Core::order_on_worker(const Task& task) {
  const std::int64_t least = -std::clamp<std::int64_t>(task.urgency, -127, 127);
  return least * (std::int64_t{1} << kTagBits) + std::min(task.tag, (std::int64_t{1} << kTagBits) - 1);
}

std::int64_t Core::next_tag(Session& session, const LayerRecord& layer) {
  const double tag = session.tag;
  session.tag += std::max(expected_ns(layer) / 1000, kLeastMicroseconds) * kTicksPerMicrosecond / session.share;
  return static_cast<std::int64_t>(tag);
}

void Core::rejoin(Session& session) {
  if (session.cursors.empty()) session.tag = std::max(session.tag, static_cast<double>(virtual_time_));
}

void Core::served(const Task& task) { virtual_time_ = std::max(virtual_time_, task.tag); }

}  // namespace tegula::scheduler
