#include "bench/chaos/soak.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>
#include <utility>

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
constexpr std::uint64_t kFirstFault = 50;                 // the same, so that no job is over before
constexpr auto kTidyPatience = std::chrono::seconds(20);  // until everything is given back
// Of a worker in a soak in which disks are filled up; and what of that is for values, about (docs/memory.md).
constexpr std::uint64_t kMemoryLimit = 48'000'000, kForValues = 33'000'000;
constexpr std::uint64_t kGroup = 256'000'000;  // of a control group, beside what the job may take

// What daemons write when a fault has struck them.
constexpr std::pair<const char*, std::uint64_t SoakFigures::*> kLogged[] = {
    {"no room to spill values to", &SoakFigures::disks_full},
    {" sessions from ", &SoakFigures::journals_read},
    {"; starts again in ", &SoakFigures::nanny_restarts},
};

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
  std::chrono::milliseconds after{0};  // the job's begin
  const FaultKind* kind = nullptr;
  bool injected = false;
  Clock::time_point ends;
  std::function<void()> end;       // when injected, and not over
  std::shared_ptr<Poison> poison;  // that it put into the cluster
};

class Soak {
 public:
  explicit Soak(const SoakOptions& options) : options_(options) {
    const std::vector<const FaultKind*> wanted = wanted_kinds(options);
    cluster_.emplace(cluster_options(options, wanted));
    for (const FaultKind* kind : wanted) {
      if (cluster_->has(kind->needs)) kinds_.push_back(kind);
    }
    for (const auto& [means, why] : cluster_->without()) {
      if (means != Means::kNanny) figures_.without[std::string(name_of(means))] = why;
    }
    if (kinds_.empty()) throw ValueError(fmt::format("no kind of fault is possible here: {}", why_not()));
    const bool spilling = std::any_of(kinds_.begin(), kinds_.end(), is_spilling);
    ClientOptions embedded;
    embedded.threads = 2;
    const Client quiet(embedded);
    for (std::uint64_t i = 0; i < kJobs; ++i) {
      jobs_.emplace_back(options.seed * kJobs + i, options.size);
      answers_.push_back(jobs_.back().answer(quiet));
    }
    if (!spilling) return;
    large_job_.emplace(options.seed * kJobs, large_size(options));
    large_answer_ = large_job_->answer(quiet);
  }

  SoakFigures run() {
    const auto start = Clock::now();
    monitor_.emplace(cluster_->connect("chaos-monitor"));
    for (const auto& [text, figure] : kLogged) figures_.*figure -= cluster_->lines_with(text);  // of earlier soaks
    while (figures_.rounds < options_.rounds && figures_.hangs == 0) {
      round();
      ++figures_.rounds;
    }
    figures_.seconds = seconds_since(start);
    figures_.killed_for_memory = cluster_->killed_for_memory();
    for (const auto& [text, figure] : kLogged) figures_.*figure += cluster_->lines_with(text);
    return figures_;
  }

 private:
  static std::vector<const FaultKind*> wanted_kinds(const SoakOptions& options) {
    std::vector<const FaultKind*> wanted;
    for (const FaultKind& kind : fault_kinds()) {
      if (options.kinds.empty() || std::count(options.kinds.begin(), options.kinds.end(), kind.name) > 0) {
        wanted.push_back(&kind);
      }
    }
    for (const std::string& name : options.kinds) {
      if (std::none_of(wanted.begin(), wanted.end(), [&](const FaultKind* kind) { return kind->name == name; })) {
        throw ValueError(fmt::format("no kind of fault is called '{}'", name));
      }
    }
    return wanted;
  }

  static bool is_spilling(const FaultKind* kind) { return kind->stage == Stage::kSpilling; }

  // The side of an array that is a third larger than what all workers have for values; the job keeps two of them.
  static std::int64_t large_size(const SoakOptions& options) {
    const double elements = static_cast<double>(options.workers) * kForValues * 4 / 3 / sizeof(double);
    return std::max(options.size, static_cast<std::int64_t>(std::sqrt(elements)));
  }

  static ClusterOptions cluster_options(const SoakOptions& options, const std::vector<const FaultKind*>& wanted) {
    ClusterOptions cluster;
    cluster.workers = options.workers;
    cluster.nanny = options.nanny;
    cluster.directory = options.directory;
    const auto array_of = [](std::int64_t size) { return static_cast<std::uint64_t>(size * size) * sizeof(double); };
    if (std::any_of(wanted.begin(), wanted.end(), is_spilling)) {
      cluster.memory_limit = kMemoryLimit;
      cluster.disk_bytes = 4 * array_of(large_size(options));  // room for all, and for what dead workers left
    }
    if (std::any_of(wanted.begin(), wanted.end(), [](auto* kind) { return kind->needs == Means::kMemoryGroups; })) {
      // What a worker writes to a disk in memory counts as well.
      cluster.group_bytes = kGroup + 4 * array_of(options.size) + cluster.disk_bytes;
    }
    return cluster;
  }

  // What is missing for the kinds that were asked for.
  std::string why_not() const {
    std::vector<std::string> reasons;
    for (const auto& [means, why] : cluster_->without()) reasons.push_back(fmt::format("{}: {}", name_of(means), why));
    return fmt::format("{}", fmt::join(reasons, "; "));
  }

