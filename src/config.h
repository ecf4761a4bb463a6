// Configuration: defaults < YAML files < environment (TEGULA_SCHEDULER__PORT) < code < command line. Every key is
// declared, with its default and a line of documentation, in config_keys.cc and nowhere else; `docs/configuration.md`
// is written from there (tests compare).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tegula {

enum class ConfigType { kString, kInt, kFloat, kBool, kBytes, kDuration };
struct ConfigKey {
  std::string_view name;  // "scheduler.port"
  ConfigType type;
  std::string_view default_value;  // as written in a file: "8786", "5s", "256MiB", "true"
  std::string_view help;
};
const std::vector<ConfigKey>& config_keys();

// A value type: load once, pass by value into what needs it. Values are checked for their type when set.
class Config {
 public:
  Config();  // the defaults
  // Defaults, then the YAML files (~/.config/tegula/*.yaml, then $TEGULA_CONFIG, then `file` when not empty), then the
  // environment. Throws ConfigError for an unknown key or unusable value in a file, naming file, key and the nearest
  // known key; an unknown TEGULA_ variable is only warned about (TEGULA_CONFIG and TEGULA_CLUSTER_TOKEN are no keys).
  static Config load(const std::string& file = "");

  // Later calls win, so call in the order file < environment < code < flags. Throws ConfigError.
  void set(std::string_view key, std::string_view value);

  const std::string& string(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  std::uint64_t bytes(std::string_view key) const;                // "256MiB", "4GB", "1000"
  std::chrono::nanoseconds duration(std::string_view key) const;  // "5s", "200ms", "1h"

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

std::uint64_t parse_bytes(std::string_view text);  // "512MB", "1.5GiB", "100"; throws ValueError
// "30s", "5 min", "250ms", "1.5h"; bare numbers are seconds
std::chrono::nanoseconds parse_duration(std::string_view text);
std::string format_bytes(std::uint64_t bytes);  // "1.50 GiB"
// By edit distance; "" when none is near
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tegula
