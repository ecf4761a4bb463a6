// A submission is checked whole before anything of it is taken.
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr std::size_t kRefusalsKept = 16;

// What a submission brings, as far as it has been checked. Layers are named by the session's numbers.
struct Checked {
  const Core& core;
  const Session& session;
  const msg::Submit& message;
  std::vector<LayerHash> hashes;  // of message.layers, in order

  bool brings(LayerNumber number) const {
    return number >= message.first_layer && number - message.first_layer < message.layers.size();
  }
  // The layer of a number below `limit`; nullptr when there is none.
  const Layer* find(LayerNumber number, LayerNumber limit) const {
    if (number >= limit) return nullptr;
    if (brings(number)) return message.layers[number - message.first_layer].get();
    const auto named = session.layers.find(number);
    return named == session.layers.end() ? nullptr : core.layers_.at(named->second).description.get();
  }
  LayerHash hash(LayerNumber number) const {
    if (brings(number)) return hashes[number - message.first_layer];
    return core.layers_.at(session.layers.at(number)).hash;
  }

  void check_layers() {
    if (!message.layers.empty() && message.first_layer < session.next_number) {
      throw ValueError(fmt::format("layer number {} is not above those before", message.first_layer));
    }
    if (message.layers.size() > std::numeric_limits<LayerNumber>::max() - message.first_layer) {
      throw ValueError("layer numbers overflow");
    }
    for (std::size_t i = 0; i < message.layers.size(); ++i) {
      const auto number = static_cast<LayerNumber>(message.first_layer + i);
      if (message.layers[i] == nullptr) throw ValueError(fmt::format("layer {} is empty", number));
      const Layer& layer = *message.layers[i];
      validate_layer(layer, [&](LayerNumber input, std::uint16_t output) -> std::optional<std::vector<std::int64_t>> {
        const Layer* producers = find(input, number);
        if (producers == nullptr || output >= producers->outputs.size()) return std::nullopt;
        return producers->outputs[output].chunks.grid();
      });
      hashes.push_back(hash_layer(layer, [this](LayerNumber input) { return hash(input); }));
    }
  }

  void check_options() const {
    if (const std::string wrong = wrong_resources(message.options.resources); !wrong.empty()) throw ValueError(wrong);
    for (const std::string& worker : message.options.workers) {
      if (worker.empty()) throw ValueError("a task can't be restricted to a worker without a name");
    }
  }

  void check_wants() const {
    const auto limit = static_cast<LayerNumber>(message.first_layer + message.layers.size());
    std::uint64_t wanted = 0;
    for (const msg::WantRange& range : message.wants) {
      const Layer* layer = find(range.layer, std::max(limit, session.next_number));
      if (layer == nullptr) throw ValueError(fmt::format("wants of layer {}, which is not known", range.layer));
      if (range.output >= layer->outputs.size() || range.begin > range.end || range.end > layer->tasks()) {
        throw ValueError(fmt::format(
            "wants output {} of tasks {} to {} of layer {} '{}', which has {} tasks with {} outputs", range.output,
            range.begin, range.end, range.layer, layer->name, layer->tasks(), layer->outputs.size()));
      }
      wanted += range.end - range.begin;
    }
    if (wanted > core.config_.max_demanded_tasks - std::min(core.active_, core.config_.max_demanded_tasks)) {
      throw ValueError(fmt::format("wants {} results; with what is under way that is more than {}", wanted,
                                   core.config_.max_demanded_tasks));
    }
  }
};

// The description as the scheduler and workers use it: inputs named by LayerId. Shared with the client's when they
// agree.
msg::LayerPtr renumber(const msg::LayerPtr& layer, const std::vector<LayerId>& inputs) {
  bool same = true;
  for (std::size_t r = 0; r < inputs.size(); ++r)
    same = same && layer->inputs[r].layer == static_cast<LayerNumber>(inputs[r]);
  if (same) return layer;
  auto copy = std::make_shared<Layer>(*layer);
  for (std::size_t r = 0; r < inputs.size(); ++r) copy->inputs[r].layer = static_cast<LayerNumber>(inputs[r]);
  return copy;
}

}  // namespace

