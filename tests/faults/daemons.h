// A scheduler and workers as processes of a test, each where the test puts it; and a job whose answer is known.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/session.h"
#include "tegula/tegula.h"
#include "tests/support/bits.h"
#include "tests/support/child_process.h"

namespace tegula::test {

// Makes a command line into the one that runs it elsewhere: in another network, say.
using Place = std::function<std::vector<std::string>(std::vector<std::string>)>;

class Daemons {
 public:
  // `environment` goes to all of them.
  explicit Daemons(std::vector<std::string> environment) : environment_(std::move(environment)) {}

  void start_scheduler(const std::string& host = "127.0.0.1", const Place& place = {}) {
    scheduler_ =
        start({program_path("tegula-scheduler"), "--host", host, "--port", "0", "--scheduler-file", file()}, place);
    ASSERT_TRUE(scheduler_->wait_for_output("listening on")) << scheduler_->output();
  }
  void start_worker(const std::string& name, const Place& place = {}) {
    workers_[name] = start(
        {program_path("tegula-worker"), "--scheduler-file", file(), "--nthreads", "1", "--no-nanny", "--name", name},
        place);
  }
  std::string file() const { return folder_.file("scheduler.json"); }
  ChildProcess& scheduler() { return *scheduler_; }
  ChildProcess& worker(const std::string& name) { return *workers_.at(name); }

  // What everybody wrote, for the message of a test that failed.
  std::string story() {
    std::string text = "scheduler:\n" + scheduler_->output();
    for (const auto& [name, worker] : workers_) text += name + ":\n" + worker->output();
    return text;
  }

 private:
  std::unique_ptr<ChildProcess> start(std::vector<std::string> command, const Place& place) {
    if (place) command = place(std::move(command));
    return std::make_unique<ChildProcess>(command, environment_);
  }
  TemporaryDirectory folder_;
  std::vector<std::string> environment_;
  std::unique_ptr<ChildProcess> scheduler_;
  std::map<std::string, std::unique_ptr<ChildProcess>> workers_;
};

// What the scheduler says of itself: `tegula status --json`.
inline nlohmann::json status_of(const Client& client) {
  return nlohmann::json::parse(client.impl()->ask(msg::QueryKind::kStatus, "", std::chrono::seconds(20)));
}
inline std::uint64_t counter(const Client& client, const char* name) {
  return status_of(client).at("counters").at(name).get<std::uint64_t>();
}

// The named workers, and no others, are there.
inline bool there_are(Client& client, const std::vector<std::string>& names) {
  std::vector<std::string> found;
  for (const WorkerStatus& worker : client.status().workers) found.push_back(worker.name);
  std::sort(found.begin(), found.end());
  return found == names;
}

// Two layers that store what they make, so that a lost worker takes results with it that are needed later; and the
// answer that a quiet cluster gives, to the last bit.
struct Job {
  explicit Job(std::uint64_t number, std::int64_t size = 2000, std::int64_t chunk = 125)
      : seed(number), source(make(size, chunk)) {}

  std::string expected() const {
    ClientOptions embedded;
    embedded.threads = 2;
    const Client client(embedded);
    return answer(client, source.persist(client));
  }
  // `stored` is the source, persisted.
  std::string answer(const Client& client, const Array& stored) const {
    return bits_of((stored * 2 + 1).sum(0).compute(client)) + bits_of((stored + stored.T()).sum().compute(client));
  }

  std::uint64_t seed;
  Array source;

 private:
  Array make(std::int64_t size, std::int64_t chunk) const {
    random::Options seeded;
    seeded.seed = seed;
    return sin(random::normal(0, 1, {size, size}, {chunk, chunk}, seeded));
  }
};

}  // namespace tegula::test
