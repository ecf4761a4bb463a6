// What goes into the worker's state machine and what comes out of it. Messages of the scheduler and of peers are events
// as they are.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "comm/messages.h"
#include "src/chunk.h"
#include "src/ids.h"
#include "src/one_of.h"
#include "tegula/error.h"

namespace tegula::worker {

// Monotonic time since an arbitrary start. The core reads no clock: it is told.
using Time = std::chrono::nanoseconds;

// A value that went to disk; numbered from 1, never reused in a core's life.
using FileId = std::uint64_t;

// What a task reads, complete. Shared between the core and the thread that runs the task; never changed once made.
struct TaskInputs {
  std::vector<Chunk> pieces;        // of all rules, in order
  std::vector<std::uint32_t> ndim;  // per rule: dimensions of its piece grid
  std::vector<std::int64_t> grids;  // the piece grids, one after the other
};
using TaskInputsPtr = std::shared_ptr<const TaskInputs>;

// ---- events ---------------------------------------------------------------------------------------------------------
struct FetchFailed {  // no connection to the peer, or it broke before the reply
  std::uint64_t request = 0;
};
struct KernelFinished {
  AttemptId attempt{};
  std::vector<Chunk> outputs;
  std::uint64_t need = 0;  // bytes of outputs and scratch, as planned
  std::uint64_t compute_ns = 0;
};
struct KernelFailed {
  AttemptId attempt{};
  ErrorInfo error;
  std::uint64_t compute_ns = 0;
};
// The plan asks for more than was granted; the kernel did not run.
struct KernelNeeds {
  AttemptId attempt{};
  std::uint64_t need = 0;
};
// The executor gave the attempt back, not begun: the answer to a Recall that came in time.
struct Recalled {
  AttemptId attempt{};
};
// The answer to a Recall that came too late: the kernel runs, or has ended and will be reported.
struct TooLate {
  AttemptId attempt{};
};
// A peer waits for what this attempt makes here: answered by AttemptEnded.
struct Await {
  AttemptId attempt{};
};
// The file is complete.
struct SpillDone {
  FileId file = 0;
};
enum class SpillFailure : std::uint8_t {
  kNoSpace,  // the disk is full, or as much is on it as is allowed
  kError,    // it does not work
  kDropped,  // nobody wanted it any more before it was begun
};
struct SpillFailed {  // there is no such file
  FileId file = 0;
  SpillFailure reason = SpillFailure::kError;
};
struct Unspilled {
  FileId file = 0;
  Chunk chunk;
};
struct UnspillFailed {  // it is missing, damaged or cannot be read
  FileId file = 0;
};
// A value that lend() gave out is not in use any more.
struct LoanEnded {
  Buffer buffer;
};
// Another connection to the scheduler begins, perhaps to another life of it. What the last one said means nothing any
// more: attempts that no thread runs are dropped, what is kept and what still runs is to be told as an inventory.
struct Rejoin {
  std::uint64_t life = 0;          // the executor's, that ends: OrphanEnded names it
  std::vector<AttemptId> running;  // that its threads execute
  bool numbers_go_on = false;      // the same life of the scheduler: no attempt has a number twice
};
// The end of a kernel that ran when another connection to the scheduler began.
struct OrphanEnded {
  std::uint64_t life = 0;
  AttemptId attempt{};
  std::vector<Chunk> outputs;  // none: it gave no result
};
struct Tick {};  // only the time has changed

using EventAlternatives =
    std::variant<Tick, msg::Assign, KernelFinished, msg::FreeResults, msg::Retract, msg::DefineLayer, msg::ForgetLayer,
                 msg::WorkerAddress, msg::WorkerGone, msg::WorkerRegistered, msg::FetchReply, FetchFailed, KernelFailed,
                 KernelNeeds, Recalled, TooLate, msg::AcquireReplicas, SpillDone, SpillFailed, Unspilled, UnspillFailed,
                 LoanEnded, msg::NextUse, Await, Rejoin, OrphanEnded, msg::InventoryTaken>;

// One of them, with special members that are compiled once (events.cc); see msg::Message.
class Event : public EventAlternatives {
 public:
  Event();
  template <OneOf<EventAlternatives> T>
  Event(T&& one) : EventAlternatives(std::in_place_type<std::remove_cvref_t<T>>, std::forward<T>(one)) {}
  Event(const Event& other);
  Event(Event&& other) noexcept;
  Event& operator=(const Event& other);
  Event& operator=(Event&& other) noexcept;
  ~Event();
};

// ---- actions --------------------------------------------------------------------------------------------------------
struct SendToScheduler {
  msg::Message message;
};
// Answered by a FetchReply with this request number, or by FetchFailed.
struct StartFetch {
  std::uint64_t request = 0;
  WorkerId peer{};
  std::string address;
  std::vector<msg::Fetch::Item> items;
  AttemptId attempt{};        // as in msg::Fetch
  std::uint64_t at_most = 0;  //
};
// That attempt, which was awaited, will make nothing more here: what it made is kept by now.
struct AttemptEnded {
  AttemptId attempt{};
};
// Answered by KernelFinished, KernelFailed, KernelNeeds or Recalled.
struct Execute {
  AttemptId attempt{};
  TaskId task{};
  TaskInputsPtr inputs;       // null: none
  std::uint64_t granted = 0;  // bytes that outputs and scratch may take together
  Time fetched_in{0};         // how long its inputs took to come from others
  Time read_in{0};            // and, at the same time, from disk
};
// Takes the attempt back from the executor if it has not begun: answered by Recalled or TooLate. `cancel`: when it has
// begun its kernel is asked to stop.
struct Recall {
  AttemptId attempt{};
  bool cancel = false;
};
// The peer is lost: what was asked of it need not be answered any more.
struct ClosePeer {
  WorkerId peer{};
};
// No task of the layer is left and none will come.
struct ReleaseLayer {
  LayerId layer{};
};
// Write the value to its file: answered by SpillDone or SpillFailed.
struct Spill {
  FileId file = 0;
  Chunk chunk;  // C-contiguous
};
// Read the file into memory: answered by Unspilled or UnspillFailed.
struct Unspill {
  FileId file = 0;
};
// The file is not needed any more; when it is being written it goes after that. Not answered.
struct DropSpilled {
  FileId file = 0;
};
// A kernel did not get its memory: free blocks go back to the system. Not answered.
struct TrimMemory {};
using ActionAlternatives = std::variant<SendToScheduler, Execute, StartFetch, Recall, ReleaseLayer, AttemptEnded, Spill,
                                        Unspill, DropSpilled, TrimMemory, ClosePeer>;

// One of them, with special members that are compiled once (events.cc); see msg::Message.
class Action : public ActionAlternatives {
 public:
  Action();
  template <OneOf<ActionAlternatives> T>
  Action(T&& one) : ActionAlternatives(std::in_place_type<std::remove_cvref_t<T>>, std::forward<T>(one)) {}
  Action(const Action& other);
  Action(Action&& other) noexcept;
  Action& operator=(const Action& other);
  Action& operator=(Action&& other) noexcept;
  ~Action();
};

}  // namespace tegula::worker
