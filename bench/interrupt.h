// Ctrl-C, in order.
#pragma once

#include <signal.h>

#include <optional>

#include "tegula/client.h"

namespace tegula::bench {

// While it lives a thread waits for SIGINT and SIGTERM, which every other thread has blocked, and closes whichever
// client is watched; the job then ends with ClosedError and everything is taken down in order. One per program, made
// before other threads are.
class Interrupt {
 public:
  Interrupt();
  static bool caught();
  // The client to close, or none.
  static void watch(std::optional<Client> client);

 private:
  sigset_t signals_;
};

}  // namespace tegula::bench
