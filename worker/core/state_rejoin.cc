// Another connection to the scheduler, with what is here kept. docs/task-states.md says what both sides do.
#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "worker/core/state.h"

namespace tegula::worker {

namespace {

constexpr std::size_t kResultsPerPart = 1u << 14;  // of an inventory: frames are limited

}  // namespace

void WorkerState::apply(Rejoin& event) {
  self_ = {};  // nothing is told before it is registered again
  orphan(event);
  store_.forget_users();
  name_anew();
  credit_ = SlotCredit(options_.threads);
  fetches_.reset();
  acquiring_.clear();
  acquisitions_.clear();
  layers_.clear();
  tasks_.clear();
  attempt_of_.clear();
  ahead_of_.clear();
  waiting_.clear();
  ready_.clear();
  ahead_ = fetching_ = 0;
  claimed_kib_ = 0;
  memory_credit_ = MemoryCredit(options_.memory_limit, room());
  bypasses_ = 0;
  attempts_hash_ = received_ = answered_ = 0;
  for (const AttemptId attempt : awaited_) actions_->emplace_back(AttemptEnded{attempt});  // without a result
  awaited_.clear();
  if (!event.numbers_go_on) last_assigned_ = {};
  anew_ = true;
}

// What a thread runs goes on, without a name; all other attempts are dropped.
void WorkerState::orphan(const Rejoin& event) {
  for (const auto& [attempt, task] : tasks_) {
    const bool handed = task.state == TaskState::kExecuting || task.state == TaskState::kAbandoned;
    const bool runs = handed && std::find(event.running.begin(), event.running.end(), attempt) != event.running.end();
    if (runs) {
      const LayerHash layer = layers_.at(layer_of(task.id)).hash;
      const bool wanted = task.state == TaskState::kExecuting;
      orphans_.emplace(OrphanId{event.life, attempt},
                       Orphan{layer, index_of(task.id), wanted, task.inputs, task.granted});
      continue;
    }
    let_go_of_inputs(task);
    granted_bytes_ -= task.granted;
    if (handed) --handed_;
  }
}

// Every result that can be told gets a name of this worker's own and a place in the inventory, in an order that
// depends on nothing but what is there.
void WorkerState::name_anew() {
  struct Item {
    LayerHash layer;
    ResultId result;
  };
  std::vector<Item> items;
  std::vector<ResultId> kept = store_.names();
  std::sort(kept.begin(), kept.end());
  for (const ResultId& result : kept) {
    if (const auto hash = hash_of(layer_of(result.task))) {
      items.push_back({*hash, result});
    } else {
      store_.free(result, *actions_);
    }
  }
  const auto order = [](const Item& item) {
    return std::tuple(item.layer, index_of(item.result.task), item.result.output, item.result.task);
  };
  std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) { return order(a) < order(b); });

  own_layers_.clear();
  inventory_.clear();
  dropped_.clear();
  std::vector<Store::NewName> names;
  names.reserve(items.size());
  for (const Item& item : items) {
    const TaskId own = make_task_id(own_layer(item.layer), index_of(item.result.task));
    names.push_back({item.result, {own, item.result.output}});
  }
  // Of what was made twice, by an orphan and by another attempt, one stays.
  list_in_inventory(store_.rename(names, *actions_));
}

std::optional<LayerHash> WorkerState::hash_of(LayerId layer) const {
  const auto number = static_cast<std::uint32_t>(layer);
  if (number >= kFirstOwnLayer) {
    if (number - kFirstOwnLayer >= own_layers_.size()) return std::nullopt;
    return own_layers_[number - kFirstOwnLayer];
  }
  const auto found = layers_.find(layer);
  if (found == layers_.end()) return std::nullopt;
  return found->second.hash;
}

