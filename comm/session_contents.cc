#include "comm/session_contents.h"

#include <algorithm>
#include <type_traits>
#include <variant>

namespace tegula {

namespace {

struct Stretch {
  std::uint32_t begin, end, count;
};

std::vector<Stretch> stretches_in(const WantMap& wants, std::uint32_t begin, std::uint32_t end) {
  std::vector<Stretch> found;
  wants.for_each_in(begin, end, [&](std::uint32_t from, std::uint32_t to, std::uint32_t count) {
    found.push_back({from, to, count});
  });
  return found;
}

}  // namespace

void SessionContents::apply(const msg::Message& change) {
  std::visit(
      [this]<typename M>(const M& m) {
        if constexpr (std::is_same_v<M, msg::Submit> || std::is_same_v<M, msg::ReleaseWants> ||
                      std::is_same_v<M, msg::ForgetLayers> || std::is_same_v<M, msg::CancelWants>) {
          apply(m);
        }
      },
      change);
}

void SessionContents::apply(const msg::Submit& change) {
  for (std::size_t i = 0; i < change.layers.size(); ++i) {
    if (change.layers[i] == nullptr) continue;
    const auto [place, is_new] = layers_.try_emplace(static_cast<LayerNumber>(change.first_layer + i));
    if (!is_new) continue;
    Known& known = place->second;
    known.description = change.layers[i];
    known.options = change.options;
    known.outputs.resize(known.description->outputs.size());
    for (const InputRule& rule : known.description->inputs) {
      if (const auto input = layers_.find(rule.layer); input != layers_.end()) ++input->second.readers;
    }
  }
  for (const msg::WantRange& range : change.wants) {
    Wants* wants = wants_of(range);
    if (wants == nullptr) continue;
    wants->live.add(range.begin, range.end, 1);
    wants->priority = change.options.priority;
  }
}

SessionContents::Wants* SessionContents::wants_of(const msg::WantRange& range) {
  const auto found = layers_.find(range.layer);
  if (found == layers_.end() || !found->second.named || range.output >= found->second.outputs.size()) return nullptr;
  return range.begin <= range.end ? &found->second.outputs[range.output] : nullptr;
}

// Cancelled ones first, as the scheduler does.
void SessionContents::apply(const msg::ReleaseWants& change) {
  for (const msg::WantRange& range : change.wants) {
    Wants* wants = wants_of(range);
    if (wants == nullptr) continue;
    std::uint32_t at = range.begin;
    const auto release_live = [&](std::uint32_t end) {
      for (const Stretch& live : stretches_in(wants->live, at, end)) wants->live.add(live.begin, live.end, -1);
    };
    for (const Stretch& spent : stretches_in(wants->cancelled, range.begin, range.end)) {
      release_live(spent.begin);
      wants->cancelled.add(spent.begin, spent.end, -1);
      at = spent.end;
    }
    release_live(range.end);
  }
}

void SessionContents::apply(const msg::CancelWants& change) {
  for (const msg::WantRange& range : change.wants) {
    Wants* wants = wants_of(range);
    if (wants == nullptr) continue;
    for (const Stretch& live : stretches_in(wants->live, range.begin, range.end)) {
      wants->live.add(live.begin, live.end, -static_cast<std::int32_t>(live.count));
      wants->cancelled.add(live.begin, live.end, static_cast<std::int32_t>(live.count));
    }
  }
}

void SessionContents::apply(const msg::ForgetLayers& change) {
  for (const LayerNumber number : change.layers) {
    const auto found = layers_.find(number);
    if (found == layers_.end()) continue;
    found->second.named = false;
    for (Wants& wants : found->second.outputs) wants = {};
    drop_unused(number);
  }
}

// With a layer go those that only it reads.
void SessionContents::drop_unused(LayerNumber number) {
  std::vector<LayerNumber> doubtful{number};
  while (!doubtful.empty()) {
    const auto found = layers_.find(doubtful.back());
    doubtful.pop_back();
    if (found == layers_.end() || found->second.named || found->second.readers != 0) continue;
    const msg::LayerPtr gone = found->second.description;
    layers_.erase(found);
    for (const InputRule& rule : gone->inputs) {
      const auto input = layers_.find(rule.layer);
      if (input == layers_.end()) continue;
      --input->second.readers;
      doubtful.push_back(rule.layer);
    }
  }
}

std::vector<msg::Message> SessionContents::changes() const {
  std::vector<msg::Message> changes;
  for (const auto& [number, known] : layers_) {
    changes.emplace_back(msg::Submit{0, number, {known.description}, {}, known.options});
  }
  add_wants(changes);
  msg::ForgetLayers forgotten;
  for (const auto& [number, known] : layers_) {
    if (!known.named) forgotten.layers.push_back(number);
  }
  if (!forgotten.layers.empty()) changes.emplace_back(std::move(forgotten));
  return changes;
}

// A want counts one, so what is wanted several times is asked for in several submissions. Cancelled ones come first.
void SessionContents::add_wants(std::vector<msg::Message>& changes) const {
  if (layers_.empty()) return;
  const LayerNumber next = layers_.rbegin()->first + 1;
  using Rounds = std::vector<std::vector<msg::WantRange>>;
  const auto collect = [](Rounds& rounds, LayerNumber layer, std::size_t output, const WantMap& wants) {
    wants.for_each([&](std::uint32_t begin, std::uint32_t end, std::uint32_t count) {
      if (rounds.size() < count) rounds.resize(count);
      for (std::uint32_t i = 0; i < count; ++i) {
        rounds[i].push_back({layer, static_cast<std::uint16_t>(output), begin, end});
      }
    });
  };
  Rounds cancelled;
  std::map<std::int32_t, Rounds> live;  // by priority
  for (const auto& [number, known] : layers_) {
    for (std::size_t output = 0; output < known.outputs.size(); ++output) {
      const Wants& wants = known.outputs[output];
      collect(cancelled, number, output, wants.cancelled);
      if (!wants.live.empty()) collect(live[wants.priority], number, output, wants.live);
    }
  }
  for (const auto& ranges : cancelled) changes.emplace_back(msg::Submit{0, next, {}, ranges, {}});
  if (!cancelled.empty()) changes.emplace_back(msg::CancelWants{0, cancelled.front()});
  for (const auto& [priority, rounds] : live) {
    msg::SubmitOptions options;
    options.priority = priority;
    for (const auto& ranges : rounds) changes.emplace_back(msg::Submit{0, next, {}, ranges, options});
  }
}

}  // namespace tegula
