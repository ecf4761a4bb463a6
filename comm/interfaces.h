// This machine's network addresses.
#pragma once

#include <string>

namespace tegula {

// The address of a network interface ("eth0"), IPv4 before IPv6. Throws ConfigError that names the interfaces there
// are.
std::string interface_address(const std::string& interface);

// The address by which other machines most likely reach this one: of the first interface that is up and not loopback;
// "127.0.0.1" when there is none.
std::string outward_address();

}  // namespace tegula
