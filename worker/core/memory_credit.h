// How much memory a worker offers for roots and for tasks that wait for other workers: what is free or could leave
// memory, less what tasks that it has will take and have not got yet. At least a sixty-fourth of its limit is there for
// both, so that tasks that need little come, and a worker for which nothing waits takes one whatever it needs. In KiB
// and cumulative, like the slots: what was offered once can't be taken back.
#pragma once

#include <cstdint>

namespace tegula::worker {

class MemoryCredit {
 public:
  // Bytes. Without a limit (0) any amount is granted at once; else what there is room for.
  MemoryCredit(std::uint64_t limit, std::uint64_t room);

  void receive(std::uint32_t kib) { received_ += kib; }
  std::uint64_t granted() const { return granted_; }
  std::uint64_t received() const { return received_; }
  // Raises the grant so that what is open of it is what is offered, with `room` bytes free and `claimed` KiB of tasks
  // that wait. True when that is worth a message.
  bool top_up(std::uint64_t room, std::uint64_t claimed);

 private:
  std::uint64_t limit_;  // KiB
  std::uint64_t least_;  // offered, less what is claimed
  std::uint64_t granted_;
  std::uint64_t received_ = 0;
};

}  // namespace tegula::worker
