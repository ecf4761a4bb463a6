// What people are told: keys found by their text, why() in every state, the watch over progress, answers in JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "scheduler/queries.h"
#include "tests/scheduler/fakes.h"

namespace tegula::scheduler {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr TaskId task_of(std::uint32_t layer, std::uint32_t index) {
  return make_task_id(static_cast<LayerId>(layer), index);
}

// What the text is refused with.
std::string refusal(const SchedulerState& state, const std::string& text) {
  try {
    state.find_key(text);
  } catch (const ValueError& error) {
    return error.what();
  }
  return "it was taken";
}

class Why : public ::testing::Test {
 protected:
  //  source(0..5) --> sum(0..2), two of the source each
  void submit_two_layers() {
    c = cluster.client();
    const Layer source = layer_on({6}, "source");
    cluster.submit(c, {source, reads(layer_on({3}, "sum"), 0, source, {FanIn{0, 2}})}, {{1, 0, 0, 3}});
  }
  std::string why(TaskId task) { return cluster.state.why(task); }

  FakeCluster cluster;
  ConnectionId c{};
};

TEST_F(Why, KeysAreFoundByTheirText) {
  submit_two_layers();
  const std::string key = cluster.state.key(task_of(1, 4));
  EXPECT_EQ(cluster.state.find_key(key), (ResultId{task_of(1, 4), 0}));
  EXPECT_EQ(cluster.state.find_key("source(4)").task, task_of(1, 4));
  EXPECT_EQ(cluster.state.find_key(key.substr(0, 9) + "(4)").task, task_of(1, 4)) << "two digits of the hash";
  EXPECT_EQ(cluster.state.find_key("1/4").task, task_of(1, 4)) << "as transitions are printed";
}

TEST_F(Why, KeysThatNameNothingAreRefusedWithTheNearest) {
  submit_two_layers();
  const std::string key = cluster.state.key(task_of(1, 4));
  const std::string layer = key.substr(0, key.find('('));
  EXPECT_THAT(refusal(cluster.state, "sourec-" + layer.substr(7) + "(4)"), HasSubstr("did you mean " + key + "?"));
  EXPECT_THAT(refusal(cluster.state, "source-00000000(4)"), HasSubstr("did you mean " + key + "?"));
  EXPECT_THAT(refusal(cluster.state, "source(6)"), HasSubstr(layer + " has no task at (6"));
  EXPECT_THAT(refusal(cluster.state, "source(1,1)"), HasSubstr("its tasks lie in a grid of (6"));
  EXPECT_THAT(refusal(cluster.state, "source(-1)"), HasSubstr("has no task at"));
  EXPECT_THAT(refusal(cluster.state, "source(0)[1]"), HasSubstr("has 1 output, so no [1]"));
  EXPECT_THAT(refusal(cluster.state, "source"), HasSubstr("does not end with a position"));
  EXPECT_THAT(refusal(cluster.state, "source(x)"), HasSubstr("'x' is no index"));
  EXPECT_THAT(refusal(cluster.state, ""), HasSubstr("is no key"));
  EXPECT_THAT(refusal(cluster.state, "]"), HasSubstr("is no key"));
  EXPECT_THAT(refusal(cluster.state, "9/0"), HasSubstr("no layer 9 is known"));
  EXPECT_THAT(refusal(cluster.state, "1/6"), HasSubstr("which has 6 tasks"));
}

TEST_F(Why, ANameThatSeveralLayersHaveNeedsTheHash) {
  c = cluster.client();
  Layer other = layer_on({6}, "source");
  other.nonce = 1;
  cluster.submit(c, {layer_on({6}, "source"), other}, {{0, 0, 0, 1}});
  EXPECT_THAT(refusal(cluster.state, "source(0)"), HasSubstr("'source' may be any of source-"));
  EXPECT_EQ(cluster.state.find_key(cluster.state.key(task_of(2, 3))).task, task_of(2, 3));
}

TEST_F(Why, WithoutWorkersNothingIsReadyForAnybody) {
  submit_two_layers();
  EXPECT_THAT(why(task_of(1, 0)), HasSubstr("is ready, but no worker is connected"));
  EXPECT_THAT(why(task_of(2, 0)),
              AllOf(StartsWith(cluster.state.key(task_of(2, 0))), HasSubstr("waits for 2 of its 2 inputs"),
                    HasSubstr(cluster.state.key(task_of(1, 1)) + " (no-worker)"),
                    HasSubstr("in the end, " + cluster.state.key(task_of(1, 0)) + " is ready, but")));
}

TEST_F(Why, WithoutAKernelItNamesTheKernel) {
  cluster.worker(1, {"test.other", "test.rare"});
  const WorkerId rare = cluster.worker(0, {"test.rare"});
  c = cluster.client();
  cluster.submit(c, {layer_on({}, "x", "test.rare")}, {{0, 0, 0, 1}});
  cluster.handle(WorkerLost{rare});
  cluster.handle(WorkerLost{static_cast<WorkerId>(1)});
  cluster.worker(1, {"test.other"});
  EXPECT_THAT(why(task_of(1, 0)), HasSubstr("none of the 1 connected worker has its kernel 'test.rare'"));
}

TEST_F(Why, QueuedTellsWhatIsBefore) {
  cluster.worker(/*slots=*/1);
  submit_two_layers();
  EXPECT_THAT(why(task_of(1, 3)), HasSubstr("queued for want of credit: 2 ready tasks before it"));
}

TEST_F(Why, ProcessingTellsWhereAndSinceWhen) {
  const WorkerId w = cluster.worker(/*slots=*/1);
  cluster.now = std::chrono::seconds(10);
  submit_two_layers();
  cluster.now += std::chrono::seconds(3);
  msg::WorkerHeartbeat beat;
  beat.executing = 1;
  cluster.from_worker(w, beat);
  EXPECT_THAT(why(task_of(1, 0)), AllOf(HasSubstr("is bound to worker w1 as attempt 1 since 3 s"),
                                        HasSubstr("last said that it executes 1, has 0 ready")));
  EXPECT_THAT(why(task_of(2, 0)), HasSubstr("processing on w1 for 3 s"));
  cluster.release(c, {{1, 0, 0, 3}});
  EXPECT_THAT(why(task_of(1, 0)), HasSubstr("was asked back"));
}

TEST_F(Why, InMemoryTellsWhoHasItAndForWhom) {
  const WorkerId w = cluster.worker(/*slots=*/1);
  submit_two_layers();
  cluster.finish(w, cluster.assigned(w), {800});
  EXPECT_THAT(why(task_of(1, 0)), HasSubstr("in memory on w1: 800 bytes, still to be read by 1 task"));
}

TEST_F(Why, ErredTellsTheCause) {
  const WorkerId w = cluster.worker(/*slots=*/1);
  submit_two_layers();
  cluster.fail(w, cluster.assigned(w), "no such luck");
  EXPECT_THAT(why(task_of(2, 0)), AllOf(HasSubstr("erred because " + cluster.state.key(task_of(1, 0))),
                                        HasSubstr("which it needs, failed on w1"), HasSubstr("no such luck")));
}

TEST_F(Why, ReleasedTellsThatNobodyWantsIt) {
  const WorkerId w = cluster.worker(/*slots=*/6);
  submit_two_layers();
  std::vector<msg::Assign> assigns = cluster.take<msg::Assign>(w);
  for (const auto& assign : assigns) cluster.finish(w, assign);
  for (const auto& assign : cluster.take<msg::Assign>(w)) cluster.finish(w, assign);
  EXPECT_THAT(why(task_of(1, 0)), HasSubstr("had finished and was released"));
  SchedulerConfig forgetful;
  forgetful.log_size = 0;
  FakeCluster other(forgetful);
  const ConnectionId client = other.client();
  other.submit(client, {layer_on({2})}, {{0, 0, 0, 1}});
  EXPECT_THAT(other.state.why(task_of(1, 1)), HasSubstr("is not to be computed: nobody wants it"));
}

TEST_F(Why, NotLookedAtTellsHowManyAreReadyAlready) {
  SchedulerConfig config;
  config.root_margin = 2;
  FakeCluster small(config);
  small.worker(/*slots=*/1);
  const ConnectionId client = small.client();
  small.submit(client, {layer_on({100})}, {{0, 0, 0, 100}});
  EXPECT_EQ(small.state_of(task_of(1, 99)), TaskState::kReleased);
  EXPECT_THAT(small.state.why(task_of(1, 99)),
              HasSubstr("was not looked at yet: 4 tasks without inputs are ready already for client 'client'"));
}

TEST_F(Why, AGraphThatStandsStillIsReportedOnceAPeriodWithItsCause) {
  SchedulerConfig config;
  config.stall_report = std::chrono::seconds(30);
  config.worker_timeout = {};
  FakeCluster still(config);
  still.now = std::chrono::seconds(100);
  const WorkerId w = still.worker(/*slots=*/1);
  const ConnectionId client = still.client();
  const Layer source = layer_on({6}, "source");
  still.submit(client, {source, reads(layer_on({3}, "sum"), 0, source, {FanIn{0, 2}})}, {{1, 0, 0, 3}});
  std::vector<std::string> reports;
  const auto tick = [&](int seconds) {
    std::vector<Action> actions;
    still.now += std::chrono::seconds(seconds);
    still.state.handle(still.now, Tick{}, actions);
    for (const Action& action : actions) {
      if (const auto* report = std::get_if<Report>(&action)) reports.push_back(report->text);
    }
  };
  tick(1);
  tick(29);
  EXPECT_THAT(reports, ElementsAre());
  tick(1);
  EXPECT_THAT(
      reports,
      ElementsAre(AllOf(HasSubstr("nothing has finished for 30 s while 9 tasks are to be computed (1 processing"),
                        HasSubstr(still.state.key(task_of(1, 0)) + " is bound to worker w1 as attempt 1 since 31 s"))));
  tick(29);
  EXPECT_EQ(reports.size(), 1u) << "the next comes after twice the time";
  tick(1);
  EXPECT_EQ(reports.size(), 2u);
  still.finish(w, still.assigned(w));
  tick(1);
  tick(29);
  EXPECT_EQ(reports.size(), 2u) << "something finished";
  tick(1);
  EXPECT_EQ(reports.size(), 3u);
  still.release(client, {{1, 0, 0, 3}});
  tick(1);
  tick(3600);
  EXPECT_EQ(reports.size(), 3u) << "there is nothing to do";
}

TEST_F(Why, AStandstillWithoutWorkersIsReportedToo) {
  submit_two_layers();
  std::vector<Action> actions;
  cluster.now = std::chrono::seconds(1);
  cluster.state.handle(cluster.now, Tick{}, actions);
  cluster.now = std::chrono::seconds(100);
  cluster.state.handle(cluster.now, Tick{}, actions);
  std::string report;
  for (const Action& action : actions) {
    if (const auto* found = std::get_if<Report>(&action)) report = found->text;
  }
  EXPECT_THAT(report, HasSubstr("first of all, " + cluster.state.key(task_of(1, 0)) + " is ready, but no worker"));
}

// ---- answers ----

nlohmann::json ask(const SchedulerState& state, msg::QueryKind kind, const std::string& subject = "") {
  return nlohmann::json::parse(answer(state, msg::Query{1, kind, subject, 0}, {"tcp://here:1", Incarnation{255}, {}}));
}

TEST_F(Why, AnswersAreJson) {
  cluster.now = std::chrono::seconds(1);
  const WorkerId w = cluster.worker(/*slots=*/2);
  submit_two_layers();
  const std::vector<msg::Assign> assigns = cluster.take<msg::Assign>(w);
  cluster.finish(w, assigns.at(0), {800});
  const std::string first = cluster.state.key(task_of(1, 0));
  const std::string second = cluster.state.key(task_of(1, 1));

  const auto status = ask(cluster.state, msg::QueryKind::kStatus);
  EXPECT_EQ(status["tasks"]["memory"], 1);
  EXPECT_EQ(status["tasks"]["processing"], 2);
  EXPECT_EQ(status["workers"][0]["name"], "w1");
  EXPECT_EQ(status["clients"][0]["wants"], 3);
  EXPECT_EQ(status["scheduler"]["incarnation"], "00000000000000ff");

  EXPECT_EQ(ask(cluster.state, msg::QueryKind::kWhy, second)["state"], "processing");
  const auto story = ask(cluster.state, msg::QueryKind::kStory, first)["story"];
  EXPECT_EQ(story[0]["from"], "released");
  EXPECT_EQ(story[1]["to"], "processing");
  EXPECT_EQ(story[1]["worker"], "w1");
  EXPECT_EQ(story[2]["to"], "memory");

  const auto task = ask(cluster.state, msg::QueryKind::kTask, cluster.state.key(task_of(2, 0)));
  EXPECT_EQ(task["inputs"][0]["available"], true);
  EXPECT_EQ(task["inputs"][1]["state"], "processing");
  const auto held = ask(cluster.state, msg::QueryKind::kTask, first);
  EXPECT_EQ(held["outputs"][0]["who_has"][0], "w1");
  EXPECT_EQ(held["outputs"][0]["nbytes"], 800);

  const auto worker = ask(cluster.state, msg::QueryKind::kWorker, "w1");
  EXPECT_EQ(worker["has_what"][0]["key"], first);
  EXPECT_EQ(worker["result_bytes"], 800);
  EXPECT_EQ(worker["bound"].size(), 2u);
  EXPECT_EQ(worker["bound"][0]["key"], second);
}

TEST_F(Why, AnswersTellOfDeathsAndLifetimes) {
  cluster.now = std::chrono::seconds(1);
  msg::RegisterWorker about;
  about.name = "w1";
  about.lifetime_ms = 10'000;
  cluster.handle(WorkerJoined{WorkerId{1}, about});
  about.name = "w2";
  about.lifetime_ms = 0;
  cluster.handle(WorkerJoined{WorkerId{2}, about});
  cluster.now = std::chrono::seconds(4);
  cluster.handle(WorkerLost{WorkerId{2}, LossReason::kConnection, "reset"});
  cluster.now = std::chrono::seconds(5);
  cluster.handle(Tick{});
  const auto status = ask(cluster.state, msg::QueryKind::kStatus);
  EXPECT_EQ(status["workers"][0]["ends_in_s"], 6);
  EXPECT_EQ(ask(cluster.state, msg::QueryKind::kWorker, "w1")["ends_in_s"], 6);
  EXPECT_EQ(status["counters"]["workers_died"], 1);
  ASSERT_EQ(status["deaths"].size(), 1u);
  EXPECT_EQ(status["deaths"][0]["worker"], "w2");
  EXPECT_EQ(status["deaths"][0]["cause"], "reset");
  EXPECT_EQ(status["deaths"][0]["ago_s"], 1);
  EXPECT_EQ(status["deaths"][0]["certain"], false);
}

TEST_F(Why, ADumpTellsUnfinishedTasksFirst) {
  const WorkerId w = cluster.worker(/*slots=*/1);
  submit_two_layers();
  cluster.finish(w, cluster.assigned(w), {800});
  const auto all = ask(cluster.state, msg::QueryKind::kDump);
  EXPECT_EQ(all["format"], "tegula-dump");
  EXPECT_EQ(all["layers"].size(), 2u);
  EXPECT_EQ(all["layers"][1]["inputs"][0]["layer"], 1);
  EXPECT_EQ(all["task_list"].size(), 9u);
  EXPECT_EQ(all["task_list"][8]["state"], "memory");
  EXPECT_TRUE(all["task_list"][0].contains("why"));
  EXPECT_EQ(all["log"].size(), cluster.state.log().size());
  const auto some = ask(cluster.state, msg::QueryKind::kDump, "3");
  EXPECT_EQ(some["task_list"].size(), 3u);
  EXPECT_EQ(some["tasks_left_out"], 6);
  EXPECT_THROW(ask(cluster.state, msg::QueryKind::kDump, "many"), ValueError);
  EXPECT_THROW(ask(cluster.state, msg::QueryKind::kWorker, "w2"), ValueError);
}

}  // namespace
}  // namespace tegula::scheduler
