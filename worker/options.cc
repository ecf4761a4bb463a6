#include "comm/options.h"

#include <algorithm>
#include <charconv>

#include "comm/interfaces.h"
#include "src/config.h"
#include "worker/limits.h"
#include "worker/server.h"

namespace tegula::worker {

namespace {
constexpr std::int64_t kMaxThreads = 4096;

// "GPU=1,LICENSE=0.5"
std::vector<msg::Resource> parse_resources(const std::string& text) {
  std::vector<msg::Resource> resources;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const std::size_t sign = part.find('=');
    msg::Resource resource{part.substr(0, sign), 0};
    const char* first = part.data() + (sign == std::string::npos ? part.size() : sign + 1);
    const char* last = part.data() + part.size();
    const auto [stop, error] = std::from_chars(first, last, resource.amount);
    if (resource.name.empty() || error != std::errc() || stop != last || !(resource.amount > 0)) {
      throw ConfigError("worker.resources: '" + part + "' is not NAME=AMOUNT with an amount above 0");
    }
    if (resource.name == "memory") {
      throw ConfigError("worker.resources: memory is a resource already, of as much as worker.memory-limit says");
    }
    for (const msg::Resource& other : resources) {
      if (other.name == resource.name) throw ConfigError("worker.resources: '" + resource.name + "' is given twice");
    }
    resources.push_back(std::move(resource));
    begin = end + 1;
  }
  return resources;
}
}  // namespace

WorkerOptions worker_options(const Config& config, unsigned workers) {
  WorkerOptions options;
  options.name = config.string("worker.name");
  const std::int64_t threads = config.integer("worker.threads");
  if (threads < 0 || threads > kMaxThreads)
    throw ConfigError("worker.threads: " + std::to_string(threads) + " threads");
  options.threads = static_cast<unsigned>(threads);
  options.memory_limit = parse_memory_limit(config.string("worker.memory-limit"), workers);
  options.resources = parse_resources(config.string("worker.resources"));
  options.local_directory = config.string("worker.local-directory");
  options.spill_directory = config.string("worker.spill-directory");
  options.spill_limit = config.bytes("worker.spill-limit");
  const std::string& compression = config.string("worker.spill-compression");
  if (compression != "none" && compression != "lz4") {
    throw ConfigError("worker.spill-compression: '" + compression + "' is neither none nor lz4");
  }
  options.spill.compression = compression == "lz4" ? SpillCompression::kLz4 : SpillCompression::kNone;
  const std::string& interface = config.string("worker.interface");
  const std::string host = interface.empty() ? config.string("worker.host") : interface_address(interface);
  if (!host.empty()) options.listen_address = to_string(Address{"tcp", host, 0});
  options.ports = parse_ports(config.string("worker.port"));
  options.contact_address = config.string("worker.contact-address");
  options.comm = comm_options(config);
  options.kernels_path = config.string("kernels.path");
  options.kernels_level = config.string("kernels.level");
  options.death_timeout = config.duration("worker.death-timeout");
  options.time_limit = config.duration("worker.time-limit");
  options.time_limit_grace = config.duration("worker.time-limit-grace");
  options.fetches_per_peer =
      static_cast<unsigned>(std::clamp<std::int64_t>(config.integer("worker.fetch-connections"), 1, 64));
  options.fetch_bytes_in_flight = config.bytes("worker.fetch-bytes-in-flight");
  options.watch_turns = config.boolean("worker.watch-turns");
  return options;
}

}  // namespace tegula::worker