  void round() {
    Random random(options_.seed * 1'000'003 + figures_.rounds);
    std::size_t which = pick(random, kJobs);
    std::vector<Planned> plan = make_plan(random);
    const bool large = std::any_of(plan.begin(), plan.end(), [](auto& fault) { return is_spilling(fault.kind); });
    const Job& job = large ? *large_job_ : jobs_[which];
    set_the_stage(plan);
    if (figures_.hangs > 0) return;
    const Json before = status().at("counters");
    deadline_ = Clock::now() + options_.round_timeout;
    Client client = cluster_->connect("chaos");
    const auto begin = Clock::now();
    std::future<std::string> answer = std::async(std::launch::async, [&] { return job.answer(client); });
    while (!(is_there(answer) && all_poison_done(plan)) && Clock::now() < deadline_) {
      act(plan, begin, !is_there(answer), random);
      answer.wait_for(kPoll);
      if (is_there(answer)) std::this_thread::sleep_for(kPoll);
    }
    if (!is_there(answer)) {
      hang("the job is not done");
      client.close();
    }
    try {
      if (answer.get() != (large ? large_answer_ : answers_[which])) tell(figures_.wrong, "the answer is wrong");
    } catch (const Error& error) {
      if (figures_.hangs == 0) tell(figures_.failed, fmt::format("the job failed: {}", error.what()));
    }
    for (Planned& fault : plan) {
      if (fault.end) fault.end();
    }
    cluster_->mend();
    client.close();
    for (Planned& fault : plan) judge(fault);
    if (figures_.hangs > 0) return;
    come_together();
    if (figures_.hangs > 0) return;
    check_for_leaks();
    const Json after = status().at("counters");
    figures_.recomputed += grown(before, after, "tasks_recomputed");
    figures_.workers_lost += grown(before, after, "workers_lost");
  }

  static bool is_there(const std::future<std::string>& answer) {
    return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  static bool all_poison_done(const std::vector<Planned>& plan) {
    return std::all_of(plan.begin(), plan.end(), [](auto& fault) { return !fault.poison || fault.poison->done(); });
  }

  void judge(Planned& fault) {
    if (!fault.poison) return;
    if (!fault.poison->done() && Clock::now() >= deadline_) return hang("a poisoned task is not done");
    const std::string verdict = fault.poison->verdict();
    verdict.empty() ? void(++figures_.poisoned) : tell(figures_.failed, verdict);
    fault.poison.reset();
  }

  static std::uint64_t grown(const Json& before, const Json& after, const char* counter) {
    const auto was = before.at(counter).get<std::uint64_t>(), is = after.at(counter).get<std::uint64_t>();
    return is >= was ? is - was : is;  // a scheduler that was started again counts from 0
  }

  std::vector<Planned> make_plan(Random& random) {
    std::vector<Planned> plan(1 + pick(random, kMostFaults));
    for (Planned& fault : plan) {
      fault.after = std::chrono::milliseconds(pick(random, kLatestFault));
      fault.kind = kinds_[pick(random, kinds_.size())];
    }
    plan.front().after = std::chrono::milliseconds(pick(random, kFirstFault));
    std::sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.after < b.after; });
    // A scheduler has a journal or it has none: the round's first fault that asks for either decides.
    const FaultKind* decided = nullptr;
    for (Planned& fault : plan) {
      if (!is_about_journals(fault.kind)) continue;
      if (decided == nullptr) decided = fault.kind;
      fault.kind = decided;
    }
    return plan;
  }

  static bool is_about_journals(const FaultKind* kind) {
    return kind->stage == Stage::kJournal || kind->stage == Stage::kNoJournal;
  }

  void set_the_stage(const std::vector<Planned>& plan) {
    for (const Planned& fault : plan) {
      if (is_about_journals(fault.kind)) cluster_->use_journal(fault.kind->stage == Stage::kJournal);
    }
    come_together();
  }

  void act(std::vector<Planned>& plan, Clock::time_point begin, bool more, Random& random) {
    for (Planned& fault : plan) {
      if (!fault.injected && more && Clock::now() >= begin + fault.after) {
        fault.injected = true;
        std::optional<Injected> injected = fault.kind->inject(*cluster_, random);
        if (!injected) continue;
        fault.ends = Clock::now() + injected->lasts;
        fault.end = std::move(injected->end);
        fault.poison = std::move(injected->poison);
        ++figures_.faults[std::string(fault.kind->name)];
      } else if (fault.end && Clock::now() >= fault.ends) {
        std::exchange(fault.end, nullptr)();
      } else if (fault.poison) {
        cluster_->restart_those_out_of_memory();
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
      for (const char* field :
           {"managed_bytes", "reserved_bytes", "spilled_bytes", "processing", "executing", "ready", "waiting"}) {
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
  std::optional<Job> large_job_;  // does not fit into memory
  std::string large_answer_;
  std::optional<Client> monitor_;
  Clock::time_point deadline_;
};

}  // namespace

SoakFigures soak(const SoakOptions& options) { return Soak(options).run(); }

}  // namespace tegula::chaos
