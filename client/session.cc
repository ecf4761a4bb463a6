// What client/session.h promises, on top of SessionCore and FetchJob.
#include "client/session.h"

#include <fmt/core.h>

#include <utility>

#include "client/ask_worker.h"
#include "client/fetch_job.h"
#include "client/open_session.h"
#include "client/progress.h"
#include "client/session_core.h"
#include "client/traffic.h"

namespace tegula::client {

namespace {

class SessionLayer final : public LayerHandle {
 public:
  SessionLayer(std::shared_ptr<detail::ClientImpl> client, std::shared_ptr<SessionCore> core, LayerNumber number,
               msg::LayerPtr description, LayerHash hash)
      : client_(std::move(client)),
        core_(std::move(core)),
        number_(number),
        description_(std::move(description)),
        hash_(hash) {}
  ~SessionLayer() override { core_->forget(number_); }
  SessionLayer(const SessionLayer&) = delete;
  SessionLayer& operator=(const SessionLayer&) = delete;

  LayerNumber number() const override { return number_; }
  const Layer& description() const override { return *description_; }
  const LayerHash& hash() const override { return hash_; }
  const std::shared_ptr<detail::ClientImpl>& client() const override { return client_; }

  const std::shared_ptr<SessionCore>& core() const { return core_; }

 private:
  std::shared_ptr<detail::ClientImpl> client_;
  std::shared_ptr<SessionCore> core_;
  LayerNumber number_;
  msg::LayerPtr description_;
  LayerHash hash_;
};

class SessionResults final : public ResultSet {
 public:
  SessionResults(std::shared_ptr<LayerHandle> layer, std::shared_ptr<SessionCore> core,
                 std::shared_ptr<OutputTable> table)
      : layer_(std::move(layer)), core_(std::move(core)), table_(std::move(table)) {}
  ~SessionResults() override { core_->release(table_); }
  SessionResults(const SessionResults&) = delete;
  SessionResults& operator=(const SessionResults&) = delete;

  const std::shared_ptr<LayerHandle>& layer() const override { return layer_; }
  std::uint16_t output() const override { return table_->output(); }
  std::uint32_t size() const override { return table_->size(); }
  FutureStatus status(std::uint32_t index) const override {
    if (index >= size()) throw IndexError(fmt::format("output {} of a layer of {} tasks", index, size()));
    std::lock_guard lock(core_->mutex());
    return table_->status(index);
  }
  FutureStatus status() const override {
    std::lock_guard lock(core_->mutex());
    return table_->status();
  }
  void wait(std::optional<std::chrono::nanoseconds> timeout) const override { core_->wait(*table_, timeout); }
  void fetch(const std::vector<std::uint32_t>& indices,
             const std::function<void(std::uint32_t, const Chunk&)>& deliver) const override {
    std::make_shared<FetchJob>(core_, table_, indices)->run(deliver);
  }
  void cancel() override { core_->cancel(table_); }
  std::uint64_t nbytes() const override {
    std::lock_guard lock(core_->mutex());
    return table_->nbytes();
  }

 private:
  std::shared_ptr<LayerHandle> layer_;
  std::shared_ptr<SessionCore> core_;
  std::shared_ptr<OutputTable> table_;
};

class Session final : public detail::ClientImpl {
 public:
  Session(std::shared_ptr<EventLoop> loop, SessionOptions options, std::shared_ptr<void> host)
      : host_(std::move(host)),
        loop_(std::move(loop)),
        core_(std::make_shared<SessionCore>(loop_, std::move(options))) {}
  ~Session() override { close(); }

  void open() { core_->open(); }

  std::vector<std::shared_ptr<ResultSet>> submit(const Graph& graph, const std::vector<Want>& wants,
                                                 const msg::SubmitOptions& options) override;

  void close() override {
    core_->close();
    progress_.stop();
    std::lock_guard lock(host_mutex_);
    host_.reset();
  }
  bool closed() const override { return core_->closed(); }
  std::string scheduler_address() const override { return core_->address(); }
  ClusterStatus status(std::chrono::nanoseconds timeout) override;
  std::string ask(msg::QueryKind kind, const std::string& subject, std::chrono::nanoseconds timeout) override {
    return core_->ask(kind, subject, timeout);
  }
  std::string ask_worker(const std::string& address, std::chrono::nanoseconds timeout) override {
    CommOptions comm;
    core_->loop().run_and_wait([&] { comm = core_->options().comm; });
    comm.connect_timeout = timeout;
    return client::ask_worker(core_->loop(), comm, address, timeout);
  }
  std::string command(const msg::Command& order, std::optional<std::chrono::nanoseconds> timeout) override {
    return core_->command(order, timeout);
  }
  Traffic traffic() const {
    const Connection::Counters counters = core_->traffic();
    return {counters.bytes_in, counters.bytes_out};
  }
  void on_progress(std::function<void(const ProgressReport&)> report) override {
    if (report) core_->require_open();  // ending a listener is always possible
    progress_.start(*core_, std::move(report));
  }
  BufferAllocator allocator() override { return core_->options().comm.allocator; }

 private:
  const SessionLayer& external(const Graph& graph, LayerNumber layer) const;

