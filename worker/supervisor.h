// Runs several worker processes and ends with them.
#pragma once

#include <string>
#include <vector>

namespace tegula::worker {

// Starts this program once for each list of arguments and waits until all have ended. SIGTERM and SIGINT are handed on
// as SIGTERM; who has not ended ten seconds later is killed. A process that ends by itself is logged, the others go on.
// Children do not outlive this process. Returns 0 when all ended with 0, else the first other status (1 for a signal).
// To be called before the process has other threads.
int supervise(const std::vector<std::vector<std::string>>& arguments);

}  // namespace tegula::worker
