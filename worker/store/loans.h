// Values that are being sent: each is lent as a handle that says when its last user has let go of it. On the event
// loop; handles may end on any thread, and outlive everything else.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "comm/event_loop.h"
#include "src/chunk.h"
#include "worker/store/loop_desk.h"

namespace tegula::worker {

class Loans {
 public:
  // `ended` is called on the loop for each loan, until this is destroyed.
  Loans(EventLoop& loop, std::function<void(Buffer)> ended)
      : desk_(std::make_shared<LoopDesk>(loop)),
        ended_(std::make_shared<std::function<void(Buffer)>>(std::move(ended))) {}
  ~Loans() { desk_->close(); }
  Loans(const Loans&) = delete;
  Loans& operator=(const Loans&) = delete;

  // The same value, with the same identity of its buffer.
  Chunk lend(const Chunk& chunk);

 private:
  std::shared_ptr<LoopDesk> desk_;
  std::shared_ptr<std::function<void(Buffer)>> ended_;
};

}  // namespace tegula::worker
