// What may go on now: fetches within the memory limit, tasks within it and the executor's depth, slots granted for what
// was answered.
#include <algorithm>
#include <limits>

#include "worker/core/state.h"

namespace tegula::worker {

namespace {

// A ready task that does not fit is passed by smaller ones: so many are looked at, and so often in all, before it gets
// the next bytes.
constexpr int kBypassWindow = 8;
constexpr unsigned kMaxBypasses = 32;
// All threads busy and no kernel ended for this long: tasks are long, whatever the last ones were.
constexpr Time kSilence = std::chrono::milliseconds(50);

}  // namespace

void WorkerState::settle() {
  if (!waiting_.empty()) admit_fetches();
  fetches_.pump(now_, *actions_);
  watch_silence();
  if (!ready_.empty()) start_ready();
  give_back_excess();
  if (credit_.top_up(tasks_.size(), received_))
    actions_->emplace_back(SendToScheduler{msg::GrantSlots{credit_.granted()}});
}

bool WorkerState::fits(std::uint64_t bytes) const {
  if (options_.memory_limit == 0) return true;
  const std::uint64_t used = managed_bytes() + reserved_bytes();
  return used <= options_.memory_limit && bytes <= options_.memory_limit - used;
}

bool WorkerState::make_room(std::uint64_t bytes) {
  if (fits(bytes)) return true;
  if (ahead_ > 0) give_up_ahead();
  return fits(bytes);
}

void WorkerState::admit_fetches() {
  while (!waiting_.empty()) {
    const auto found = tasks_.find(waiting_.begin()->second);
    const bool idle = fetching_ == 0 && ready_.empty() && handed_ == 0;
    if (!make_room(bytes_to_fetch(found->second)) && !idle) return;
    start_fetching(found);
  }
}

std::uint64_t WorkerState::start_bytes(const Task& task) const {
  // What the plan said once is exact; before, the declared outputs and what other tasks of the layer needed beside
  // theirs.
  const std::uint64_t declared = declared_need(task);
  if (task.need > declared) return task.need;
  return std::min(declared + layers_.at(layer_of(task.id)).extra_bytes,
                  options_.memory_limit == 0 ? std::numeric_limits<std::uint64_t>::max()
                                             : std::max(declared, options_.memory_limit));
}

void WorkerState::start_ready() {
  const std::uint64_t depth = credit_.executor_depth();
  while (handed_ < depth && !ready_.empty()) {
    auto next = ready_.begin();
    std::uint64_t bytes = start_bytes(tasks_.at(next->second));
    if (!make_room(bytes) && handed_ > 0) {
      if (bypasses_ >= kMaxBypasses) return;
      int looked_at = 1;
      do {
        if (++next == ready_.end() || ++looked_at > kBypassWindow) return;
        bytes = start_bytes(tasks_.at(next->second));
      } while (!fits(bytes));
      ++bypasses_;
    } else {
      bypasses_ = 0;
    }
    Task& task = tasks_.at(next->second);
    ready_.erase(next);
    start(task, bytes);
  }
}

void WorkerState::start(Task& task, std::uint64_t bytes) {
  if (handed_++ == 0) last_end_ = now_;
  task.state = TaskState::kExecuting;
  task.granted = bytes;
  granted_bytes_ += bytes;
  const bool limited = options_.memory_limit != 0;
  actions_->emplace_back(Execute{task.attempt, task.id, task.inputs,
                                 limited ? bytes : std::numeric_limits<std::uint64_t>::max(), task.fetched_in});
}

void WorkerState::watch_silence() {
  if (handed_ < options_.threads || now_ - last_end_ < kSilence) return;
  credit_.observe_silence(now_ - last_end_);
  if (handed_ <= options_.threads) return;
  // What was handed ahead comes back to where priorities count and from where it can be returned.
  for (const auto& [attempt, task] : tasks_) {
    if (task.state == TaskState::kExecuting) actions_->emplace_back(Recall{attempt, false});
  }
  last_end_ = now_;
}

void WorkerState::give_back_excess() {
  const std::uint64_t keep = 2 * credit_.wanted();
  while (tasks_.size() > keep && !(ready_.empty() && waiting_.empty())) {
    std::set<Order>& last = waiting_.empty() ? ready_ : waiting_;
    answer_returned(tasks_.find(std::prev(last.end())->second));
  }
}

std::optional<Time> WorkerState::next_wakeup(Time now) const {
  std::optional<Time> wakeup = fetches_.next_wakeup(now);
  const bool prefetched =
      tasks_.size() > std::max<std::uint64_t>(options_.threads * 4, handed_) || handed_ > options_.threads;
  if (prefetched && handed_ >= options_.threads) {
    const Time silence = std::max(last_end_ + kSilence, now + Time(1));
    if (!wakeup || silence < *wakeup) wakeup = silence;
  }
  return wakeup;
}

}  // namespace tegula::worker