void Core::on_submit(Session& session, msg::Submit& message) {
  Checked checked{*this, session, message, {}};
  try {
    checked.check_layers();
    checked.check_wants();
    checked.check_options();
  } catch (const Error& error) {
    ErrorInfo info;
    info.code = error.code();
    info.message = error.what();
    if (restoring_) {
      out_->push_back(Report{fmt::format("a submission of client {} that the journal has is refused now: {}",
                                         session.name, info.message)});
    }
    persist(session, msg::SubmitRefused{message.sequence, info});
    refuse_submission(session, message.sequence, std::move(info));
    return;
  }
  ++counters_.submissions;
  persist(session, message);
  take_layers(session, message, checked.hashes);
  send(session, msg::SubmitAccepted{message.sequence});
  add_wants(session, message.wants, message.options.priority);
}

void Core::refuse_submission(Session& session, std::uint64_t sequence, ErrorInfo why) {
  ++counters_.submissions_refused;
  session.refusals.push_back({sequence, std::move(why)});
  if (session.refusals.size() > kRefusalsKept) session.refusals.pop_front();
  send(session, msg::SubmitRefused(session.refusals.back()));
}

void Core::take_layers(Session& session, const msg::Submit& message, const std::vector<LayerHash>& hashes) {
  const std::uint16_t slot = slot_of(session);
  for (std::size_t i = 0; i < message.layers.size(); ++i) {
    LayerRecord* layer = layers_.find(hashes[i]);
    if (layer == nullptr) {
      std::vector<LayerId> inputs;
      for (const InputRule& rule : message.layers[i]->inputs) inputs.push_back(session.layers.at(rule.layer));
      layer = &layers_.add(renumber(message.layers[i], inputs), hashes[i]);
      layer->requirement = requirement_for(layer->description->kernel, message.options);
      layer->cost_class = CostTable::class_of(*layer->description);
      layer->retries = message.options.retries;
      layer->retry_delay_ms = message.options.retry_delay_ms;
      layer->time_limit_ms = message.options.time_limit_ms;
      layer->memory = memory_of(message.options.resources);
      ++counters_.layers;
    }
    const auto number = static_cast<LayerNumber>(message.first_layer + i);
    session.layers[number] = layer->id;
    layer->namers.push_back({slot, number, std::vector<WantMap>(layer->outputs), std::vector<WantMap>(layer->outputs)});
  }
  if (!message.layers.empty()) {
    session.next_number = static_cast<LayerNumber>(message.first_layer + message.layers.size());
  }
}

void Core::add_wants(Session& session, const std::vector<msg::WantRange>& wants, std::int32_t urgency) {
  const std::uint16_t account = slot_of(session);
  PendingLayers pending;
  Cursor cursor;
  for (const msg::WantRange& range : wants) {
    LayerRecord& layer = layers_.at(session.layers.at(range.layer));
    find_namer(session, range.layer)->wants[range.output].add(range.begin, range.end, 1);
    change_wants(layer, range.output, range.begin, range.end, 1);
    Pending& found = pending[layer.id];
    if (range.begin == 0 && range.end == layer.tasks && layer.known == 0 && layer.active == 0) {
      activate_all(layer, found, account);
    } else {
      for (std::uint32_t index = range.begin; index < range.end; ++index) {
        const Slot slot = layer.slot(index);
        if (slot != kNoSlot && tasks_[slot].output(range.output).available()) {
          send(session, ready_message(tasks_[slot], range.output, range.layer));
        } else if (!layer.is_active(index)) {
          activate(layer, index, found, account);
        }
      }
    }
    cursor.targets.push_back({layer.id, range.begin, range.end});
  }
  demand(pending, account);
  cursor.urgency = urgency;
  rejoin(session);
  const auto place = std::find_if(session.cursors.begin(), session.cursors.end(),
                                  [&](const Cursor& other) { return other.urgency < cursor.urgency; });
  session.cursors.insert(place, std::move(cursor));
  mark_expandable(account);
}

}  // namespace tegula::scheduler
