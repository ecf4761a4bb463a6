#include "src/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "tegula/error.h"

namespace tegula::log {
namespace {

// An own logger, not spdlog's default one: the program that links the library may use spdlog itself.
constexpr const char* kPattern = "%Y-%m-%d %H:%M:%S.%e %P %L %v";

struct State {
  std::atomic<Level> level{Level::kWarning};
  std::mutex mutex;
  std::shared_ptr<spdlog::logger> logger;  // mutex
};

// Never destroyed: threads may log while the program ends.
State& state() {
  static auto* const instance = new State;
  return *instance;
}

std::shared_ptr<spdlog::logger> make_logger(const std::string& file) {
  spdlog::sink_ptr sink;
  if (file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    try {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
    } catch (const spdlog::spdlog_ex& error) {
      throw FileError(error.what());
    }
  }
  auto logger = std::make_shared<spdlog::logger>("tegula", std::move(sink));
  logger->set_pattern(kPattern);
  logger->set_level(spdlog::level::trace);  // `enabled` decides
  logger->flush_on(spdlog::level::trace);   // the last line before a crash is the one that is needed
  return logger;
}

Level parse_level(std::string_view text) {
  if (text == "trace") return Level::kTrace;
  if (text == "debug") return Level::kDebug;
  if (text == "info") return Level::kInfo;
  if (text == "warning" || text == "warn") return Level::kWarning;
  if (text == "error") return Level::kError;
  if (text == "off") return Level::kOff;
  throw ConfigError("'" + std::string(text) + "' is no log level; use trace, debug, info, warning, error or off");
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kTrace:
      return spdlog::level::trace;
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
    case Level::kOff:
      break;
  }
  return spdlog::level::off;
}

}  // namespace

void configure(std::string_view level, const std::string& file) {
  const Level parsed = parse_level(level);
  auto logger = make_logger(file);
  const std::lock_guard lock(state().mutex);
  state().logger = std::move(logger);
  state().level.store(parsed, std::memory_order_relaxed);
}

bool enabled(Level level) { return level != Level::kOff && level >= state().level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view component, std::string_view message) {
  std::shared_ptr<spdlog::logger> logger;
  {
    const std::lock_guard lock(state().mutex);
    if (!state().logger) state().logger = make_logger("");
    logger = state().logger;
  }
  logger->log(to_spdlog(level), "{}: {}", component, message);
}

}  // namespace tegula::log
