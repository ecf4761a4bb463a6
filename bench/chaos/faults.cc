#include "bench/chaos/faults.h"

#include <signal.h>

namespace tegula::chaos {
namespace {

using std::chrono::milliseconds;
using Struck = std::optional<Injected>;

constexpr auto kWhileFull = milliseconds(1000);
constexpr auto kPoisonTime = std::chrono::seconds(120);
constexpr std::uint64_t kMoreThanThereIs = std::uint64_t{1} << 60;  // and than addresses can tell apart

// Some are noticed (the scheduler gives a worker up after a second), some are over before.
milliseconds some_time(Random& random) { return milliseconds(50 + pick(random, 2500)); }

unsigned some_worker(Cluster& cluster, Random& random) {
  return static_cast<unsigned>(pick(random, cluster.workers()));
}

unsigned another_worker(Cluster& cluster, Random& random, unsigned not_this) {
  return (not_this + 1 + static_cast<unsigned>(pick(random, cluster.workers() - 1))) % cluster.workers();
}

Struck kill_worker(Cluster& cluster, Random& random) {
  const unsigned worker = some_worker(cluster, random);
  if (!cluster.signal_worker(worker, SIGKILL)) return std::nullopt;
  return Injected{some_time(random), [&cluster, worker] { cluster.restart_worker(worker); }};
}

Struck stop_worker(Cluster& cluster, Random& random) {
  const unsigned worker = some_worker(cluster, random);
  if (!cluster.signal_worker(worker, SIGSTOP)) return std::nullopt;
  return Injected{some_time(random), [&cluster, worker] { cluster.signal_worker(worker, SIGCONT); }};
}

Struck stop_scheduler(Cluster& cluster, Random& random) {
  if (!cluster.signal_scheduler(SIGSTOP)) return std::nullopt;
  return Injected{some_time(random), [&cluster] { cluster.signal_scheduler(SIGCONT); }};
}

// From everybody.
Struck cut_worker(Cluster& cluster, Random& random) {
  const unsigned host = Cluster::host_of_worker(some_worker(cluster, random));
  cluster.network().cut_off(host);
  return Injected{some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

// In one direction, between the scheduler and a worker.
Struck cut_one_way(Cluster& cluster, Random& random) {
  const unsigned host = Cluster::host_of_worker(some_worker(cluster, random));
  if (pick(random, 2) == 0) {
    cluster.network().cut(host, Cluster::kSchedulerHost);
  } else {
    cluster.network().cut(Cluster::kSchedulerHost, host);
  }
  return Injected{some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

Struck cut_from_scheduler(Cluster& cluster, Random& random) {
  const unsigned host = Cluster::host_of_worker(some_worker(cluster, random));
  cluster.network().cut_both(host, Cluster::kSchedulerHost);
  return Injected{some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

Struck cut_between_workers(Cluster& cluster, Random& random) {
  const unsigned one = some_worker(cluster, random);
  const unsigned other = another_worker(cluster, random, one);
  cluster.network().cut_both(Cluster::host_of_worker(one), Cluster::host_of_worker(other));
  return Injected{some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

Struck slow_worker(Cluster& cluster, Random& random) {
  const unsigned host = Cluster::host_of_worker(some_worker(cluster, random));
  cluster.network().limit(host, 1'000'000 + pick(random, 10'000'000));
  return Injected{some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

Struck kill_nanny(Cluster& cluster, Random& random) {
  const unsigned worker = some_worker(cluster, random);
  if (!cluster.kill_nanny(worker)) return std::nullopt;
  return Injected{some_time(random), [&cluster, worker] { cluster.restart_worker(worker); }};
}

// Whether the next one listens where this one did, or anywhere, is drawn; all look into the scheduler file.
Struck kill_scheduler(Cluster& cluster, Random& random) {
  if (!cluster.kill_scheduler(pick(random, 2) == 0)) return std::nullopt;
  return Injected{some_time(random), [&cluster] { cluster.restart_scheduler(); }};
}

// Long enough that workers with more than fits into memory meet it.
Struck fill_disk(Cluster& cluster, Random& random) {
  cluster.disk().fill();
  return Injected{kWhileFull + some_time(random), [&cluster] { cluster.disk().clear(); }};
}

std::shared_ptr<Poison> poison(const Cluster& cluster, std::uint64_t bytes, ErrorCode expected) {
  return std::make_shared<Poison>([&cluster] { return cluster.connect("chaos-poison"); }, bytes, expected, kPoisonTime);
}

// A kernel that asks the system for more than there can be. It hears so, and the worker lives.
Struck out_of_memory(Cluster& cluster, Random&) {
  return Injected{milliseconds(0), {}, poison(cluster, kMoreThanThereIs, ErrorCode::kOutOfMemory)};
}

// A kernel that takes what it gets, until the machine's kernel kills its worker; and the next one, and one more.
Struck kill_by_memory(Cluster& cluster, Random&) {
  return Injected{milliseconds(0), {}, poison(cluster, 2 * cluster.group_bytes(), ErrorCode::kKilledWorker)};
}

}  // namespace

std::uint64_t pick(Random& random, std::uint64_t below) { return random() % below; }

const std::vector<FaultKind>& fault_kinds() {
  static const std::vector<FaultKind> all{
      {"kill-worker", Means::kNothing, Stage::kAny, &kill_worker},
      {"kill-nanny", Means::kNanny, Stage::kAny, &kill_nanny},
      {"stop-worker", Means::kNothing, Stage::kAny, &stop_worker},
      {"stop-scheduler", Means::kNothing, Stage::kAny, &stop_scheduler},
      {"kill-scheduler", Means::kNothing, Stage::kNoJournal, &kill_scheduler},
      {"kill-scheduler-with-journal", Means::kNothing, Stage::kJournal, &kill_scheduler},
      {"fill-disk", Means::kSmallDisk, Stage::kSpilling, &fill_disk},
      {"out-of-memory", Means::kNothing, Stage::kAny, &out_of_memory},
      {"kill-by-memory", Means::kMemoryGroups, Stage::kAny, &kill_by_memory},
      {"cut-worker", Means::kNetwork, Stage::kAny, &cut_worker},
      {"cut-one-way", Means::kNetwork, Stage::kAny, &cut_one_way},
      {"cut-from-scheduler", Means::kNetwork, Stage::kAny, &cut_from_scheduler},
      {"cut-between-workers", Means::kNetwork, Stage::kAny, &cut_between_workers},
      {"slow-worker", Means::kNetwork, Stage::kAny, &slow_worker},
  };
  return all;
}

}  // namespace tegula::chaos
