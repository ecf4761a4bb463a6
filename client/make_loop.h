#pragma once

#include <memory>
#include <string>

#include "comm/event_loop.h"

namespace tegula::client {

// A running loop that may be let go of on any thread, its own included: a handler can be the last to hold a session.
std::shared_ptr<EventLoop> make_loop(const std::string& name);

}  // namespace tegula::client
