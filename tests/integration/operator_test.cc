// The command `tegula` against real daemons, as an operator uses it, bad input included.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>

#include "comm/transport.h"
#include "tegula/tegula.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using test::ChildProcess;
using test::eventually;
using test::program_path;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome tegula_command(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program_path("tegula"));
  ChildProcess child(arguments);
  const std::optional<int> status = child.wait();
  return {status.value_or(-1), child.output()};
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {(std::istreambuf_iterator<char>(file)), {}};
}

class Operator : public ::testing::Test {
 protected:
  void start_scheduler(std::vector<std::string> more = {}) {
    std::vector<std::string> command{program_path("tegula-scheduler"), "--port", "0", "--scheduler-file", file};
    command.insert(command.end(), more.begin(), more.end());
    scheduler.emplace(command);
    ASSERT_TRUE(scheduler->wait_for_output("listening on")) << scheduler->output();
  }
  std::unique_ptr<ChildProcess> start_worker(const std::string& name, std::vector<std::string> more = {}) {
    std::vector<std::string> command{
        program_path("tegula-worker"), "--scheduler-file", file, "--nthreads", "1", "--name", name};
    command.insert(command.end(), more.begin(), more.end());
    return std::make_unique<ChildProcess>(command);
  }
  Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--scheduler-file", file});
    return tegula_command(std::move(arguments));
  }
  nlohmann::json ask(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    const Outcome outcome = run(std::move(arguments));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    return nlohmann::json::parse(outcome.output);
  }
  // Keys of the tasks that the scheduler knows, in any state.
  std::vector<std::string> keys() {
    std::vector<std::string> found;
    const nlohmann::json dump = nlohmann::json::parse(run({"dump", "-"}).output);
    for (const auto& task : dump.at("task_list")) {
      found.push_back(task.at("key").get<std::string>());
    }
    return found;
  }

  test::TemporaryDirectory folder;
  const std::string file = folder.file("scheduler.json");
  std::optional<ChildProcess> scheduler;
};

TEST_F(Operator, SeesWhyNothingRunsAndThenThatItRan) {
  start_scheduler();
  Client client(file);
  const Future future = compute_async(ones({100}, {10}).sum(), client);
  ASSERT_TRUE(eventually([&] { return client.status().no_worker > 0; }));
  const Outcome status = run({"status"});
  EXPECT_EQ(status.status, 0);
  EXPECT_THAT(status.output, AllOf(HasSubstr("0 workers"), HasSubstr("no-worker"), HasSubstr("2 clients")));
  const std::vector<std::string> known = keys();
  ASSERT_FALSE(known.empty());
  const Outcome why = run({"why", known.front()});
  EXPECT_EQ(why.status, 0);
  EXPECT_THAT(why.output, HasSubstr("no worker is connected"));

  const auto worker = start_worker("w");
  EXPECT_EQ(future.result().item<double>(), 100);
  const auto after = ask({"status"});
  EXPECT_EQ(after["workers"][0]["name"], "w");
  EXPECT_EQ(after["tasks"]["memory"], 1);
  const std::string last = keys().front();
  EXPECT_THAT(run({"why", last}).output, HasSubstr("is finished and in memory on w"));
  EXPECT_THAT(run({"story", last}).output,
              AllOf(HasSubstr("-> processing  (worker w, attempt"), HasSubstr("-> memory")));
  EXPECT_THAT(run({"task", last}).output, HasSubstr("on w, 1 wants"));
  EXPECT_THAT(run({"worker", "w"}).output, AllOf(HasSubstr("1 results"), HasSubstr("holds  " + last)));
}

