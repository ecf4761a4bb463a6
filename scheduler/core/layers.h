// The layers that the scheduler knows, and per layer what is known of its tasks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "comm/messages.h"
#include "scheduler/core/containers.h"
#include "scheduler/core/costs.h"
#include "scheduler/core/task.h"
#include "src/graph.h"
#include "src/graph_rules.h"
#include "src/ids.h"
#include "src/want_map.h"

namespace tegula::scheduler {

// A session's name for a layer, with what it wants of it.
struct Namer {
  std::uint16_t session = 0;
  LayerNumber number = 0;
  std::vector<WantMap> wants;      // per output: live
  std::vector<WantMap> cancelled;  // per output: counted until released, but they ask for nothing
};

// An input rule of a layer, made ready.
struct LayerInput {
  LayerId layer{};
  std::uint16_t output = 0;
  CompiledRule rule;
  std::shared_ptr<const ConsumerTable> consumers;
};

// The same edge seen from the producing layer.
struct LayerReader {
  LayerId layer{};
  std::uint32_t rule = 0;
  std::uint16_t output = 0;  // of the producing layer
  std::shared_ptr<const ConsumerTable> consumers;
};

struct LayerRecord {
  LayerRecord(LayerId number, msg::LayerPtr layer, LayerHash identity);

  LayerId id{};
  msg::LayerPtr description;  // input rules name LayerIds
  LayerHash hash;
  std::uint32_t tasks = 0;
  std::uint16_t outputs = 1;
  CostMean cost;                     // of its tasks
  std::string cost_class;            // see costs.cc
  std::uint32_t requirement = 0;     // in Core::requirements_
  std::uint32_t retries = 0;         // of a failed task
  std::uint32_t retry_delay_ms = 0;  // before the first, doubled for each one after it
  std::uint64_t time_limit_ms = 0;   // of a task; 0: the worker's own
  std::uint64_t memory = 0;          // bytes that a worker reserves for each task at least
  std::vector<LayerInput> inputs;
  std::vector<LayerReader> readers;
  std::vector<Namer> namers;
  std::vector<std::uint64_t> defined;  // bit set of the worker slots that know the layer

  // Active: to be computed. An active task counts as a consumer of each of its inputs, whether it has a record or not.
  // The low bits are the account (see Task::account) while it is active.
  SparseArray<std::uint16_t> flags;
  SparseArray<std::uint32_t> slots;  // slot of the record plus one
  std::uint32_t active = 0;
  std::uint32_t known = 0;  // tasks with a record

  static constexpr std::uint16_t kActive = 0x8000;
  static constexpr std::uint16_t kAccount = 0x7FFF;

  bool is_active(std::uint32_t index) const { return (flags.get(index) & kActive) != 0; }
  std::uint16_t account(std::uint32_t index) const { return flags.get(index) & kAccount; }
  Slot slot(std::uint32_t index) const { return slots.get(index) - 1; }  // kNoSlot: no record
  // Nothing needs the description any more.
  bool unused() const { return namers.empty() && known == 0 && active == 0 && readers.empty(); }
  // Tasks without inputs.
  bool is_root() const { return inputs.empty(); }
};

class LayerTable {
 public:
  // nullptr: not known (any more).
  LayerRecord* find(LayerId id) const {
    const auto n = static_cast<std::uint32_t>(id);
    const std::size_t p = n / kPage;
    return p < pages_.size() && pages_[p] ? pages_[p]->layers[n % kPage].get() : nullptr;
  }
  LayerRecord& at(LayerId id) const { return *find(id); }
  LayerRecord* find(const LayerHash& hash) const;

  // The description's rules must name known LayerIds. Links the layer to its inputs.
  LayerRecord& add(msg::LayerPtr description, const LayerHash& hash);
  // Unlinks the layer; it must be unused. Its inputs may become so.
  void remove(LayerId id);
  std::size_t size() const { return by_hash_.size(); }

  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& page : pages_) {
      if (!page) continue;
      for (const auto& layer : page->layers) {
        if (layer) visit(*layer);
      }
    }
  }

 private:
  static constexpr std::uint32_t kPage = 256;
  struct Page {
    std::vector<Owned<LayerRecord>> layers = std::vector<Owned<LayerRecord>>(kPage);
    std::uint32_t used = 0;
  };
  std::vector<Owned<Page>> pages_;
  std::unordered_map<LayerHash, LayerId> by_hash_;
  std::uint32_t last_ = 0;
};

// Visits the producers of task `index` by `input`, each once.
template <typename Visit>
void for_each_distinct(const LayerInput& input, std::uint32_t index, Visit&& visit) {
  const RuleView view = input.rule.view();
  if (input.rule.distinct()) {
    view.for_each(index, visit);
    return;
  }
  std::vector<std::uint32_t> producers;
  view.for_each(index, [&](std::uint32_t producer) { producers.push_back(producer); });
  std::sort(producers.begin(), producers.end());
  producers.erase(std::unique(producers.begin(), producers.end()), producers.end());
  for (std::uint32_t producer : producers) visit(producer);
}

}  // namespace tegula::scheduler