// Items come sorted by layer, and orphans are few: the last one is mostly it.
LayerId WorkerState::own_layer(const LayerHash& hash) {
  const auto found = std::find(own_layers_.rbegin(), own_layers_.rend(), hash);
  if (found != own_layers_.rend()) {
    return static_cast<LayerId>(kFirstOwnLayer + static_cast<std::uint32_t>(own_layers_.rend() - found - 1));
  }
  own_layers_.push_back(hash);
  return static_cast<LayerId>(kFirstOwnLayer + static_cast<std::uint32_t>(own_layers_.size() - 1));
}

void WorkerState::list_in_inventory(const std::vector<ResultId>& results) {
  for (std::size_t at = 0; at < results.size(); at += kResultsPerPart) {
    const std::size_t end = std::min(results.size(), at + kResultsPerPart);
    inventory_[++last_part_].assign(results.begin() + static_cast<std::ptrdiff_t>(at),
                                    results.begin() + static_cast<std::ptrdiff_t>(end));
    if (self_ != WorkerId{}) send_inventory(last_part_);
  }
}

void WorkerState::send_inventory(std::uint32_t part) {
  msg::Inventory message{part, {}};
  std::vector<ResultId>& results = inventory_.at(part);
  std::erase_if(results, [this](const ResultId& result) { return !store_.contains(result); });  // its file was lost
  for (const ResultId& result : results) {
    const Chunk* chunk = store_.find(result);
    message.results.push_back({*hash_of(layer_of(result.task)), index_of(result.task), result.output,
                               chunk != nullptr ? chunk->nbytes() : store_.bytes_of(result)});
  }
  actions_->emplace_back(SendToScheduler{std::move(message)});
}

void WorkerState::apply(msg::InventoryTaken& event) {
  const auto part = inventory_.extract(event.part);
  if (part.empty()) return;
  std::vector<Store::NewName> names;
  for (std::size_t i = 0; i < part.mapped().size(); ++i) {
    const ResultId& own = part.mapped()[i];
    const LayerId layer = i < event.layers.size() ? event.layers[i] : LayerId{};
    if (layer != LayerId{} && static_cast<std::uint32_t>(layer) < kFirstOwnLayer) {
      names.push_back({own, {make_task_id(layer, index_of(own.task)), own.output}});
    } else {
      store_.free(own, *actions_);
    }
  }
  store_.rename(names, *actions_);
  msg::ReplicasDropped lost;  // told, and then its file could not be read
  msg::ReplicasAdded found;   // made twice: one copy was told as lost before this one had its name
  for (const Store::NewName& name : names) {
    if (!store_.contains(name.to)) {
      lost.results.push_back(name.to);
    } else if (dropped_.contains(name.to)) {
      found.results.push_back(name.to);
    }
  }
  if (inventory_.empty()) dropped_.clear();
  tell_dropped(std::move(lost));
  if (!found.results.empty()) actions_->emplace_back(SendToScheduler{std::move(found)});
}

void WorkerState::tell_dropped(msg::ReplicasDropped dropped) {
  if (dropped.results.empty()) return;
  if (!inventory_.empty()) dropped_.insert(dropped.results.begin(), dropped.results.end());
  actions_->emplace_back(SendToScheduler{std::move(dropped)});
}

void WorkerState::apply(OrphanEnded& event) {
  auto ended = orphans_.extract({event.life, event.attempt});
  if (ended.empty()) return;
  const Orphan& orphan = ended.mapped();
  --handed_;
  granted_bytes_ -= orphan.granted;
  ++done_;
  last_end_ = now_;
  if (orphan.inputs != nullptr) {
    for (const Chunk& chunk : orphan.inputs->pieces) store_.drop(chunk.buffer());
  }
  if (!orphan.wanted) return;
  const TaskId own = event.outputs.empty() ? TaskId{} : make_task_id(own_layer(orphan.layer), orphan.index);
  std::vector<ResultId> listed;
  for (std::size_t o = 0; o < event.outputs.size(); ++o) {
    const ResultId name{own, static_cast<std::uint16_t>(o)};
    if (store_.contains(name)) continue;  // the same, and told already
    store_.keep(name, std::move(event.outputs[o]), *actions_);
    listed.push_back(name);
  }
  list_in_inventory(listed);
}

}  // namespace tegula::worker
