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
