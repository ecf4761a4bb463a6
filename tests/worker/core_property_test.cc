// Random lives of a worker: a scheduler, peers and an executor that do anything the protocol allows, in any order.
// After every event the invariants hold; every attempt is answered exactly once; kernels see the right inputs; and once
// the world becomes kind, all work ends.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/worker/core_fixture.h"

namespace tegula::worker {
namespace {

constexpr LayerId kBoxed{4}, kTree{5};
constexpr std::int64_t kWide = 24;  // tasks of a layer
constexpr std::int64_t kLong = 12;  // elements of a chunk

// Every element of a result says which result it is and where it lies.
double element(const ResultId& id, std::int64_t position) {
  return static_cast<double>(static_cast<std::uint64_t>(id.task)) * 64 + static_cast<double>(position);
}

Chunk chunk_of(const ResultId& id, const Box& box = {}) {
  const std::int64_t count = box.empty() ? kLong : box[0].count;
  Chunk chunk = Chunk::allocate(DType::kFloat64, {count});
  auto* values = reinterpret_cast<double*>(chunk.mutable_data());
  for (std::int64_t i = 0; i < count; ++i) values[i] = element(id, box.empty() ? i : box[0].start + i * box[0].step);
  return chunk;
}

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {
    CoreOptions options;
    options.threads = static_cast<unsigned>(pick(1, 3));
    options.memory_limit = chance(50) ? 0 : static_cast<std::uint64_t>(pick(400, 400'000));
    options.fetch.requests_per_peer = static_cast<unsigned>(pick(1, 3));
    options.fetch.requests = static_cast<unsigned>(pick(1, 4));
    options.fetch.request_items = static_cast<std::size_t>(pick(1, 5));
    options.fetch.request_bytes = static_cast<std::uint64_t>(pick(1, 500));
    options.fetch.bytes_in_flight = static_cast<std::uint64_t>(pick(1, 2000));
    options.fetch.awaited_per_peer = static_cast<unsigned>(pick(1, 4));
    options.fetch.ahead_bytes = static_cast<std::uint64_t>(pick(1, 200));
    options.store.spill = options.memory_limit != 0 && chance(70);
    options.store.smallest = static_cast<std::uint64_t>(pick(1, 120));
    state_ = std::make_unique<WorkerState>(options);
    limit_ = options.memory_limit;
    granted_ = state_->granted();
    give(msg::WorkerRegistered{kSelf, 500});
    give(msg::WorkerAddress{kPeer, "tcp://peer:1"});
    give(msg::WorkerAddress{kOther, "tcp://other:1"});
    define(kSource, make_layer("source", kWide, kLong));
    define(kAdd, with_input(make_layer("add", kWide, kLong), kSource, kWide, SameBlock{0}));
    define(kTree, with_input(make_layer("tree", kWide / 4, kLong), kAdd, kWide, FanIn{0, 4}));
    Pieces halves{0, {0}, {}, {}};
    for (std::int64_t i = 0; i < kWide - 1;
         ++i) {  // the end of one chunk and the beginning of the next, one of them backwards
      halves.block.insert(halves.block.end(), {i, i + 1});
      halves.box.insert(halves.box.end(), {BoxDim{kLong / 2, 3, 2}, BoxDim{5, 6, -1}});
      halves.begin.push_back(static_cast<std::uint32_t>(halves.block.size()));
    }
    define(kBoxed, with_input(with_input(make_layer("boxed", kWide - 1, kLong), kSource, kWide, halves), kAdd, kWide,
                              ConstantBlock{3}));
  }

  void step() {
    switch (pick(0, 12)) {
      case 12:
        await_something();
        break;
      case 0:
      case 1:
      case 2:
        assign();
        break;
      case 3:
        retract();
        break;
      case 4:
        free_something();
        break;
      case 5:
      case 6:
        answer_fetch(true);
        break;
      case 7:
      case 8:
        executor_step(true);
        break;
      case 9:
      case 10:
        disk_step(true);
        break;
      default:
        tick();
        break;
    }
  }

  // From now on peers and kernels do what they should. Everything must end.
  void finish() {
    for (int round = 0; !held_.empty(); ++round) {
      ASSERT_LT(round, 10'000) << held_.size() << " attempts are never answered";
      if (!fetches_.empty()) {
        answer_fetch(false);
      } else if (!jobs_.empty()) {
        executor_step(false);
      } else if (!writes_.empty() || !reads_.empty()) {
        disk_step(false);
      } else {
        const auto wakeup = state_->next_wakeup(now_);
        ASSERT_TRUE(wakeup.has_value()) << held_.size()
                                        << " attempts are held, nothing is under way and nothing is planned";
        now_ = std::max(now_, *wakeup);
        give(Tick{});
      }
    }
    while (!fetches_.empty()) answer_fetch(false);
    while (!jobs_.empty()) executor_step(false);
    while (!writes_.empty() || !reads_.empty()) disk_step(false);
    while (!loans_.empty()) end_loan();
    std::vector<ResultId> all(results_.begin(), results_.end());
    results_.clear();
    give(msg::FreeResults{all});
    EXPECT_EQ(state_->managed_bytes(), 0u);
    EXPECT_EQ(state_->reserved_bytes(), 0u);
    EXPECT_EQ(state_->spilled_bytes(), 0u);
    EXPECT_TRUE(files_.empty()) << files_.size() << " files are left";
    for (const LayerId layer : {kSource, kAdd, kTree, kBoxed}) give(msg::ForgetLayer{layer});
    EXPECT_EQ(released_, 4);
  }

  std::size_t answers() const { return answers_; }
  std::size_t spilled() const { return spilled_; }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  bool chance(int percent) { return pick(1, 100) <= percent; }
  template <typename Map>
  auto any_of(Map& map) {
    return std::next(map.begin(), pick(0, static_cast<std::int64_t>(map.size()) - 1));
  }

  void define(LayerId id, msg::LayerPtr layer) {
    layers_[id] = layer;
    give(msg::DefineLayer{id, layer, {}});
  }

  std::vector<std::pair<ResultId, Box>> inputs_of(TaskId task) const {
    const Layer& layer = *layers_.at(layer_of(task));
    std::vector<std::pair<ResultId, Box>> inputs;
    for (std::size_t rule = 0; rule < layer.inputs.size(); ++rule) {
      for_each_input(layer, rule, index_of(task), [&](const InputPiece& piece) {
        inputs.push_back(
            {ResultId{make_task_id(static_cast<LayerId>(layer.inputs[rule].layer), piece.index), 0}, piece.box});
      });
    }
    return inputs;
  }

  void assign() {
    if (assigned_ >= granted_.slots) return;
    const auto [layer, description] = *any_of(layers_);
    const TaskId task = make_task_id(layer, static_cast<std::uint32_t>(pick(0, description->tasks() - 1)));
    for (const auto& [attempt, other] : held_) {
      if (other == task) return;
    }
    if (results_.contains({task, 0})) return;
    msg::Assign message{AttemptId{++assigned_}, task, pick(-3, 3), {}, {}, static_cast<std::uint32_t>(pick(0, 50))};
    for (const auto& [id, box] : inputs_of(task)) {
      if (results_.contains(id) && !chance(5)) continue;
      if (chance(2)) continue;  // the scheduler believes what is not so
      if (chance(15)) {
        message.awaited.push_back({id, chance(50) ? kPeer : kOther, AttemptId{assigned_ + 1000}});
        continue;
      }
      for (const WorkerId holder : {kPeer, kOther, kSelf, WorkerId{9}}) {
        if (chance(holder == kPeer || holder == kOther ? 70 : 2)) message.holders.push_back({id, holder});
      }
    }
    held_[message.attempt] = task;
    give(std::move(message));
  }

  void retract() {
    if (held_.empty()) return;
    const auto [attempt, task] = *any_of(held_);
    const bool cancel = chance(50);
    if (cancel) abandoned_.insert(attempt);
    give(msg::Retract{attempt, task, cancel});
  }

  // A peer waits for an attempt: one that is here, was, or is still to come.
  void await_something() {
    const AttemptId attempt{static_cast<std::uint64_t>(pick(1, static_cast<std::int64_t>(assigned_) + 3))};
    if (!awaited_.insert(attempt).second) return;
    give(Await{attempt});
    const bool unknown = static_cast<std::uint64_t>(attempt) > assigned_;
    if (unknown || (held_.contains(attempt) && !abandoned_.contains(attempt))) {
      ASSERT_TRUE(awaited_.contains(attempt)) << "it is to come";
    }
    if (static_cast<std::uint64_t>(attempt) <= assigned_ && !held_.contains(attempt)) {
      ASSERT_FALSE(awaited_.contains(attempt)) << "it has ended";
    }
  }

  void free_something() {
    if (results_.empty()) return;
    const ResultId id = *any_of(results_);
    results_.erase(id);
    give(msg::FreeResults{{id, ResultId{id.task, 7}}});
  }

  void answer_fetch(bool unkind) {
    if (fetches_.empty()) return;
    const auto found = any_of(fetches_);
    const StartFetch fetch = found->second;
    fetches_.erase(found);
    if (unkind && chance(15)) return give(FetchFailed{fetch.request});
    if (unkind && chance(3)) {  // the reply that comes all the same is stale
      give(msg::WorkerGone{fetch.peer});
      give(msg::WorkerAddress{fetch.peer, "tcp://anew:1"});
    }
    msg::FetchReply reply{fetch.request, {}};
    const bool busy = unkind && chance(20);
    for (const auto& item : fetch.items) {
      msg::FetchReply::Item answer{msg::FetchStatus::kOk, {}};
      if (busy && chance(50)) answer.status = msg::FetchStatus::kBusy;
      if (unkind && chance(10)) answer.status = msg::FetchStatus::kMissing;
      if (unkind && chance(1)) answer.status = msg::FetchStatus::kBadBox;
      if (answer.status == msg::FetchStatus::kOk && fetch.at_most != 0 &&
          chunk_of(item.result, item.box).nbytes() > fetch.at_most) {
        answer.status = msg::FetchStatus::kLarge;
      }
      if (unkind && chance(1)) answer.status = msg::FetchStatus::kLarge;
      if (answer.status == msg::FetchStatus::kOk) answer.chunk = chunk_of(item.result, item.box);
      reply.items.push_back(std::move(answer));
    }
    if (unkind && chance(1)) reply.items.pop_back();
    give(std::move(reply));
  }

  void executor_step(bool unkind) {
    if (jobs_.empty()) return;
    const auto found = any_of(jobs_);
    const Execute job = found->second;
    if (recalled_.erase(job.attempt) > 0) {
      if (chance(50)) return give(TooLate{job.attempt});
      jobs_.erase(found);
      return give(Recalled{job.attempt});
    }
    jobs_.erase(found);
    const auto took = static_cast<std::uint64_t>(chance(80) ? pick(100, 100'000) : pick(1'000'000, 200'000'000));
    if (unkind && chance(10)) {
      ErrorInfo error;
      error.code = chance(30) ? ErrorCode::kOutOfMemory : ErrorCode::kKernelFailed;
      return give(KernelFailed{job.attempt, error, took});
    }
    const std::uint64_t need = kLong * 8 + static_cast<std::uint64_t>(chance(90) ? 0 : pick(0, 300'000));
    if (need > job.granted) return give(KernelNeeds{job.attempt, need});
    if (const auto task = held_.find(job.attempt); task != held_.end()) check_inputs(job);
    std::vector<Chunk> outputs;
    outputs.push_back(chunk_of({job.task, 0}));
    give(KernelFinished{job.attempt, std::move(outputs), need, took});
  }

  void check_inputs(const Execute& job) {
    const auto inputs = inputs_of(job.task);
    ASSERT_EQ(job.inputs == nullptr ? 0 : job.inputs->pieces.size(), inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Chunk piece = job.inputs->pieces[i].compact();
      const Chunk wanted = chunk_of(inputs[i].first, inputs[i].second);
      ASSERT_EQ(piece.shape(), wanted.shape());
      ASSERT_EQ(std::memcmp(piece.data(), wanted.data(), wanted.nbytes()), 0) << "input " << i;
    }
  }

  // A write or a read ends, or a value is lent to a peer, or comes back.
  void disk_step(bool unkind) {
    if (unkind && chance(10)) return chance(50) ? lend() : end_loan();
    if (!questions_.empty() && chance(50)) {
      msg::NextUse answer;
      for (const ResultId& id : questions_.back().results) answer.results.push_back({id, pick(-5, 5)});
      questions_.pop_back();
      return give(std::move(answer));
    }
    if (writes_.empty() && reads_.empty()) return;
    if (reads_.empty() || (!writes_.empty() && chance(50))) {
      const FileId file = *any_of(writes_);
      writes_.erase(file);
      if (unkind && chance(15)) {
        files_.erase(file);
        return give(SpillFailed{file, chance(50) ? SpillFailure::kNoSpace : SpillFailure::kError});
      }
      ++spilled_;
      if (dropped_.erase(file) > 0) files_.erase(file);
      return give(SpillDone{file});
    }
    const FileId file = *any_of(reads_);
    reads_.erase(file);
    if (unkind && chance(10)) return give(UnspillFailed{file});
    const Chunk& kept = files_.at(file);
    Chunk chunk = Chunk::allocate(kept.dtype(), kept.shape());
    std::memcpy(chunk.mutable_data(), kept.data(), kept.nbytes());
    give(Unspilled{file, std::move(chunk)});
  }

  void lend() {
    if (results_.empty()) return;
    const Chunk* chunk = state_->find(*any_of(results_));
    if (chunk == nullptr) return;
    state_->lend(chunk->buffer());
    loans_.push_back(chunk->buffer());
  }
  void end_loan() {
    if (loans_.empty()) return;
    const Buffer buffer = loans_.back();
    loans_.pop_back();
    give(LoanEnded{buffer});
  }

  void tick() {
    now_ += std::chrono::microseconds(pick(1, 100'000));
    give(Tick{});
  }

  void give(Event event) {
    std::vector<Action> actions;
    state_->handle(std::move(event), now_, actions);
    for (Action& action : actions) carry_out(action);
    state_->check_invariants();
    ASSERT_EQ(state_->attempts(), held_.size());
    ASSERT_EQ(state_->results(), results_.size());
    std::uint64_t hash = 0;
    for (const auto& [attempt, task] : held_) hash ^= msg::mix(attempt);
    const auto beat = state_->heartbeat();
    ASSERT_EQ(beat.attempts_hash, hash);
    ASSERT_EQ(beat.received, assigned_);
    ASSERT_EQ(beat.sent, answers_);
  }

  void carry_out(Action& action) {
    if (auto* execute = std::get_if<Execute>(&action)) {
      ASSERT_TRUE(jobs_.emplace(execute->attempt, *execute).second) << "handed over twice";
      const bool within = limit_ == 0 || state_->managed_bytes() + state_->reserved_bytes() <= limit_;
      ASSERT_TRUE(within || jobs_.size() == 1) << "beyond the limit beside another task";
    } else if (auto* recall = std::get_if<Recall>(&action)) {
      if (jobs_.contains(recall->attempt)) recalled_.insert(recall->attempt);
    } else if (auto* fetch = std::get_if<StartFetch>(&action)) {
      ASSERT_TRUE(fetch->peer == kPeer || fetch->peer == kOther);
      ASSERT_FALSE(fetch->items.empty());
      fetches_.emplace(fetch->request, *fetch);
    } else if (auto* close = std::get_if<ClosePeer>(&action)) {
      std::erase_if(fetches_, [&](const auto& entry) { return entry.second.peer == close->peer; });
    } else if (std::get_if<ReleaseLayer>(&action) != nullptr) {
      ++released_;
    } else if (const auto* ended = std::get_if<AttemptEnded>(&action)) {
      ASSERT_EQ(awaited_.erase(ended->attempt), 1u) << "told twice, or without being asked";
      const auto held = held_.find(ended->attempt);
      ASSERT_TRUE(held == held_.end() || abandoned_.contains(ended->attempt)) << "it has not ended";
    } else if (auto* spill = std::get_if<Spill>(&action)) {
      ASSERT_TRUE(files_.emplace(spill->file, spill->chunk.compact()).second);
      writes_.insert(spill->file);
    } else if (auto* unspill = std::get_if<Unspill>(&action)) {
      ASSERT_TRUE(files_.contains(unspill->file) && !writes_.contains(unspill->file));
      ASSERT_TRUE(reads_.insert(unspill->file).second);
    } else if (auto* drop = std::get_if<DropSpilled>(&action)) {
      ASSERT_FALSE(reads_.contains(drop->file)) << "what is being read is there until it was read";
      if (writes_.contains(drop->file)) {
        dropped_.insert(drop->file);
      } else {
        ASSERT_EQ(files_.erase(drop->file), 1u);
      }
    } else if (std::get_if<TrimMemory>(&action) != nullptr) {
    } else {
      hear(std::get<SendToScheduler>(action).message);
    }
  }

  void hear(const msg::Message& message) {
    if (const auto* grant = std::get_if<msg::GrantCredit>(&message)) {
      ASSERT_TRUE(grant->slots > granted_.slots || grant->kib > granted_.kib);
      ASSERT_TRUE(grant->slots >= granted_.slots && grant->kib >= granted_.kib);
      granted_ = *grant;
    } else if (const auto* finished = std::get_if<msg::TaskFinished>(&message)) {
      answered(finished->attempt, finished->task);
      ASSERT_TRUE(results_.insert({finished->task, 0}).second);
      ASSERT_TRUE(state_->keeps({finished->task, 0}));
    } else if (const auto* failed = std::get_if<msg::TaskFailed>(&message)) {
      answered(failed->attempt, failed->task);
    } else if (const auto* running = std::get_if<msg::TaskRunning>(&message)) {
      ASSERT_TRUE(jobs_.contains(running->attempt));
    } else if (const auto* question = std::get_if<msg::QueryNextUse>(&message)) {
      questions_.push_back(*question);
    } else if (const auto* dropped = std::get_if<msg::ReplicasDropped>(&message)) {
      for (const ResultId& id : dropped->results) results_.erase(id);
    } else {
      const auto& returned = std::get<msg::TaskReturned>(message);
      answered(returned.attempt, returned.task);
    }
  }

  void answered(AttemptId attempt, TaskId task) {
    const auto found = held_.find(attempt);
    ASSERT_NE(found, held_.end()) << "answered twice, or never assigned";
    ASSERT_EQ(found->second, task);
    held_.erase(found);
    recalled_.erase(attempt);
    ++answers_;
  }

  std::mt19937_64 random_;
  std::unique_ptr<WorkerState> state_;
  std::uint64_t limit_ = 0;
  Time now_ = std::chrono::seconds(1);
  std::map<LayerId, msg::LayerPtr> layers_;
  std::map<AttemptId, TaskId> held_;
  std::set<ResultId> results_;
  std::map<AttemptId, Execute> jobs_;
  std::set<AttemptId> recalled_;
  std::set<AttemptId> abandoned_;  // perhaps: retracted with cancel
  std::set<AttemptId> awaited_;    // by peers
  std::map<std::uint64_t, StartFetch> fetches_;
  std::map<FileId, Chunk> files_;
  std::set<FileId> writes_, reads_, dropped_;
  std::vector<Buffer> loans_;
  std::vector<msg::QueryNextUse> questions_;
  std::size_t spilled_ = 0;
  msg::GrantCredit granted_{0, 0};
  std::uint64_t assigned_ = 0;
  std::uint64_t answers_ = 0;
  int released_ = 0;
};

TEST(CorePropertyTest, RandomLives) {
  std::size_t answers = 0, spilled = 0;
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    for (int i = 0; i < 300; ++i) {
      world.step();
      if (testing::Test::HasFatalFailure()) return;
    }
    world.finish();
    if (testing::Test::HasFailure()) return;
    answers += world.answers();
    spilled += world.spilled();
  }
  EXPECT_GT(answers, 5'000u) << "the lives are too dull";
  EXPECT_GT(spilled, 1'000u) << "the lives are too roomy";
}

}  // namespace
}  // namespace tegula::worker
