// What layers require of a worker (a kernel, to be one of certain workers, resources) and which workers meet it.
// Workers are grouped by what they meet, so that a decision looks at groups and not at workers; a group changes only
// when a requirement or a worker comes or goes.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "scheduler/core/core.h"
#include "src/config.h"

namespace tegula::scheduler {
namespace {

constexpr double kMostOfAResource = 1e12;
constexpr double kMostMemory = 1e15;

}  // namespace

bool has_resources(const Worker& worker, const Requirement& requirement) {
  const std::vector<msg::Resource>& owned = worker.registration.resources;
  return std::all_of(requirement.resources.begin(), requirement.resources.end(), [&](const auto& wanted) {
    return std::any_of(owned.begin(), owned.end(), [&](const msg::Resource& resource) {
      return resource.name == wanted.first && to_millionths(resource.amount) >= wanted.second;
    });
  });
}

bool has_memory(const Worker& worker, std::uint64_t bytes) {
  return worker.registration.memory_limit == 0 || worker.registration.memory_limit >= bytes;
}

bool is_named(const Worker& worker, const Requirement& requirement) {
  const std::vector<std::string>& names = requirement.workers;
  const msg::RegisterWorker& about = worker.registration;
  return names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& name) {
           return name == about.name || name == about.host || name == about.address;
         });
}

bool has_kernel(const Worker& worker, const Requirement& requirement) {
  return std::binary_search(worker.registration.kernels.begin(), worker.registration.kernels.end(), requirement.kernel);
}

std::string describe_resources(const Requirement& requirement) {
  std::string text;
  for (const auto& [name, amount] : requirement.resources) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, static_cast<double>(amount) / 1e6);
  }
  if (requirement.memory != 0) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", kMemoryResource, format_bytes(requirement.memory));
  }
  return text;
}

std::uint64_t to_millionths(double amount) { return static_cast<std::uint64_t>(std::llround(amount * 1e6)); }

std::string wrong_resources(const std::vector<msg::Resource>& resources) {
  for (std::size_t i = 0; i < resources.size(); ++i) {
    const msg::Resource& resource = resources[i];
    if (resource.name.empty()) return "a resource needs a name";
    if (resource.name == kMemoryResource) {
      if (!(resource.amount >= 1 && resource.amount <= kMostMemory)) {
        return fmt::format("resource 'memory' must be between 1 and 1e15 bytes, not {}", resource.amount);
      }
    } else if (!(resource.amount >= 1e-6 && resource.amount <= kMostOfAResource)) {
      return fmt::format("resource '{}' must be between 1e-6 and 1e12, not {}", resource.name, resource.amount);
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (resources[j].name == resource.name) return fmt::format("resource '{}' is given twice", resource.name);
    }
  }
  return {};
}

std::uint64_t memory_of(const std::vector<msg::Resource>& resources) {
  for (const msg::Resource& resource : resources) {
    if (resource.name == kMemoryResource) return static_cast<std::uint64_t>(std::ceil(resource.amount));
  }
  return 0;
}

// ---- groups ----

bool Core::meets(const Worker& worker, const Requirement& requirement) const {
  if (!has_kernel(worker, requirement) || !has_resources(worker, requirement)) return false;
  if (!has_memory(worker, requirement.memory)) return false;
  if (is_named(worker, requirement)) return true;
  return requirement.loose && requirement.named == 0;
}

std::uint32_t Core::group_for(const Worker& worker) {
  std::vector<bool> has(requirements_.size());
  for (std::size_t k = 0; k < has.size(); ++k) {
    has[k] = requirements_[k].layers != 0 && meets(worker, requirements_[k]);
  }
  const std::vector<std::string>& kernels = worker.registration.kernels;
  std::uint32_t unused = kNoSlot;
  for (std::uint32_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].live == 0) {
      unused = g;
    } else if (groups_[g].kernels == kernels && groups_[g].has == has) {
      return g;
    }
  }
  if (unused == kNoSlot) {
    unused = static_cast<std::uint32_t>(groups_.size());
    groups_.emplace_back();
  }
  groups_[unused].kernels = kernels;
  groups_[unused].has = std::move(has);
  return unused;
}

void Core::enter_group(Worker& worker) {
  worker.group = group_for(worker);
  WorkerGroup& group = groups_[worker.group];
  ++group.live;
  for (std::size_t k = 0; k < group.has.size(); ++k) requirements_[k].live += group.has[k] ? 1 : 0;
  credit_changed(worker);
  load_changed(worker);
}

void Core::leave_group(Worker& worker) {
  WorkerGroup& group = groups_[worker.group];
  group.credit.update(worker.slot, 0);
  group.load.update(worker.slot, 0);
  group.idle.update(worker.slot, 0);
  group.delay.update(worker.slot, 0);
  for (std::uint32_t k : metered_) requirements_[k].able.update(worker.slot, 0);
  --group.live;
  for (std::size_t k = 0; k < group.has.size(); ++k) requirements_[k].live -= group.has[k] ? 1 : 0;
}

