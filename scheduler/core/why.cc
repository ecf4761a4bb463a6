// "Why isn't this task running?", answered in a sentence, and the watch over a graph that does not get on.
#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "scheduler/core/core.h"
#include "src/config.h"
#include "src/shape.h"

namespace tegula::scheduler {
namespace {

constexpr std::size_t kMostNamed = 4;       // of a list, the rest is counted
constexpr std::size_t kMostCandidates = 8;  // that an error about a key lists
constexpr unsigned kDeepest = 200;          // steps down a chain of waiting tasks

std::string seconds(Time time) { return fmt::format("{:.3g} s", std::chrono::duration<double>(time).count()); }

std::string counted(std::uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

// Names joined by commas, with "and n more" for what is left out.
std::string listed(const std::vector<std::string>& names, std::size_t total) {
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  if (total > names.size()) text += fmt::format(" and {} more", total - names.size());
  return text;
}

template <typename Number>
std::optional<Number> number_in(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_hex(std::string_view text) {
  return !text.empty() && text.size() <= 8 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// A key's text taken apart: name-hash(index,...)[output].
struct KeyText {
  std::string_view layer;  // name and, perhaps, hash
  std::vector<std::int64_t> position;
  std::uint16_t output = 0;
};

[[noreturn]] void no_key(std::string_view text, const std::string& why) {
  throw ValueError(fmt::format("'{}' is no key: {} (keys look like normal-3f2a91c0(0,7))", text, why));
}

KeyText take_apart(std::string_view text) {
  KeyText key;
  std::string_view rest = text;
  if (rest.ends_with(']')) {
    const std::size_t open = rest.rfind('[');
    const auto output = open == std::string_view::npos
                            ? std::nullopt
                            : number_in<std::uint16_t>(rest.substr(open + 1, rest.size() - open - 2));
    if (!output) no_key(text, "the output's number in [] is missing");
    key.output = *output;
    rest = rest.substr(0, open);
  }
  const std::size_t open = rest.rfind('(');
  if (open == std::string_view::npos || !rest.ends_with(')')) no_key(text, "it does not end with a position in ()");
  key.layer = rest.substr(0, open);
  std::string_view list = rest.substr(open + 1, rest.size() - open - 2);
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    const auto index = number_in<std::int64_t>(item);
    if (!index) no_key(text, fmt::format("'{}' is no index", item));
    key.position.push_back(*index);
    list = list.substr(std::min(comma + 1, list.size()));
  }
  return key;
}

std::string layer_text(const LayerRecord& layer) {
  return fmt::format("{}-{:08x}", layer.description->name, layer.hash.high >> 32);
}

}  // namespace

ResultId Core::find_key(std::string_view text) const {
  // As transitions are printed: layer/index.
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto number = number_in<std::uint32_t>(text.substr(0, slash));
    const auto index = number_in<std::uint32_t>(text.substr(slash + 1));
    if (number && index) {
      const LayerRecord* layer = layers_.find(static_cast<LayerId>(*number));
      if (layer == nullptr) throw ValueError(fmt::format("no layer {} is known (any more)", *number));
      if (*index >= layer->tasks) {
        throw ValueError(fmt::format("layer {} is {}, which has {} tasks", *number, layer_text(*layer), layer->tasks));
      }
      return {make_task_id(layer->id, *index), 0};
    }
  }
  const KeyText key = take_apart(text);
  // The last hyphen may part a hash from the name, or be one of the name's own.
  const std::size_t hyphen = key.layer.rfind('-');
  const std::string_view name = hyphen == std::string_view::npos ? key.layer : key.layer.substr(0, hyphen);
  const std::string_view hash = hyphen == std::string_view::npos ? std::string_view() : key.layer.substr(hyphen + 1);
  std::vector<const LayerRecord*> exact, named;
  std::vector<std::string> known;
  layers_.for_each([&](const LayerRecord& layer) {
    const std::string digits = fmt::format("{:08x}", layer.hash.high >> 32);
    if (layer.description->name == name && is_hex(hash) && digits.starts_with(hash)) exact.push_back(&layer);
    if (layer.description->name == key.layer) named.push_back(&layer);
    known.push_back(layer_text(layer));
  });
  const auto& found = exact.empty() ? named : exact;
  if (found.empty()) {
    // Somebody who mistyped the hash means the layer of that name; nearest() sees to mistyped names.
    std::string near = nearest(key.layer, known);
    for (const std::string& candidate : known) {
      if (near.empty() && candidate.substr(0, candidate.rfind('-')) == name) near = candidate;
    }
    const std::string_view place = text.substr(key.layer.size());
    throw ValueError(fmt::format("no layer '{}' is known (any more){}", key.layer,
                                 near.empty() ? "" : fmt::format("; did you mean {}{}?", near, place)));
  }
  if (found.size() > 1) {
    std::vector<std::string> names;
    for (const LayerRecord* layer : found) {
      if (names.size() < kMostCandidates) names.push_back(layer_text(*layer));
    }
    throw ValueError(fmt::format("'{}' may be any of {}", key.layer, listed(names, found.size())));
  }
  const LayerRecord& layer = *found.front();
  const std::vector<std::int64_t>& grid = layer.description->grid;
  bool inside = key.position.size() == grid.size();
  for (std::size_t d = 0; inside && d < grid.size(); ++d) inside = key.position[d] >= 0 && key.position[d] < grid[d];
  if (!inside) {
    throw ValueError(fmt::format("{} has no task at {}: its tasks lie in a grid of {}", layer_text(layer),
                                 tegula::to_string(key.position), tegula::to_string(grid)));
  }
  if (key.output >= layer.outputs) {
    throw ValueError(fmt::format("{} has {}, so no [{}]", layer_text(layer),
                                 counted(layer.outputs, "output", "outputs"), key.output));
  }
  std::uint64_t index = 0;
  for (std::size_t d = 0; d < grid.size(); ++d) {
    index = index * static_cast<std::uint64_t>(grid[d]) + static_cast<std::uint64_t>(key.position[d]);
  }
  return {make_task_id(layer.id, static_cast<std::uint32_t>(index)), key.output};
}

Worker& Core::worker_named(std::string_view text) const {
  std::vector<std::string> names;
  for (const auto& worker : workers_) {
    if (!worker) continue;
    const msg::RegisterWorker& about = worker->registration;
    if (about.name == text || about.address == text) return *worker;
    names.push_back(about.name);
  }
  const auto number = number_in<std::uint32_t>(text);
  if (number) {
    const auto found = by_worker_.find(static_cast<WorkerId>(*number));
    if (found != by_worker_.end()) return *workers_[found->second];
  }
  const std::string near = nearest(text, names);
  throw ValueError(fmt::format("there is no worker '{}'{}", text,
                               near.empty() ? fmt::format(" among {}", counted(names.size(), "worker", "workers"))
                                            : fmt::format("; did you mean '{}'?", near)));
}

Session& Core::session_named(std::string_view text) const {
  std::vector<std::string> names;
  std::vector<Session*> found;
  const auto number = number_in<std::uint32_t>(text);
  for (const auto& session : sessions_) {
    if (!session || !session->open || session->id == ClientId{}) continue;
    if (number && session->id == static_cast<ClientId>(*number)) return *session;
    if (session->name == text) found.push_back(session.get());
    names.push_back(session->name);
  }
  if (found.size() == 1) return *found.front();
  if (found.size() > 1) {
    std::vector<std::string> numbers;
    for (const Session* one : found) numbers.push_back(fmt::format("{}", static_cast<std::uint32_t>(one->id)));
    throw ValueError(
        fmt::format("'{}' is the name of the clients {}: give a number", text, listed(numbers, found.size())));
  }
  const std::string near = nearest(text, names);
  throw ValueError(fmt::format("there is no client '{}'{}", text,
                               near.empty() ? fmt::format(" among {}", counted(names.size(), "client", "clients"))
                                            : fmt::format("; did you mean '{}'?", near)));
}

WorkerId SchedulerState::find_worker(std::string_view text) const { return core_->worker_named(text).id; }
ClientId SchedulerState::find_client(std::string_view text) const { return core_->session_named(text).id; }

const Transition* Core::last_transition(TaskId task) const {
  for (std::size_t i = 0; i < log_.size(); ++i) {
    const Transition& entry = log_[(log_next_ + 2 * log_.size() - 1 - i) % log_.size()];
    if (entry.task == task) return &entry;
  }
  return nullptr;
}

Time Core::since(TaskId task, Time fallback) const {
  const Transition* last = last_transition(task);
  return last == nullptr ? fallback : now_ - last->time;
}

std::vector<TaskId> Core::missing_inputs(const Task& task, std::size_t most) const {
  std::vector<TaskId> missing;
  for (const LayerInput& input : layers_.at(layer_of(task.id)).inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    for_each_distinct(input, index_of(task.id), [&](std::uint32_t producer) {
      if (missing.size() == most) return;
      const Slot of = producers.slot(producer);
      if (of == kNoSlot || !tasks_[of].output(input.output).available()) {
        missing.push_back(make_task_id(producers.id, producer));
      }
    });
  }
  return missing;
}

std::string Core::standing(TaskId id) const {
  const Task* task = find_task(id);
  if (task == nullptr) {
    const LayerRecord* layer = layers_.find(layer_of(id));
    return layer != nullptr && layer->is_active(index_of(id)) ? "not looked at yet" : "released";
  }
  std::string text(name_of(task->state));
  if (task->state == TaskState::kProcessing) {
    text += fmt::format(" on {}", workers_[task->worker]->registration.name);
    if (const Time time = since(id, Time{-1}); time >= Time{}) text += " for " + seconds(time);
  }
  return text;
}

std::string Core::why(TaskId id) const {
  const LayerRecord* layer = layers_.find(layer_of(id));
  if (layer == nullptr || index_of(id) >= layer->tasks) return "its layer is not known (any more)";
  const std::string key = key_of(id);
  const Task* task = find_task(id);
  if (recovering_ && layer->is_active(index_of(id))) {
    return fmt::format(
        "{} waits for {} at least: the scheduler was started again, and first hears from workers what they hold", key,
        seconds(std::max(*started_ + config_.inventory_window - now_, Time{})));
  }
  if (task == nullptr) return key + " " + why_without_record(*layer, index_of(id));
  switch (task->state) {
    case TaskState::kWaiting:
      return key + " " + why_waiting(*task) + after_deaths(id);
    case TaskState::kNoWorker:
      return key + " " + why_no_worker(*task) + after_deaths(id);
    case TaskState::kQueued:
      return key + " " + why_queued(*task) + after_deaths(id);
    case TaskState::kProcessing:
      return key + " " + why_processing(*task) + after_deaths(id);
    case TaskState::kMemory:
      return key + " " + where_kept(*task);
    case TaskState::kErred: {
      const ErrorInfo error = error_of(*task->failure);
      std::string text = fmt::format("{} erred because {}", key,
                                     error.key == key ? fmt::format("its kernel '{}' failed", error.kernel)
                                                      : fmt::format("{}, which it needs, failed", error.key));
      if (!error.worker.empty()) text += " on " + error.worker;
      text += ": " + error.message;
      if (error.chain.size() > 2) text += fmt::format(" (by way of {})", fmt::join(error.chain, " -> "));
      return text;
    }
    case TaskState::kReleased:
    case TaskState::kForgotten:
      break;
  }
  return key + " is " + std::string(name_of(task->state));
}

std::string Core::after_deaths(TaskId id) const {
  std::string text;
  if (deaths_.contains(id)) {
    text = fmt::format("; {}, of the {} after which it would fail", deaths_with(id, "died with it before"),
                       config_.allowed_deaths);
  }
  for (const Inquest& inquest : inquests_) {
    const auto had = [&](const Inquest::Suspect& suspect) { return suspect.task == id; };
    if (std::none_of(inquest.suspects.begin(), inquest.suspects.end(), had)) continue;
    text += fmt::format("; {} is gone, which had it, and its nanny is yet to say of what it died", inquest.name);
  }
  return text;
}

std::string Core::why_without_record(const LayerRecord& layer, std::uint32_t index) const {
  if (!layer.is_active(index)) {
    const Transition* last = last_transition(make_task_id(layer.id, index));
    if (last == nullptr) return "is not to be computed: nobody wants it and nothing that is to be computed reads it";
    const std::string ago = seconds(now_ - last->time);
    if (last->from == TaskState::kMemory) {
      return fmt::format("had finished and was released {} ago, when nobody wanted or read it any more", ago);
    }
    return fmt::format(
        "was dropped {} ago while it was {}: nobody wants it and nothing that is to be computed reads it", ago,
        name_of(last->from));
  }
  const Session& session = *sessions_[layer.account(index)];
  std::string text = "is to be computed but was not looked at yet: ";
  const std::int32_t urgency = session.cursors.empty() ? 0 : session.cursors.front().urgency;
  if (root_cap_reached(session, urgency)) {
    std::uint64_t ready = 0;
    for (const auto& [level, roots] : session.roots) ready += roots.queued + roots.no_worker;
    text += fmt::format("{} are ready already{}, and more are made as workers take these",
                        counted(ready, "task without inputs", "tasks without inputs"),
                        session.name.empty() ? "" : fmt::format(" for client '{}'", session.name));
  } else if (!expandable_.empty()) {
    text += fmt::format("the walk from what {} wants has not come to it",
                        session.name.empty() ? "its client" : fmt::format("client '{}'", session.name));
  } else {
    text += "what comes before it has not been finished";
  }
  return text;
}

std::string Core::why_waiting(const Task& task) const {
  std::uint64_t inputs = 0;
  for (const LayerInput& input : layers_.at(layer_of(task.id)).inputs) {
    for_each_distinct(input, index_of(task.id), [&](std::uint32_t) { ++inputs; });
  }
  std::vector<std::string> names;
  const std::vector<TaskId> missing = missing_inputs(task, kMostNamed);
  for (const TaskId id : missing) names.push_back(fmt::format("{} ({})", key_of(id), standing(id)));
  std::string text = fmt::format("waits for {} of its {}: {}", task.missing, counted(inputs, "input", "inputs"),
                                 listed(names, task.missing));
  // Down to something that does not merely wait: that is what all of this waits for.
  TaskId at = missing.empty() ? TaskId{} : missing.front();
  unsigned steps = 0;
  for (const Task* next = find_task(at); next != nullptr && next->state == TaskState::kWaiting; next = find_task(at)) {
    const std::vector<TaskId> deeper = missing_inputs(*next, 1);
    if (deeper.empty() || ++steps > kDeepest) break;
    at = deeper.front();
  }
  if (at != TaskId{}) text += "; in the end, " + why(at);
  return text;
}

std::string Core::why_queued(const Task& task) const {
  if (task.queued_in == QueueKind::kDelayed) {
    const auto due = std::find_if(delayed_.begin(), delayed_.end(), [&](const auto& e) { return e.second == task.id; });
    return fmt::format("has failed {} and is tried again in {}", counted(task.failures, "time", "times"),
                       seconds(due == delayed_.end() ? Time{} : std::max(due->first - now_, Time{})));
  }
  const bool for_worker = task.queued_in == QueueKind::kWorker;
  const ReadyQueue& queue = for_worker ? workers_[task.queue]->ready : requirements_[task.queue].ready;
  const ReadyQueue::Entry own = ReadyQueue::entry_of(task);
  std::uint64_t before = 0;
  for (const ReadyQueue::Entry& entry : queue.entries()) before += ReadyQueue::before(entry, own) ? 1 : 0;
  if (!for_worker && requirements_[task.queue].metered()) {
    return fmt::format("is ready and waits until a worker has {} free: {} before it",
                       describe_resources(requirements_[task.queue]), counted(before, "ready task", "ready tasks"));
  }
  if (for_worker) {
    const Worker& worker = *workers_[task.queue];
    return fmt::format(
        "is ready and queued for worker {}, where it would start first: {} before it there, "
        "{} bound to the worker, {} free",
        worker.registration.name, counted(before, "ready task", "ready tasks"),
        counted(worker.bound.size(), "task is", "tasks are"), counted(worker.credit(), "slot", "slots"));
  }
  const auto full = std::count_if(workers_.begin(), workers_.end(), [](const auto& worker) {
    return worker && worker->credit() != 0 && worker->open_credit() == 0;
  });
  const std::string memory = full == 0 ? ""
                                       : fmt::format("; {} slots, but no memory that is not spoken for",
                                                     counted(full, "worker has", "workers have"));
  return fmt::format("is ready and queued for want of credit: {} before it, and of {} {} free{}",
                     counted(before, "ready task", "ready tasks"),
                     counted(counters_.workers, "worker's slots", "workers' slots"),
                     counted(slots_ - counters_.processing, "is", "are"), memory);
}

std::string Core::why_no_worker(const Task& task) const {
  if (counters_.workers == 0) return "is ready, but no worker is connected";
  const Requirement& requirement = requirements_[layers_.at(layer_of(task.id)).requirement];
  const std::string workers = counted(counters_.workers, "connected worker", "connected workers");
  std::uint64_t with_kernel = 0, named = 0;
  for (const auto& worker : workers_) {
    if (!worker || !has_kernel(*worker, requirement)) continue;
    ++with_kernel;
    named += is_named(*worker, requirement) ? 1 : 0;
  }
  if (with_kernel == 0) {
    return fmt::format("is ready, but none of the {} has its kernel '{}'", workers, requirement.kernel);
  }
  if (named == 0) {
    return fmt::format("is ready, but none of the {} is one of those it is restricted to: {}", workers,
                       listed(requirement.workers, requirement.workers.size()));
  }
  std::string text =
      fmt::format("is ready, but none of the {} that may run it has {}",
                  counted(named, "connected worker", "connected workers"), describe_resources(requirement));
  if (requirement.memory != 0) {
    std::uint64_t most = 0;
    for (const auto& worker : workers_) {
      if (worker && is_named(*worker, requirement)) most = std::max(most, worker->registration.memory_limit);
    }
    text += fmt::format("; the greatest memory limit is {}", format_bytes(most));
  }
  return text;
}

std::string Core::why_processing(const Task& task) const {
  const Worker& worker = *workers_[task.worker];
  std::string text = fmt::format("is bound to worker {} as attempt {}", worker.registration.name,
                                 static_cast<std::uint64_t>(task.attempt));
  const Transition* last = last_transition(task.id);
  if (last != nullptr && last->attempt == task.attempt) text += fmt::format(" since {}", seconds(now_ - last->time));
  if (task.phase == TaskPhase::kRetracting) text += " and was asked back, which the worker has not answered yet";
  text += fmt::format(
      "; the worker was heard {} ago and last said that it executes {}, has {} ready and {} waiting for "
      "inputs",
      seconds(now_ - worker.last_heard), worker.heartbeat.executing, worker.heartbeat.ready, worker.heartbeat.waiting);
  return text;
}

std::string Core::where_kept(const Task& task) const {
  std::vector<std::string> names;
  std::size_t total = 0;
  std::uint64_t bytes = 0, wants = 0, consumers = 0;
  for (std::uint16_t o = 0; o < task.output_count; ++o) {
    const Output& output = task.output(o);
    if (output.available()) bytes += output.nbytes;
    wants += output.wants;
    consumers += output.consumers;
    for (const WorkerSlot slot : output.replicas.span()) {
      const std::string& name = workers_[slot]->registration.name;
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      ++total;
      if (names.size() < kMostNamed) names.push_back(name);
    }
  }
  std::vector<std::string> reasons;
  if (wants != 0) reasons.push_back(fmt::format("wanted {}", wants == 1 ? "once" : fmt::format("{} times", wants)));
  if (consumers != 0) reasons.push_back(fmt::format("still to be read by {}", counted(consumers, "task", "tasks")));
  return fmt::format("is finished and in memory on {}: {} bytes, {}", listed(names, total), bytes,
                     reasons.empty() ? "needed by nobody" : fmt::format("{}", fmt::join(reasons, " and ")));
}

// ---- progress ----

void Core::watch_progress() {
  const std::uint64_t ended = counters_.tasks_finished + counters_.tasks_failed;
  if (active_ == 0 || ended != ended_before_ || progress_at_ == Time{}) {
    ended_before_ = ended;
    progress_at_ = now_;
    stall_reports_ = 0;
    return;
  }
  if (config_.stall_report == Time{}) return;
  // Each report comes after twice the time of the one before, so that a long task does not fill the log.
  constexpr std::uint32_t kMostDoublings = 10;
  const Time due = config_.stall_report * (std::int64_t{1} << std::min(stall_reports_, kMostDoublings));
  if (now_ - progress_at_ < due) return;
  ++stall_reports_;
  out_->push_back(Report{stall_text()});
}

// Names the one task that all others wait for, as far as that can be said: what a worker has had longest, or what is
// first in order of the state that comes nearest to running.
std::string Core::stall_text() const {
  const auto rank = [](const Task& task) {
    switch (task.state) {
      case TaskState::kProcessing:
        return 0;
      case TaskState::kNoWorker:
        return 1;
      case TaskState::kQueued:
        return 2;
      case TaskState::kWaiting:
        return 3;
      default:
        return 4;
    }
  };
  const Task* oldest = nullptr;
  const auto before = [&](const Task& a, const Task& b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    if (rank(a) == 0) return a.attempt < b.attempt;
    return goes_before(a, b);
  };
  tasks_.for_each([&](Slot, const Task& task) {
    if (rank(task) < 4 && (oldest == nullptr || before(task, *oldest))) oldest = &task;
  });
  std::string first = "nothing of it was looked at yet";
  if (oldest != nullptr) {
    first = why(oldest->id);
  } else {
    layers_.for_each([&](const LayerRecord& layer) {
      for (std::uint32_t index = 0; oldest == nullptr && layer.active != 0 && index < layer.tasks; ++index) {
        if (!layer.is_active(index)) continue;
        first = why(make_task_id(layer.id, index));
        return;
      }
    });
  }
  return fmt::format(
      "nothing has finished for {} while {} to be computed ({} processing, {} queued, {} no-worker, {} "
      "waiting, {} released); first of all, {}",
      seconds(now_ - progress_at_), counted(active_, "task is", "tasks are"), counters_.processing, counters_.queued,
      counters_.no_worker, counters_.waiting, counters_.released, first);
}

}  // namespace tegula::scheduler
