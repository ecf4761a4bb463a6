#include "scheduler/core/layers.h"

namespace tegula::scheduler {

LayerRecord::LayerRecord(LayerId number, msg::LayerPtr layer, LayerHash identity)
    : id(number),
      description(std::move(layer)),
      hash(identity),
      tasks(description->tasks()),
      outputs(static_cast<std::uint16_t>(description->outputs.size())),
      flags(tasks),
      slots(tasks) {
  for (std::size_t r = 0; r < description->inputs.size(); ++r) {
    const InputRule& rule = description->inputs[r];
    inputs.push_back({static_cast<LayerId>(rule.layer), rule.output, CompiledRule(*description, r),
                      std::make_shared<const ConsumerTable>(*description, r)});
  }
}

// One sample counts for eight at most: a kernel that was preempted or had to wait for a page looks like a long one.
void LayerRecord::observe(std::uint64_t compute_ns) {
  const auto sample = static_cast<double>(compute_ns);
  if (mean_ns == 0) {
    mean_ns = std::max(sample, 1.0);
  } else {
    mean_ns += (std::min(sample, 8 * mean_ns + 1000) - mean_ns) / 8;
  }
}

LayerRecord* LayerTable::find(const LayerHash& hash) const {
  const auto found = by_hash_.find(hash);
  return found == by_hash_.end() ? nullptr : find(found->second);
}

LayerRecord& LayerTable::add(msg::LayerPtr description, const LayerHash& hash) {
  const auto id = static_cast<LayerId>(++last_);
  const std::size_t p = last_ / kPage;
  if (p >= pages_.size()) pages_.resize(p + 1);
  if (!pages_[p]) pages_[p] = Owned<Page>(std::make_unique<Page>());
  auto& place = pages_[p]->layers[last_ % kPage];
  place = Owned<LayerRecord>(std::make_unique<LayerRecord>(id, std::move(description), hash));
  ++pages_[p]->used;
  by_hash_[hash] = id;
  LayerRecord& layer = *place;
  for (std::uint32_t r = 0; r < layer.inputs.size(); ++r) {
    const LayerInput& input = layer.inputs[r];
    at(input.layer).readers.push_back({id, r, input.output, input.consumers});
  }
  return layer;
}

void LayerTable::remove(LayerId id) {
  LayerRecord& layer = at(id);
  for (const LayerInput& input : layer.inputs) {
    std::erase_if(at(input.layer).readers, [id](const LayerReader& reader) { return reader.layer == id; });
  }
  by_hash_.erase(layer.hash);
  const auto n = static_cast<std::uint32_t>(id);
  Page& page = *pages_[n / kPage];
  page.layers[n % kPage].reset();
  if (--page.used == 0) pages_[n / kPage].reset();
}

}  // namespace tegula::scheduler
