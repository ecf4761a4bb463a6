// The client library's inside: what the array library (and other graph builders) use. Client in tegula/client.h is a
// handle on ClientImpl.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/messages.h"
#include "src/chunk.h"
#include "src/graph.h"
#include "tegula/client.h"

namespace tegula {

// Layers in topological order: the input rules of layers[i] name, in `layer`, either an earlier entry (j < i) of this
// graph or, for values
// >= kExternalLayer, external[layer - kExternalLayer]: a layer already in the session, kept alive by its handle.
inline constexpr LayerNumber kExternalLayer = 0x80000000u;
class LayerHandle;
struct Graph {
  std::vector<std::shared_ptr<const Layer>> layers;
  std::vector<std::shared_ptr<LayerHandle>> external;
};

// A layer known to the scheduler in this client's session. Dropping the last handle tells the scheduler to forget it.
// Thread-safe.
class LayerHandle {
 public:
  virtual ~LayerHandle() = default;
  virtual LayerNumber number() const = 0;
  virtual const Layer& description() const = 0;
  virtual const LayerHash& hash() const = 0;
  virtual const std::shared_ptr<detail::ClientImpl>& client() const = 0;
};

// The wanted outputs of one layer: a block of futures, one per task, with one handle for all (a million chunks need no
// million objects). Dropping the last handle releases the wants and so frees the results on the workers. Thread-safe.
class ResultSet {
 public:
  virtual ~ResultSet() = default;
  virtual const std::shared_ptr<LayerHandle>& layer() const = 0;
  virtual std::uint16_t output() const = 0;
  virtual std::uint32_t size() const = 0;
  virtual FutureStatus status(std::uint32_t index) const = 0;
  // kError if any erred, else kCancelled if any, else kLost if any, else kPending if any, else kFinished
  virtual FutureStatus status() const = 0;
  // Waits until every task finished; throws the error of the first one that failed, CancelledError, ClosedError, or
  // TimeoutError (nothing is lost).
  virtual void wait(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const = 0;
  // Waits for and fetches task outputs straight from the workers that hold them, several at a time with a bounded
  // number of bytes in flight, calling `deliver` for each as it comes (any order, one call at a time, on the calling
  // thread). A result lost meanwhile is waited for again. Throws as wait().
  virtual void fetch(const std::vector<std::uint32_t>& indices,
                     const std::function<void(std::uint32_t index, const Chunk&)>& deliver) const = 0;
  virtual void cancel() = 0;
  virtual std::uint64_t nbytes() const = 0;  // of finished results, as the workers reported
};

namespace detail {

class ClientImpl : public std::enable_shared_from_this<ClientImpl> {
 public:
  virtual ~ClientImpl() = default;
  struct Want {
    std::uint32_t layer = 0;   // position in graph.layers, or kExternalLayer + i
    std::uint16_t output = 0;  // all tasks of the layer are wanted
  };
  // Sends the graph and returns one ResultSet per want, once the scheduler has accepted it. Throws the refusal's error,
  // ClosedError, ConnectionError.
  virtual std::vector<std::shared_ptr<ResultSet>> submit(const Graph& graph, const std::vector<Want>& wants,
                                                         const msg::SubmitOptions& options = {}) = 0;
  virtual void close() = 0;
  virtual bool closed() const = 0;
  virtual std::string scheduler_address() const = 0;
  virtual ClusterStatus status(std::chrono::nanoseconds timeout) = 0;
  // A question of comm/messages.h: the answer's JSON. Throws what the scheduler finds wrong with it, TimeoutError.
  virtual std::string ask(msg::QueryKind kind, const std::string& subject, std::chrono::nanoseconds timeout) = 0;
  // What the worker at this address says of what it did and moved last (worker/history.h): JSON. Throws
  // ConnectionError and its kinds, TimeoutError.
  virtual std::string ask_worker(const std::string& address, std::chrono::nanoseconds timeout) = 0;
  // An order, whose number is filled in; returns when it has been carried out, with JSON about it. Throws as ask(), and
  // ConnectionError when the connection was lost before the answer.
  virtual std::string command(const msg::Command& order, std::optional<std::chrono::nanoseconds> timeout) = 0;
  virtual void on_progress(std::function<void(const ProgressReport&)> report) = 0;
  virtual BufferAllocator allocator() = 0;
};

}  // namespace detail
}  // namespace tegula
