#include "bench/sim/sim_worker.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "src/shape.h"

namespace tegula::sim {
namespace {

// Bytes that are counted and never looked at.
Buffer phantom(std::size_t size) {
  static std::byte nothing;
  return size == 0 ? Buffer() : Buffer::wrap(&nothing, size, std::make_shared<char>());
}

Chunk phantom_chunk(DType dtype, Shape shape) { return Chunk::allocate(dtype, std::move(shape), &phantom); }

Chunk output_of(const Layer& layer, std::size_t output, std::uint32_t index) {
  const OutputSpec& spec = layer.outputs[output];
  const Shape grid = spec.chunks.grid();
  std::vector<std::int64_t> block(grid.size());
  unravel(index, grid, block);
  return phantom_chunk(spec.dtype, spec.chunks.block_shape(block));
}

worker::CoreOptions core_options(unsigned threads, std::uint64_t memory_limit, std::uint32_t number) {
  worker::CoreOptions options;
  options.threads = threads;
  options.memory_limit = memory_limit;
  options.worker = fmt::format("worker-{}", number);
  return options;
}

}  // namespace

SimWorker::SimWorker(Host& host, std::uint32_t number, unsigned threads, std::uint64_t memory_limit)
    : host_(host),
      number_(number),
      threads_(threads),
      memory_limit_(memory_limit),
      core_(core_options(threads, memory_limit, number)) {}

void SimWorker::die() {
  alive_ = false;
  core_ = worker::WorkerState(core_options(threads_, memory_limit_, number_));
  waiting_.clear();
  layers_.clear();
}

msg::RegisterWorker SimWorker::registration() const {
  msg::RegisterWorker about;
  about.name = fmt::format("worker-{}", number_);
  about.address = "sim://" + about.name;
  about.host = about.name;
  about.threads = threads_;
  about.memory_limit = memory_limit_;
  about.kernels = {"tegula.nop"};
  about.slots_granted = core_.granted().slots;
  about.kib_granted = core_.granted().kib;
  return about;
}

void SimWorker::received(std::vector<msg::Message> messages, Time now) {
  for (msg::Message& message : messages) {
    std::visit(
        [&](auto& m) {
          using M = std::decay_t<decltype(m)>;
          if constexpr (std::is_same_v<M, msg::DefineLayer>) layers_[m.layer] = m.description;
          if constexpr (std::is_constructible_v<worker::Event, M&&>) events_.emplace_back(std::move(m));
        },
        message);
  }
  handle(now);
}

void SimWorker::finished(AttemptId attempt, TaskId task, Time lasted, Time now) {
  --busy_;
  worker::KernelFinished event;
  event.attempt = attempt;
  event.compute_ns = static_cast<std::uint64_t>(lasted.count());
  const Layer& layer = *layers_.at(layer_of(task));
  for (std::size_t o = 0; o < layer.outputs.size(); ++o) {
    event.outputs.push_back(output_of(layer, o, index_of(task)));
    event.need += event.outputs.back().nbytes();
  }
  start_next();
  events_.emplace_back(std::move(event));
  handle(now);
}

void SimWorker::replied(msg::FetchReply reply, Time now) {
  events_.emplace_back(std::move(reply));
  handle(now);
}

void SimWorker::fetch_failed(std::uint64_t request, Time now) {
  events_.emplace_back(worker::FetchFailed{request});
  handle(now);
}

void SimWorker::woken(Time at, Time now) {
  if (wake_at_ != at) return;
  wake_at_.reset();
  events_.emplace_back(worker::Tick{});
  handle(now);
}

bool SimWorker::has_all(const worker::StartFetch& fetch) const {
  return std::all_of(fetch.items.begin(), fetch.items.end(),
                     [this](const auto& item) { return core_.find(item.result) != nullptr; });
}

void SimWorker::awaited(AttemptId attempt, Time now) {
  events_.emplace_back(worker::Await{attempt});
  handle(now);
}

std::pair<msg::FetchReply, std::uint64_t> SimWorker::serve(const worker::StartFetch& fetch) const {
  msg::FetchReply reply{fetch.request, {}};
  std::uint64_t bytes = 0;
  for (const msg::Fetch::Item& item : fetch.items) {
    const Chunk* chunk = core_.find(item.result);
    if (chunk == nullptr) {
      reply.items.push_back({msg::FetchStatus::kMissing, {}});
      continue;
    }
    const Chunk kept = item.box.empty() ? *chunk : chunk->view(item.box);
    if (fetch.at_most != 0 && kept.nbytes() > fetch.at_most) {
      reply.items.push_back({msg::FetchStatus::kLarge, {}});
      continue;
    }
    reply.items.push_back({msg::FetchStatus::kOk, phantom_chunk(kept.dtype(), kept.shape())});
    bytes += reply.items.back().chunk.nbytes();
  }
  return {std::move(reply), bytes};
}

// Events that follow from actions, such as an attempt that was recalled in time, are handled in the same turn.
void SimWorker::handle(Time now) {
  std::vector<worker::Action> actions;
  while (!events_.empty()) {
    std::vector<worker::Event> events;
    events.swap(events_);
    core_.handle(events, now, actions);
    act(actions);
  }
  const std::optional<Time> wanted = core_.next_wakeup(now);
  if (wanted && (!wake_at_ || *wanted < *wake_at_)) {
    wake_at_ = wanted;
    host_.wake(*this, *wanted);
  }
}

void SimWorker::act(std::vector<worker::Action>& actions) {
  std::vector<msg::Message> frame;
  for (worker::Action& action : actions) {
    if (auto* send = std::get_if<worker::SendToScheduler>(&action)) {
      frame.push_back(std::move(send->message));
    } else if (auto* execute = std::get_if<worker::Execute>(&action)) {
      waiting_.push_back(std::move(*execute));
    } else if (auto* fetch = std::get_if<worker::StartFetch>(&action)) {
      host_.fetch(*this, std::move(*fetch));
    } else if (auto* recall = std::get_if<worker::Recall>(&action)) {
      const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                      [&](const worker::Execute& one) { return one.attempt == recall->attempt; });
      if (found == waiting_.end()) {
        events_.emplace_back(worker::TooLate{recall->attempt});
      } else {
        waiting_.erase(found);
        events_.emplace_back(worker::Recalled{recall->attempt});
      }
    } else if (const auto* ended = std::get_if<worker::AttemptEnded>(&action)) {
      host_.attempt_ended(*this, ended->attempt);
    } else if (auto* release = std::get_if<worker::ReleaseLayer>(&action)) {
      layers_.erase(release->layer);
    }
  }
  actions.clear();
  start_next();
  if (!frame.empty()) host_.send(*this, std::move(frame));
}

void SimWorker::start_next() {
  while (busy_ < threads_ && !waiting_.empty()) {
    ++busy_;
    host_.execute(*this, waiting_.front().task, waiting_.front().attempt);
    waiting_.pop_front();
  }
}

}  // namespace tegula::sim
