// A session without a cluster: runs every task of a graph at once, in order, on the calling thread, with the real
// kernels and the real edge rules. What the array library computes can be tested without scheduler and workers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/session.h"
#include "tegula/client.h"

namespace tegula::test {

struct RunnerStatistics {
  std::uint64_t layers = 0, tasks = 0;
  std::uint64_t bytes_stored = 0;  // of all outputs of all tasks
};

class GraphRunner {
 public:
  explicit GraphRunner(const std::string& level = "auto");
  Client client() const;
  RunnerStatistics statistics() const;  // since the last call of this

 private:
  class Session;
  std::shared_ptr<Session> session_;
};

}  // namespace tegula::test