// A loose requirement asks for the named workers while some of them meet the rest of it, else for no certain ones.
bool Core::count_named() {
  bool changed = false;
  for (Requirement& requirement : requirements_) {
    if (!requirement.loose || requirement.layers == 0) continue;
    std::uint32_t named = 0;
    for (const auto& worker : workers_) {
      if (worker && is_named(*worker, requirement) && has_kernel(*worker, requirement) &&
          has_resources(*worker, requirement) && has_memory(*worker, requirement.memory)) {
        ++named;
      }
    }
    changed = changed || (named == 0) != (requirement.named == 0);
    requirement.named = named;
  }
  return changed;
}

// What workers meet has changed otherwise than by their coming and going.
void Core::regroup() {
  std::vector<bool> before(requirements_.size());
  for (std::size_t k = 0; k < before.size(); ++k) before[k] = requirements_[k].live != 0;
  for (const auto& worker : workers_) {
    if (!worker) continue;
    leave_group(*worker);
    enter_group(*worker);
    // What it may not run any more goes elsewhere.
    std::vector<Slot> misplaced;
    for (const ReadyQueue* queue : {&worker->ready, &worker->ahead}) {
      for (const auto& entry : queue->entries()) {
        if (!groups_[worker->group].has[layer_of_task(tasks_[entry.slot]).requirement]) misplaced.push_back(entry.slot);
      }
    }
    for (Slot slot : misplaced) {
      leave_queue(slot);
      if (tasks_[slot].state == TaskState::kQueued) make_ready(slot);
    }
  }
  for (std::uint32_t k = 0; k < requirements_.size(); ++k) {
    if (before[k] != (requirements_[k].live != 0)) requeue(k);
  }
}

void Core::arrive(Worker& worker) {
  const std::vector<std::uint32_t> ready = ready_requirements_;
  enter_group(worker);
  for (std::uint32_t k : ready) {
    if (requirements_[k].live == 1 && groups_[worker.group].has[k]) requeue(k);
    if (requirements_[k].live == 0) doubtful_requirements_.push_back(k);
  }
  if (count_named()) regroup();
}

void Core::departed(const std::vector<bool>& had) {
  if (count_named()) regroup();
  for (std::uint32_t k = 0; k < requirements_.size(); ++k) {
    if (had[k] && requirements_[k].live == 0) requeue(k);
  }
}

// ---- resources ----

bool Core::fits(const Worker& worker, const Requirement& requirement) const {
  return std::all_of(requirement.resources.begin(), requirement.resources.end(), [&](const auto& wanted) {
    const auto found = worker.resources_free.find(wanted.first);
    return found != worker.resources_free.end() && found->second >= wanted.second;
  });
}

void Core::resources_changed(Worker& worker) {
  for (std::uint32_t k : metered_) {
    const bool able = groups_[worker.group].has[k] && fits(worker, requirements_[k]);
    requirements_[k].able.update(worker.slot, able ? worker.credit() : 0);
  }
}

void Core::occupy(Worker& worker, const Requirement& requirement) {
  for (const auto& [name, amount] : requirement.resources) worker.resources_free[name] -= amount;
}

void Core::vacate(Worker& worker, const Requirement& requirement) {
  if (!requirement.metered()) return;
  for (const auto& [name, amount] : requirement.resources) worker.resources_free[name] += amount;
  resources_changed(worker);
}

// Tasks that occupy resources never wait in a worker's queue, where they would keep others behind them from running.
void Core::bind_metered() {
  for (std::uint32_t k : metered_) {
    Requirement& requirement = requirements_[k];
    while (!requirement.ready.empty() && !requirement.able.empty()) {
      const Slot slot = requirement.ready.top().slot;
      const WorkerSlot holder = preferred_holder(tasks_[slot]);
      const bool there = holder != kNoSlot && requirement.able.contains(holder);
      bind(slot, worker_at(there ? holder : requirement.able.top()));
    }
  }
}

// ---- requirements come and go with layers ----

std::uint32_t Core::requirement_for(const std::string& kernel, const msg::SubmitOptions& options) {
  Requirement wanted;
  wanted.kernel = kernel;
  wanted.workers = options.workers;
  std::sort(wanted.workers.begin(), wanted.workers.end());
  wanted.loose = options.allow_other_workers && !options.workers.empty();
  for (const msg::Resource& resource : options.resources) {
    if (resource.name == kMemoryResource) continue;
    wanted.resources.emplace_back(resource.name, to_millionths(resource.amount));
  }
  std::sort(wanted.resources.begin(), wanted.resources.end());
  wanted.memory = memory_of(options.resources);
  return requirement_for(std::move(wanted));
}

