#include "tests/support/graph_runner.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "src/graph.h"
#include "worker/kernel_loader.h"
#include "worker/kernel_registry.h"
#include "worker/layer_run.h"

namespace tegula::test {
namespace {

using Outputs = std::vector<std::vector<Chunk>>;  // per task, per output

std::shared_ptr<const worker::KernelRegistry> kernels(const std::string& level) {
  const char* path = std::getenv("TEGULA_KERNELS__PATH");
  return worker::load_kernels(path != nullptr ? path : "", level);
}

class RunLayer : public LayerHandle {
 public:
  RunLayer(LayerNumber number, std::shared_ptr<const Layer> layer, LayerHash hash,
           std::shared_ptr<detail::ClientImpl> client)
      : outputs(layer->tasks()), number_(number), layer_(std::move(layer)), hash_(hash), client_(std::move(client)) {}
  LayerNumber number() const override { return number_; }
  const Layer& description() const override { return *layer_; }
  const LayerHash& hash() const override { return hash_; }
  const std::shared_ptr<detail::ClientImpl>& client() const override { return client_; }
  const std::shared_ptr<const Layer>& layer() const { return layer_; }

  Outputs outputs;

 private:
  LayerNumber number_;
  std::shared_ptr<const Layer> layer_;
  LayerHash hash_;
  std::shared_ptr<detail::ClientImpl> client_;
};

class RunResults : public ResultSet {
 public:
  RunResults(std::shared_ptr<RunLayer> layer, std::uint16_t output)
      : layer_(layer), handle_(std::move(layer)), output_(output) {}
  const std::shared_ptr<LayerHandle>& layer() const override { return handle_; }
  std::uint16_t output() const override { return output_; }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(layer_->outputs.size()); }
  FutureStatus status(std::uint32_t) const override { return FutureStatus::kFinished; }
  FutureStatus status() const override { return FutureStatus::kFinished; }
  void wait(std::optional<std::chrono::nanoseconds>) const override {}
  void fetch(const std::vector<std::uint32_t>& indices,
             const std::function<void(std::uint32_t, const Chunk&)>& deliver) const override {
    for (std::uint32_t index : indices) deliver(index, layer_->outputs[index][output_]);
  }
  void cancel() override {}
  std::uint64_t nbytes() const override {
    std::uint64_t bytes = 0;
    for (const auto& task : layer_->outputs) bytes += task[output_].nbytes();
    return bytes;
  }

 private:
  std::shared_ptr<RunLayer> layer_;
  std::shared_ptr<LayerHandle> handle_;
  std::uint16_t output_;
};

using Resolve = std::function<RunLayer&(LayerNumber)>;

// Both directions of every edge must tell the same story.
void check_consumers(const Layer& layer, std::size_t rule) {
  std::uint64_t edges = 0;
  const ConsumerIndex consumers(layer, rule);
  for (std::uint32_t task = 0; task < layer.tasks(); ++task) {
    std::vector<std::uint32_t> producers;
    for_each_producer(layer, rule, task, [&](std::uint32_t producer) { producers.push_back(producer); });
    std::sort(producers.begin(), producers.end());
    producers.erase(std::unique(producers.begin(), producers.end()), producers.end());
    edges += producers.size();
    for (std::uint32_t producer : producers) {
      bool found = false;
      consumers.for_each(producer, [&](std::uint32_t consumer) { found = found || consumer == task; });
      if (!found) throw Error(ErrorCode::kInternal, layer.name + ": an edge has only one direction");
    }
  }
  std::uint64_t back = 0;
  std::int64_t blocks = 1;
  for (std::int64_t size : layer.inputs[rule].grid) blocks *= size;
  for (std::int64_t producer = 0; producer < blocks; ++producer) {
    back += consumers.count(static_cast<std::uint32_t>(producer));
  }
  if (back != edges) throw Error(ErrorCode::kInternal, layer.name + ": the two directions differ");
}

worker::TaskInputs inputs_of(const Layer& layer, std::uint32_t task, const Resolve& resolve) {
  worker::TaskInputs inputs;
  for (std::size_t rule = 0; rule < layer.inputs.size(); ++rule) {
    const RunLayer& from = resolve(layer.inputs[rule].layer);
    std::vector<std::int64_t> grid;
    const auto visit = [&](const InputPiece& piece) {
      const Chunk& chunk = from.outputs[piece.index][layer.inputs[rule].output];
      inputs.pieces.push_back(piece.box.empty() ? chunk : chunk.view(piece.box));
    };
    for_each_input(layer, rule, task, visit, &grid);
    inputs.ndim.push_back(static_cast<std::uint32_t>(grid.size()));
    inputs.grids.insert(inputs.grids.end(), grid.begin(), grid.end());
  }
  return inputs;
}

}  // namespace

