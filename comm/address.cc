#include <charconv>
#include <string>

#include "comm/transport.h"
#include "tegula/error.h"

namespace tegula {

namespace {

[[noreturn]] void malformed(std::string_view text, const std::string& why) {
  throw ValueError("malformed address '" + std::string(text) + "': " + why);
}

std::uint16_t parse_port(std::string_view text, std::string_view digits) {
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || port > 65535) {
    malformed(text, "'" + std::string(digits) + "' is no port number (0 to 65535)");
  }
  return static_cast<std::uint16_t>(port);
}

bool is_scheme(std::string_view text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") == std::string_view::npos;
}

bool is_plain(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '/' || c == '@') return false;
  }
  return true;
}

}  // namespace

Address parse_address(std::string_view text, std::uint16_t default_port) {
  Address address;
  std::string_view rest = text;
  address.scheme = "tcp";
  if (const auto separator = text.find("://"); separator != std::string_view::npos) {
    address.scheme = text.substr(0, separator);
    if (!is_scheme(address.scheme)) malformed(text, "'" + address.scheme + "' is no scheme");
    rest = text.substr(separator + 3);
  }
  if (!is_plain(rest)) malformed(text, "expected host:port");
  if (address.scheme == "inproc") {
    address.host = rest;
    return address;
  }
  address.port = default_port;
  if (rest.starts_with('[')) {
    const auto close = rest.find(']');
    if (close == std::string_view::npos) malformed(text, "']' is missing");
    address.host = rest.substr(1, close - 1);
    if (address.host.find(':') == std::string::npos) malformed(text, "brackets are for IPv6 addresses");
    rest.remove_prefix(close + 1);
    if (!rest.empty()) {
      if (rest.front() != ':') malformed(text, "expected a port after ']'");
      address.port = parse_port(text, rest.substr(1));
    }
    return address;
  }
  const auto colon = rest.find(':');
  if (colon != rest.rfind(':')) malformed(text, "an IPv6 address needs brackets, as in tcp://[::1]:8786");
  address.host = rest.substr(0, colon);
  if (address.host.empty()) malformed(text, "the host is missing");
  if (colon != std::string_view::npos) address.port = parse_port(text, rest.substr(colon + 1));
  return address;
}

std::string to_string(const Address& address) {
  if (address.scheme == "inproc") return "inproc://" + address.host;
  std::string text = address.scheme + "://";
  const bool brackets = address.host.find(':') != std::string::npos;
  text += brackets ? "[" + address.host + "]" : address.host;
  if (address.port != 0) text += ":" + std::to_string(address.port);
  return text;
}

}  // namespace tegula
