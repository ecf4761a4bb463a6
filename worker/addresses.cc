#include "worker/addresses.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <memory>

#include "comm/interfaces.h"
#include "tegula/error.h"

namespace tegula::worker {

PortRange parse_ports(const std::string& text) {
  const auto number = [&text](std::string_view part) {
    std::uint16_t value = 0;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || rest != part.data() + part.size()) {
      throw ConfigError("'" + text + "' is no port and no range of ports (9000:9100)");
    }
    return value;
  };
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return {number(text), number(text)};
  const PortRange range{number(std::string_view(text).substr(0, colon)),
                        number(std::string_view(text).substr(colon + 1))};
  if (range.first == 0 || range.last < range.first) throw ConfigError("the range of ports '" + text + "' is empty");
  return range;
}

std::string address_towards(const Address& peer) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(peer.port == 0 ? 1 : peer.port);
  if (getaddrinfo(peer.host.c_str(), port.c_str(), &hints, &found) != 0) return outward_address();
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, freeaddrinfo);
  for (const addrinfo* each = addresses.get(); each != nullptr; each = each->ai_next) {
    // Connecting a datagram socket sends nothing; it only chooses the route.
    const int fd = socket(each->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    auto* address = reinterpret_cast<sockaddr*>(&own);
    char host[NI_MAXHOST] = "";
    const bool known = connect(fd, each->ai_addr, each->ai_addrlen) == 0 && getsockname(fd, address, &size) == 0 &&
                       getnameinfo(address, size, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) == 0;
    close(fd);
    if (known) return host;
  }
  return outward_address();
}

std::string listen_address_for(const Address& scheduler) {
  if (scheduler.scheme == "inproc") return "inproc://";
  return to_string(Address{scheduler.scheme, is_loopback(scheduler) ? scheduler.host : address_towards(scheduler), 0});
}

std::string contact_address_of(const std::string& listened, const std::string& wanted, const Address& scheduler) {
  Address address = parse_address(listened);
  if (!wanted.empty()) return to_string(parse_address(wanted, address.port));
  if (address.host == "0.0.0.0" || address.host == "::") address.host = address_towards(scheduler);
  return to_string(address);
}

std::string host_name() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0) return "localhost";
  return name;
}

std::string default_worker_name() {
  static std::atomic<unsigned> count{0};
  const unsigned number = count++;
  return host_name() + "-" + std::to_string(getpid()) + (number == 0 ? std::string() : "-" + std::to_string(number));
}

}  // namespace tegula::worker
