// A layer as this worker runs it: its description, its kernel, and the parameters as the kernel prepared them. The only
// place that calls kernels.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "comm/messages.h"
#include "src/buffer.h"
#include "src/chunk.h"
#include "src/ids.h"
#include "tegula/error.h"
#include "tegula/kernel.h"
#include "worker/core/events.h"

namespace tegula::worker {

class KernelRegistry;

struct RunRequest {
  TaskId task{};
  const TaskInputs* inputs = nullptr;  // null: none
  std::uint64_t granted = 0;           // bytes for outputs and scratch
  const std::atomic<bool>* cancelled = nullptr;
};
struct RunOutcome {
  enum class Kind { kFinished, kFailed, kNeedsMore };
  Kind kind = Kind::kFinished;
  std::vector<Chunk> outputs;        // kFinished
  std::uint64_t need = 0;            // kFinished, kNeedsMore: bytes planned
  std::uint64_t compute_ns = 0;      // in plan and run
  std::unique_ptr<ErrorInfo> error;  // kFailed; key, kernel and worker are for others to fill
};

// Thread-safe: tasks of a layer run at once.
class LayerRun {
 public:
  LayerRun(msg::LayerPtr layer, const KernelRegistry& kernels, std::chrono::nanoseconds time_limit = {});
  ~LayerRun();
  LayerRun(const LayerRun&) = delete;
  LayerRun& operator=(const LayerRun&) = delete;

  std::chrono::nanoseconds time_limit() const { return time_limit_; }  // of each task; 0: none

  // Prepares the layer if that has not been done, plans, allocates from `pool`, runs. Never throws: whatever goes wrong
  // in a kernel is the task's failure.
  RunOutcome run(const RunRequest& request, BufferPool& pool);

 private:
  // Nothing when the layer is prepared, else why its tasks fail. A preparation that was out of memory is tried again by
  // the next task.
  std::optional<ErrorInfo> prepare();

  msg::LayerPtr layer_;
  const tegula_kernel* kernel_;
  const std::chrono::nanoseconds time_limit_;
  std::mutex mutex_;
  std::atomic<bool> ready_{false};  // prepared_ is valid
  bool tried_ = false;
  void* prepared_ = nullptr;
  ErrorInfo error_;
};

}  // namespace tegula::worker