class GraphRunner::Session : public detail::ClientImpl {
 public:
  explicit Session(const std::string& level) : kernels_(kernels(level)), pool_(std::size_t{16} << 20) {}

  std::vector<std::shared_ptr<ResultSet>> submit(const Graph& graph, const std::vector<Want>& wants,
                                                 const msg::SubmitOptions&) override {
    std::vector<std::shared_ptr<RunLayer>> ran;
    const auto at = [&](LayerNumber number) -> std::shared_ptr<RunLayer> {
      if (number < kExternalLayer) return ran.at(number);
      return std::dynamic_pointer_cast<RunLayer>(graph.external.at(number - kExternalLayer));
    };
    for (const auto& layer : graph.layers) {
      validate_layer(*layer, [&](LayerNumber number, std::uint16_t output) -> std::optional<Shape> {
        return at(number)->description().outputs.at(output).chunks.grid();
      });
      const LayerHash hash = hash_layer(*layer, [&](LayerNumber number) { return at(number)->hash(); });
      ran.push_back(std::make_shared<RunLayer>(next_number_++, layer, hash, shared_from_this()));
      run(*ran.back(), [&](LayerNumber number) -> RunLayer& { return *at(number); });
    }
    std::vector<std::shared_ptr<ResultSet>> results;
    for (const Want& want : wants) results.push_back(std::make_shared<RunResults>(at(want.layer), want.output));
    return results;
  }

  void close() override {}
  bool closed() const override { return false; }
  std::string scheduler_address() const override { return "test://graph-runner"; }
  ClusterStatus status(std::chrono::nanoseconds) override { return {}; }
  std::string ask(msg::QueryKind, const std::string&, std::chrono::nanoseconds) override { return "{}"; }
  std::string ask_worker(const std::string&, std::chrono::nanoseconds) override { return "{}"; }
  std::string command(const msg::Command&, std::optional<std::chrono::nanoseconds>) override { return "{}"; }
  void on_progress(std::function<void(const ProgressReport&)>) override {}
  BufferAllocator allocator() override { return &Buffer::allocate; }

  RunnerStatistics statistics;

 private:
  void run(RunLayer& layer, const Resolve& resolve) {
    const Layer& description = layer.description();
    for (std::size_t rule = 0; rule < description.inputs.size(); ++rule) check_consumers(description, rule);
    worker::LayerRun kernel(layer.layer(), *kernels_);
    ++statistics.layers;
    for (std::uint32_t task = 0; task < description.tasks(); ++task) {
      const worker::TaskInputs inputs = inputs_of(description, task, resolve);
      worker::RunRequest request;
      request.task = make_task_id(LayerId{1}, task);
      request.inputs = &inputs;
      request.granted = UINT64_MAX;
      worker::RunOutcome outcome = kernel.run(request, pool_);
      if (outcome.error) {
        outcome.error->key = key_text(description, layer.hash(), task);
        outcome.error->kernel = description.kernel;
        throw_error(*outcome.error);
      }
      ++statistics.tasks;
      for (const Chunk& chunk : outcome.outputs) statistics.bytes_stored += chunk.nbytes();
      layer.outputs[task] = std::move(outcome.outputs);
    }
  }

  std::shared_ptr<const worker::KernelRegistry> kernels_;
  BufferPool pool_;
  LayerNumber next_number_ = 1;
};

GraphRunner::GraphRunner(const std::string& level) : session_(std::make_shared<Session>(level)) {}

Client GraphRunner::client() const { return Client(std::shared_ptr<detail::ClientImpl>(session_)); }

RunnerStatistics GraphRunner::statistics() const { return std::exchange(session_->statistics, {}); }

}  // namespace tegula::test
