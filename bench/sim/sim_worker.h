// A worker in virtual time: the real state machine of a worker, with threads that only wait and results that only have
// a size. What it wants done in the world is handed to its Host.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bench/sim/network.h"
#include "comm/messages.h"
#include "worker/core/state.h"

namespace tegula::sim {

class SimWorker {
 public:
  // Its surroundings. Each call is answered by a call of the worker at a later time, if at all.
  class Host {
   public:
    virtual ~Host() = default;
    virtual void send(SimWorker& worker, std::vector<msg::Message> messages) = 0;  // to the scheduler
    virtual void fetch(SimWorker& worker, worker::StartFetch fetch) = 0;           // -> replied() or fetch_failed()
    virtual void execute(SimWorker& worker, TaskId task, AttemptId attempt) = 0;   // on a free thread -> finished()
    virtual void wake(SimWorker& worker, Time at) = 0;                             // -> woken()
    virtual void attempt_ended(SimWorker& worker, AttemptId attempt) = 0;          // one that was awaited
  };

  SimWorker(Host& host, std::uint32_t number, unsigned threads, std::uint64_t memory_limit);

  std::uint32_t number() const { return number_; }  // from 0
  WorkerId id() const { return static_cast<WorkerId>(number_ + 1); }
  msg::RegisterWorker registration() const;

  void received(std::vector<msg::Message> messages, Time now);
  void finished(AttemptId attempt, TaskId task, Time lasted, Time now);
  void replied(msg::FetchReply reply, Time now);
  void fetch_failed(std::uint64_t request, Time now);
  void woken(Time at, Time now);
  // Whether it has all that the fetch asks for.
  bool has_all(const worker::StartFetch& fetch) const;
  void awaited(AttemptId attempt, Time now);
  // What a peer gets for its fetch, and how many bytes that is.
  std::pair<msg::FetchReply, std::uint64_t> serve(const worker::StartFetch& fetch) const;

  msg::WorkerHeartbeat heartbeat() {
    msg::WorkerHeartbeat beat = core_.heartbeat();
    beat.transfers = core_.take_transfers();
    return beat;
  }
  std::uint64_t memory() const { return core_.managed_bytes() + core_.reserved_bytes(); }
  std::uint64_t stored() const { return core_.managed_bytes(); }

  bool alive() const { return alive_; }
  void die();  // what it had is gone; nothing more will come of it
  bool idle() const { return core_.attempts() == 0 && core_.results() == 0; }

 private:
  void handle(Time now);
  void act(std::vector<worker::Action>& actions);
  void start_next();

  Host& host_;
  std::uint32_t number_;
  unsigned threads_;
  std::uint64_t memory_limit_;
  bool alive_ = true;
  worker::WorkerState core_;
  std::vector<worker::Event> events_;
  unsigned busy_ = 0;                    // threads
  std::deque<worker::Execute> waiting_;  // for a thread
  std::optional<Time> wake_at_;
  std::unordered_map<LayerId, msg::LayerPtr> layers_;
};

}  // namespace tegula::sim
