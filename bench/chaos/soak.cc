#include "bench/chaos/soak.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "bench/chaos/cluster.h"
#include "bench/chaos/faults.h"
#include "client/session.h"
#include "src/hash.h"
#include "tegula/tegula.h"

namespace tegula::chaos {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr auto kPoll = std::chrono::milliseconds(10);
constexpr auto kAskPatience = std::chrono::seconds(10);
constexpr unsigned kJobs = 4;
constexpr unsigned kMostFaults = 3;                       // of a round
constexpr std::uint64_t kLatestFault = 600;               // milliseconds after the job's begin
constexpr auto kTidyPatience = std::chrono::seconds(20);  // until everything is given back

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Results that are stored and read by others, here and elsewhere: every loss takes something along that is needed.
class Job {
 public:
  Job(std::uint64_t seed, std::int64_t size) : source_(make_source(seed, size)) {}
  std::string answer(const Client& client) const {
    const Array stored = source_.persist(client);
    const Array mixed = (stored + stored.T() * 2).persist(client);
    return bits((mixed * stored).sum(0).compute(client)) + bits(mixed.var().compute(client));
  }

 private:
  static Array make_source(std::uint64_t seed, std::int64_t size) {
    random::Options seeded;
    seeded.seed = seed;
    const std::int64_t chunk = std::max<std::int64_t>(1, size / 16);
    return sin(random::normal(0, 1, {size, size}, {chunk, chunk}, seeded));
  }
  static std::string bits(const HostArray& array) {
    return to_hex(hash_bytes({static_cast<const std::byte*>(array.data()), array.nbytes()}));
  }
  Array source_;
};

// One fault of a round: when it begins, what it is, how it ends.
struct Planned {
  Clock::time_point begins;
  const FaultKind* kind = nullptr;
  bool injected = false;
  Clock::time_point ends;
  std::function<void()> end;  // when injected, and not over
};

class Soak {
 public:
  explicit Soak(const SoakOptions& options) : options_(options) {
    for (const std::string& name : options.kinds) {
      const auto& all = fault_kinds();
      if (std::none_of(all.begin(), all.end(), [&](const FaultKind& kind) { return kind.name == name; })) {
        throw ValueError(fmt::format("no kind of fault is called '{}'", name));
      }
    }
    try {
      cluster_.emplace(options.workers, true, options.directory);
    } catch (const NetworkUnavailable& error) {
      figures_.without = error.what();
      cluster_.emplace(options.workers, false, options.directory);
    }
    for (const FaultKind& kind : fault_kinds()) {
      const bool wanted = options.kinds.empty() ||
                          std::find(options.kinds.begin(), options.kinds.end(), kind.name) != options.kinds.end();
      if (wanted && (cluster_->has_network() || !kind.needs_network)) kinds_.push_back(&kind);
    }
    if (kinds_.empty()) throw ValueError("no kind of fault is possible here: " + figures_.without);
    ClientOptions embedded;
    embedded.threads = 2;
    const Client quiet(embedded);
    for (std::uint64_t i = 0; i < kJobs; ++i) {
      jobs_.emplace_back(options.seed * kJobs + i, options.size);
      answers_.push_back(jobs_.back().answer(quiet));
    }
  }

  SoakFigures run() {
    const auto start = Clock::now();
    monitor_.emplace(cluster_->connect("chaos-monitor"));
    while (figures_.rounds < options_.rounds && figures_.hangs == 0) {
      round();
      ++figures_.rounds;
    }
    figures_.seconds = seconds_since(start);
    return figures_;
  }

 private:
  void round() {
    Random random(options_.seed * 1'000'003 + figures_.rounds);
    const Json before = status().at("counters");
    const std::size_t which = pick(random, kJobs);
    deadline_ = Clock::now() + options_.round_timeout;
    std::vector<Planned> plan = make_plan(random);
    Client client = cluster_->connect("chaos");
    std::future<std::string> answer = std::async(std::launch::async, [&] { return jobs_[which].answer(client); });
    while (answer.wait_for(kPoll) != std::future_status::ready && Clock::now() < deadline_) act(plan, random);
    if (answer.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      hang("the job is not done");
      client.close();
    }
    try {
      if (answer.get() != answers_[which]) tell(figures_.wrong, "the answer is wrong");
    } catch (const Error& error) {
      if (figures_.hangs == 0) tell(figures_.failed, fmt::format("the job failed: {}", error.what()));
    }
    for (Planned& fault : plan) {
      if (fault.end) fault.end();
    }
    cluster_->mend();
    client.close();
    if (figures_.hangs > 0) return;
    come_together();
    check_for_leaks();
    const Json after = status().at("counters");
    figures_.recomputed += grown(before, after, "tasks_recomputed");
    figures_.workers_lost += grown(before, after, "workers_lost");
  }