  std::mutex host_mutex_;
  std::shared_ptr<void> host_;  // an embedded cluster: ends after the session
  std::shared_ptr<EventLoop> loop_;
  std::shared_ptr<SessionCore> core_;
  ProgressNotifier progress_;
};

const SessionLayer& Session::external(const Graph& graph, LayerNumber layer) const {
  const std::size_t position = layer - kExternalLayer;
  if (position >= graph.external.size()) {
    throw ValueError(fmt::format("the graph names external layer {} of {}", position, graph.external.size()));
  }
  const auto* handle = dynamic_cast<const SessionLayer*>(graph.external[position].get());
  if (handle == nullptr || handle->core() != core_) {
    throw ValueError(
        fmt::format("the graph mixes clients: '{}' was persisted with another client than the one of {} that computes",
                    handle == nullptr ? std::string("?") : handle->description().name, core_->options().address));
  }
  return *handle;
}

std::vector<std::shared_ptr<ResultSet>> Session::submit(const Graph& graph, const std::vector<Want>& wants,
                                                        const msg::SubmitOptions& options) {
  const std::size_t count = graph.layers.size();
  std::vector<LayerHash> hashes(count);
  std::vector<msg::LayerPtr> layers(count);
  std::vector<msg::WantRange> ranges;
  SessionCore::Submitted submitted;
  LayerNumber first;
  {
    SessionCore::Numbering numbering(*core_);
    first = numbering.first();
    const auto number_of = [&](LayerNumber layer, std::size_t before) -> LayerNumber {
      if (layer >= kExternalLayer) return external(graph, layer).number();
      if (layer >= before) throw ValueError(fmt::format("the graph names layer {} of {}", layer, before));
      return first + layer;
    };
    for (std::size_t i = 0; i < count; ++i) {
      const Layer& given = *graph.layers[i];
      hashes[i] = hash_layer(given, [&](LayerNumber layer) {
        return layer >= kExternalLayer ? external(graph, layer).hash() : hashes.at(layer);
      });
      if (given.inputs.empty()) {
        layers[i] = graph.layers[i];
        continue;
      }
      auto numbered = std::make_shared<Layer>(given);
      for (InputRule& input : numbered->inputs) input.layer = number_of(input.layer, i);
      layers[i] = std::move(numbered);
    }
    for (const Want& want : wants) {
      const LayerNumber number = number_of(want.layer, count);
      const Layer& layer =
          want.layer >= kExternalLayer ? external(graph, want.layer).description() : *graph.layers[want.layer];
      if (want.output >= layer.outputs.size()) {
        throw ValueError(
            fmt::format("output {} of layer '{}', which has {}", want.output, layer.name, layer.outputs.size()));
      }
      ranges.push_back({number, want.output, 0, layer.tasks()});
    }
    submitted = core_->submit(numbering, layers, ranges, options);
  }

  try {
    core_->wait_accepted(*submitted.submission);
  } catch (...) {
    core_->abandon(submitted.tables);
    throw;
  }
  // From here on the handles give back what was taken.
  const auto self = shared_from_this();
  std::vector<std::shared_ptr<LayerHandle>> handles(count);
  for (std::size_t i = 0; i < count; ++i) {
    handles[i] =
        std::make_shared<SessionLayer>(self, core_, first + static_cast<LayerNumber>(i), graph.layers[i], hashes[i]);
  }
  std::vector<std::shared_ptr<ResultSet>> results;
  for (std::size_t i = 0; i < wants.size(); ++i) {
    const LayerNumber layer = wants[i].layer;
    results.push_back(std::make_shared<SessionResults>(
        layer >= kExternalLayer ? graph.external[layer - kExternalLayer] : handles[layer], core_, submitted.tables[i]));
  }
  return results;
}

ClusterStatus Session::status(std::chrono::nanoseconds timeout) {
  msg::StatusReply reply = core_->status(timeout);
  ClusterStatus status;
  for (msg::StatusReply::Worker& worker : reply.workers) {
    status.workers.push_back({std::move(worker.name), std::move(worker.address), std::move(worker.host),
                              std::move(worker.kernel_level), worker.pid, worker.threads, worker.memory_limit,
                              worker.managed_bytes, worker.rss_bytes, worker.tasks_done, worker.processing,
                              worker.reserved_bytes, worker.spilled_bytes, worker.kept_bytes,
                              worker.rss_bytes - std::min(worker.rss_bytes, worker.managed_bytes + worker.kept_bytes)});
  }
  status.released = reply.released;
  status.waiting = reply.waiting;
  status.no_worker = reply.no_worker;
  status.queued = reply.queued;
  status.processing = reply.processing;
  status.memory = reply.memory;
  status.erred = reply.erred;
  return status;
}

}  // namespace

Traffic traffic_of(detail::ClientImpl& client) {
  const auto* session = dynamic_cast<const Session*>(&client);
  if (session == nullptr) throw ValueError("a client without a session");
  return session->traffic();
}

std::shared_ptr<detail::ClientImpl> open_session(std::shared_ptr<EventLoop> loop, SessionOptions options,
                                                 std::shared_ptr<void> host) {
  auto session = std::make_shared<Session>(std::move(loop), std::move(options), std::move(host));
  session->open();
  return session;
}

}  // namespace tegula::client
