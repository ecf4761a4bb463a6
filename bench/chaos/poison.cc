#include "bench/chaos/poison.h"

#include <fmt/core.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "client/session.h"
#include "src/bytes.h"
#include "src/graph.h"

namespace tegula::chaos {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBetweenTries = std::chrono::milliseconds(100);

std::shared_ptr<Layer> hog(std::uint64_t bytes) {
  static std::atomic<std::uint64_t> made{0};
  ByteWriter params;
  params.put(bytes);
  auto layer = std::make_shared<Layer>();
  layer->name = "poison";
  layer->kernel = "tegula.hog";
  layer->params = params.take();
  layer->grid = {1};
  layer->outputs = {OutputSpec{DType::kBool, ChunkGrid({DimChunks(1, 1)})}};
  layer->pure = false;
  layer->nonce = ++made;
  return layer;
}

std::optional<Client> try_to_connect(const std::function<Client()>& connect) {
  try {
    return connect();
  } catch (const Error&) {
    std::this_thread::sleep_for(kBetweenTries);
    return std::nullopt;
  }
}

std::string outcome(const std::function<Client()>& connect, std::uint64_t bytes, ErrorCode expected,
                    Clock::time_point deadline) {
  std::optional<Client> client;
  while (!(client = try_to_connect(connect))) {
    if (Clock::now() > deadline) return "the poisoned task could not be submitted";
  }
  try {
    Graph graph;
    graph.layers.push_back(hog(bytes));
    client->impl()->submit(graph, {{0, 0}}).front()->wait(deadline - Clock::now());
    return "the poisoned task did not fail";
  } catch (const Error& error) {
    if (error.code() == expected) return "";
    return fmt::format("the poisoned task ended with another error: {}", error.what());
  }
}

}  // namespace

Poison::Poison(std::function<Client()> connect, std::uint64_t bytes, ErrorCode expected, std::chrono::seconds patience)
    : expected_(expected),
      verdict_(std::async(std::launch::async, [connect = std::move(connect), bytes, expected, patience] {
        return outcome(connect, bytes, expected, Clock::now() + patience);
      })) {}

bool Poison::done() const { return verdict_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

std::string Poison::verdict() { return verdict_.get(); }

}  // namespace tegula::chaos