  static std::uint64_t grown(const Json& before, const Json& after, const char* counter) {
    const auto was = before.at(counter).get<std::uint64_t>(), is = after.at(counter).get<std::uint64_t>();
    return is >= was ? is - was : is;  // a scheduler that was started again counts from 0
  }

  std::vector<Planned> make_plan(Random& random) {
    std::vector<Planned> plan(1 + pick(random, kMostFaults));
    for (Planned& fault : plan) {
      fault.begins = Clock::now() + std::chrono::milliseconds(pick(random, kLatestFault));
      fault.kind = kinds_[pick(random, kinds_.size())];
    }
    std::sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.begins < b.begins; });
    return plan;
  }

  void act(std::vector<Planned>& plan, Random& random) {
    for (Planned& fault : plan) {
      if (!fault.injected && Clock::now() >= fault.begins) {
        const Injected injected = fault.kind->inject(*cluster_, random);
        fault.injected = true;
        fault.ends = Clock::now() + injected.lasts;
        fault.end = injected.end;
        ++figures_.faults[std::string(fault.kind->name)];
      } else if (fault.end && Clock::now() >= fault.ends) {
        std::exchange(fault.end, nullptr)();
      }
    }
  }

  // Everybody comes back once nothing is broken any more.
  void come_together() {
    const auto deadline = Clock::now() + options_.round_timeout;
    while (!cluster_->complete(*monitor_)) {
      if (Clock::now() > deadline) return hang("not all workers have come back");
      if (const std::string story = cluster_->restart_ended(); !story.empty()) tell(figures_.failed, story);
      std::this_thread::sleep_for(kPoll);
    }
  }

  void check_for_leaks() {
    const auto deadline = Clock::now() + kTidyPatience;
    std::string held;
    do {
      held = what_is_held(status());
      if (held.empty()) return;
      std::this_thread::sleep_for(kPoll);
    } while (Clock::now() < deadline);
    tell(figures_.leaks, "held after everything was given back: " + held);
    save_dump();
  }

  static std::string what_is_held(const Json& status) {
    std::vector<std::string> held;
    const auto note = [&](const std::string& what, const Json& count) {
      if (count.get<std::uint64_t>() != 0) held.push_back(fmt::format("{} {}", count.get<std::uint64_t>(), what));
    };
    for (const auto& [state, count] : status.at("tasks").items()) note("tasks " + state, count);
    note("layers", status.at("layers"));
    for (const Json& worker : status.at("workers")) {
      for (const char* field : {"managed_bytes", "reserved_bytes", "processing", "executing", "ready", "waiting"}) {
        note(fmt::format("{} of {}", field, worker.at("name").get<std::string>()), worker.at(field));
      }
    }
    return fmt::format("{}", fmt::join(held, ", "));
  }

  Json status() const { return Json::parse(monitor_->impl()->ask(msg::QueryKind::kStatus, "", kAskPatience)); }

  void tell(std::uint64_t& count, const std::string& what) {
    ++count;
    figures_.stories.push_back(fmt::format("round {}: {}", figures_.rounds, what));
  }
  void hang(const std::string& what) {
    tell(figures_.hangs, what);
    save_dump();
  }
  // For whoever looks for the cause, when a directory was named.
  void save_dump() {
    if (options_.directory.empty()) return;
    const std::string path = fmt::format("{}/round-{}.json", options_.directory, figures_.rounds);
    try {
      std::ofstream(path) << monitor_->impl()->ask(msg::QueryKind::kDump, "", kAskPatience);
    } catch (const Error& error) {
      figures_.stories.push_back(fmt::format("no dump: {}", error.what()));
    }
  }

  SoakOptions options_;
  SoakFigures figures_;
  std::optional<Cluster> cluster_;
  std::vector<const FaultKind*> kinds_;
  std::vector<Job> jobs_;
  std::vector<std::string> answers_;
  std::optional<Client> monitor_;
  Clock::time_point deadline_;
};

}  // namespace

SoakFigures soak(const SoakOptions& options) { return Soak(options).run(); }

}  // namespace tegula::chaos