TEST_F(Operator, AWorkerTellsWhatItDidAndMoved) {
  start_scheduler();
  const auto w1 = start_worker("w1"), w2 = start_worker("w2");
  Client client(file);
  client.wait_for_workers(2);
  const Array x = ones({400, 400}, {100, 100}).persist(client);
  EXPECT_EQ((x + x.T()).sum().compute(client).item<double>(), 320000);
  std::uint64_t tasks = 0, bytes_from_peers = 0, bytes_in = 0, requests_of_client = 0;
  for (const char* name : {"w1", "w2"}) {
    const nlohmann::json own = ask({"worker", name}).at("own");
    tasks += own.at("tasks").size();
    EXPECT_EQ(own.at("counters").at("finished"), own.at("tasks").size());
    EXPECT_EQ(own.at("counters").at("failed"), 0);
    for (const auto& task : own.at("tasks")) {
      EXPECT_GT(task.at("compute_s").get<double>(), 0);
      EXPECT_GE(task.at("ago_s").get<double>(), 0);
    }
    bytes_in += own.at("counters").at("bytes_in").get<std::uint64_t>();
    for (const auto& peer : own.at("from_peers")) {
      bytes_from_peers += peer.at("bytes").get<std::uint64_t>();
      EXPECT_GT(peer.at("bytes_per_s").get<double>(), 0);
    }
    for (const auto& peer : own.at("to_peers")) requests_of_client += peer.at("requests").get<std::uint64_t>();
  }
  EXPECT_GT(tasks, 16u);
  EXPECT_EQ(bytes_from_peers, bytes_in);
  EXPECT_GT(requests_of_client, 0u);
  EXPECT_THAT(run({"worker", "w1"}).output, AllOf(HasSubstr("tasks finished, 0 failed"), HasSubstr("computed")));
}

TEST_F(Operator, MistypedKeysWorkersAndCommandsGetTheNearest) {
  start_scheduler();
  const auto worker = start_worker("alice");
  Client client(file);
  client.wait_for_workers(1);
  const Future future = compute_async(ones({100}, {10}).sum(), client);
  future.wait();
  const std::string key = keys().front();
  std::string wrong = key;
  wrong[0] = '_';
  const Outcome why = run({"why", wrong});
  EXPECT_EQ(why.status, 1);
  EXPECT_THAT(why.output, HasSubstr("did you mean " + key + "?"));
  EXPECT_EQ(std::count(why.output.begin(), why.output.end(), '\n'), 1) << why.output;
  EXPECT_THAT(run({"story", "x"}).output, HasSubstr("'x' is no key"));
  const Outcome retire = run({"retire", "alise"});
  EXPECT_EQ(retire.status, 1);
  EXPECT_THAT(retire.output, HasSubstr("did you mean 'alice'?"));
  const Outcome command = run({"statsu"});
  EXPECT_EQ(command.status, 2);
  EXPECT_THAT(command.output, HasSubstr("did you mean 'status'?"));
  EXPECT_EQ(run({"why"}).status, 2) << "a key is missing";
  EXPECT_EQ(tegula_command({}).status, 2);
  EXPECT_EQ(tegula_command({"--help"}).status, 0);
}

TEST_F(Operator, ASchedulerThatIsNotThereIsNamed) {
  start_scheduler();
  const std::string address = read_scheduler_file(file).address;
  scheduler.reset();
  const Outcome dead = tegula_command({"status", "--scheduler", address, "--timeout", "1s"});
  EXPECT_EQ(dead.status, 1);
  EXPECT_THAT(dead.output, HasSubstr(address));
  EXPECT_EQ(std::count(dead.output.begin(), dead.output.end(), '\n'), 1) << dead.output;
  const Outcome missing = tegula_command({"status", "--scheduler-file", folder.file("none.json")});
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.output, HasSubstr("none.json"));
  EXPECT_EQ(tegula_command({"status", "--scheduler", "tcp://[::1"}).status, 1);
}

