// A record leads another core to the same state; a damaged one is found out.
#include "scheduler/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "scheduler/queries.h"
#include "tests/scheduler/fakes.h"
#include "tests/support/child_process.h"

namespace tegula::scheduler {
namespace {

using ::testing::HasSubstr;

// A core whose life is recorded.
class Recorded {
 public:
  Recorded(const std::string& path, SchedulerConfig config, std::uint64_t limit = 0)
      : state(config), recorder(path, config, limit) {}

  std::vector<Action> handle(Event event) {
    std::vector<Action> actions;
    now += std::chrono::milliseconds(3);
    recorder.apply(now, event);
    state.apply(now, std::move(event), actions);
    given += actions.size();
    recorder.settle(now, given);
    const std::size_t before = actions.size();
    state.settle(now, actions);
    given += actions.size() - before;
    recorder.flush();
    return actions;
  }

  // A worker joins, a client submits two layers, and the worker does what it is told until `ended` tasks have.
  void live(std::uint64_t ended) {
    msg::RegisterWorker about;
    about.name = "w";
    about.threads = 2;
    about.kernels = {"test.nop"};
    about.slots_granted = 2;
    about.nanny = 9;
    about.life = 1;
    std::deque<msg::Assign> assigns;
    std::uint64_t granted = 2;
    const auto take = [&](const std::vector<Action>& actions) {
      for (const Action& action : actions) {
        const auto* send = std::get_if<SendToWorker>(&action);
        if (send == nullptr) continue;
        if (const auto* assign = std::get_if<msg::Assign>(&send->message)) assigns.push_back(*assign);
      }
    };
    take(handle(WorkerJoined{WorkerId{1}, about}));
    take(handle(ClientConnected{ConnectionId{1}, {0, 0, "c"}, 77, 78}));
    const Layer source = layer_on({6}, "source");
    msg::Submit submit;
    submit.sequence = 1;
    submit.layers = {shared(source), shared(reads(layer_on({3}, "sum"), 0, source, {FanIn{0, 2}}))};
    submit.wants = {{1, 0, 0, 3}};
    take(handle(FromClient{ConnectionId{1}, submit}));
    for (std::uint64_t n = 0; n < ended && !assigns.empty(); ++n) {
      const msg::Assign assign = assigns.front();
      assigns.pop_front();
      take(handle(FromWorker{WorkerId{1}, msg::TaskFinished{assign.attempt, assign.task, {n + 1}, 5}}));
      take(handle(FromWorker{WorkerId{1}, msg::GrantCredit{++granted}}));
      take(handle(Tick{}));
    }
  }

