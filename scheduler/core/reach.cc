// Workers that could not reach each other. Neither is lost, as both are heard of here, and what they hold is there:
// tasks go where their inputs can be had.
#include <utility>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

namespace {

constexpr Time kRemembered = std::chrono::seconds(30);
constexpr double kOutOfReach = 1e6;  // seconds

}  // namespace

void Core::note_unreachable(const Worker& from, const Worker& holder) {
  unreachable_[{from.id, holder.id}] = now_ + kRemembered;
}

void Core::forget_unreachable(WorkerId gone) {
  std::erase_if(unreachable_, [&](const auto& entry) {
    return entry.first.first == gone || entry.first.second == gone || entry.second <= now_;
  });
}

double Core::detour(const Task& task, const Worker& to) const {
  const auto first = unreachable_.lower_bound({to.id, WorkerId{}});
  if (first == unreachable_.end() || first->first.first != to.id) return 0;
  const LayerRecord& layer = layers_.at(layer_of(task.id));
  bool out_of_reach = false;
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
      const Slot slot = producers.slot(producer);
      if (slot == kNoSlot) return;
      const Output& output = tasks_[slot].output(input.output);
      if (!output.available() || output.replicas.contains(to.slot)) return;
      bool reached = false;
      for (const WorkerSlot holder : output.replicas.span()) {
        reached = reached || !unreachable_.contains({to.id, worker_at(holder).id});
      }
      out_of_reach = out_of_reach || !reached;
    });
  }
  return out_of_reach ? kOutOfReach : 0;
}

}  // namespace tegula::scheduler