TEST_F(Operator, ADumpIsWrittenWholeAndReadBack) {
  start_scheduler();
  const auto worker = start_worker("w");
  Client client(file);
  client.wait_for_workers(1);
  const Array kept = ones({1000}, {10}).persist(client);
  ASSERT_TRUE(eventually([&] { return client.status().memory == 100; }));
  const std::string dump = folder.file("dump.json");
  const Outcome wrote = run({"dump", dump});
  EXPECT_EQ(wrote.status, 0) << wrote.output;
  EXPECT_THAT(wrote.output, HasSubstr("100 tasks, 1 workers"));
  struct stat info {};
  ASSERT_EQ(stat(dump.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  EXPECT_THAT(tegula_command({"replay", dump}).output, AllOf(HasSubstr("100 memory"), HasSubstr("w")));
  const std::string key = nlohmann::json::parse(read_file(dump)).at("task_list").at(7).at("key");
  EXPECT_THAT(tegula_command({"replay", dump, "--why", key}).output, HasSubstr(key + " is memory on w"));
  EXPECT_THAT(tegula_command({"replay", dump, "--story", key}).output, HasSubstr("processing -> memory"));
  const Outcome steps = tegula_command({"replay", dump, "--step", "--from", "2", "--until", "4"});
  EXPECT_EQ(std::count(steps.output.begin(), steps.output.end(), '\n'), 3) << steps.output;
  const Outcome unknown = tegula_command({"replay", dump, "--why", key + "x"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_THAT(unknown.output, HasSubstr("did you mean " + key + "?"));

  const std::string text = read_file(dump);
  std::ofstream(folder.file("half.json")) << text.substr(0, text.size() / 2);
  const Outcome half = tegula_command({"replay", folder.file("half.json")});
  EXPECT_EQ(half.status, 1);
  EXPECT_THAT(half.output, HasSubstr("neither a record nor a whole dump"));
  std::ofstream(folder.file("other.json")) << "{\"a\": 1}";
  EXPECT_EQ(tegula_command({"replay", folder.file("other.json")}).status, 1);
  EXPECT_THAT(tegula_command({"replay", folder.file("none")}).output, HasSubstr("cannot read"));

  const Outcome unwritable = run({"dump", folder.file("no/such/folder/dump.json")});
  EXPECT_EQ(unwritable.status, 1);
  EXPECT_THAT(unwritable.output, HasSubstr("cannot write " + folder.file("no/such/folder/dump.json")));
  const Outcome full = run({"dump", "/dev/full"});
  EXPECT_EQ(full.status, 1);
  EXPECT_THAT(full.output, HasSubstr("cannot write /dev/full: No space left on device"));
  EXPECT_EQ(run({"dump", "/dev/null"}).status, 0);
  ASSERT_EQ(stat("/dev/null", &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode)) << "a device is written to, not replaced";
}

TEST_F(Operator, SeesLifetimesAndWhatWorkersDiedOf) {
  start_scheduler();
  const auto worker = start_worker("w", {"--lifetime", "2h"});
  Client client(file);
  client.wait_for_workers(1);
  const Outcome before = run({"status"});
  EXPECT_THAT(before.output, AllOf(HasSubstr("ends in 119 min"), Not(HasSubstr("died"))));
  EXPECT_THAT(run({"worker", "w"}).output,
              AllOf(HasSubstr("its lifetime ends in 119 min"), HasSubstr("s for the disk")));
  ASSERT_EQ(kill(ask({"status"})["workers"][0]["pid"].get<pid_t>(), SIGSEGV), 0);
  ASSERT_TRUE(eventually([&] {
    const auto deaths = ask({"status"})["deaths"];
    return deaths.size() == 1 && deaths[0]["certain"] == true;
  }));
  EXPECT_THAT(run({"status"}).output,
              AllOf(HasSubstr("1 worker has died"), HasSubstr("killed by signal 11"), Not(HasSubstr("not certain"))));
}

TEST_F(Operator, ARecordIsReplayedStepByStep) {
  const std::string record = folder.file("record");
  start_scheduler({"--record", record});
  std::string key;
  {
    const auto worker = start_worker("w");
    Client client(file);
    client.wait_for_workers(1);
    const Future future = compute_async(ones({100}, {10}).sum(), client);
    EXPECT_EQ(future.result().item<double>(), 100);
    key = keys().front();
    worker->signal(SIGKILL);
    ASSERT_TRUE(eventually([&] { return client.status().workers.empty(); }));
  }
  scheduler->signal(SIGTERM);
  EXPECT_EQ(scheduler->wait(), 0);

  const Outcome whole = tegula_command({"replay", record, "--check"});
  EXPECT_EQ(whole.status, 0) << whole.output;
  EXPECT_THAT(whole.output, AllOf(HasSubstr("invariants held after each"), HasSubstr("0 workers")));
  // While the result was kept: its story, and the steps that led there.
  const Outcome steps = tegula_command({"replay", record, "--step"});
  EXPECT_THAT(steps.output,
              AllOf(HasSubstr("client connection 1: Submit #1"), HasSubstr("worker w: TaskFinished of " + key)));
  std::smatch match;
  std::uint64_t lost = 0;
  const std::regex line("#([0-9]+) [^\n]*worker w is lost");
  ASSERT_TRUE(std::regex_search(steps.output, match, line)) << steps.output;
  lost = std::stoull(match[1]);
  const std::string before = std::to_string(lost - 1);
  const Outcome why = tegula_command({"replay", record, "--until", before, "--why", key, "--story", key});
  EXPECT_EQ(why.status, 0) << why.output;
  EXPECT_THAT(why.output, AllOf(HasSubstr(before + " events"), HasSubstr("is finished and in memory on w"),
                                HasSubstr("processing -> memory  (worker w")));
  const Outcome after = tegula_command({"replay", record, "--until", std::to_string(lost), "--why", key});
  EXPECT_THAT(after.output, Not(HasSubstr("in memory")));

  const std::string bytes = read_file(record);
  std::ofstream(folder.file("half"), std::ios::binary) << bytes.substr(0, bytes.size() - 13);
  const Outcome half = tegula_command({"replay", folder.file("half")});
  EXPECT_EQ(half.status, 0) << "good up to there";
  EXPECT_THAT(half.output, HasSubstr("ends in the middle"));
  std::string damaged = bytes;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  std::ofstream(folder.file("damaged"), std::ios::binary) << damaged;
  const Outcome bad = tegula_command({"replay", folder.file("damaged")});
  EXPECT_THAT(bad.output, testing::AnyOf(HasSubstr("is damaged at byte"), HasSubstr("ends in the middle")));
}

TEST_F(Operator, ARecordThatCannotBeWrittenIsRefusedAtTheStart) {
  ChildProcess refused({program_path("tegula-scheduler"), "--port", "0", "--record", folder.file("no/folder/record")});
  EXPECT_EQ(refused.wait(), 1);
  EXPECT_THAT(refused.output(), HasSubstr("cannot write the record"));
}

TEST_F(Operator, TheLogNamesWhatAStuckGraphWaitsFor) {
  ChildProcess impatient({program_path("tegula-scheduler"), "--port", "0", "--scheduler-file", file},
                         {"TEGULA_SCHEDULER__STALL_REPORT=200ms"});
  ASSERT_TRUE(impatient.wait_for_output("listening on"));
  Client client(file);
  const Future future = compute_async(ones({100}, {10}).sum(), client);
  EXPECT_TRUE(impatient.wait_for_output("is ready, but no worker is connected")) << impatient.output();
  EXPECT_THAT(impatient.output(), HasSubstr("nothing has finished for"));
}

TEST_F(Operator, CancelledWorkEndsForItsClient) {
  start_scheduler();
  ClientOptions named;
  named.name = "analysis";
  Client client(file, named);
  const Future first = compute_async(ones({100}, {10}).sum(), client);
  const Future second = compute_async(zeros({100}, {10}).sum(), client);
  ASSERT_TRUE(eventually([&] { return client.status().no_worker >= 20; }));
  const auto finish = [&](const Future& future) {
    try {
      future.result();
      return std::string("it has a result");
    } catch (const CancelledError& error) {
      return std::string(error.what());
    }
  };
  // One of the tasks that the first needs.
  std::string key;
  for (const std::string& candidate : keys()) {
    if (key.empty()) key = candidate;
  }
  EXPECT_THAT(run({"cancel", key}).output, HasSubstr("cancelled " + key));
  EXPECT_TRUE(eventually(
      [&] { return first.status() == FutureStatus::kCancelled || second.status() == FutureStatus::kCancelled; }));
  EXPECT_THAT(run({"cancel", "analysis"}).output, HasSubstr("cancelled all that client 'analysis' waits for"));
  EXPECT_THAT(finish(first), HasSubstr("cancelled by the operator"));
  EXPECT_THAT(finish(second), HasSubstr("cancelled by the operator"));
  const Outcome again = run({"cancel", key});
  EXPECT_EQ(again.status, 1);
  const Outcome nobody = run({"cancel", "analysys"});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_THAT(nobody.output, HasSubstr("did you mean 'analysis'?"));
}

TEST_F(Operator, AWorkerRetiresWithoutLosingAResult) {
  start_scheduler();
  const auto first = start_worker("w1");
  Client client(file);
  client.wait_for_workers(1);
  random::Options seeded;
  seeded.seed = 3;
  const Array kept = random::normal(0, 1, {100, 100}, {10, 10}, seeded).persist(client);
  ASSERT_TRUE(eventually([&] { return client.status().memory == 100; }));
  const double sum = kept.sum().compute(client).item<double>();
  const Outcome alone = run({"retire", "w1"});
  EXPECT_EQ(alone.status, 1);
  EXPECT_THAT(alone.output, HasSubstr("worker w1 stays: no worker but it takes"));

  const auto second = start_worker("w2");
  client.wait_for_workers(2);
  const Outcome balanced = run({"rebalance"});
  EXPECT_EQ(balanced.status, 0) << balanced.output;
  EXPECT_THAT(balanced.output, MatchesRegex("moved (4[0-9]|50) results .*\n"));
  const Outcome retired = run({"retire", "w1"});
  EXPECT_EQ(retired.status, 0) << retired.output;
  EXPECT_THAT(retired.output, HasSubstr("worker w1 has left"));
  EXPECT_EQ(first->wait(), 0) << first->output();
  EXPECT_EQ(kept.sum().compute(client).item<double>(), sum);
  const auto status = ask({"status"});
  EXPECT_EQ(status["counters"]["tasks_recomputed"], 0);
  EXPECT_EQ(status["workers"].size(), 1u);
  EXPECT_EQ(status["tasks"]["memory"], 100);

  const auto third = start_worker("w3");
  client.wait_for_workers(2);
  const std::string key = keys().front();
  EXPECT_THAT(run({"replicate", key, "-n", "2"}).output, HasSubstr("made 1 copy"));
  EXPECT_EQ(ask({"task", key})["outputs"][0]["who_has"].size(), 2u);
  EXPECT_THAT(run({"replicate", key, "-n", "3"}).output, HasSubstr("on 3 of 2 workers"));
}

TEST_F(Operator, AProgramAsksAboutItsOwnArrays) {
  start_scheduler();
  const auto first = start_worker("w1");
  const auto second = start_worker("w2");
  Client client(file);
  client.wait_for_workers(2);
  const Array kept = ones({100, 100}, {10, 50}).persist(client);
  kept.replicate(2);
  const std::string key = kept.key({7, 1});
  EXPECT_THAT(key, MatchesRegex(".*-[0-9a-f]{8}\\(7,1\\)"));
  for (std::int64_t row = 0; row < 10; ++row) {
    EXPECT_THAT(client.task(kept.key({row, 0})).outputs.at(0).who_has, UnorderedElementsAre("w1", "w2"));
  }
  const TaskStatus task = client.task(key);
  EXPECT_EQ(task.key, key);
  EXPECT_EQ(task.state, "memory");
  EXPECT_EQ(task.outputs.at(0).nbytes, 10u * 50 * 8);
  EXPECT_EQ(task.outputs.at(0).wants, 1u);
  EXPECT_EQ(task.error, "");
  EXPECT_THAT(client.why(key), HasSubstr("is finished and in memory on"));
  const std::vector<TaskTransition> story = client.story(key);
  ASSERT_GE(story.size(), 2u);
  EXPECT_EQ(story.back().to, "memory");
  EXPECT_NE(story.back().attempt, 0u);
  EXPECT_GE(story.front().seconds_ago, story.back().seconds_ago);
  const WorkerContents held = client.worker("w1");
  EXPECT_EQ(held.results, 20u);
  EXPECT_EQ(held.has_what.size(), 20u);
  EXPECT_EQ(held.nbytes, 100u * 100 * 8);
  EXPECT_THAT(held.processing, IsEmpty());
  client.dump(folder.file("dump.json"));
  EXPECT_THAT(tegula_command({"replay", folder.file("dump.json"), "--why", key}).output, HasSubstr("is memory on"));

  EXPECT_THROW(kept.replicate(3), ValueError) << "there are two workers";
  EXPECT_THROW(kept.key({10, 0}), IndexError);
  EXPECT_THROW(kept.key({1}), IndexError);
  EXPECT_THROW(ones({3}).key({0}), ValueError) << "not persisted";
  EXPECT_THROW(client.task("nothing"), ValueError);
  EXPECT_THROW(client.worker("w3"), ValueError);
  EXPECT_THROW(client.dump(folder.file("no/folder/dump")), FileError);
  EXPECT_THROW(client.cancel(key), ValueError) << "it is finished";
}

}  // namespace
}  // namespace tegula
