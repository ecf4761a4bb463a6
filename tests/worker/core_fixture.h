// A worker's core with everything around it played by the test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/core/state.h"

namespace tegula::worker {

inline constexpr LayerId kSource{1};  // tasks without inputs
inline constexpr LayerId kAdd{2};     // task i reads chunk i of kSource, whole
inline constexpr LayerId kTotal{3};   // its one task reads all chunks of kSource

// A layer of `tasks` tasks whose outputs have `items` float64 elements each.
inline msg::LayerPtr make_layer(const std::string& name, std::int64_t tasks, std::int64_t items) {
  auto layer = std::make_shared<Layer>();
  layer->name = name;
  layer->kernel = "test." + name;
  layer->grid = {tasks};
  layer->outputs.push_back({DType::kFloat64, ChunkGrid({DimChunks(tasks * items, items)})});
  return layer;
}

inline msg::LayerPtr with_input(msg::LayerPtr layer, LayerId from, std::int64_t blocks, DimRule rule) {
  auto changed = std::make_shared<Layer>(*layer);
  changed->inputs.push_back({static_cast<LayerNumber>(from), 0, {blocks}, SeparableInput{{std::move(rule)}}});
  return changed;
}

inline Chunk make_chunk(std::int64_t items) { return Chunk::allocate(DType::kFloat64, {items}); }

inline ResultId result(LayerId layer, std::uint32_t index) { return {make_task_id(layer, index), 0}; }

inline constexpr WorkerId kSelf{1}, kPeer{2}, kOther{3};
inline constexpr std::int64_t kItems = 1000;  // 8000 bytes a chunk
inline constexpr std::int64_t kTasks = 200;

class CoreTest : public ::testing::Test {
 protected:
  void start(unsigned threads = 1, std::uint64_t memory_limit = 0) {
    CoreOptions options;
    options.threads = threads;
    options.memory_limit = memory_limit;
    options.worker = "w";
    options.store.spill = spill;
    options.store.smallest = 1;
    if (spill) options.first_extra_bytes = 0;
    begin(options);
  }
  void begin(const CoreOptions& options) {
    state = std::make_unique<WorkerState>(options);
    give(msg::WorkerRegistered{kSelf, 500});
    give(msg::WorkerAddress{kPeer, "tcp://peer:1"});
    give(msg::WorkerAddress{kOther, "tcp://other:1"});
    give(msg::DefineLayer{kSource, make_layer("source", kTasks, kItems), {}});
    give(msg::DefineLayer{kAdd, with_input(make_layer("add", kTasks, kItems), kSource, kTasks, SameBlock{0}), {}});
    give(msg::DefineLayer{kTotal, with_input(make_layer("total", 1, 1), kSource, kTasks, AllBlocks{}), {}});
  }

  // One event; what follows from it is appended to the lists below.
  void give(Event event) {
    std::vector<Action> actions;
    state->handle(std::move(event), now, actions);
    state->check_invariants();
    for (Action& action : actions) {
      if (auto* send = std::get_if<SendToScheduler>(&action)) {
        sent.push_back(std::move(send->message));
      } else if (auto* execute = std::get_if<Execute>(&action)) {
        executing.push_back(std::move(*execute));
      } else if (auto* fetch = std::get_if<StartFetch>(&action)) {
        fetches.push_back(std::move(*fetch));
      } else if (auto* recall = std::get_if<Recall>(&action)) {
        recalls.push_back(*recall);
      } else if (const auto* end = std::get_if<AttemptEnded>(&action)) {
        ended.push_back(static_cast<std::uint64_t>(end->attempt));
      } else if (auto* close = std::get_if<ClosePeer>(&action)) {
        closed.push_back(close->peer);
      } else if (auto* one = std::get_if<Spill>(&action)) {
        spills.push_back(*one);
        on_disk[one->file] = one->chunk.compact();
      } else if (auto* unspill = std::get_if<Unspill>(&action)) {
        unspills.push_back(unspill->file);
      } else if (auto* drop = std::get_if<DropSpilled>(&action)) {
        dropped_files.push_back(drop->file);
      } else if (std::get_if<TrimMemory>(&action) != nullptr) {
        ++trims;
      } else {
        released.push_back(std::get<ReleaseLayer>(action).layer);
      }
    }
  }

