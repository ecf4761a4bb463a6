// Layers of tasks that need no array library.
#pragma once

#include <memory>

#include "client/session.h"
#include "src/graph.h"
#include "tegula/client.h"

namespace tegula::test {

// `count` empty tasks with an output of one byte each.
inline std::shared_ptr<Layer> nop_layer(std::int64_t count, std::uint64_t nonce = 1) {
  auto layer = std::make_shared<Layer>();
  layer->name = "nop";
  layer->kernel = "tegula.nop";
  layer->grid = {count};
  layer->outputs = {OutputSpec{DType::kBool, ChunkGrid({DimChunks(count, 1)})}};
  layer->pure = false;
  layer->nonce = nonce;
  return layer;
}

inline std::shared_ptr<ResultSet> submit_one(const Client& client, std::shared_ptr<Layer> layer) {
  Graph graph;
  graph.layers.push_back(std::move(layer));
  return client.impl()->submit(graph, {{0, 0}}).front();
}

}  // namespace tegula::test
