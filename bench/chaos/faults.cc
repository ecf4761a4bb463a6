#include "bench/chaos/faults.h"

#include <signal.h>

namespace tegula::chaos {
namespace {

using std::chrono::milliseconds;

// Some are noticed (the scheduler gives a worker up after a second), some are over before.
milliseconds some_time(Random& random) { return milliseconds(50 + pick(random, 2500)); }

unsigned some_worker(Cluster& cluster, Random& random) {
  return static_cast<unsigned>(pick(random, cluster.workers()));
}

unsigned another_worker(Cluster& cluster, Random& random, unsigned not_this) {
  return (not_this + 1 + static_cast<unsigned>(pick(random, cluster.workers() - 1))) % cluster.workers();
}

Injected kill_worker(Cluster& cluster, Random& random) {
  const unsigned worker = some_worker(cluster, random);
  cluster.signal_worker(worker, SIGKILL);
  return {some_time(random), [&cluster, worker] { cluster.restart_worker(worker); }};
}

Injected stop_worker(Cluster& cluster, Random& random) {
  const unsigned worker = some_worker(cluster, random);
  cluster.signal_worker(worker, SIGSTOP);
  return {some_time(random), [&cluster, worker] { cluster.signal_worker(worker, SIGCONT); }};
}

Injected stop_scheduler(Cluster& cluster, Random& random) {
  cluster.signal_scheduler(SIGSTOP);
  return {some_time(random), [&cluster] { cluster.signal_scheduler(SIGCONT); }};
}

// From everybody.
Injected cut_worker(Cluster& cluster, Random& random) {
  const unsigned host = Cluster::host_of_worker(some_worker(cluster, random));
  cluster.network().cut_off(host);
  return {some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

// In one direction, between the scheduler and a worker.
Injected cut_one_way(Cluster& cluster, Random& random) {
  const unsigned host = Cluster::host_of_worker(some_worker(cluster, random));
  if (pick(random, 2) == 0) {
    cluster.network().cut(host, Cluster::kSchedulerHost);
  } else {
    cluster.network().cut(Cluster::kSchedulerHost, host);
  }
  return {some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

Injected cut_from_scheduler(Cluster& cluster, Random& random) {
  const unsigned host = Cluster::host_of_worker(some_worker(cluster, random));
  cluster.network().cut_both(host, Cluster::kSchedulerHost);
  return {some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

Injected cut_between_workers(Cluster& cluster, Random& random) {
  const unsigned one = some_worker(cluster, random);
  const unsigned other = another_worker(cluster, random, one);
  cluster.network().cut_both(Cluster::host_of_worker(one), Cluster::host_of_worker(other));
  return {some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

Injected slow_worker(Cluster& cluster, Random& random) {
  const unsigned host = Cluster::host_of_worker(some_worker(cluster, random));
  cluster.network().limit(host, 1'000'000 + pick(random, 10'000'000));
  return {some_time(random), [&cluster] { cluster.network().heal_all(); }};
}

}  // namespace

std::uint64_t pick(Random& random, std::uint64_t below) { return random() % below; }

const std::vector<FaultKind>& fault_kinds() {
  static const std::vector<FaultKind> all{
      {"kill-worker", false, &kill_worker},
      {"stop-worker", false, &stop_worker},
      {"stop-scheduler", false, &stop_scheduler},
      {"cut-worker", true, &cut_worker},
      {"cut-one-way", true, &cut_one_way},
      {"cut-from-scheduler", true, &cut_from_scheduler},
      {"cut-between-workers", true, &cut_between_workers},
      {"slow-worker", true, &slow_worker},
  };
  return all;
}

}  // namespace tegula::chaos
