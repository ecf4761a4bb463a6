// CommOptions as the configuration has them.
#pragma once

#include <string>

#include "comm/transport.h"
#include "src/config.h"

namespace tegula {

// Timeouts, limits and `insecure` from comm.*; everything else as by default.
CommOptions comm_options(const Config& config);

// TEGULA_CLUSTER_TOKEN; "" when it is not set.
std::string token_from_environment();

}  // namespace tegula
