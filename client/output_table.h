// What a session knows about the wanted outputs of one layer: one table for all its tasks, so that a million chunks
// need no million objects.
//
// Threads: guarded by the session's mutex. Only the session's loop changes what finishes; user threads read, and
// cancel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "comm/messages.h"
#include "src/graph.h"
#include "src/ids.h"
#include "tegula/client.h"

namespace tegula::client {

class OutputTable {
 public:
  OutputTable(LayerNumber layer, std::uint16_t output, std::uint32_t size);

  struct Ready {
    ResultId result;
    std::uint64_t nbytes = 0;
    std::vector<WorkerId> holders;
  };

  LayerNumber layer() const { return layer_; }
  std::uint16_t output() const { return output_; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(status_.size()); }

  FutureStatus status(std::uint32_t index) const { return status_[index]; }
  // kError if any erred, else kCancelled if any, else kLost if any, else kPending if any, else kFinished.
  FutureStatus status() const;
  // Nothing more to wait for: everything finished, or something failed.
  bool settled() const { return status() != FutureStatus::kPending; }
  std::uint64_t pending() const { return count(FutureStatus::kPending); }
  std::uint64_t nbytes() const { return nbytes_; }  // of finished results
  const Ready& ready(std::uint32_t index) const { return ready_[index]; }
  const ErrorInfo* error(std::uint32_t index) const;
  const ErrorInfo* first_error() const;  // in time; without errors, what cancelled the first result

  // Each returns whether it changed anything. What is cancelled stays so.
  bool set_ready(std::uint32_t index, Ready ready);
  bool set_error(std::uint32_t index, ErrorInfo error);
  bool set_lost(std::uint32_t index);  // to be computed again
  bool lose_finished();                // all that were finished: a scheduler that was started again knows none of them
  bool end_pending(FutureStatus how);  // all that is pending: cancelled, or lost for good
  void renew();                        // a new want of this output: what failed or was cancelled is pending again

  // Called on the loop with the mutex held, after each change: what fetches these results listens here. Numbered for
  // removal.
  using Listener = std::function<void(std::uint32_t index)>;
  static constexpr std::uint32_t kEveryIndex = 0xFFFFFFFFu;
  std::map<std::uint64_t, Listener> listeners;

 private:
  void move(std::uint32_t index, FutureStatus to);
  std::uint64_t& count(FutureStatus status) { return counts_[static_cast<std::size_t>(status)]; }
  std::uint64_t count(FutureStatus status) const { return counts_[static_cast<std::size_t>(status)]; }

  LayerNumber layer_;
  std::uint16_t output_;
  std::vector<FutureStatus> status_;
  std::vector<Ready> ready_;  // by index; allocated with the first
  std::map<std::uint32_t, ErrorInfo> errors_;
  std::optional<std::uint32_t> first_error_;
  std::optional<std::uint32_t> first_cancelled_;  // by the scheduler
  std::array<std::uint64_t, 5> counts_{};
  std::uint64_t nbytes_ = 0;
};

}  // namespace tegula::client
