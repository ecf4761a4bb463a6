#include "comm/interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "tegula/error.h"

namespace tegula {

namespace {

using Addresses = std::unique_ptr<ifaddrs, decltype(&freeifaddrs)>;

Addresses addresses() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) {
    throw ConfigError(std::string("cannot list the network interfaces: ") + std::strerror(errno));
  }
  return {first, &freeifaddrs};
}

// "" for what is neither IPv4 nor a routable IPv6 address.
std::string text_of(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address == nullptr) return "";
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof(text));
  } else if (address->sa_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(&v6)) return "";  // means nothing without a scope
    inet_ntop(AF_INET6, &v6, text, sizeof(text));
  }
  return text;
}

// IPv4 before IPv6, among the addresses that `wanted` accepts.
template <typename Wanted>
std::string first_address(const Addresses& list, Wanted wanted) {
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* entry = list.get(); entry != nullptr; entry = entry->ifa_next) {
      if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != family || !wanted(*entry)) continue;
      if (std::string text = text_of(entry->ifa_addr); !text.empty()) return text;
    }
  }
  return "";
}

}  // namespace

std::string interface_address(const std::string& interface) {
  const Addresses list = addresses();
  std::string found = first_address(list, [&](const ifaddrs& entry) { return interface == entry.ifa_name; });
  if (!found.empty()) return found;
  std::set<std::string> names;
  for (const ifaddrs* entry = list.get(); entry != nullptr; entry = entry->ifa_next) {
    if (!text_of(entry->ifa_addr).empty()) names.insert(entry->ifa_name);
  }
  std::string known;
  for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
  throw ConfigError("no network interface '" + interface + "' with an address; there is: " + known);
}

std::string outward_address() {
  const std::string found = first_address(addresses(), [](const ifaddrs& entry) {
    return (entry.ifa_flags & IFF_UP) != 0 && (entry.ifa_flags & IFF_LOOPBACK) == 0;
  });
  return found.empty() ? "127.0.0.1" : found;
}

}  // namespace tegula
