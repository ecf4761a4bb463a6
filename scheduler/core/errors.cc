// Errors: a failed task takes with it every task that needs it, and whoever wants one of those hears the first cause.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

// Longer ways keep their beginning and their end. (It also bounds how deep a chain of causes is destroyed.)
constexpr std::uint32_t kLongestChain = 32;

std::shared_ptr<const Failure> caused_by(const std::shared_ptr<const Failure>& cause, TaskId task) {
  const auto& before = cause->depth + 1 < kLongestChain ? cause : cause->cause;
  return std::make_shared<const Failure>(Failure{cause->error, before, task, before->depth + 1});
}

}  // namespace

void Core::fail(TaskId task, ErrorInfo error) {
  const LayerRecord& layer = layers_.at(layer_of(task));
  error.key = key_text(*layer.description, layer.hash, index_of(task));
  error.kernel = layer.description->kernel;
  error.chain.clear();
  fail(task,
       std::make_shared<const Failure>(Failure{std::make_shared<const ErrorInfo>(std::move(error)), nullptr, task, 0}));
}

void Core::fail_because_of(const Task& producer, TaskId task) { fail(task, caused_by(producer.failure, task)); }

void Core::fail(TaskId first, std::shared_ptr<const Failure> failure) {
  std::vector<std::pair<TaskId, std::shared_ptr<const Failure>>> failing{{first, std::move(failure)}};
  while (!failing.empty()) {
    const auto [id, cause] = std::move(failing.back());
    failing.pop_back();
    LayerRecord& layer = layers_.at(layer_of(id));
    const std::uint32_t index = index_of(id);
    if (!layer.is_active(index)) continue;
    ++sessions_[layer.account(index)]->done;
    Slot slot = layer.slot(index);
    if (slot != kNoSlot) leave_queue(slot);
    clear_active(layer, index);

    bool wanted = false;
    for (std::uint16_t o = 0; o < layer.outputs; ++o) {
      const bool available = slot != kNoSlot && tasks_[slot].output(o).available();
      if (available) continue;
      wanted = wanted || wants_of(layer, o, index) != 0;
      for (const LayerReader& reader : layer.readers) {
        if (reader.output != o) continue;
        const LayerRecord& consumers = layers_.at(reader.layer);
        if (consumers.active == 0) continue;
        reader.consumers->for_each(index, [&](std::uint32_t consumer) {
          if (!consumers.is_active(consumer)) return;
          // One that a worker has already may still succeed; if it comes back, it finds the error here.
          const Slot of = consumers.slot(consumer);
          if (of != kNoSlot && tasks_[of].state == TaskState::kProcessing) return;
          const TaskId task = make_task_id(consumers.id, consumer);
          failing.emplace_back(task, caused_by(cause, task));
        });
      }
    }
    if (wanted && slot == kNoSlot) slot = create_record(layer, index);
    if (slot != kNoSlot) {
      tasks_[slot].failure = cause;
      tidy(slot);
    }
    if (wanted) notify_erred(layer, index, error_of(*cause));
    release_inputs(layer, index);
  }
}

ErrorInfo Core::error_of(const Failure& failure) const {
  ErrorInfo error = *failure.error;
  for (const Failure* at = &failure; at != nullptr; at = at->cause.get()) error.chain.push_back(key_of(at->task));
  std::reverse(error.chain.begin(), error.chain.end());
  return error;
}

}  // namespace tegula::scheduler
