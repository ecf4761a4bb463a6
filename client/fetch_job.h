// One call of ResultSet::fetch: asks workers for results as these become ready, with a bounded number of bytes in
// flight, and hands them to the calling thread. A result whose holders fail is asked for again, elsewhere or later.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "client/output_table.h"
#include "client/session_core.h"
#include "src/chunk.h"

namespace tegula::client {

class FetchJob : public std::enable_shared_from_this<FetchJob> {
 public:
  // An index that is named several times is fetched once.
  FetchJob(std::shared_ptr<SessionCore> core, std::shared_ptr<OutputTable> table,
           const std::vector<std::uint32_t>& indices);

  // Once, on any thread but the loop. Throws what the first failed result failed with, or what `deliver` throws.
  void run(const std::function<void(std::uint32_t, const Chunk&)>& deliver);

 private:
  enum class State : std::uint8_t { kUnwanted, kWaiting, kReady, kAsked, kResting, kArrived };

  // On the loop.
  void start();
  void end();
  void look(std::uint32_t index);  // at its status in the table
  void look_later();               // at those that changed, in one go
  void pump();
  struct Asked {
    std::uint32_t index = 0;
    std::uint64_t bytes = 0;  // as reported: what it counts for in bytes_out_
    ResultId result;
  };
  void ask(WorkerId worker, std::vector<Asked> batch);
  void take(WorkerId worker, const std::vector<Asked>& batch, msg::FetchReply* reply, const std::string& reason);
  void retry(const std::vector<Asked>& failed, WorkerId worker, const std::string& reason);
  void fail(std::exception_ptr error);

  const std::shared_ptr<SessionCore> core_;
  const std::shared_ptr<OutputTable> table_;

  // The loop's own.
  std::vector<State> states_;  // by index
  std::deque<std::uint32_t> ready_;
  std::vector<std::uint32_t> changed_;
  bool look_scheduled_ = false;
  std::unordered_map<std::uint32_t, std::uint32_t> failures_;  // by index, since it became ready
  std::vector<std::uint32_t> resting_;                         // until the timer rings
  std::unique_ptr<EventLoop::Timer> rest_timer_;
  std::uint64_t listener_ = 0;
  std::uint64_t bytes_out_ = 0;  // asked for and not yet consumed
  bool ended_ = false;

  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable arrived_;
  struct Arrived {
    Asked asked;
    Chunk chunk;
  };
  std::deque<Arrived> chunks_;
  std::exception_ptr error_;
  std::size_t undelivered_ = 0;
};

}  // namespace tegula::client
