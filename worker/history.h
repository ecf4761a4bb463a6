// What a worker's tasks took lately, its disk and its event loop, for whoever asks it (`tegula worker`). Bounded: the
// last kTasks tasks, and sums since the start. On the event loop.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/turn_watch.h"
#include "worker/core/events.h"
#include "worker/data_server.h"
#include "worker/idle_thread.h"
#include "worker/peer_fetcher.h"
#include "worker/store/spiller.h"

namespace tegula::worker {

class History {
 public:
  static constexpr std::size_t kTasks = 1024;

  void handed_over(const Execute& execute, Time now);  // to the executor
  void heard(const Event& event, Time now);            // from the executor
  void forget_running();                               // a new life begins; what has ended stays told

  // What is told beside the tasks.
  struct Surroundings {
    msg::WorkerHeartbeat beat;
    std::vector<PeerFetcher::Traffic> fetched;
    std::vector<DataServer::Traffic> served;
    Spiller::Counters disk;
    const TurnWatch* turns = nullptr;         // null: nobody watches
    const IdleThread* idle_thread = nullptr;  // there when turns are
  };
  // As JSON: {"counters": {...}, "disk": {...}, "turns": {...} where they are watched, "tasks": [newest last],
  // "from_peers": [...], "to_peers": [...]}. Task ids are the scheduler's ("12/7", as `tegula task` takes them).
  std::string text(const Surroundings& around, Time now) const;

 private:
  struct Running {
    TaskId task{};
    Time fetched_in{0};
    Time read_in{0};
    Time handed_over{0};
  };
  struct Ended {
    TaskId task{};
    Time ended{0};
    Time fetched_in{0};   // its inputs came from others
    Time read_in{0};      // and, at the same time, from disk
    Time queued{0};       // it waited for a thread
    Time computed_in{0};  // its kernel ran
    bool failed = false;
  };
  void end(AttemptId attempt, std::uint64_t compute_ns, bool failed, Time now);

  std::unordered_map<AttemptId, Running> running_;
  std::deque<Ended> ended_;
  std::uint64_t finished_ = 0, failed_ = 0;
  Time fetched_in_{0}, read_in_{0}, computed_in_{0};
};

}  // namespace tegula::worker
