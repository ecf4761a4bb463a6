// From demanded to known: depth first from the wanted outputs in block order, records made in post-order. A session's
// walk pauses before a task without inputs while enough of those are ready already; it never pauses before any other,
// so what has been started can always be consumed.
#include <algorithm>
#include <limits>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

bool Core::root_cap_reached(const Session& session, std::int32_t urgency) const {
  constexpr std::uint64_t kMost = 1u << 22;
  std::uint64_t ready = 0;  // that go before what would come now
  for (auto at = session.roots.lower_bound(urgency); at != session.roots.end(); ++at) {
    ready += at->second.queued + (counters_.workers == 0 ? at->second.no_worker : 0);
  }
  // At least one: when that leaves its queue, the walk goes on.
  return ready >= std::clamp<std::uint64_t>(2 * slots_ + config_.root_margin, 1, kMost);
}

void Core::mark_expandable(std::uint16_t slot) {
  Session& session = *sessions_[slot];
  if (session.expandable || session.cursors.empty()) return;
  session.expandable = true;
  if (slot == 0) {
    expandable_.push_front(slot);
  } else {
    expandable_.push_back(slot);
  }
}

void Core::recover(TaskId task) {
  Session& own = *sessions_[0];
  if (own.cursors.empty()) {
    own.cursors.emplace_back();
    own.cursors.back().urgency = std::numeric_limits<std::int32_t>::max();
  }
  own.cursors.back().targets.push_back({layer_of(task), index_of(task), index_of(task) + 1});
  mark_expandable(0);
}

void Core::expand() {
  while (!expandable_.empty() && steps_left_ > 0) {
    const std::uint16_t slot = expandable_.front();
    expandable_.pop_front();
    Session& session = *sessions_[slot];
    session.expandable = false;
    while (!session.cursors.empty() && run_cursor(slot, session.cursors.front())) session.cursors.pop_front();
    // When only its turn is over, the next settle() goes on with another session, or with recovery.
    if (steps_left_ == 0) mark_expandable(slot);
  }
}

bool Core::unexpanded(const LayerRecord& layer, std::uint32_t index) const {
  if (!layer.is_active(index)) return false;
  const Slot slot = layer.slot(index);
  return slot == kNoSlot || !tasks_[slot].expanded;
}

bool Core::run_cursor(std::uint16_t session, Cursor& cursor) {
  while (steps_left_ > 0) {
    if (cursor.stack.empty()) {
      switch (next_target(session, cursor)) {
        case Step::kDone:
          return true;
        case Step::kBlocked:
          return false;
        case Step::kPushed:
          continue;
      }
    }
    switch (next_input(session, cursor)) {
      case Step::kBlocked:
        return false;
      case Step::kPushed:
        continue;
      case Step::kDone:
        break;
    }
    const TaskId id = cursor.stack.back().task;
    cursor.stack.pop_back();
    LayerRecord* layer = layers_.find(layer_of(id));
    if (layer != nullptr && unexpanded(*layer, index_of(id))) finish_visit(session, cursor, *layer, index_of(id));
  }
  return false;
}

Core::Step Core::next_target(std::uint16_t session, Cursor& cursor) {
  for (; cursor.range < cursor.targets.size(); ++cursor.range) {
    const Cursor::Range range = cursor.targets[cursor.range];
    LayerRecord* layer = layers_.find(range.layer);
    for (std::uint32_t index = range.next; layer != nullptr && index < range.end; ++index) {
      if (steps_left_ == 0) return Step::kBlocked;
      --steps_left_;
      const Step step = visit(session, cursor, *layer, index);
      if (step == Step::kBlocked) return Step::kBlocked;
      cursor.targets[cursor.range].next = index + 1;
      if (step == Step::kPushed) return Step::kPushed;
    }
  }
  return Step::kDone;
}

Core::Step Core::next_input(std::uint16_t session, Cursor& cursor) {
  const std::size_t depth = cursor.stack.size();
  const TaskId id = cursor.stack.back().task;
  const LayerRecord* layer = layers_.find(layer_of(id));
  if (layer == nullptr || !unexpanded(*layer, index_of(id))) return Step::kDone;
  for (;;) {
    Cursor::Frame& frame = cursor.stack.back();
    if (frame.rule == layer->inputs.size()) return Step::kDone;
    const LayerInput& input = layer->inputs[frame.rule];
    const RuleView view = input.rule.view();
    const std::uint64_t count = view.count(index_of(id));
    LayerRecord& producers = layers_.at(input.layer);
    while (frame.k < count) {
      if (steps_left_ == 0) return Step::kBlocked;
      --steps_left_;
      const std::uint32_t producer = view.at(index_of(id), frame.k);
      if (visit(session, cursor, producers, producer) == Step::kBlocked) return Step::kBlocked;
      ++cursor.stack[depth - 1].k;  // by position: a push may have moved the stack
      if (cursor.stack.size() > depth) return Step::kPushed;
    }
    ++frame.rule;
    frame.k = 0;
  }
}

// Pushes a task whose inputs must be visited first; makes the record of one that has none at once.
Core::Step Core::visit(std::uint16_t session, Cursor& cursor, LayerRecord& layer, std::uint32_t index) {
  if (!unexpanded(layer, index)) return Step::kDone;
  if (!layer.is_root()) {
    cursor.stack.push_back({make_task_id(layer.id, index), 0, 0});
    return Step::kPushed;
  }
  if (session != 0 && root_cap_reached(*sessions_[session], cursor.urgency)) {
    ++steps_left_;  // nothing was done: it is the cap that ends its turn, not the steps
    return Step::kBlocked;
  }
  finish_visit(session, cursor, layer, index);
  return Step::kDone;
}

void Core::finish_visit(std::uint16_t session, const Cursor& cursor, LayerRecord& layer, std::uint32_t index) {
  Slot slot = layer.slot(index);
  if (slot != kNoSlot) {
    tasks_[slot].expanded = true;
    return;
  }
  slot = create_record(layer, index);
  tasks_[slot].expanded = true;
  tasks_[slot].urgency = cursor.urgency;
  tasks_[slot].tag = next_tag(*sessions_[session], layer);
  enter(slot);
}

}  // namespace tegula::scheduler
