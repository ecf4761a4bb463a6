// The workers, what layers require of them, and what each may still be given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "comm/messages.h"
#include "scheduler/core/containers.h"
#include "scheduler/core/link_cost.h"
#include "scheduler/core/ready_queue.h"
#include "scheduler/core/state.h"
#include "src/ids.h"

namespace tegula::scheduler {

// A worker that is gone, and whose nanny has not said yet why. Its tasks go on elsewhere meanwhile.
struct Inquest {
  // What the worker had when it went. `likely`: it may well have executed it.
  struct Suspect {
    TaskId task{};
    AttemptId attempt{};
    bool likely = false;
  };
  std::string name, address;  // of the worker
  std::uint64_t nanny = 0;
  std::uint32_t life = 0;
  std::uint64_t instance = 0;
  std::string detail;     // what is known of the loss
  bool vanished = false;  // nothing was heard of it any more: its machine or the way to it may be gone
  std::vector<Suspect> suspects;
  Time deadline{};  // for the report
};

// That a worker died which had a task.
struct Death {
  std::string worker;  // its name
  std::string cause;
  bool certain = false;        // that it executed the task
  bool full = false;           // counts wholly
  std::uint64_t instance = 0;  // of the worker's process
};

// Of a worker, and which process that was.
struct Obituary {
  WorkerDeath death;
  std::uint64_t nanny = 0;
  std::uint32_t life = 0;
  std::uint64_t instance = 0;
};

struct Worker {
  WorkerId id{};
  WorkerSlot slot = 0;
  std::uint32_t group = 0;  // of workers that meet the same requirements
  msg::RegisterWorker registration;
  msg::WorkerHeartbeat heartbeat;
  Time last_heard{};
  std::optional<Time> ends_at;           // its lifetime, when it told one
  std::optional<msg::WorkerDied> death;  // reported, while its connection is still there

  std::uint64_t granted = 0, spent = 0;          // slots, cumulative
  std::uint64_t kib_granted = 0, kib_spent = 0;  // of memory, cumulative
  std::uint64_t answered = 0;                    // attempts that came back, however
  std::uint64_t answers_heard = 0;               // the same, and answers for attempts that it does not have
  std::uint64_t attempts_hash = 0;               // xor of mix(attempt) over `bound`
  std::vector<Slot> bound;                       // its attempts under way; Task::position is the place here
  ReadyQueue ready;                              // tasks that want to go here, for the inputs it holds
  ReadyQueue ahead;                              // waiting tasks that could be bound here, ahead of their inputs
  std::uint32_t bound_ahead = 0;                 // of `bound`: inputs are still missing
  std::uint64_t expected_us = 0;                 // over those of `bound` that could run
  std::uint32_t asked_back = 0;                  // of `bound`: for other workers
  std::uint32_t awaits = 0;                      // tasks asked back for this worker
  Time last_answer{};                            // of an attempt, or when it had none
  bool offered = false;                          // listed in Core::offers_

  std::unordered_map<std::string, std::uint64_t> resources_free;  // in millionths
  std::unordered_set<WorkerId> introduced;                        // peers whose address it was sent
  std::vector<ResultId> to_free;                                  // sent in settle()

  LinkCost link_in, link_out;                        // of transfers to and from it, whoever the other one is
  std::unordered_map<WorkerId, LinkCost> link_from;  // of some that it got something from

  std::uint32_t parts_due = 0;            // of its inventory, that were announced and have not come
  std::uint64_t results_brought = 0;      // in `inventory`
  std::vector<msg::Inventory> inventory;  // while the core recovers
  // When its count of attempts and ours began to differ without anything being under way; 0: they don't.
  Time differs_since{};
  std::uint64_t differs_at = 0;  // spent and answered then, and what the worker said of them

  std::uint64_t retiring = 0;  // the job that sends it away; it gets nothing new meanwhile
  std::uint64_t incoming = 0;  // bytes of copies that it was asked to fetch

  // Slots that are free.
  std::uint64_t credit() const { return retiring != 0 ? 0 : granted - spent; }
  bool limited() const { return kib_granted != msg::GrantCredit::kNoLimit; }
  // Those that may be used for roots and for what waits for other workers: while its memory is spoken for there are
  // none. What it holds inputs of comes all the same, as that is how its memory gets free, and what occupies resources,
  // which few workers may have.
  std::uint64_t open_credit() const { return kib_spent < kib_granted ? credit() : 0; }
  // Bound tasks that could run, as far as is known here.
  std::size_t runnable() const { return bound.size() - bound_ahead; }
};

// Workers that meet the same requirements. Nearly always there is one group.
struct WorkerGroup {
  std::vector<std::string> kernels;  // sorted
  std::vector<bool> has;             // by requirement
  std::uint32_t live = 0;
  SlotHeap credit;  // workers by open credit
  SlotHeap load;    // workers by the length of their ready queue
  SlotHeap idle;    // workers by threads without a task, bound or on its way
  SlotHeap delay;   // workers that have more tasks than threads: microseconds until the last of them starts
};

// What the tasks of a layer require of the worker that runs them.
struct Requirement {
  std::string kernel;
  std::vector<std::string> workers;                              // names, addresses or hosts, sorted; empty: any
  bool loose = false;                                            // others may while none of `workers` is there
  std::vector<std::pair<std::string, std::uint64_t>> resources;  // occupied, in millionths; sorted
  std::uint64_t memory = 0;                                      // bytes that the worker's limit must allow

  std::uint32_t layers = 0;  // that have it; 0: a free entry
  std::uint32_t live = 0;    // workers that meet it
  std::uint32_t named = 0;   // loose: workers that are named and meet the rest
  bool listed = false;       // in Core::ready_requirements_
  ReadyQueue ready;  // tasks that any worker may take that meets it; all of its ready tasks when live == 0, or metered
  SlotHeap able;     // metered: workers with credit and enough of the resources free, by credit

  bool metered() const { return !resources.empty(); }
  bool restricted() const { return metered() || !workers.empty() || memory != 0; }
  std::string identity() const;
};

// Whether it is one of those that the requirement names, or the requirement names none.
bool is_named(const Worker& worker, const Requirement& requirement);
bool has_kernel(const Worker& worker, const Requirement& requirement);
// In all, not what is free now.
bool has_resources(const Worker& worker, const Requirement& requirement);
bool has_memory(const Worker& worker, std::uint64_t bytes);
std::string describe_resources(const Requirement& requirement);  // "GPU=1, LICENSE=0.5"
std::uint64_t to_millionths(double amount);
// What is wrong with them, empty: nothing.
std::string wrong_resources(const std::vector<msg::Resource>& resources);
// The resource that every worker has without saying so: bytes, of its memory limit. Workers see to it, not the core.
inline constexpr std::string_view kMemoryResource = "memory";
std::uint64_t memory_of(const std::vector<msg::Resource>& resources);  // bytes; 0: not among them

}  // namespace tegula::scheduler
