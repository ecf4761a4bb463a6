// Workers that come back with what they hold, to this life of the scheduler or to the next one, and who may have a
// name.
//
// A scheduler that was started again computes nothing until the inventory window is over: workers register anew and say
// what they have, by layer hashes; clients attach anew and say what they want. Then every result that is wanted or read
// by something demanded counts as a replica, the demand behind it is dropped, and the rest is freed. Afterwards an
// inventory is answered as it comes.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

namespace {

constexpr std::uint64_t kMostBrought = 1u << 26;  // results of one worker that wait for the window's end
constexpr Time kLeastSilence = std::chrono::seconds(1);

}  // namespace

// ---- inventories ----

void Core::on_inventory(Worker& worker, msg::Inventory& message) {
  if (worker.parts_due != 0) --worker.parts_due;
  counters_.inventory_results += message.results.size();
  if (!recovering_) return take_inventory(worker, message);
  worker.results_brought += message.results.size();
  if (worker.results_brought > kMostBrought) {
    expel(worker, LossReason::kProtocol, fmt::format("brings more than {} results", kMostBrought));
    return;
  }
  worker.inventory.push_back(std::move(message));
}

void Core::take_inventory(Worker& worker, const msg::Inventory& part) {
  msg::InventoryTaken answer{part.part, {}};
  answer.layers.reserve(part.results.size());
  for (const msg::Inventory::Held& held : part.results) {
    const LayerRecord* layer = layers_.find(held.layer);
    const bool kept = layer != nullptr && held.index < layer->tasks && held.output < layer->outputs &&
                      keep_replica(worker, {make_task_id(layer->id, held.index), held.output}, held.nbytes);
    answer.layers.push_back(kept ? layer->id : LayerId{});
    counters_.inventory_kept += kept ? 1 : 0;
  }
  send(worker, std::move(answer));
}

bool Core::keep_replica(Worker& worker, ResultId result, std::uint64_t nbytes) {
  LayerRecord& layer = layers_.at(layer_of(result.task));
  const std::uint32_t index = index_of(result.task);
  Slot slot = layer.slot(index);
  if (slot == kNoSlot) {
    // Demanded, and nobody has looked at it yet. It gets its record here if this output is what it is demanded for.
    if (!layer.is_active(index)) return false;
    if (wants_of(layer, result.output, index) == 0 && !has_active_consumer(layer, result.output, index)) return false;
    slot = create_record(layer, index);
    tasks_[slot].tag = next_tag(*sessions_[tasks_[slot].account], layer);
  }
  Task& task = tasks_[slot];
  Output& output = task.output(result.output);
  if (!output.needed()) return false;
  // What is made twice differs if it is not pure: there can be only one.
  const bool fresh = !output.available();
  if (!layer.description->pure && (!fresh || task.state == TaskState::kProcessing)) return false;
  define(worker, layer);  // so that it can say what it holds, should it have to join anew
  if (!output.replicas.add(worker.slot)) return true;
  note_surplus(task, result.output);
  if (!fresh) return true;
  output.nbytes = nbytes;
  announce(slot, result.output);
  doubt(result.task);
  // Of one that was not looked at before, another output may be needed still.
  if (task.state == TaskState::kReleased && still_needed(layer, index)) enter(slot);
  tidy(slot);
  return true;
}

// ---- the window ----

void Core::begin_recovery() { recovering_ = recovering_ || now_ < *started_ + config_.inventory_window; }

// The window closes by itself; one that is in the midst of its inventory then may end it.
bool Core::recovery_is_over() const {
  const Time end = *started_ + config_.inventory_window;
  if (now_ < end) return false;
  const bool due = std::any_of(workers_.begin(), workers_.end(),
                               [](const auto& worker) { return worker && worker->parts_due != 0; });
  return !due || now_ >= end + config_.inventory_window;
}

void Core::end_recovery() {
  recovering_ = false;
  for (std::size_t slot = 0; slot < workers_.size(); ++slot) {
    if (!workers_[slot]) continue;
    for (const msg::Inventory& part : std::exchange(workers_[slot]->inventory, {})) {
      take_inventory(*workers_[slot], part);
    }
  }
}

// ---- names ----

Worker* Core::worker_by_name(const std::string& name) {
  if (!worker_names_.contains(name)) return nullptr;
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&](const auto& worker) { return worker && worker->registration.name == name; });
  return found->get();
}

void Core::on(WorkerJoined& event) {
  if (by_worker_.contains(event.worker) || event.worker == WorkerId{}) return;
  if (event.registration.name.empty()) return refuse_worker(event.worker, "a worker needs a name");
  if (const std::string wrong = wrong_resources(event.registration.resources); !wrong.empty()) {
    return refuse_worker(event.worker, wrong);
  }
  if (memory_of(event.registration.resources) != 0) {
    return refuse_worker(event.worker, "the resource 'memory' is the memory limit; it can't be given beside it");
  }
  take_back_blame(event.registration);
  if (event.registration.instance != 0) {  // a former connection of the same process is not who asks for a name
    std::erase_if(contests_, [&](const Contest& contest) {
      if (contest.event.registration.instance != event.registration.instance) return false;
      out_->push_back(CloseWorker{contest.event.worker, "its process has connected anew"});
      return true;
    });
  }
  if (Worker* gone = predecessor_of(event.registration)) {
    expel(*gone, LossReason::kConnection, "its nanny has started it anew");
  }
  Worker* before = worker_by_name(event.registration.name);
  if (before != nullptr && event.registration.instance != 0 &&
      before->registration.instance == event.registration.instance) {
    expel(*before, LossReason::kReplaced, "its process has connected anew");
    before = nullptr;
  }
  if (before != nullptr) {
    contests_.push_back({std::move(event), now_});
  } else {
    join(event);
  }
}

// After each event while somebody waits for a name.
void Core::decide_contests() {
  const Time patience = std::max<Time>(3 * Time(config_.heartbeat_interval), kLeastSilence);
  for (Contest& contest : std::exchange(contests_, {})) {
    const std::string& name = contest.event.registration.name;
    Worker* before = worker_by_name(name);
    if (before != nullptr && before->last_heard > contest.since) {
      refuse_worker(contest.event.worker,
                    fmt::format("there is a worker named '{}' already, at {}", name, before->registration.address));
      continue;
    }
    if (before != nullptr && now_ - contest.since < patience) {
      contests_.push_back(std::move(contest));
      continue;
    }
    if (before != nullptr) expel(*before, LossReason::kHeartbeat, "it is silent, and another one took its name");
    join(contest.event);
  }
}

}  // namespace tegula::scheduler
