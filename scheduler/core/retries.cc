// Failures that are forgiven: a layer may allow its tasks a number of them, with a delay that doubles.
#include <fmt/core.h>

#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr std::chrono::milliseconds kLongestDelay = std::chrono::hours(1);

// What another attempt could not change.
bool is_final(ErrorCode code) { return code == ErrorCode::kTaskTooLarge || code == ErrorCode::kKernelNotFound; }

}  // namespace

bool Core::retry(Slot slot, const ErrorInfo& error) {
  Task& task = tasks_[slot];
  const LayerRecord& layer = layer_of_task(task);
  if (task.failures >= layer.retries || is_final(error.code)) return false;
  const std::chrono::milliseconds first(layer.retry_delay_ms);
  const Time delay = std::min(first * (std::int64_t{1} << std::min<int>(task.failures, 20)), kLongestDelay);
  ++task.failures;
  ++counters_.tasks_retried;
  drop_ahead(slot);
  enter(slot);
  // One whose inputs have to be made again waits long enough.
  const bool ready = task.queued_in == QueueKind::kAny || task.queued_in == QueueKind::kWorker;
  if (delay == Time{} || !ready) return true;
  leave_queue(slot);
  task.queued_in = QueueKind::kDelayed;
  delayed_.emplace(now_ + delay, task.id);
  set_state(task, TaskState::kQueued);
  return true;
}

void Core::end_delays() {
  while (!delayed_.empty() && delayed_.begin()->first <= now_) {
    const Slot slot = find_slot(delayed_.begin()->second);
    leave_queue(slot);
    enter(slot);
  }
}

}  // namespace tegula::scheduler
