// How a Client comes to its session.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "client/session.h"
#include "client/session_core.h"
#include "comm/event_loop.h"
#include "src/config.h"
#include "tegula/client.h"

namespace tegula::client {

// Connects; throws ConnectionError and its kinds. `host` (may be null) is what the session needs to live, such as an
// embedded cluster on the same loop: let go of when the session is closed.
std::shared_ptr<detail::ClientImpl> open_session(std::shared_ptr<EventLoop> loop, SessionOptions options,
                                                 std::shared_ptr<void> host);

// From the options and the configuration; `address` may be a scheduler file.
SessionOptions session_options(std::string_view address, const ClientOptions& options, const Config& config);

// What a Client holds: the session, closed when the last copy of what is returned goes, whatever futures still hold the
// session itself. The most recent one is Client::current().
std::shared_ptr<detail::ClientImpl> closing_handle(std::shared_ptr<detail::ClientImpl> session);
// The most recent closing handle whose session is open; null when there is none.
std::shared_ptr<detail::ClientImpl> current_handle();

}  // namespace tegula::client
