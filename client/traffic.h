// What a client's session costs its connection. For measurements; a header of its own, since hardly anybody asks.
#pragma once

#include <cstdint>

#include "client/session.h"

namespace tegula::client {

struct Traffic {
  std::uint64_t bytes_in = 0, bytes_out = 0;
};
// On the present connection to the scheduler, since it was made; 0 within a process. Throws ClosedError.
Traffic traffic_of(detail::ClientImpl& client);

}  // namespace tegula::client
