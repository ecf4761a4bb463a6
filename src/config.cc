#include "src/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "src/log.h"
#include "tegula/error.h"

extern char** environ;

namespace tegula {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "TEGULA_";

const ConfigKey* find_key(std::string_view name) {
  for (const ConfigKey& key : config_keys()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string unknown_key(std::string_view name) {
  std::vector<std::string> names;
  for (const ConfigKey& key : config_keys()) names.emplace_back(key.name);
  std::string message = "unknown configuration key '" + std::string(name) + "'";
  const std::string near = nearest(name, names);
  if (!near.empty()) message += "; did you mean '" + near + "'?";
  return message;
}

std::int64_t parse_int(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw ValueError("'" + std::string(text) + "' is no integer");
  }
  return value;
}

double parse_float(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw ValueError("'" + std::string(text) + "' is no number");
  }
  return value;
}

bool parse_bool(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* word : {"true", "yes", "on", "1"}) {
    if (lower == word) return true;
  }
  for (const char* word : {"false", "no", "off", "0"}) {
    if (lower == word) return false;
  }
  throw ValueError("'" + std::string(text) + "' is neither true nor false");
}

void check_value(const ConfigKey& key, std::string_view value) {
  switch (key.type) {
    case ConfigType::kString:
      return;
    case ConfigType::kInt:
      parse_int(value);
      return;
    case ConfigType::kFloat:
      parse_float(value);
      return;
    case ConfigType::kBool:
      parse_bool(value);
      return;
    case ConfigType::kBytes:
      parse_bytes(value);
      return;
    case ConfigType::kDuration:
      parse_duration(value);
      return;
  }
}

bool is_section(const std::string& name) {
  return std::any_of(config_keys().begin(), config_keys().end(),
                     [&name](const ConfigKey& key) { return key.name.starts_with(name + "."); });
}

// Sections nest: `scheduler: {port: 8786}`; "scheduler.port: 8786" means the same.
void read_node(const YAML::Node& node, const std::string& prefix, Config& config) {
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) throw ConfigError("the keys of a configuration file must be words");
    const std::string name = prefix.empty() ? entry.first.Scalar() : prefix + "." + entry.first.Scalar();
    if (entry.second.IsMap()) {
      read_node(entry.second, name, config);
    } else if (entry.second.IsScalar()) {
      config.set(name, entry.second.Scalar());
    } else if (entry.second.IsNull()) {
      if (!is_section(name)) config.set(name, "");
    } else {
      throw ConfigError("the configuration key '" + name + "' takes one value, not a list");
    }
  }
}

void read_file(const std::string& path, Config& config) {
  try {
    const YAML::Node root = YAML::LoadFile(path);
    if (root.IsNull()) return;
    if (!root.IsMap()) throw ConfigError("not a map of configuration keys");
    read_node(root, "", config);
  } catch (const YAML::BadFile&) {
    throw ConfigError(path + ": cannot be read");
  } catch (const YAML::Exception& error) {
    throw ConfigError(path + ": " + error.what());
  } catch (const ConfigError& error) {
    throw ConfigError(path + ": " + error.what());
  }
}

std::vector<std::string> user_files() {
  std::vector<std::string> files;
  const char* config_home = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  fs::path directory;
  if (config_home != nullptr && *config_home != '\0') {
    directory = fs::path(config_home) / "tegula";
  } else if (home != nullptr && *home != '\0') {
    directory = fs::path(home) / ".config" / "tegula";
  } else {
    return files;
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// TEGULA_SCHEDULER__IDLE_TIMEOUT is scheduler.idle-timeout.
std::string key_of_variable(std::string_view variable) {
  std::string name;
  for (std::size_t i = kPrefix.size(); i < variable.size(); ++i) {
    if (variable.substr(i, 2) == "__") {
      name += '.';
      ++i;
    } else {
      name += variable[i] == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(variable[i])));
    }
  }
  return name;
}

void read_environment(Config& config) {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (!text.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    const std::string_view variable = text.substr(0, equals);
    // The last one is for the tests' own programs.
    if (variable == "TEGULA_CONFIG" || variable == "TEGULA_CLUSTER_TOKEN" || variable.starts_with("TEGULA_TEST_")) {
      continue;
    }
    const std::string name = key_of_variable(variable);
    if (find_key(name) == nullptr) {
      log::warning("config", "ignoring the environment variable {}: {}", variable, unknown_key(name));
      continue;
    }
    try {
      config.set(name, text.substr(equals + 1));
    } catch (const ConfigError& error) {
      throw ConfigError("the environment variable " + std::string(variable) + ": " + error.what());
    }
  }
}

