#include "comm/options.h"

#include <cstdlib>

namespace tegula {

CommOptions comm_options(const Config& config) {
  CommOptions options;
  options.connect_timeout = config.duration("comm.connect-timeout");
  options.idle_timeout = config.duration("comm.idle-timeout");
  options.write_timeout = config.duration("comm.write-timeout");
  options.max_control_bytes = config.bytes("comm.max-control-bytes");
  options.max_bulk_bytes = config.bytes("comm.max-bulk-bytes");
  options.insecure = config.boolean("comm.insecure");
  return options;
}

std::string token_from_environment() {
  const char* token = std::getenv("TEGULA_CLUSTER_TOKEN");
  return token == nullptr ? std::string() : std::string(token);
}

}  // namespace tegula