  void assign(std::uint64_t attempt, LayerId layer, std::uint32_t index, std::vector<msg::Assign::Holder> holders = {},
              std::int64_t priority = 0, std::uint32_t kib = 0) {
    give(msg::Assign{AttemptId{attempt}, make_task_id(layer, index), priority, std::move(holders), {}, kib});
  }
  void assign_ahead(std::uint64_t attempt, LayerId layer, std::uint32_t index,
                    std::vector<msg::Assign::Awaited> awaited, std::vector<msg::Assign::Holder> holders = {}) {
    give(msg::Assign{AttemptId{attempt}, make_task_id(layer, index), 0, std::move(holders), std::move(awaited)});
  }

  void finish(std::uint64_t attempt, std::uint64_t compute_ns = 100'000'000, std::int64_t items = kItems) {
    std::vector<Chunk> outputs;
    outputs.push_back(make_chunk(items));
    give(KernelFinished{AttemptId{attempt}, std::move(outputs), static_cast<std::uint64_t>(items) * 8, compute_ns});
  }

  // The peer sends all that the fetch asked for.
  void answer(const StartFetch& fetch) {
    msg::FetchReply reply{fetch.request, {}};
    for (std::size_t i = 0; i < fetch.items.size(); ++i)
      reply.items.push_back({msg::FetchStatus::kOk, make_chunk(kItems)});
    give(std::move(reply));
  }
  void answer(const StartFetch& fetch, msg::FetchStatus status) {
    msg::FetchReply reply{fetch.request, {}};
    for (std::size_t i = 0; i < fetch.items.size(); ++i) reply.items.push_back({status, {}});
    give(std::move(reply));
  }

  // The disk does everything that was asked of it, and what follows from that.
  void disk_works() {
    while (!spills.empty() || !unspills.empty()) {
      for (const Spill& one : std::exchange(spills, {})) give(SpillDone{one.file});
      for (const FileId file : std::exchange(unspills, {})) read_back(file);
    }
  }
  void read_back(FileId file) {  // into fresh memory
    const Chunk& kept = on_disk.at(file);
    Chunk chunk = Chunk::allocate(kept.dtype(), kept.shape());
    std::copy_n(kept.data(), kept.nbytes(), chunk.mutable_data());
    give(Unspilled{file, std::move(chunk)});
  }

  template <typename T>
  std::vector<T> sent_of() const {
    std::vector<T> found;
    for (const msg::Message& message : sent) {
      if (const T* one = std::get_if<T>(&message)) found.push_back(*one);
    }
    return found;
  }

  TaskState state_of(std::uint64_t attempt) const {
    const auto found = state->state_of(AttemptId{attempt});
    EXPECT_TRUE(found.has_value()) << "attempt " << attempt << " is not held";
    return found.value_or(TaskState::kAbandoned);
  }
  bool held(std::uint64_t attempt) const { return state->state_of(AttemptId{attempt}).has_value(); }
  std::vector<std::uint64_t> started() const {
    std::vector<std::uint64_t> attempts;
    for (const Execute& one : executing) attempts.push_back(static_cast<std::uint64_t>(one.attempt));
    return attempts;
  }

  bool spill = false;  // before start(): there is a disk
  std::unique_ptr<WorkerState> state;
  Time now = std::chrono::seconds(1);
  std::vector<msg::Message> sent;
  std::vector<Execute> executing;
  std::vector<StartFetch> fetches;
  std::vector<Recall> recalls;
  std::vector<LayerId> released;
  std::vector<std::uint64_t> ended;
  std::vector<WorkerId> closed;
  std::vector<Spill> spills;
  std::vector<FileId> unspills, dropped_files;
  std::map<FileId, Chunk> on_disk;
  int trims = 0;
};

}  // namespace tegula::worker