std::uint32_t Core::requirement_for(Requirement wanted) {
  const auto [entry, added] = by_requirement_.try_emplace(wanted.identity(), 0);
  if (!added) {
    ++requirements_[entry->second].layers;
    return entry->second;
  }
  std::uint32_t k = static_cast<std::uint32_t>(requirements_.size());
  if (free_requirements_.empty()) {
    requirements_.emplace_back();
    for (WorkerGroup& group : groups_) group.has.push_back(false);
  } else {
    k = free_requirements_.back();
    free_requirements_.pop_back();
  }
  entry->second = k;
  wanted.layers = 1;
  requirements_[k] = std::move(wanted);
  Requirement& requirement = requirements_[k];
  if (requirement.metered()) metered_.push_back(k);
  if (requirement.restricted()) {
    count_named();
    regroup();
  } else {
    for (WorkerGroup& group : groups_) {
      group.has[k] = std::binary_search(group.kernels.begin(), group.kernels.end(), requirement.kernel);
      if (group.has[k]) requirement.live += group.live;
    }
  }
  return k;
}

void Core::release_requirement(std::uint32_t k) {
  Requirement& requirement = requirements_[k];
  if (--requirement.layers != 0) return;
  const bool restricted = requirement.restricted();
  by_requirement_.erase(requirement.identity());
  std::erase(metered_, k);
  requirement = Requirement{};
  for (WorkerGroup& group : groups_) group.has[k] = false;
  free_requirements_.push_back(k);
  if (restricted) regroup();  // groups that it told apart become one
}

// A task was too large for `worker`. Where others have a greater limit, the layer's tasks go to such ones from now on.
bool Core::require_more_memory(LayerRecord& layer, const Worker& worker) {
  if (worker.registration.memory_limit == 0) return false;
  Requirement wanted;
  {
    const Requirement& before = requirements_[layer.requirement];
    wanted.kernel = before.kernel;
    wanted.workers = before.workers;
    wanted.loose = before.loose;
    wanted.resources = before.resources;
    wanted.memory = std::max(before.memory, worker.registration.memory_limit + 1);
  }
  const bool somebody = std::any_of(workers_.begin(), workers_.end(), [&](const auto& other) {
    return other && other->retiring == 0 && meets(*other, requirements_[layer.requirement]) &&
           has_memory(*other, wanted.memory);
  });
  if (!somebody) return false;
  if (wanted.memory == requirements_[layer.requirement].memory) return true;  // it had been bound before that was known
  const std::uint32_t before = layer.requirement;
  std::vector<Slot> queued;
  for (std::uint32_t index = 0; index < layer.tasks; ++index) {
    const Slot slot = layer.slot(index);
    if (slot == kNoSlot) continue;
    const Task& task = tasks_[slot];
    const bool placed = task.queued_in != QueueKind::kNone && task.queued_in != QueueKind::kDelayed;
    if (placed) queued.push_back(slot);
  }
  for (Slot slot : queued) leave_queue(slot);
  layer.requirement = requirement_for(std::move(wanted));
  release_requirement(before);
  for (Slot slot : queued) tasks_[slot].state == TaskState::kWaiting ? consider_ahead(slot) : make_ready(slot);
  return true;
}

std::string Requirement::identity() const {
  std::string text = kernel;
  for (const std::string& worker : workers) text += fmt::format("\n@{}:{}", worker.size(), worker);
  if (loose) text += "\n~";
  for (const auto& [name, amount] : resources) text += fmt::format("\n#{}:{}={}", name.size(), name, amount);
  if (memory != 0) text += fmt::format("\n%{}", memory);
  return text;
}

// There are workers, and none of them has the kernel nor ever had: an error rather than something to wait for.
bool Core::kernel_missing(const Requirement& requirement) const {
  return requirement.live == 0 && counters_.workers > 0 && !kernels_seen_.contains(requirement.kernel);
}

void Core::fail_missing_kernels() {
  while (!doubtful_requirements_.empty()) {
    const std::uint32_t k = doubtful_requirements_.back();
    doubtful_requirements_.pop_back();
    if (requirements_[k].layers == 0 || !kernel_missing(requirements_[k])) continue;
    const ErrorInfo error = kernel_error(requirements_[k]);
    while (!requirements_[k].ready.empty()) fail(requirements_[k].ready.top().id, error);
  }
}

ErrorInfo Core::kernel_error(const Requirement& requirement) const {
  std::vector<std::string> known;
  for (const WorkerGroup& group : groups_) {
    if (group.live != 0) known.insert(known.end(), group.kernels.begin(), group.kernels.end());
  }
  const std::string near = nearest(requirement.kernel, known);
  ErrorInfo error;
  error.code = ErrorCode::kKernelNotFound;
  error.message = fmt::format("no worker has a kernel named '{}'{}", requirement.kernel,
                              near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
  return error;
}

}  // namespace tegula::scheduler
