// Where a worker listens, and what it tells others.
#pragma once

#include <cstdint>
#include <string>

#include "comm/transport.h"

namespace tegula::worker {

struct PortRange {
  std::uint16_t first = 0;  // 0: any free port
  std::uint16_t last = 0;
};
// "0", "9000", "9000:9100". Throws ConfigError.
PortRange parse_ports(const std::string& text);

// The address of this machine from which packets to `peer` leave: where the peer can reach us.
std::string address_towards(const Address& peer);

// Where a worker listens for others when nothing is said: where the scheduler is.
std::string listen_address_for(const Address& scheduler);

// What others are told: `wanted` completed with scheme and port of what is listened on; an address that stands for all
// of this machine's is replaced by the one towards the scheduler.
std::string contact_address_of(const std::string& listened, const std::string& wanted, const Address& scheduler);

std::string host_name();
std::string default_worker_name();  // host, process, and a counter from the second of a process on

}  // namespace tegula::worker