  SchedulerState state;
  EventRecorder recorder;
  Time now = std::chrono::seconds(5);
  std::uint64_t given = 0;
};

struct Replayed {
  SchedulerState state;
  std::uint64_t events = 0, given = 0;
  bool truncated = false;
};

Replayed replay(const std::string& path) {
  RecordReader reader(path);
  Replayed result{SchedulerState(reader.config()), 0, 0, false};
  while (auto entry = reader.next()) {
    std::vector<Action> actions;
    if (entry->event) {
      ++result.events;
      describe(*entry->event, result.state);
      result.state.apply(entry->time, std::move(*entry->event), actions);
    } else {
      EXPECT_EQ(entry->actions, result.given);
      result.state.settle(entry->time, actions);
      result.state.check_invariants();
    }
    result.given += actions.size();
  }
  result.truncated = reader.truncated();
  return result;
}

std::string dump_of(const SchedulerState& state) {
  return answer(state, msg::Query{0, msg::QueryKind::kDump, "", 0}, {});
}

TEST(Record, LeadsToTheSameState) {
  test::TemporaryDirectory folder;
  SchedulerConfig config;
  config.seed = 42;
  config.root_margin = 3;
  config.stall_report = std::chrono::seconds(7);
  config.allowed_deaths = 1;
  Recorded recorded(folder.file("r"), config);
  recorded.live(5);
  const auto bound = recorded.state.bound_to(WorkerId{1});
  ASSERT_FALSE(bound.empty());
  recorded.handle(WorkerLost{WorkerId{1}, LossReason::kHeartbeat, "silence"});
  recorded.handle(DeathReported{{"w", 9, 1, msg::DeathCause::kSignal, "signal 11", {bound.front().second}}});
  EXPECT_GT(recorded.state.counters().erred, 0u);
  const Replayed again = replay(folder.file("r"));
  EXPECT_EQ(again.given, recorded.given);
  EXPECT_EQ(dump_of(again.state), dump_of(recorded.state));
  EXPECT_FALSE(again.truncated);
  EXPECT_EQ(RecordReader(folder.file("r")).config().stall_report, std::chrono::seconds(7));
  struct stat info {};
  ASSERT_EQ(stat(folder.file("r").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u) << "sessions' secrets are in it";
}

TEST(Record, WhatHasNoBusinessInTheCoreIsRecordedToo) {
  test::TemporaryDirectory folder;
  Recorded recorded(folder.file("r"), {});
  recorded.live(1);
  msg::FetchReply chunk{1, {{msg::FetchStatus::kOk, Chunk::allocate(DType::kFloat64, {4})}}};
  recorded.handle(FromWorker{WorkerId{1}, chunk});
  EXPECT_EQ(dump_of(replay(folder.file("r")).state), dump_of(recorded.state));
  EXPECT_EQ(recorded.state.counters().workers, 0u);
}

TEST(Record, AnyBeginningOfItIsReplayed) {
  test::TemporaryDirectory folder;
  {
    Recorded recorded(folder.file("r"), {});
    recorded.live(9);
  }
  std::ifstream file(folder.file("r"), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(file)), {});
  const std::uint64_t all = replay(folder.file("r")).events;
  std::uint64_t truncated = 0, refused = 0;
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    std::ofstream(folder.file("part"), std::ios::binary) << whole.substr(0, size);
    try {
      const Replayed part = replay(folder.file("part"));
      EXPECT_LE(part.events, all);
      truncated += part.truncated ? 1 : 0;
    } catch (const FileError&) {
      ++refused;  // the header is not whole
    }
  }
  EXPECT_GT(truncated, 0u);
  EXPECT_GT(refused, 0u);
}

TEST(Record, ADamagedByteIsFound) {
  test::TemporaryDirectory folder;
  {
    Recorded recorded(folder.file("r"), {});
    recorded.live(3);
  }
  std::ifstream file(folder.file("r"), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(file)), {});
  const std::size_t header = 16 + static_cast<unsigned char>(whole[8]) + 256 * static_cast<unsigned char>(whole[9]);
  for (std::size_t at = header; at < whole.size(); at += 5) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    std::ofstream(folder.file("bad"), std::ios::binary) << damaged;
    // A size that became larger than the file looks like an early end.
    try {
      EXPECT_TRUE(replay(folder.file("bad")).truncated) << "byte " << at;
    } catch (const FileError& error) {
      EXPECT_THAT(error.what(), HasSubstr("is damaged at byte")) << "byte " << at;
    }
  }
}

TEST(Record, EndsAtItsLimit) {
  test::TemporaryDirectory folder;
  Recorded recorded(folder.file("r"), {}, 4000);
  recorded.live(9);
  for (int i = 0; i < 100; ++i) recorded.handle(Tick{});
  EXPECT_THAT(recorded.recorder.ended(), HasSubstr("its limit of 4000 bytes"));
  EXPECT_LE(recorded.recorder.bytes(), 4000u + 48u);
  EXPECT_FALSE(replay(folder.file("r")).truncated);
}

TEST(Record, OtherFilesAreRefused) {
  test::TemporaryDirectory folder;
  std::ofstream(folder.file("text")) << "hello";
  EXPECT_FALSE(is_record(folder.file("text")));
  EXPECT_THROW(is_record(folder.file("none")), FileError);
  EXPECT_THROW(RecordReader{folder.file("text")}, FileError);
  EXPECT_THROW(EventRecorder(folder.file("no/such/folder"), {}, 0), FileError);
}

}  // namespace
}  // namespace tegula::scheduler
