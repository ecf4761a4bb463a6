// Logging. spdlog does the work in log.cc; including this costs fmt/core.h only.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

namespace tegula::log {

enum class Level { kTrace, kDebug, kInfo, kWarning, kError, kOff };

// Sets level ("debug") and destination ("" = stderr) for this process; daemons call it once from the configuration. In
// a program that links the library the default is warnings on stderr.
void configure(std::string_view level, const std::string& file = "");
bool enabled(Level level);
void write(Level level, std::string_view component, std::string_view message);

#define TEGULA_LOG_FUNCTION(name, level)                                                           \
  template <typename... Args>                                                                      \
  void name(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {      \
    if (enabled(level)) write(level, component, fmt::format(format, std::forward<Args>(args)...)); \
  }
TEGULA_LOG_FUNCTION(trace, Level::kTrace)
TEGULA_LOG_FUNCTION(debug, Level::kDebug)
TEGULA_LOG_FUNCTION(info, Level::kInfo)
TEGULA_LOG_FUNCTION(warning, Level::kWarning)
TEGULA_LOG_FUNCTION(error, Level::kError)
#undef TEGULA_LOG_FUNCTION

}  // namespace tegula::log
