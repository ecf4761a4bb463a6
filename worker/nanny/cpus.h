// Which processors a worker process runs on.
#pragma once

#include <string>
#include <vector>

namespace tegula::worker {

// Divides processors among `workers` so that each gets neighbours (cores of one socket, threads of one core): those of
// `text` ("0-3,8"), or for "auto" all that this process may use. Fewer processors than workers are shared. Empty text:
// `workers` empty lists, which mean no binding. Throws ConfigError for a malformed list and for processors that this
// process may not use.
std::vector<std::vector<unsigned>> divide_cpus(const std::string& text, unsigned workers);

// Binds the calling thread, and with it those that it starts. An empty list: nothing is done. False: it did not work,
// see errno. Async-signal-safe.
bool bind_to(const std::vector<unsigned>& cpus);

}  // namespace tegula::worker
