// What may go on now: inputs are brought within the memory limit, tasks started within it and the executor's depth,
// slots granted for what was answered.
#include <algorithm>
#include <limits>

#include "worker/core/state.h"

namespace tegula::worker {

namespace {

// A task that does not fit is passed by others: so many ready ones are looked at, and so often in all, before it gets
// the next bytes.
constexpr int kBypassWindow = 8;
constexpr unsigned kMaxBypasses = 32;
// When values go to disk, a sixteenth of the limit more is written than is needed now, so that it can go at once when
// it is needed.
constexpr std::uint64_t kAheadShare = 16;
// While memory is short, the scheduler is asked so often, about so many values, when they are needed.
constexpr Time kRankInterval = std::chrono::milliseconds(250);
constexpr std::size_t kRankedAtOnce = 4096;
// All threads busy and no kernel ended for this long: tasks are long, whatever the last ones were.
constexpr Time kSilence = std::chrono::milliseconds(50);

}  // namespace

void WorkerState::settle() {
  store_.begin_turn();
  if (!waiting_.empty()) admit_waiting();
  if (!acquisitions_.empty()) admit_acquisitions();
  fetches_.pump(now_, *actions_);
  watch_silence();
  if (!ready_.empty()) start_ready();
  give_back_excess();
  grant_credit();
}

void WorkerState::grant_credit() {
  const bool slots = credit_.top_up(tasks_.size(), received_);
  // What waits for a full disk must not keep away what would go past it.
  const std::uint64_t claimed = store_.disk_full() ? 0 : claimed_kib_;
  const bool memory = options_.memory_limit != 0 && memory_credit_.top_up(room(), claimed);
  if (slots || memory) actions_->emplace_back(SendToScheduler{granted()});
}

// ---- room -----------------------------------------------------------------------------------------------------------

std::uint64_t WorkerState::missing_bytes(std::uint64_t bytes) const {
  if (options_.memory_limit == 0) return 0;
  const std::uint64_t wanted = managed_bytes() + reserved_bytes() + bytes;
  return wanted <= options_.memory_limit ? 0 : wanted - options_.memory_limit;
}

bool WorkerState::fits(std::uint64_t bytes) const { return missing_bytes(bytes) == 0; }

// What tasks could get now, values that would have to go to disk for it included.
std::uint64_t WorkerState::room() const {
  const std::uint64_t taken = managed_bytes() + reserved_bytes();
  const std::uint64_t stays = taken - std::min(store_.can_leave_bytes(), taken);
  return options_.memory_limit - std::min(stays, options_.memory_limit);
}

bool WorkerState::make_room(std::uint64_t bytes, Order order) {
  if (fits(bytes)) return true;
  if (ahead_ > 0) {
    give_up_ahead();
    if (fits(bytes)) return true;
  }
  if (!options_.store.spill) return false;
  const std::uint64_t ahead = options_.memory_limit / kAheadShare;
  store_.evict(missing_bytes(bytes), ahead, now_, *actions_);
  ask_for_ranks();
  const std::uint64_t coming = store_.writing_bytes() + store_.clean_bytes();
  if (missing_bytes(bytes) > coming) {
    take_inputs_back(missing_bytes(bytes) - coming, order);
    store_.evict(missing_bytes(bytes), ahead, now_, *actions_);
  }
  return fits(bytes);
}

// For what goes on although its bytes are not there.
void WorkerState::exceed(std::uint64_t bytes) { store_.evict_clean(missing_bytes(bytes)); }

// The next evictions will know more than this one, which does not wait for the answer.
void WorkerState::ask_for_ranks() {
  if (now_ < next_question_) return;
  std::vector<ResultId> results = store_.candidates(kRankedAtOnce);
  std::erase_if(results, &is_own);  // the scheduler does not know them by that name
  if (results.size() < 2) return;
  next_question_ = now_ + kRankInterval;
  actions_->emplace_back(SendToScheduler{msg::QueryNextUse{std::move(results)}});
}

void WorkerState::take_inputs_back(std::uint64_t bytes, Order order) {
  std::vector<Order> after;
  for (const auto& [attempt, task] : tasks_) {
    const bool may =
        task.granted == 0 && task.inputs != nullptr && task.pieces.empty() &&
        (task.state == TaskState::kReady || task.state == TaskState::kWaiting || task.state == TaskState::kAhead);
    if (may && order_of(task) > order && (task.slots.empty() || task.missing < task.slots.size())) {
      after.push_back(order_of(task));
    }
  }
  std::sort(after.begin(), after.end());
  for (std::uint64_t freed = 0; freed < bytes && !after.empty(); after.pop_back()) {
    const auto found = tasks_.find(after.back().second);
    Task& task = found->second;
    for (const Slot& slot : task.slots) freed += slot.filled ? slot.chunk.nbytes() : 0;
    if (task.slots.empty()) freed += task.input_bytes;
    unready(found);
  }
}

// ---- inputs ---------------------------------------------------------------------------------------------------------

void WorkerState::admit_waiting() {
  const bool ready_waits = options_.memory_limit != 0 && !ready_.empty() &&
                           !room_to_start(tasks_.at(ready_.begin()->second), /*make=*/false);
  while (!waiting_.empty()) {
    const Order order = *waiting_.begin();
    const auto found = tasks_.find(order.second);
    Task& task = found->second;
    if (options_.memory_limit != 0) {
      const bool after_ready = !ready_.empty() && *ready_.begin() < order;
      const bool passes = ready_waits && after_ready;
      if (passes && bypasses_ >= kMaxBypasses && !store_.disk_full()) return;
      const ToBring to_bring = bytes_to_bring(task);
      if (task.need > options_.memory_limit || to_bring.exact > options_.memory_limit - task.need) {
        task.input_bytes = to_bring.exact;
        answer_too_large(found);
        continue;
      }
      std::uint64_t inputs = to_bring.bytes;
      for (const Slot& slot : task.slots) inputs += slot.filled ? slot.chunk.nbytes() : 0;
      const std::uint64_t start = start_bytes(task, inputs);
      const std::uint64_t bytes = to_bring.bytes + start;
      const bool fit = passes ? fits(bytes) : make_room(bytes, order);
      const bool next = ready_.empty() || (options_.store.spill && !after_ready);
      if (!fit && !(next && may_exceed())) return;
      if (!fit) exceed(bytes);
      if (passes) ++bypasses_;
      if (!after_ready) bypasses_ = 0;
      reserve(task, start);
    }
    start_fetching(found);
  }
}

// ---- starting -------------------------------------------------------------------------------------------------------

std::uint64_t WorkerState::start_bytes(const Task& task, std::uint64_t inputs) const {
  // What the plan said once is exact; before, the declared outputs and what other tasks of the layer needed beside
  // theirs.
  const std::uint64_t declared = declared_need(task);
  const LayerInfo& layer = layers_.at(layer_of(task.id));
  const bool planned = task.need > declared;
  const std::uint64_t needed = planned ? task.need : declared;
  const std::uint64_t wanted = std::max(planned ? needed : declared + layer.extra_bytes, layer.memory);
  const std::uint64_t limit = options_.memory_limit;
  return limit == 0 ? wanted : std::min(wanted, std::max(needed, limit - std::min(inputs, limit)));
}

// A kernel that did not get its memory runs again alone, when as much as it needs has left memory.
bool WorkerState::room_to_try_again(const Task& task) {
  if (handed_ > 0) return false;
  const std::uint64_t bytes = start_bytes(task, task.input_bytes);
  if (store_.clean_bytes() < bytes) store_.evict(bytes, 0, now_, *actions_);
  if (store_.freeing()) return false;
  store_.evict_clean(bytes);
  return true;
}

bool WorkerState::room_to_start(Task& task, bool make) {
  if (task.memory_failures > 0 && (!make || !room_to_try_again(task))) return false;
  const std::uint64_t bytes = start_bytes(task, task.input_bytes);
  const std::uint64_t more = bytes > task.granted ? bytes - task.granted : 0;
  // What was reserved with the inputs is enough, unless tasks of its layer are known to need more meanwhile.
  const bool fit = more == 0 || (make ? make_room(more, order_of(task)) : fits(more));
  if (fit) reserve(task, std::max(bytes, task.granted));
  return fit || task.granted > 0;
}

// The first ready task that may have what it needs; end() when none may now. `older_waits`: for memory, and those that
// need some pass it.
std::set<WorkerState::Order>::iterator WorkerState::next_to_start(bool older_waits) {
  const bool may_pass = bypasses_ < kMaxBypasses || store_.disk_full();
  auto next = ready_.begin();
  Task* task = &tasks_.at(next->second);
  if (!older_waits) {
    if (room_to_start(*task, /*make=*/true)) {
      bypasses_ = 0;
      return next;
    }
    if (may_exceed()) {
      exceed(start_bytes(*task, task->input_bytes));
      reserve(*task, start_bytes(*task, task->input_bytes));
      bypasses_ = 0;
      return next;
    }
    ++next;
  }
  for (int looked_at = 0; next != ready_.end(); ++next) {
    task = &tasks_.at(next->second);
    if (task->granted > 0 && (task->memory_failures == 0 || room_to_try_again(*task))) return next;  // it has its bytes
    if (task->granted > 0 || task->memory_failures > 0) continue;
    if (!may_pass || ++looked_at > kBypassWindow || !room_to_start(*task, /*make=*/false)) continue;
    ++bypasses_;
    return next;
  }
  return ready_.end();
}

void WorkerState::start_ready() {
  const std::uint64_t depth = credit_.executor_depth();
  while (handed_ < depth && !ready_.empty()) {
    // What waits after admit_waiting() waits for memory.
    const bool older_waits = options_.store.spill && !waiting_.empty() && *waiting_.begin() < *ready_.begin();
    const auto next = next_to_start(older_waits);
    if (next == ready_.end()) return;
    Task& task = tasks_.at(next->second);
    ready_.erase(next);
    start(task);
  }
}

void WorkerState::start(Task& task) {
  if (handed_++ == 0) last_end_ = now_;
  task.state = TaskState::kExecuting;
  const bool limited = options_.memory_limit != 0;
  actions_->emplace_back(Execute{task.attempt, task.id, task.inputs,
                                 limited ? task.granted : std::numeric_limits<std::uint64_t>::max(), task.fetched_in,
                                 task.read_in});
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
  if (const auto again = store_.next_wakeup(now); again && (!wakeup || *again < *wakeup)) wakeup = again;
  const bool prefetched =
      tasks_.size() > std::max<std::uint64_t>(options_.threads * 4, handed_) || handed_ > options_.threads;
  if (prefetched && handed_ >= options_.threads) {
    const Time silence = std::max(last_end_ + kSilence, now + Time(1));
    if (!wakeup || silence < *wakeup) wakeup = silence;
  }
  return wakeup;
}

}  // namespace tegula::worker
