// A task that takes more memory than there is, submitted by a client of its own beside the job. It must end, and in
// the error that belongs to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <string>

#include "tegula/client.h"
#include "tegula/error.h"

namespace tegula::chaos {

class Poison {
 public:
  // `connect` is called by another thread, until it succeeds: the scheduler may be away.
  Poison(std::function<Client()> connect, std::uint64_t bytes, ErrorCode expected, std::chrono::seconds patience);
  ErrorCode expected() const { return expected_; }
  bool done() const;
  std::string verdict();  // waits; "": it ended as it should

 private:
  ErrorCode expected_;
  std::future<std::string> verdict_;
};

}  // namespace tegula::chaos
