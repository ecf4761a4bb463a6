// Calls a progress listener on a thread of its own, so that it may take its time and use the client.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "client/session_core.h"
#include "tegula/client.h"

namespace tegula::client {

class ProgressNotifier {
 public:
  ~ProgressNotifier();
  // From any thread. Replaces the listener; {} ends it. The old one is not called any more once this (or stop()) has
  // returned, except when called from within it.
  void start(SessionCore& core, std::function<void(const ProgressReport&)> report);
  void stop();

 private:
  struct Mailbox;  // shared with the session's loop
  std::mutex mutex_;
  std::shared_ptr<Mailbox> mailbox_;
  std::thread thread_;
};

}  // namespace tegula::client
