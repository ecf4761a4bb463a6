// A question to a worker itself, about itself.
#pragma once

#include <chrono>
#include <string>

#include "comm/event_loop.h"
#include "comm/transport.h"

namespace tegula::client {

// What the worker at `address` says of what it did and moved last: JSON (worker/history.h). Connects for this one
// question, with these options; not on the loop. Throws ConnectionError and its kinds, TimeoutError.
std::string ask_worker(EventLoop& loop, const CommOptions& options, const std::string& address,
                       std::chrono::nanoseconds timeout);

}  // namespace tegula::client