// A number and the unit after it, which may be apart: "1.5 GiB".
std::pair<double, std::string> split_unit(std::string_view text) {
  std::size_t begin = 0, end = text.size();
  while (begin < end && std::isspace(static_cast<unsigned char>(text[begin]))) ++begin;
  while (end > begin && std::isspace(static_cast<unsigned char>(text[end - 1]))) --end;
  text = text.substr(begin, end - begin);
  double number = 0;
  const auto [after, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number)) return {-1, ""};
  std::string_view unit = text.substr(static_cast<std::size_t>(after - text.data()));
  while (!unit.empty() && std::isspace(static_cast<unsigned char>(unit.front()))) unit.remove_prefix(1);
  return {number, std::string(unit)};
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

Config::Config() {
  for (const ConfigKey& key : config_keys()) values_.emplace(key.name, key.default_value);
}

Config Config::load(const std::string& file) {
  Config config;
  for (const std::string& path : user_files()) read_file(path, config);
  const char* variable = std::getenv("TEGULA_CONFIG");
  if (variable != nullptr && *variable != '\0') read_file(variable, config);
  if (!file.empty()) read_file(file, config);
  read_environment(config);
  return config;
}

void Config::set(std::string_view key, std::string_view value) {
  const ConfigKey* known = find_key(key);
  if (known == nullptr) throw ConfigError(unknown_key(key));
  try {
    check_value(*known, value);
  } catch (const ValueError& error) {
    throw ConfigError("the configuration key '" + std::string(key) + "': " + error.what());
  }
  values_.find(key)->second = value;
}

const std::string& Config::string(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) throw ConfigError(unknown_key(key));
  return found->second;
}

std::int64_t Config::integer(std::string_view key) const { return parse_int(string(key)); }
double Config::number(std::string_view key) const { return parse_float(string(key)); }
bool Config::boolean(std::string_view key) const { return parse_bool(string(key)); }
std::uint64_t Config::bytes(std::string_view key) const { return parse_bytes(string(key)); }
std::chrono::nanoseconds Config::duration(std::string_view key) const { return parse_duration(string(key)); }

std::uint64_t parse_bytes(std::string_view text) {
  struct Unit {
    const char* name;
    double bytes;
  };
  static constexpr Unit kUnits[] = {{"", 1},
                                    {"b", 1},
                                    {"k", 1e3},
                                    {"kb", 1e3},
                                    {"kib", 1024.},
                                    {"m", 1e6},
                                    {"mb", 1e6},
                                    {"mib", 1048576.},
                                    {"g", 1e9},
                                    {"gb", 1e9},
                                    {"gib", 1073741824.},
                                    {"t", 1e12},
                                    {"tb", 1e12},
                                    {"tib", 1099511627776.},
                                    {"pb", 1e15},
                                    {"pib", 1125899906842624.}};
  auto [number, unit] = split_unit(text);
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const Unit& known : kUnits) {
    if (unit == known.name && number >= 0 && number * known.bytes < 0x1p63) {
      return static_cast<std::uint64_t>(std::llround(number * known.bytes));
    }
  }
  throw ValueError("'" + std::string(text) + "' is no number of bytes; write it like 1000, 512MB or 1.5GiB");
}

std::chrono::nanoseconds parse_duration(std::string_view text) {
  struct Unit {
    const char* name;
    double nanoseconds;
  };
  static constexpr Unit kUnits[] = {
      {"", 1e9},     {"s", 1e9},       {"sec", 1e9},      {"second", 1e9}, {"seconds", 1e9}, {"ns", 1},
      {"us", 1e3},   {"ms", 1e6},      {"m", 60e9},       {"min", 60e9},   {"minute", 60e9}, {"minutes", 60e9},
      {"h", 3600e9}, {"hour", 3600e9}, {"hours", 3600e9}, {"d", 86400e9},  {"day", 86400e9}, {"days", 86400e9}};
  const auto [number, unit] = split_unit(text);
  for (const Unit& known : kUnits) {
    if (unit == known.name && number >= 0 && number * known.nanoseconds < 0x1p62) {
      return std::chrono::nanoseconds(std::llround(number * known.nanoseconds));
    }
  }
  throw ValueError("'" + std::string(text) + "' is no duration; write it like 250ms, 30s, 5min or 1.5h");
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // 1023.995 and more would be printed as 1024.00.
  while (value >= 1023.995 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[40];
  std::snprintf(text, sizeof(text), "%.2f %s", value, kUnits[unit]);
  return text;
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = word.size() / 3 + 2;  // what is further away is another word
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace tegula
